"""Goal: of a payout that nobody can be sure of, people decide, two of them, whatever way they come. Method: a provider that says another amount."""

from __future__ import annotations

import re
from typing import Any

import pytest

from schemas import codec
from schemas.catalogue import PROVIDER_REQUESTS, SETTLEMENT_EVENTS
from schemas.records import PayoutEvent, PayoutRequest
from tests.integration._house import wait_until
from tests.integration._runtime_kit import committed_records
from tests.integration.api._asking import ask
from tests.integration.api._office import Browser, Office

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

HELD = "/v1/operators/payouts"
VISA = {"amount": "5000", "currency": "eur", "payment_method": "pm_card_visa", "confirm": "true"}


@pytest.fixture(scope="module")
def paid(office: Office) -> str:
    """The live tenant, once something of it is settled."""
    assert ask(office.port, office.live_key, "POST", "/v1/payment_intents", VISA).status == 200
    admin = office.person("admin", tenant=office.live)
    wait_until(
        lambda: any(one["status"] == "closed" for one in admin.get("/v1/settlement_windows")["data"]),
        "a window has closed",
    )
    return office.live


@pytest.fixture
def admin(office: Office, paid: str) -> Browser:
    """Who asks, for the live tenant."""
    return office.person("admin", tenant=paid)


@pytest.fixture
def second(office: Office, paid: str) -> Browser:
    """Who decides."""
    return office.person("second", tenant=paid)


def held(office: Office, admin: Browser, amount: int) -> str:
    """A payout whose provider says that it paid another amount; listed as held."""
    given = {"amount": str(amount), "currency": "eur", "destination": "ba_test_wrongAmount"}
    made = ask(office.port, office.live_key, "POST", "/v1/payouts", given)
    assert made.status == 200, made.body
    payout = made.json["id"]
    wait_until(
        lambda: any(one["id"] == payout and one["doubt"] == "held" for one in admin.get(HELD)["data"]),
        "it is listed as held",
    )
    return payout


def refused(answer: Any) -> tuple[int, str]:
    """Status and why."""
    return answer.status_code, answer.json()["error"]["code"]


def test_a_held_payout_is_decided_by_two(office: Office, admin: Browser, second: Browser) -> None:
    """Listed, inquired about, proposed and approved: each by whom it is for, each once, and then it is nobody's concern."""
    payout = held(office, admin, 700)
    path = f"{HELD}/{payout}"
    # Programs neither see nor decide; nor do people who only read.
    assert ask(office.port, office.live_key, "GET", HELD).status == 403
    assert ask(office.port, office.live_key, "POST", f"{path}/inquire", {"reason": "x"}).status == 403
    analyst = office.person("analyst", tenant=office.live)
    assert analyst.ask("POST", f"{path}/inquire", {"reason": "Waits"}).status_code == 403
    # For another tenant there is no such payout, as there is none of an id that never was.
    elsewhere = [
        admin.ask("POST", f"{HELD}/{one}/inquire", {"reason": "Waits"}, tenant=office.test)
        for one in (payout, "po_" + 24 * "0")
    ]
    assert [one.status_code for one in elsewhere] == [404, 404]
    assert elsewhere[0].text == elsewhere[1].text
    assert admin.get(HELD, tenant=office.test)["data"] == []
    # The provider is asked again, once for each key, and no second payout is asked for.
    asked = [admin.post(f"{path}/inquire", {"reason": "Waits"}, Idempotency_Key=f"i-{payout}") for _ in range(2)]
    assert [(one["kind"], one["doubt"], one["payout"]["status"]) for one in asked] == [
        ("inquire", "held", "in_transit")
    ] * 2
    requests = [
        one
        for one in map(
            codec.decode, (one.value() for one in committed_records(office.house.bootstrap, PROVIDER_REQUESTS.name))
        )
        if isinstance(one, PayoutRequest) and one.payout_id == payout
    ]
    assert [one.inquiry > 0 for one in requests] == [False, True]
    assert len({one.request_id for one in requests}) == 1
    assert requests[1].attribution.actor_id == office.ids["admin"]
    # One says what became of it, another agrees.
    no_reference = admin.ask("POST", f"{path}/propose", {"resolution": "paid", "reason": "On the statement"})
    assert refused(no_reference) == (400, "resolution_not_possible")
    given = {"resolution": "paid", "reference": "bank-7", "reason": "On the statement"}
    proposed = admin.post(f"{path}/propose", given)
    (listed,) = [one for one in admin.get(HELD, {"state": "held"})["data"] if one["id"] == payout]
    assert (listed["proposal"]["id"], listed["proposal"]["proposed_by"]) == (proposed["proposal"], office.ids["admin"])
    assert admin.get(HELD, {"state": "unknown"})["data"] == []
    word = {"proposal": proposed["proposal"], "reason": "Agreed"}
    assert refused(admin.ask("POST", f"{path}/approve", word)) == (403, "approval_by_proposer")
    assert second.ask("POST", f"{path}/approve", {**word, "proposal": "prop_" + 24 * "0"}).status_code == 404
    done = [second.post(f"{path}/approve", word, Idempotency_Key=f"a-{payout}") for _ in range(2)]
    assert [(one["payout"]["status"], one["doubt"]) for one in done] == [("paid", None)] * 2
    assert payout not in [one["id"] for one in second.get(HELD)["data"]]
    shown = admin.get(f"/v1/payouts/{payout}")
    assert (shown["status"], shown["clearline"]["provider_reference"]) == ("paid", "bank-7")
    events = [
        one
        for one in map(
            codec.decode, (one.value() for one in committed_records(office.house.bootstrap, SETTLEMENT_EVENTS.name))
        )
        if isinstance(one, PayoutEvent) and one.payout_id == payout
    ]
    people = [(one.type.rpartition(".")[2], one.attribution.actor_id) for one in events if one.attribution.actor_kind == "operator"]  # fmt: skip
    assert people == [
        ("inquiry_requested", office.ids["admin"]),
        ("resolution_proposed", office.ids["admin"]),
        ("resolution_approved", office.ids["second"]),
        ("paid", office.ids["second"]),
    ]


