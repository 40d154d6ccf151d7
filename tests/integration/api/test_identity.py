"""Keys, the account, routing and traces over HTTP, against a running stack."""

from __future__ import annotations

import pytest

from tests.integration._house import wait_until
from tests.integration.api._asking import ask

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

VISA = {"amount": "1000", "currency": "eur", "payment_method": "pm_card_visa", "confirm": "true"}


@pytest.fixture(scope="module")
def port(api):
    """Where the API listens."""
    return api.house.ports.api


@pytest.fixture(scope="module")
def key(api):
    """A secret key of initech."""
    return api.key("initech")


def test_a_key_is_shown_once_and_works_at_once(port, key) -> None:
    """The answer that makes a key has it; the same request once more has the key's object, and the secret nowhere."""
    asked = {"type": "restricted", "name": "Back office", "scopes[]": "charges:read"}
    made = ask(port, key, "POST", "/v1/api_keys", asked, Idempotency_Key="office")
    assert made.status == 200, made.body
    secret = made.json["secret"]
    assert secret.startswith("rk_test_")
    assert (made.json["status"], made.json["scopes"], made.json["hint"]) == ("active", ["charges:read"], secret[-4:])
    assert ask(port, secret, "GET", "/v1/charges").status == 200
    assert ask(port, secret, "GET", "/v1/refunds").status == 403
    again = ask(port, key, "POST", "/v1/api_keys", asked, Idempotency_Key="office")
    used = {"last_used": again.json["last_used"]}  # told a moment after the use
    assert again.json == {**made.json, "secret": None, **used}
    assert again.headers["idempotent-replayed"] == "true"
    other = ask(port, key, "POST", "/v1/api_keys", {**asked, "name": "Other"}, Idempotency_Key="office")
    assert (other.status, other.json["error"]["type"]) == (400, "idempotency_error")
    found = ask(port, key, "GET", f"/v1/api_keys/{made.json['id']}")
    assert {**found.json, **used} == again.json
    listed = ask(port, key, "GET", "/v1/api_keys", {"limit": "1"})
    assert [{**one, **used} for one in listed.json["data"]] == [again.json]
    assert listed.json["has_more"]
    assert secret not in (found.body + listed.body).decode()


def test_names_and_scopes_change_at_once(port, key) -> None:
    """A restricted key that is given another scope may do that from then on, and no longer what it was made for."""
    made = ask(port, key, "POST", "/v1/api_keys", {"type": "restricted", "scopes[]": "charges:read"}).json
    changed = ask(port, key, "POST", f"/v1/api_keys/{made['id']}", {"scopes[]": "refunds:read", "name": "R"})
    assert (changed.json["scopes"], changed.json["name"]) == (["refunds:read"], "R")
    assert ask(port, made["secret"], "GET", "/v1/refunds").status == 200
    assert ask(port, made["secret"], "GET", "/v1/charges").status == 403


def test_unknown_scopes_are_refused(port, key) -> None:
    """A scope that no operation has is a 400 that names those that there are; so is a secret key with scopes."""
    unknown = ask(port, key, "POST", "/v1/api_keys", {"type": "restricted", "scopes[]": "everything:write"})
    assert (unknown.status, unknown.json["error"]["param"]) == (400, "scopes")
    assert "refunds:write" in unknown.json["error"]["message"]
    assert ask(port, key, "POST", "/v1/api_keys", {"scopes[]": "charges:read"}).status == 400


def test_a_restricted_key_gives_no_more_than_it_has(port, key) -> None:
    """It makes no secret key, none with a scope that it lacks, and changes no key that may do more."""
    scopes = [("type", "restricted"), ("scopes[0]", "api_keys:write"), ("scopes[1]", "charges:read")]
    made = ask(port, key, "POST", "/v1/api_keys", scopes).json
    mine = made["secret"]
    assert ask(port, mine, "POST", "/v1/api_keys", {"type": "secret"}).status == 403
    more = {"type": "restricted", "scopes[]": "refunds:write"}
    assert ask(port, mine, "POST", "/v1/api_keys", more).status == 403
    assert ask(port, mine, "POST", "/v1/api_keys", {"type": "restricted", "scopes[]": "charges:read"}).status == 200
    stronger = ask(port, key, "POST", "/v1/api_keys", more).json
    assert ask(port, mine, "POST", f"/v1/api_keys/{stronger['id']}/roll").status == 403
    assert ask(port, mine, "POST", f"/v1/api_keys/{stronger['id']}/revoke").status == 403


def test_rolling_overlaps_and_revoking_does_not(port, key) -> None:
    """Rolled with no overlap the old key ends at once; with one it works on; a revoked key never again."""
    made = ask(port, key, "POST", "/v1/api_keys", {"type": "secret"}).json
    rolled = ask(port, key, "POST", f"/v1/api_keys/{made['id']}/roll", {"expires_in": "3600"}, Idempotency_Key="r1")
    assert rolled.status == 200, rolled.body
    assert ask(port, made["secret"], "GET", "/v1/account").status == 200
    assert ask(port, rolled.json["secret"], "GET", "/v1/account").status == 200
    old = ask(port, key, "GET", f"/v1/api_keys/{made['id']}").json
    assert (old["status"], old["successor"]) == ("expiring", rolled.json["id"])
    again = ask(port, key, "POST", f"/v1/api_keys/{made['id']}/roll", {"expires_in": "3600"}, Idempotency_Key="r1")
    assert again.json == {**rolled.json, "secret": None}
    assert ask(port, key, "POST", f"/v1/api_keys/{made['id']}/roll").json["error"]["code"] == "key_rolled"
    third = ask(port, key, "POST", f"/v1/api_keys/{rolled.json['id']}/roll", {"expires_in": "0"}).json
    wait_until(
        lambda: ask(port, rolled.json["secret"], "GET", "/v1/account").status == 401, "the key that was rolled ends"
    )
    gone = ask(port, key, "POST", f"/v1/api_keys/{third['id']}/revoke")
    assert gone.json["status"] == "revoked"
    assert ask(port, third["secret"], "GET", "/v1/account").status == 401


