"""Goal: no answer tells of another tenant. Method: two tenants with objects of all kinds, and every operation asked with the other's ids.

What is asked with an id of the other tenant has to be answered byte for byte like what is asked with an id that never was, by the same
number of calls behind the API: so not even time tells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from api.http.catalogue import operations
from api.http.operations import Operation
from api.http.parameters import Boolean, Field, Integer, Object, Objects, Text, TextMap, Texts
from api.reads.payments import Payments
from api.reads.warehouse import Warehouse
from tests.integration.api._asking import Answered, Counting, ask, counted, served

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

VISA = {"amount": "1000", "currency": "eur", "payment_method": "pm_card_visa", "confirm": "true"}
DISPUTED = {**VISA, "payment_method": "pm_card_createDispute"}
HELD = {**VISA, "capture_method": "manual"}

NAMES_OF_OTHERS = (
    "charge", "customer", "dispute", "ending_before", "payment_intent", "payment_method", "payout", "setup_intent", "source",
    "starting_after", "webhook_endpoint", "settlement_window", "delivery", "event",
)  # fmt: skip
"""Parameters that hold ids."""
_BY_PREFIX = {
    "charge": "ch_", "customer": "cus_", "dispute": "dp_", "payment_intent": "pi_", "payment_method": "pm_", "payout": "po_",
    "setup_intent": "seti_", "source": "ch_", "webhook_endpoint": "we_", "settlement_window": "sw_", "event": "evt_",
}  # fmt: skip
_VALUES = {
    "currency": "eur", "amount": "100", "url": "https://example.com/hook", "enabled_events": "*", "providers": "northpay", "type": "secret",
    "id": "acme", "status": "active", "timezone": "Europe/Berlin",
}  # fmt: skip
_SAID = ("request-id", "date", "content-length", "idempotency-key")


@dataclass
class Both:
    """The API, and two tenants' keys: of the one whose objects are there, and of the one who must not see them."""

    port: int
    owner: str
    stranger: str
    counting: Counting
    ids: dict[str, list[str]] = field(default_factory=dict)
    """The owner's, by the first part of the path that lists them."""

    def every(self) -> list[str]:
        """All of the owner's ids."""
        return [one for some in self.ids.values() for one in some]

    def with_prefix(self, prefix: str) -> list[str]:
        """The owner's ids that begin so."""
        return [one for one in self.every() if one.startswith(prefix)]


@pytest.fixture(scope="module")
def both(api) -> Iterator[Both]:
    """acme has objects of all kinds, globex a few of its own."""
    with (
        pytest.MonkeyPatch.context() as patch,
        counted(patch) as counting,
        served(api.house.environment, patch) as port,
    ):
        found = Both(port, api.key("acme"), api.key("globex"), counting)
        _fill(found.port, found.owner)
        _fill(found.port, found.stranger)
        found.ids = _harvest(found.port, found.owner)
        strangers = {one for some in _harvest(found.port, found.stranger).values() for one in some}
        # Routing policies count for each tenant from 1, and "current" is each one's own.
        found.ids = {name: [one for one in some if one not in strangers] for name, some in found.ids.items()}
        yield found


def _fill(port: int, key: str) -> None:
    """Objects of every kind that can be made."""
    made = [
        ask(port, key, "POST", "/v1/payment_intents", given)
        for given in (VISA, DISPUTED, HELD, {"amount": "500", "currency": "eur"})
    ]
    assert [one.status for one in made] == [200] * 4, [one.body for one in made]
    ask(port, key, "POST", "/v1/refunds", {"payment_intent": made[0].json["id"], "amount": "100"})
    ask(port, key, "POST", "/v1/customers", {"name": "Somebody", "email": "somebody@example.com"})
    customers = ask(port, key, "GET", "/v1/customers").json.get("data", [])
    ask(
        port,
        key,
        "POST",
        "/v1/setup_intents",
        {
            "payment_method": "pm_card_visa",
            "confirm": "true",
            **({"customer": customers[0]["id"]} if customers else {}),
        },
    )
    ask(port, key, "POST", "/v1/webhook_endpoints", {"url": "https://example.com/hook", "enabled_events[]": "*"})
    ask(port, key, "POST", "/v1/api_keys", {"type": "restricted", "scopes[]": "charges:read"})
    for providers in ("southpay", "northpay"):
        ask(port, key, "POST", "/v1/routing/policies", {"providers[]": providers})


