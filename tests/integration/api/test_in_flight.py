"""Goal: one idempotency key, one effect, whoever asks how often at once. Method: pairs of requests, also while the gateway stands still."""

from __future__ import annotations

import os
import signal
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import pytest

from schemas import codec
from schemas.catalogue import PAYMENTS_EVENTS
from schemas.records import PaymentEvent
from tests.integration._house import wait_until
from tests.integration._runtime_kit import committed_records
from tests.integration.api._asking import TIMEOUT_S, Answered, ask
from tests.integration.api._office import Office

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

INTENTS = "/v1/payment_intents"
VISA = {"amount": "1000", "currency": "eur", "payment_method": "pm_card_visa", "confirm": "true"}
HELD = {**VISA, "capture_method": "manual"}

Request = tuple[str, dict[str, str]]
"""A path and what is sent there."""


@dataclass(frozen=True)
class Shop:
    """A tenant, its key, and somebody of the house who acts for it."""

    office: Office
    key: str

    def post(self, path: str, given: dict[str, str] | None = None, **headers: str) -> Answered:
        """One request; what is under `/v1/operators` a person asks."""
        if not path.startswith("/v1/operators/"):
            return ask(self.office.port, self.key, "POST", path, given, **headers)
        admin = self.office.person("admin", tenant=self.office.test)
        done = admin.ask("POST", path, given, **headers)
        return Answered(done.status_code, dict(done.headers), done.content)

    def made(self, given: dict[str, str]) -> str:
        """A payment's id."""
        done = self.post(INTENTS, given)
        assert done.status == 200, done.body
        return done.json["id"]

    def disputed(self) -> str:
        """A dispute's id, once its provider has told of it."""
        payment = self.made({**VISA, "payment_method": "pm_card_createDispute"})
        query = f"/v1/disputes?payment_intent={payment}"
        found = wait_until(
            lambda: next(iter(ask(self.office.port, self.key, "GET", query).json.get("data", [])), None),
            "the dispute is told of",
        )
        return found["id"]


@pytest.fixture(scope="module")
def shop(office: Office) -> Shop:
    """The office's test tenant."""
    made = office.house.clearline("keys", "create", office.test)
    assert made.returncode == 0, made.stderr
    return Shop(office, made.stdout.strip())