def test_a_publishable_key_reads_nothing(api, port) -> None:
    """What may be shown in a browser reaches no object."""
    public = api.key("initech", "--kind", "publishable")
    for path in ("/v1/payment_intents", "/v1/api_keys", "/v1/account", "/v1/traces/pi_" + 24 * "0"):
        assert ask(port, public, "GET", path).status == 403


def test_the_account_is_the_keys_own(port, key) -> None:
    """It has Stripe's shape, and nobody else's can be had."""
    found = ask(port, key, "GET", "/v1/account").json
    assert (found["id"], found["object"], found["settings"]["dashboard"]["timezone"]) == (
        "initech",
        "account",
        "Asia/Tokyo",
    )
    assert found["charges_enabled"] is True
    assert ask(port, key, "GET", "/v1/accounts/initech").json == found
    assert ask(port, key, "GET", "/v1/accounts/acme").status == 404


def test_a_tenants_key_sees_its_tenant_and_sets_no_terms(port, key) -> None:
    """Of tenants a tenant's key knows its own, and may not change it; others are not there."""
    listed = ask(port, key, "GET", "/v1/tenants").json
    assert [one["id"] for one in listed["data"]] == ["initech"]
    assert ask(port, key, "POST", "/v1/tenants/initech", {"capture_days": "3"}).status == 403
    assert ask(port, key, "GET", "/v1/tenants/acme").status == 404
    assert ask(port, key, "POST", "/v1/tenants/acme", {"capture_days": "3"}).status == 404


def test_a_new_policy_decides_and_decisions_say_so(port, key) -> None:
    """The next payment goes by the new order; its decision names provider, version, and nobody passed over; versions are listed."""
    assert ask(port, key, "POST", "/v1/routing/policies", {"providers[]": "nobody"}).status == 400
    order = [("providers[0]", "southpay"), ("providers[1]", "northpay")]
    made = ask(port, key, "POST", "/v1/routing/policies", order)
    assert (made.status, made.json["providers"]) == (200, ["southpay", "northpay"]), made.body
    assert made.json["created_by"]["kind"] == "api_key"
    assert ask(port, key, "GET", "/v1/routing/policies/current").json["version"] == made.json["version"]

    def decided():
        paid = ask(port, key, "POST", "/v1/payment_intents", {**VISA, "currency": "usd"}).json
        found = ask(port, key, "GET", "/v1/routing/decisions", {"payment_intent": paid["id"]}).json["data"]
        return found if [one["policy_version"] for one in found] == [made.json["version"]] else None

    (decision,) = wait_until(decided, "a payment is routed by the new policy")
    assert (decision["chosen"], decision["candidates"], decision["passed_over"]) == (
        "southpay",
        ["southpay", "northpay"],
        [],
    )
    assert ask(port, key, "GET", f"/v1/routing/decisions/{decision['id']}").json == decision
    by_provider = ask(port, key, "GET", "/v1/routing/decisions", {"provider": "nobody"}).json
    assert by_provider["data"] == []
    turned = ask(port, key, "POST", "/v1/routing/policies", {"providers[]": "northpay"})
    assert turned.json["version"] == made.json["version"] + 1
    listed = ask(port, key, "GET", "/v1/routing/policies").json["data"]
    assert [one["version"] for one in listed[:2]] == [turned.json["version"], made.json["version"]]
    assert ask(port, key, "GET", f"/v1/routing/policies/rp_{made.json['version']}").json["providers"] == [
        "southpay",
        "northpay",
    ]


def test_a_trace_tells_everything_in_order(port, key) -> None:
    """Charge and refund: who asked under which request, what the provider did, postings that sum to zero."""
    paid = ask(port, key, "POST", "/v1/payment_intents", {**VISA, "currency": "usd"}, Idempotency_Key="traced")
    ask(port, key, "POST", "/v1/refunds", {"payment_intent": paid.json["id"], "amount": "400"})
    trace = ask(port, key, "GET", f"/v1/traces/{paid.json['id']}")
    assert trace.status == 200, trace.body
    steps = trace.json["steps"]
    assert (steps[0]["kind"], steps[0]["what"]) == ("input", "PaymentCommand create")
    assert steps[0]["request"]["id"] == paid.headers["request-id"]
    assert steps[0]["request"]["idempotency_key"] == "traced"
    assert steps[0]["actor"]["kind"] == "api_key"
    whats = [one["what"] for one in steps]
    assert "payment_intent.succeeded" in whats
    assert whats.index("payment_intent.succeeded") < whats.index("PaymentCommand refund")
    assert [one["at_ms"] for one in steps] == sorted(one["at_ms"] for one in steps)
    assert any(one["postings"] for one in steps)
    assert all(sum(entry["amount"] for entry in one["postings"]) == 0 for one in steps)
    assert all(one["cause"]["topic"] == "payments.inputs" for one in steps if one["kind"] == "event")
    assert [(one["attempt"], one["status"]) for one in trace.json["attempts"]] == [(1, "succeeded")]
    assert ask(port, key, "GET", "/v1/traces/pi_" + 24 * "0").status == 404


def test_an_operator_needs_a_session(port) -> None:
    """A cookie that is none is refused like a key that is none."""
    assert ask(port, "", "GET", "/v1/account", Cookie="clearline_session=guess").status == 401
    assert ask(port, "", "GET", "/v1/account").status == 401
