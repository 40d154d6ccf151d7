"""Goal: what moves real money takes two people. Method: people signed in to the running API, its topics read afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api.identity import approvals as served_approvals
from api.identity.four_eyes import DECIDED_WITHIN_MS
from schemas import codec
from schemas.catalogue import PAYMENTS_EVENTS, PAYMENTS_INPUTS, SETTLEMENT_EVENTS
from schemas.records import Approval, PaymentEvent, PayoutEvent, RoutingUpdate
from tests.integration._house import wait_until
from tests.integration._runtime_kit import committed_records
from tests.integration.api._asking import ask
from tests.integration.api._office import Browser, Office

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

POLICIES = "/v1/routing/policies"
VISA = {"amount": "5000", "currency": "eur", "payment_method": "pm_card_visa", "confirm": "true"}


@pytest.fixture
def admin(office: Office) -> Browser:
    """Who asks, for the live tenant."""
    return office.person("admin", tenant=office.live)


@pytest.fixture
def second(office: Office) -> Browser:
    """Who decides."""
    return office.person("second")


def decide(browser: Browser, approval: str, how: str = "approve") -> Any:
    """Say yes or no."""
    return browser.ask("POST", f"/v1/operators/approvals/{approval}/{how}")


def refused(answer: Any) -> str:
    """Why it was refused."""
    assert answer.status_code in (400, 403), answer.text
    return answer.json()["error"]["code"]


def order(browser: Browser, *providers: str, **headers: str) -> dict[str, Any]:
    """Ask for another order of providers."""
    return browser.post(POLICIES, {f"providers[{n}]": one for n, one in enumerate(providers)}, **headers)


def kept(office: Office, kind: type, **fields: Any) -> list[Any]:
    """Records of the history with these fields, oldest first."""
    return [
        one
        for one in office.history()
        if isinstance(one, kind) and all(getattr(one, name) == value for name, value in fields.items())
    ]


def test_a_live_policy_decides_once_another_person_agreed(office: Office, admin: Browser, second: Browser) -> None:
    """Until then the old one does; no partition hears of it; then each does, from whoever asked and for their reason."""
    before = admin.get(f"{POLICIES}/current")
    asked = order(admin, "southpay", "northpay", Clearline_Reason="northpay is slow today")
    assert (asked["version"], asked["providers"]) == (before["version"], before["providers"])
    assert admin.get(f"{POLICIES}/current")["version"] == before["version"]

    def heard() -> list[RoutingUpdate]:
        found = map(
            codec.decode, (one.value() for one in committed_records(office.house.bootstrap, PAYMENTS_INPUTS.name))
        )
        return [one for one in found if isinstance(one, RoutingUpdate) and one.tenant == office.live]

    known = len(heard())
    assert refused(decide(admin, asked["approval"])) == "approval_by_proposer"
    assert decide(office.person("operator"), asked["approval"]).status_code == 403
    assert len(heard()) == known
    done = decide(second, asked["approval"]).json()
    assert (done["status"], done["decided_by"], done["proposed_by"]) == (
        "approved",
        office.ids["second"],
        office.ids["admin"],
    )
    updates = heard()[known:]
    assert len(updates) == 4
    assert {(one.providers, one.attribution.actor_id, one.attribution.reason) for one in updates} == {
        (("southpay", "northpay"), office.ids["admin"], "northpay is slow today")
    }
    paid = ask(office.port, office.live_key, "POST", "/v1/payment_intents", VISA).json
    assert paid["clearline"]["provider"] == "southpay"


def test_approving_twice_does_it_once(office: Office, admin: Browser, second: Browser) -> None:
    """The same person's second word is the first one's answer, also at the same moment; another's comes too late."""
    asked = order(admin, "northpay")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: decide(second, asked["approval"]), range(4)))
    assert {one.status_code for one in answers} == {200}
    assert len({one.text for one in answers}) == 1
    office.add("third", "admin")
    assert refused(decide(office.person("third"), asked["approval"])) == "approval_decided"
    assert refused(decide(second, asked["approval"], "reject")) == "approval_decided"
    assert len(kept(office, Approval, approval_id=asked["approval"], status="approved")) == 1


def test_of_two_who_decide_at_once_one_does(office: Office, admin: Browser, second: Browser) -> None:
    """Approved by one and rejected by another at the same moment, it is one of the two, and done only if approved."""
    asked = order(admin, "southpay")
    office.add("fourth", "admin")
    fourth = office.person("fourth")
    with ThreadPoolExecutor(2) as pool:
        yes = pool.submit(decide, second, asked["approval"])
        no = pool.submit(decide, fourth, asked["approval"], "reject")
        statuses = sorted((yes.result().status_code, no.result().status_code))
    assert statuses == [200, 400]
    decided = [one.status for one in kept(office, Approval, approval_id=asked["approval"])]
    assert len(decided) == 2
    current = admin.get(f"{POLICIES}/current")["providers"]
    assert (current == ["southpay"]) == (decided[1] == "approved")