def test_who_proposed_and_lost_the_role_gets_nothing(office: Office, admin: Browser, second: Browser) -> None:
    """Refused in the API and on the command line; another person's proposal takes its place, and fails the payout."""
    payout = held(office, admin, 300)
    path = f"{HELD}/{payout}"
    office.add("payer", "operator")
    former = office.person("payer", tenant=office.live)
    proposed = former.post(f"{path}/propose", {"resolution": "failed", "reason": "Seen"})["proposal"]
    second.post(f"/v1/operators/{office.ids['payer']}", {"roles[]": "analyst"}, tenant="")
    word = {"proposal": proposed, "reason": "Agreed"}
    assert refused(second.ask("POST", f"{path}/approve", word)) == (400, "approval_not_possible")
    who = ("--reason", "Agreed", "--as", "bob")
    late = office.house.clearline("payouts", "approve", office.live, payout, proposed, *who)
    assert late.returncode == 1, "of somebody who may not any more"
    assert "may not do so any more" in late.stderr
    assert admin.get(f"/v1/payouts/{payout}")["status"] == "in_transit"
    # The same by the installation's own hand.
    listed = office.house.clearline("payouts", "held", office.live)
    assert payout in listed.stdout, listed.stderr
    inquired = office.house.clearline("payouts", "inquire", office.live, payout, *who)
    assert f"{payout} is in_transit, and held" in inquired.stdout, inquired.stderr
    mine = ("--reason", "Never sent", "--as", "ada", "--key", f"cli-{payout}")
    told = [office.house.clearline("payouts", "propose", office.live, payout, "failed", *mine) for _ in range(2)]
    assert "nothing was done again" in told[1].stdout, told[1].stderr
    proposal = re.search(r"prop_[0-9a-f]+", told[0].stdout).group()

    def agreed() -> Any:
        # What was proposed lands a moment later.
        done = office.house.clearline("payouts", "approve", office.live, payout, proposal, *who)
        return done if done.returncode == 0 or "There is no proposal" not in done.stderr else None

    done = wait_until(agreed, "the proposal has landed")
    assert f"{payout} is failed" in done.stdout, done.stderr
    shown = wait_until(
        lambda: (one := admin.get(f"/v1/payouts/{payout}"))["status"] == "failed" and one, "it is shown as failed"
    )
    assert shown["failure_code"] == "could_not_process"
    nobody = office.house.clearline("payouts", "inquire", office.live, "po_" + 24 * "0", *who)
    assert nobody.returncode == 1
    assert "has no payout" in nobody.stderr