def _harvest(port: int, key: str) -> dict[str, list[str]]:
    """Every id of every list, and those of what has none."""
    found: dict[str, list[str]] = {}
    for operation in operations():
        if operation.answers != "list" or "{" in operation.path:
            continue
        answer = ask(port, key, "GET", operation.path, {"limit": "50"})
        if answer.status == 200:
            found[operation.path] = [one["id"] for one in answer.json["data"]]
    found["/v1/accounts"] = [ask(port, key, "GET", "/v1/account").json["id"]]
    found["/v1/traces"] = found["/v1/payment_intents"]
    return found


def _unknown(like: str, digits: str) -> str:
    """An id of the same form that nobody has."""
    prefix, _, rest = like.rpartition("_")
    if not prefix or re.fullmatch(r"[0-9a-f]{8,}", rest) is None:
        return f"nobody-{digits[:8]}"
    return f"{prefix}_{(digits * 2)[: len(rest)]}"


def _least(name: str, kind: Field) -> list[tuple[str, str]]:
    """The parameter with a value that is taken."""
    match kind:
        case Text():
            return [(name, kind.choices[0] if kind.choices else _VALUES.get(name, "x"))]
        case Integer():
            return [(name, _VALUES.get(name, str(max(kind.least, 1))))]
        case Boolean():
            return [(name, "true")]
        case Texts():
            return [(f"{name}[]", _VALUES.get(name, "x"))]
        case TextMap():
            return [(f"{name}[{kind.names[0] if kind.names else 'a'}]", "b")]
        case Object():
            inner = [_least(f"{name}[{one}]", of) for one, of in kind.fields.items() if of.required]
            return [pair for some in inner for pair in some] or [(name, "")]
        case Objects():
            return [(name, "")]
    raise AssertionError(kind)


def _required(operation: Operation) -> list[tuple[str, str]]:
    fields = operation.spec.fields.items()
    return [pair for name, kind in fields if kind.required for pair in _least(name, kind)]


def _told(answer: Answered, *ids: str) -> tuple[int, list[tuple[str, str]], str]:
    """What an answer says, without the request's own id, the time, and the ids that were asked with."""
    body = answer.body.decode()
    for one in ids:
        body = body.replace(one, "(id)")
    said = [(name, value) for name, value in answer.headers.items() if name not in _SAID]
    return answer.status, sorted(said), body


def _asked(
    both: Both, operation: Operation, path: str, given: list[tuple[str, str]]
) -> tuple[Answered, dict[str, int]]:
    # What the stranger wrote before has landed, so that nobody waits for it here: each fold's lists wait for its own.
    for written in ("payment_intents", "customers", "payouts"):
        ask(both.port, both.stranger, "GET", f"/v1/{written}", {"limit": "1"})
    both.counting.take()
    answer = ask(both.port, both.stranger, operation.method, path, given)
    return answer, both.counting.take()


def _compare(
    both: Both, operation: Operation, theirs: str, nobodys: str, given: list[tuple[str, str]], *, name: str = ""
) -> None:
    """The same request with the other's id and with nobody's; `name`: the parameter that holds it, else the path does."""
    answers = []
    for one in (theirs, nobodys):
        path = operation.path if name else re.sub(r"\{\w+\}", one, operation.path)
        asked = [*given, (name, one)] if name else given
        answers.append(_asked(both, operation, path, asked))
    (to_theirs, calls), (to_nobodys, usual) = answers
    assert to_theirs.status < 500, (operation.id, theirs, to_theirs.body)
    if to_theirs.status == to_nobodys.status == 200:
        # Something was made or listed that only repeats the id; what else it says are ids and times of its own.
        seen = to_theirs.body.decode().replace(theirs, "")
        assert not [other for other in both.every() if len(other) > 8 and other in seen], operation.id
        assert set(to_theirs.json) == set(to_nobodys.json), operation.id
    else:
        assert _told(to_theirs, theirs) == _told(to_nobodys, nobodys), (operation.id, name or "path")
    assert calls == usual, (operation.id, name or "path", to_theirs.status)