def test_nobody_decides_too_late(office: Office, admin: Browser, second: Browser, monkeypatch) -> None:
    """After three days it is shown as expired, and is neither approved nor done."""
    asked = order(admin, "southpay", "northpay")
    before = admin.get(f"{POLICIES}/current")["version"]
    real = served_approvals.now_ms
    monkeypatch.setattr(served_approvals, "now_ms", lambda: real() + DECIDED_WITHIN_MS + 1)
    assert refused(decide(second, asked["approval"])) == "approval_expired"
    assert second.get(f"/v1/operators/approvals/{asked['approval']}")["status"] == "expired"
    assert admin.get(f"{POLICIES}/current")["version"] == before


def test_who_asked_and_lost_the_role_gets_nothing(office: Office, admin: Browser, second: Browser) -> None:
    """Asked as an operator, approved after the role was taken: refused, and the policy is as it was."""
    office.add("former", "operator")
    former = office.person("former", tenant=office.live)
    asked = order(former, "northpay", "southpay")
    before = admin.get(f"{POLICIES}/current")["version"]
    second.post(f"/v1/operators/{office.ids['former']}", {"roles[]": "analyst"})
    assert refused(decide(second, asked["approval"])) == "approval_not_possible"
    assert admin.get(f"{POLICIES}/current")["version"] == before
    assert decide(second, asked["approval"], "reject").json()["status"] == "rejected"


def test_live_keys_are_made_and_rolled_by_two_and_ended_by_one(office: Office, admin: Browser, second: Browser) -> None:
    """A secret works from the approval on; one that leaked is refused from the moment that one person says so."""
    account = "/v1/account"
    made = admin.post("/v1/api_keys", {"name": "Till"})
    assert ask(office.port, made["secret"], "GET", account).status == 401
    assert decide(second, made["approval"]).status_code == 200
    assert ask(office.port, made["secret"], "GET", account).status == 200
    rolled = admin.post(f"/v1/api_keys/{made['id']}/roll", {"expires_in": "3600"})
    assert rolled["status"] == "pending_approval"
    assert ask(office.port, made["secret"], "GET", account).status == 200
    assert ask(office.port, rolled["secret"], "GET", account).status == 401
    assert decide(second, rolled["approval"]).status_code == 200
    assert [ask(office.port, one["secret"], "GET", account).status for one in (made, rolled)] == [200, 200]
    leaked = admin.post(f"/v1/api_keys/{rolled['id']}/roll", {"expires_in": "0"})
    wait_until(lambda: ask(office.port, rolled["secret"], "GET", account).status == 401, "the leaked key ends")
    assert ask(office.port, leaked["secret"], "GET", account).status == 401
    assert decide(second, leaked["approval"]).status_code == 200
    assert ask(office.port, leaked["secret"], "GET", account).status == 200
    assert admin.post(f"/v1/api_keys/{leaked['id']}/revoke")["status"] == "revoked"
    assert ask(office.port, leaked["secret"], "GET", account).status == 401


def test_a_payout_by_hand_is_made_once_another_person_agreed(office: Office, admin: Browser, second: Browser) -> None:
    """Alone nobody pays out; approved, it is one payout, however often that is said, under the name of whoever asked."""
    # A currency that no other test pays out in: what is there of it is this payment's.
    assert ask(office.port, office.live_key, "POST", "/v1/payment_intents", {**VISA, "currency": "usd"}).status == 200
    payable = {"amount": "700", "currency": "usd"}
    alone = admin.ask("POST", "/v1/payouts", payable)
    assert (alone.status_code, alone.json()["error"]["code"]) == (403, "approval_needed")
    wait_until(
        lambda: any(
            (one["status"], one["currency"]) == ("closed", "usd") for one in admin.get("/v1/settlement_windows")["data"]
        ),
        "a window has closed",
    )
    before = [one["id"] for one in admin.get("/v1/payouts")["data"]]
    asked = admin.post("/v1/operators/payouts", {**payable, "reason": "Their bank asked for it"})
    assert (asked["object"], asked["status"], asked["parameters"]["amount"]) == ("approval", "pending", "700")
    assert [one["id"] for one in admin.get("/v1/payouts")["data"]] == before
    assert refused(decide(admin, asked["id"])) == "approval_by_proposer"
    for _ in range(2):
        done = decide(second, asked["id"])
        assert done.status_code == 200, done.text
    assert done.json()["object_id"].startswith("po_")
    (payout,) = wait_until(
        lambda: [one for one in admin.get("/v1/payouts")["data"] if one["id"] not in before], "the payout is listed"
    )
    assert (payout["id"], payout["amount"], payout["livemode"]) == (done.json()["object_id"], 700, True)
    events = map(
        codec.decode, (one.value() for one in committed_records(office.house.bootstrap, SETTLEMENT_EVENTS.name))
    )
    first = next(one for one in events if isinstance(one, PayoutEvent) and one.payout.id == payout["id"])
    assert (first.attribution.actor_kind, first.attribution.actor_id) == ("operator", office.ids["admin"])
    assert (first.tenant, first.attribution.reason) == (office.live, "Their bank asked for it")