@contextmanager
def still(api) -> Iterator[None]:
    """No provider is asked meanwhile."""
    gateway = api.house.running("gateway").process.pid
    os.kill(gateway, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(gateway, signal.SIGCONT)


class Twice(NamedTuple):
    """A request, and other parameters there."""

    path: str
    given: dict[str, str]
    other: dict[str, str] | None
    """None: there are none that count."""


def requests_that_ask_a_provider(shop: Shop) -> dict[str, Twice]:
    """One of each operation, on objects of its own."""
    made, disputed, one = shop.made, shop.disputed, {"amount": "1"}
    evidence = "evidence[product_description]"
    operators = "/v1/operators/payments/{}/refund"
    makers: dict[str, Callable[[], Twice]] = {
        "create": lambda: Twice(INTENTS, VISA, {**VISA, **one}),
        "confirm": lambda: Twice(
            f"{INTENTS}/{made({**VISA, 'confirm': 'false'})}/confirm", {}, {"payment_method": "pm_card_amex"}
        ),
        "capture": lambda: Twice(f"{INTENTS}/{made(HELD)}/capture", {}, {"amount_to_capture": "1"}),
        "cancel": lambda: Twice(f"{INTENTS}/{made(HELD)}/cancel", {}, {"cancellation_reason": "abandoned"}),
        "increment": lambda: Twice(
            f"{INTENTS}/{made(HELD)}/increment_authorization", {"amount": "1500"}, {"amount": "1600"}
        ),
        "refund": lambda: Twice(
            "/v1/refunds", {"payment_intent": (paid := made(VISA))}, {"payment_intent": paid, **one}
        ),
        "operator's refund": lambda: Twice(
            operators.format(made(VISA)), {"reason": "a favour"}, {"reason": "a favour", **one}
        ),
        "evidence": lambda: Twice(f"/v1/disputes/{disputed()}", {evidence: "A chair"}, {evidence: "A stool"}),
        "closed dispute": lambda: Twice(f"/v1/disputes/{disputed()}/close", {}, None),
    }
    with ThreadPoolExecutor(len(makers)) as pool:
        return dict(zip(makers, pool.map(lambda make: make(), makers.values()), strict=True))


def test_a_key_that_is_under_way_is_in_use(api, shop: Shop) -> None:
    """Of two at once one is 409, worth another try, wherever a provider is asked; then the key has the other one's answer for ever."""
    asked = requests_that_ask_a_provider(shop)
    keys = {name: uuid.uuid4().hex for name in asked}
    with ThreadPoolExecutor(2 * len(asked)) as pool:
        with still(api):
            pairs = {
                name: [pool.submit(shop.post, one.path, one.given, Idempotency_Key=keys[name]) for _ in range(2)]
                for name, one in asked.items()
            }
            for name, pair in pairs.items():
                (first,), _ = wait(pair, TIMEOUT_S, FIRST_COMPLETED)
                refused = first.result()
                assert (refused.status, code(refused)) == (409, "idempotency_key_in_use"), (name, refused.body)
                assert refused.headers["stripe-should-retry"] == "true"
                if asked[name].other is not None:
                    other = shop.post(asked[name].path, asked[name].other, Idempotency_Key=keys[name])
                    assert (other.status, code(other)) == (400, "idempotency_error"), (name, other.body)
        for name, pair in pairs.items():
            (one,) = [found for found in (future.result(TIMEOUT_S) for future in pair) if found.status != 409]
            assert one.status == 200, (name, one.body)
            again = shop.post(asked[name].path, asked[name].given, Idempotency_Key=keys[name])
            assert (again.status, again.headers.get("idempotent-replayed")) == (200, "true"), (name, again.body)
            assert again.json.get("payment_intent") == one.json.get("payment_intent")


MADE: dict[str, Request] = {
    "payment": (INTENTS, {"amount": "1000", "currency": "eur"}),
    "customer": ("/v1/customers", {"name": "Ann", "email": "ann@example.com"}),
    "method": ("/v1/payment_methods", {"type": "card", "card[token]": "tok_visa"}),
    "setup": ("/v1/setup_intents", {"usage": "off_session"}),
    "endpoint": ("/v1/webhook_endpoints", {"url": "https://example.com/x", "enabled_events[0]": "payout.paid"}),
    "key": ("/v1/api_keys", {"type": "restricted", "name": "till", "scopes[0]": "charges:read"}),
    "policy": ("/v1/routing/policies", {"providers[0]": "northpay"}),
}
OTHERWISE = {
    "payment": {"amount": "1001"},
    "customer": {"name": "Bob"},
    "method": {"metadata[a]": "b"},
    "setup": {"usage": "on_session"},
    "endpoint": {"description": "mine"},
    "key": {"name": "desk"},
    "policy": {"providers[0]": "southpay"},
}


@pytest.mark.parametrize("what", MADE)
def test_four_at_once_with_one_key_make_one(shop: Shop, what: str) -> None:
    """All four are answered with the same object; other parameters under the key are 400 `idempotency_error`."""
    (path, given), key = MADE[what], uuid.uuid4().hex
    if what == "policy":  # one that says what the newest says makes none
        assert shop.post(path, {"providers[0]": "southpay", "providers[1]": "northpay"}).status == 200
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: shop.post(path, given, Idempotency_Key=key), range(4)))
    assert {one.status for one in answers} == {200}, [one.body for one in answers]
    assert len({one.json["id"] for one in answers}) == 1
    other = shop.post(path, {**given, **OTHERWISE[what]}, Idempotency_Key=key)
    assert (other.status, other.json["error"]["type"]) == (400, "idempotency_error"), other.body
    assert other.headers["stripe-should-retry"] == "false"
    if what == "policy":
        shop.post(path, {"providers[0]": "northpay", "providers[1]": "southpay"})


def test_what_a_provider_takes_back_fails_with_402(api, shop: Shop) -> None:
    """An authorisation that its provider no longer has can be neither captured nor canceled; a declined confirmation is 402 too."""
    payment = shop.made(HELD)
    charge = next(
        event.charge
        for event in map(
            codec.decode, (one.value() for one in committed_records(api.house.bootstrap, PAYMENTS_EVENTS.name))
        )
        if isinstance(event, PaymentEvent)
        and event.payment_id == payment
        and event.charge is not None
        and event.charge.provider_reference
    )
    voided = urllib.request.Request(
        f"http://127.0.0.1:{api.house.ports.simulator}/{charge.provider}/v1/charges/{charge.provider_reference}/voids",
        data=b'{"amount_minor": 1000, "currency": "EUR"}',
        headers={"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex},
    )
    with urllib.request.urlopen(voided, timeout=TIMEOUT_S):
        pass
    captured = shop.post(f"{INTENTS}/{payment}/capture")
    assert (captured.status, code(captured)) == (402, "capture_failed"), captured.body
    canceled = shop.post(f"{INTENTS}/{payment}/cancel")
    assert (canceled.status, code(canceled)) == (402, "void_failed"), canceled.body
    made = shop.made({"amount": "1000", "currency": "eur"})
    declined = shop.post(f"{INTENTS}/{made}/confirm", {"payment_method": "pm_card_chargeDeclined"})
    assert (declined.status, code(declined)) == (402, "card_declined"), declined.body


def code(answer: Answered) -> str:
    """An error's."""
    return answer.json["error"]["code"]