def _of_path(both: Both, operation: Operation) -> list[str]:
    """The owner's ids that an operation's path could name."""
    head = operation.path.partition("/{")[0]
    return both.ids.get(head) or both.ids.get("/v1/" + head.split("/")[2]) or both.every()


WITH_PATH = [one for one in operations() if "{" in one.path]
WITH_NAMES = [
    (one, name) for one in operations() for name in one.spec.fields if name in NAMES_OF_OTHERS and "{" not in one.path
]
LISTS = [one for one in operations() if one.answers in ("list", "search_result") and "{" not in one.path]


def bounded(examples: int) -> settings:
    """So many examples, the same in every run."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
        database=None,
    )


nobodys_digits = st.text("0123456789abcdef", min_size=24, max_size=24)


def test_there_is_something_to_hide(both) -> None:
    """The owner has objects of every kind that a list shows, so that what follows proves something."""
    for name in (
        "payment_intents",
        "charges",
        "refunds",
        "disputes",
        "events",
        "balance_transactions",
        "api_keys",
        "routing/decisions",
    ):
        assert both.ids[f"/v1/{name}"], name
    assert len(WITH_PATH) > 15


@pytest.mark.parametrize("operation", WITH_PATH, ids=lambda one: one.id)
def test_an_id_of_the_other_tenants_is_an_id_of_nobodys(both, operation) -> None:
    """Every operation whose path names an object: status, headers, bytes and calls are those of an id that never was."""
    theirs = _of_path(both, operation)

    @bounded(3 if operation.method == "GET" else 2)
    @given(st.sampled_from(theirs), nobodys_digits)
    def holds(one: str, digits: str) -> None:
        _compare(both, operation, one, _unknown(one, digits), _required(operation))

    holds()


@pytest.mark.parametrize(("operation", "name"), WITH_NAMES, ids=lambda one: one if isinstance(one, str) else one.id)
def test_a_parameter_with_the_others_id_is_one_with_nobodys(both, operation, name) -> None:
    """Filters, cursors and references: the other's id is taken, found or refused exactly as one that never was."""
    theirs = both.with_prefix(_BY_PREFIX[name]) if name in _BY_PREFIX else _of_path(both, operation)
    if not theirs:
        pytest.skip("nothing of the kind was made")

    @bounded(2)
    @given(st.sampled_from(theirs), nobodys_digits)
    def holds(one: str, digits: str) -> None:
        least = [pair for pair in _required(operation) if pair[0] != name]
        _compare(both, operation, one, _unknown(one, digits), least, name=name)

    holds()


@pytest.mark.parametrize("operation", LISTS, ids=lambda one: one.id)
def test_lists_show_nothing_of_the_others(both, operation) -> None:
    """No list, whatever its filters, holds an id of the other tenant's."""
    given_ = _required(operation)
    if operation.answers == "search_result":
        given_ = [(name, "amount>0" if name == "query" else value) for name, value in given_]
    answer = ask(both.port, both.stranger, "GET", operation.path, [*given_, ("limit", "100")])
    assert answer.status < 500, answer.body
    text = answer.body.decode()
    assert not [one for one in both.every() if f'"{one}"' in text]


def test_what_has_no_id_is_each_ones_own(both) -> None:
    """Balance and account: what the owner does changes nothing of what the stranger is shown."""
    paths = ("/v1/balance", "/v1/account")
    before = [ask(both.port, both.stranger, "GET", path).body for path in paths]
    ask(both.port, both.owner, "POST", "/v1/payment_intents", VISA)
    ask(both.port, both.owner, "GET", "/v1/payment_intents", {"limit": "1"})
    assert [ask(both.port, both.stranger, "GET", path).body for path in paths] == before