def test_a_payment_is_resolved_by_two(office: Office, admin: Browser, second: Browser) -> None:
    """What an operator proposes about money is done when another one approves; each of their events names its own author."""
    paid = ask(office.port, office.live_key, "POST", "/v1/payment_intents", VISA).json
    path = f"/v1/operators/payments/{paid['id']}"
    proposed = admin.post(f"{path}/adjust", {"direction": "credit", "amount": "25", "reason": "Goodwill"})
    own = admin.ask("POST", f"{path}/approve", {"proposal": proposed["proposal"], "reason": "Fine"})
    assert own.status_code in (400, 403), own.text
    other = second.ask(
        "POST", f"{path}/approve", {"proposal": proposed["proposal"], "reason": "Agreed"}, tenant=office.live
    )
    assert other.status_code == 200, other.text
    events = map(codec.decode, (one.value() for one in committed_records(office.house.bootstrap, PAYMENTS_EVENTS.name)))
    own_events = [one for one in events if isinstance(one, PaymentEvent) and one.payment.id == paid["id"]]
    people = [one.attribution for one in own_events if one.attribution.actor_kind == "operator"]
    # What was proposed; that it was agreed to, and what came of it.
    said = [(one.actor_id, one.reason) for one in people]
    assert said[0] == (office.ids["admin"], "Goodwill")
    assert set(said[1:]) == {(office.ids["second"], "Agreed")}
    assert {one.tenant for one in own_events} == {office.live}
    assert all(one.attribution.request_id.startswith("req_") for one in own_events if one.attribution.actor_kind in ("api_key", "operator"))  # fmt: skip


def test_what_a_former_operator_proposed_of_a_payment_is_not_done(office: Office, second: Browser) -> None:
    """Proposed as an operator, approved after the role was taken: refused, and of the payment nothing more is told."""
    office.add("adjuster", "operator")
    former = office.person("adjuster", tenant=office.live)
    paid = ask(office.port, office.live_key, "POST", "/v1/payment_intents", VISA).json
    path = f"/v1/operators/payments/{paid['id']}"
    proposed = former.post(f"{path}/adjust", {"direction": "credit", "amount": "25", "reason": "Goodwill"})
    mine = f"/v1/operators/{office.ids['adjuster']}"
    agreed = {"proposal": proposed["proposal"], "reason": "Agreed"}

    def types() -> list[str]:
        events = map(
            codec.decode, (one.value() for one in committed_records(office.house.bootstrap, PAYMENTS_EVENTS.name))
        )
        return [one.type for one in events if isinstance(one, PaymentEvent) and one.payment_id == paid["id"]]

    second.post(mine, {"roles[]": "analyst"})
    before = types()
    assert refused(second.ask("POST", f"{path}/approve", agreed, tenant=office.live)) == "approval_not_possible"
    assert types() == before
    second.post(mine, {"status": "disabled"})
    assert refused(second.ask("POST", f"{path}/approve", agreed, tenant=office.live)) == "approval_not_possible"
    assert types() == before


def test_who_handles_live_money_is_agreed_to_by_another(office: Office, admin: Browser, second: Browser) -> None:
    """A second name of one's own opens nothing: it signs in only after somebody else has agreed to it."""
    made = admin.post("/v1/operators", {"email": office.email("puppet"), "roles[]": "admin"})
    assert made["status"] == "pending_approval"
    puppet = Browser(office.url)
    assert puppet.http.get(puppet.at_the_issuer(office.email("puppet"))).status_code == 403
    assert refused(decide(admin, made["approval"])) == "approval_by_proposer"
    assert decide(second, made["approval"]).status_code == 200
    assert puppet.http.get(puppet.at_the_issuer(office.email("puppet"))).status_code == 303


def test_every_act_is_kept_with_its_author(office: Office, admin: Browser, second: Browser) -> None:
    """Whatever the history of identity holds of this organisation names who did it; what the API did, under which request."""
    providers = admin.get(f"{POLICIES}/current")["providers"]
    asked = order(admin, *(["southpay"] if providers != ["southpay"] else ["northpay"]))
    decide(second, asked["approval"])
    own = [one for one in office.history() if office.organization in repr(one) or office.live in repr(one)]
    assert len(own) > 10
    nameless = [one for one in own if not one.attribution.actor_id or one.attribution.actor_kind == "unrecognized"]
    assert nameless == []
    people = [one for one in own if one.attribution.actor_id.startswith("op_")]
    assert people
    assert [one for one in people if not one.attribution.request_id.startswith("req_")] == []
    decided = kept(office, Approval, approval_id=asked["approval"])
    assert [(one.status, one.attribution.actor_id) for one in decided] == [
        ("pending", office.ids["admin"]),
        ("approved", office.ids["second"]),
    ]