def test_nobody_acts_for_another_by_a_header(both) -> None:
    """Stripe-Account and Stripe-Context with the other's id, or nobody's, are refused in the same words."""
    for name in ("Stripe_Account", "Stripe_Context"):
        told = [_told(ask(both.port, both.stranger, "GET", "/v1/balance", **{name: one})) for one in ("acme", "nobody")]
        assert told[0][0] == 403
        assert told[0][2] == told[1][2]


def test_a_page_of_the_others_learns_nothing(both, api) -> None:
    """With a publishable key, the other's intents and right client secrets are nobody's: one answer, and nobody is asked."""
    public = api.key("globex", "--kind", "publishable")
    for kind, prefix in (("payment_intents", "pi_"), ("setup_intents", "seti_")):
        (theirs, *_) = both.with_prefix(prefix)
        secret = ask(both.port, both.owner, "GET", f"/v1/{kind}/{theirs}").json["client_secret"]
        nobodys = _unknown(theirs, 24 * "7")
        for method, tail in (("GET", ""), ("POST", "/confirm")):
            answers = []
            for one, presented in ((theirs, secret), (nobodys, secret.replace(theirs, nobodys))):
                both.counting.take()
                given_ = {"client_secret": presented}
                answers.append(_told(ask(both.port, public, method, f"/v1/{kind}/{one}{tail}", given_), one))
                assert both.counting.take() == {}
            assert answers[0] == answers[1]
            assert answers[0][0] == 404


def _leaks(both: Both, path: str) -> bool:
    """Whether the comparison sees a difference at this operation."""
    operation = next(one for one in operations() if (one.method, one.path) == ("GET", path))
    one = _of_path(both, operation)[0]
    try:
        _compare(both, operation, one, _unknown(one, 24 * "7"), [])
    except AssertionError:
        return True
    return False


def test_a_query_without_its_tenant_is_seen(both, monkeypatch) -> None:
    """With the condition on the tenant taken out of every query, the comparison fails."""
    whole = Warehouse.rows
    assert not _leaks(both, "/v1/routing/decisions/{id}")

    async def everybodys(self: Any, sql: str, parameters: Any) -> Any:
        return await whole(self, sql.replace("tenant = {tenant:String}", "{tenant:String} != ''"), parameters)

    monkeypatch.setattr(Warehouse, "rows", everybodys)
    assert _leaks(both, "/v1/routing/decisions/{id}")
    listed = ask(both.port, both.stranger, "GET", "/v1/events", {"limit": "100"}).body.decode()
    assert any(one in listed for one in both.ids["/v1/events"])


def test_a_worker_asked_for_anybodys_payment_is_seen(both, monkeypatch) -> None:
    """With the tenant left to the id alone when a worker is asked, the comparison fails."""
    whole = Payments.get
    path = (
        "/v1/payment_intents/{intent}"
        if any(one.path == "/v1/payment_intents/{intent}" for one in operations())
        else "/v1/payment_intents/{id}"
    )
    assert not _leaks(both, path)

    async def anybodys(self: Any, tenant: str, payment_id: str) -> Any:
        return await whole(self, tenant, payment_id) or await whole(self, "acme", payment_id)

    monkeypatch.setattr(Payments, "get", anybodys)
    assert _leaks(both, path)


def test_errors_say_nothing_of_the_others(both) -> None:
    """No error's text holds an id that it was not asked with."""
    owner = ask(both.port, both.owner, "GET", "/v1/payment_intents", {"limit": "1"}).json["data"][0]
    for given_ in ({"payment_intent": owner["id"]}, {"charge": owner["latest_charge"] or "ch_"}):
        refused = ask(both.port, both.stranger, "POST", "/v1/refunds", given_)
        assert refused.status == 404
        assert json.dumps(refused.json).count("acme") == 0
