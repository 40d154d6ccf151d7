"""What operators ask of payouts that nobody can be sure of: who may, what follows, and that no money moves twice or without two."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.records import Attribution, PayoutCommand
from streams.core import Decision, ids
from streams.core.payout_operators import RESOLUTIONS
from tests.unit.core.test_payouts import Till
from tests.unit.core.world import TENANT

PAYOUT = ids.payout_id(TENANT, "k1")
BEFORE = {"tenant_payable:acme": 1000, "payout_in_transit:acme": -1000}
"""Everything is settled, and nothing of it paid out."""
PAID = {"tenant_payable:acme": 1000, "payout_in_transit:acme": -400, "provider_receivable:northpay": -600}


def operate(till: Till, kind: str, key: str, *, who: str = "ada", reason: str = "seen", **fields: Any) -> Decision:
    """A command of an operator."""
    asked = Attribution(actor_kind="operator", actor_id=who, reason=reason, request_id="req-o", idempotency_key=key)
    fields.setdefault("attribution", asked)
    fields.setdefault("payout_id", PAYOUT)
    fields.setdefault("fingerprint", f"{kind}-{key}-{fields.get('resolution')}")
    return till.world.put(
        PayoutCommand(
            tenant=TENANT,
            kind=kind,
            provider="northpay",
            currency="EUR",
            reply_partition=2,
            correlation_id="corr",
            **fields,
        )
    )


def refused(decision: Decision) -> str:
    """The error's code; nothing else came of it."""
    assert (decision.events, decision.payout_requests) == ([], [])
    return decision.payout_replies[0][1].error.code


def resolve(till: Till, resolution: str, **fields: Any) -> Decision:
    """Proposed by one, approved by another: what came of the approval."""
    proposed = operate(till, "propose", "p1", resolution=resolution, **fields)
    assert proposed.payout_replies[0][1].error is None, proposed.payout_replies[0][1].error
    return operate(till, "approve", "a1", who="bob", proposal_id=proposed.events[0].proposal.id)


def at(*told: str | tuple[str, dict[str, Any]], due: bool = True) -> Till:
    """A payout of 600 after what its provider said."""
    till = Till()
    till.create(600)
    if due:
        till.tick()
    for one in told:
        outcome, fields = (one, {}) if isinstance(one, str) else one
        till.tell(outcome, **fields)
    return till


HELD = ("paid", {"amount_minor": 601})
DOUBTS = {"unknown": ("unknown",), "held": (HELD,), "held and contradicted": (HELD, "paid")}


@pytest.mark.parametrize("name", DOUBTS)
def test_a_payout_in_doubt_is_paid_once_two_say_so(name) -> None:
    """Proposed nothing moves; approved it is as if the provider had said it: told, posted, under the second one's name."""
    till = at(*DOUBTS[name])
    before = till.balances()
    proposed = operate(till, "propose", "p1", resolution="paid", reference="bank-7")
    (event,) = proposed.events
    assert (event.type, event.postings, event.transaction) == ("payout.resolution_proposed", (), None)
    assert (event.proposal.resolution, event.proposal.reference) == ("paid", "bank-7")
    assert (event.proposal.reason, event.proposal.proposed_by, event.proposal.approved_by) == ("seen", "ada", "")
    assert till.balances() == before
    approved = operate(till, "approve", "a1", who="bob", proposal_id=event.proposal.id)
    agreed, paid = approved.events
    assert (agreed.type, paid.type) == ("payout.resolution_approved", "payout.paid")
    assert (agreed.proposal.proposed_by, agreed.proposal.approved_by) == ("ada", "bob")
    assert {one.attribution.actor_id for one in approved.events} == {"bob"}
    shown = paid.payout
    assert (shown.status, shown.doubt, shown.conflict, shown.outcome_unknown) == ("paid", "", "", False)
    assert (shown.provider_reference, shown.failure_message, shown.paid_ms) == ("bank-7", "", paid.occurred_ms)
    assert till.balances() == PAID
    assert till.payable() == 400


@pytest.mark.parametrize("name", DOUBTS)
def test_a_payout_in_doubt_is_failed_once_two_say_so(name) -> None:
    """Its amount is the tenant's again, once."""
    till = at(*DOUBTS[name])
    agreed, failed = resolve(till, "failed").events
    assert (agreed.type, failed.type) == ("payout.resolution_approved", "payout.failed")
    assert (failed.payout.failure_code, failed.transaction.amount_minor) == ("could_not_process", 600)
    assert till.balances() == BEFORE
    assert till.tell("failed").events == []
    assert till.payable() == 1000


def test_a_payout_that_failed_and_was_made_all_the_same_is_paid() -> None:
    """The provider's later word moved nothing; two people's takes the amount from what may be paid out, even below nothing."""
    till = at("failed", "paid")
    till.create(1000, "k2")  # what was given back is on its way once more
    agreed, paid = resolve(till, "paid").events
    assert (agreed.payout.status, agreed.payout.conflict) == ("failed", "")
    assert (paid.from_status, paid.to_status, paid.transaction.amount_minor) == ("failed", "paid", -600)
    assert (paid.payout.failure_code, paid.payout.failure_message) == ("", "")
    assert sum(leg.amount_minor for leg in paid.postings) == 0
    assert till.payable() == 0
    till.settle(700)
    assert till.payable() == 100


def test_a_payout_that_was_paid_and_contradicted_may_have_failed() -> None:
    """The money came back: told of and posted as when the provider says so."""
    till = at("paid", ("integrity_failure", {}))
    assert till.events[-1].payout.conflict == "integrity_failure"
    (_, failed) = resolve(till, "failed").events
    assert [leg.account for leg in failed.postings] == ["provider_receivable:northpay", "payout_in_transit:acme"]
    assert till.balances() == BEFORE


@pytest.mark.parametrize(("told", "resolution"), [(("paid", "integrity_failure"), "paid"), (("failed", "paid"), "failed")])  # fmt: skip
def test_a_contradiction_can_be_put_aside(told, resolution) -> None:
    """Two say that it is as it stands: nothing is posted, and there is nothing to resolve any more."""
    till = at(*told)
    before = till.balances()
    (agreed,) = resolve(till, resolution).events
    assert (agreed.type, agreed.payout.conflict, agreed.postings) == ("payout.resolution_approved", "", ())
    assert till.balances() == before
    assert refused(operate(till, "propose", "p9", resolution=resolution)) == "resolution_not_possible"


def test_the_provider_has_the_last_word_all_the_same() -> None:
    """What it says after two people's word counts as it always does."""
    till = at(HELD)
    resolve(till, "paid", reference="bank-7")
    assert till.tell("paid").events == []
    assert [event.type for event in till.tell("failed").events] == ["payout.failed"]
    assert till.balances() == BEFORE


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize(
    "till",
    [
        lambda: at(due=False),
        at,
        lambda: at("in_transit"),
        lambda: at("paid"),
        lambda: at("failed"),
    ],
)
def test_what_is_certain_is_not_resolved(till, resolution) -> None:
    """Pending, under way, paid and failed ones are what they are."""
    assert refused(operate(till(), "propose", "p1", resolution=resolution)) == "resolution_not_possible"


def test_a_paid_one_has_a_reference() -> None:
    """Where the provider never told its own id, whoever says that it was paid gives one; nothing else is a resolution."""
    till = at("unknown")
    assert till.events[-1].payout.provider_reference == ""
    assert refused(operate(till, "propose", "p1", resolution="paid")) == "resolution_not_possible"
    assert operate(till, "propose", "p2", resolution="paid", reference="bank-7").events
    assert refused(operate(till, "propose", "p3", resolution="canceled")) == "resolution_not_possible"


def test_nobody_approves_what_they_proposed() -> None:
    """Nor a proposal that isn't open, nor one whose place another took."""
    till = at(HELD)
    first = operate(till, "propose", "p1", resolution="paid", reference="bank-7").events[0].proposal.id
    assert refused(operate(till, "approve", "a1", proposal_id=first)) == "approval_by_proposer"
    second = operate(till, "propose", "p2", resolution="failed").events[0].proposal.id
    assert refused(operate(till, "approve", "a2", who="bob", proposal_id=first)) == "proposal_missing"
    assert operate(till, "approve", "a3", who="bob", proposal_id=second).events[-1].to_status == "failed"
    assert refused(operate(till, "approve", "a4", who="eve", proposal_id=second)) == "proposal_missing"


def test_what_was_proposed_is_held_against_what_is_so_by_then() -> None:
    """The provider's word came in between: nothing is in doubt any more, and the approval is refused."""
    till = at("unknown")
    proposal = operate(till, "propose", "p1", resolution="failed").events[0].proposal.id
    till.tell("paid")
    assert refused(operate(till, "approve", "a1", who="bob", proposal_id=proposal)) == "resolution_not_possible"
    assert till.balances() == PAID


@pytest.mark.parametrize("kind", ["inquire", "propose", "approve"])
def test_only_operators_with_a_name_ask_and_say_why(kind) -> None:
    """A tenant's key may not, whatever it says; an approval's reason is its proposal's."""
    till = at("unknown")
    key = Attribution(actor_kind="api_key", actor_id="key_1", reason="seen", idempotency_key="x", request_id="r")
    assert refused(operate(till, kind, "x", attribution=key, resolution="failed")) == "operator_needed"
    assert refused(operate(till, kind, "y", who="", resolution="failed")) == "operator_needed"
    if kind != "approve":
        assert refused(operate(till, kind, "z", reason="", resolution="failed")) == "reason_missing"


def test_the_provider_is_asked_again_under_the_same_request() -> None:
    """So whoever takes it for a request asks for nothing new; each inquiry has a number, who asked and why."""
    till = at("unknown")
    first, again = operate(till, "inquire", "i1"), operate(till, "inquire", "i2", reason="still nothing")
    requests = [*first.payout_requests, *again.payout_requests]
    assert {one.request_id for one in requests} == {f"{PAYOUT}_payout_1"}
    assert {one.amount_minor for one in requests} == {600}
    assert 0 < requests[0].inquiry < requests[1].inquiry
    assert (requests[1].attribution.actor_id, requests[1].attribution.reason) == ("ada", "still nothing")
    assert [one.type for one in till.events[-2:]] == ["payout.inquiry_requested"] * 2
    assert [one.type for one in till.tell("paid").events] == ["payout.paid"]
    assert refused(operate(till, "inquire", "i3")) == "nothing_to_inquire"
    assert refused(operate(at(due=False), "inquire", "i3")) == "nothing_to_inquire"
    assert operate(at("failed", "paid"), "inquire", "i3").payout_requests


def test_an_answer_about_what_is_held_is_recorded_for_those_who_decide() -> None:
    """It stays held: a provider that was wrong once is not believed alone."""
    till = at(HELD)
    operate(till, "inquire", "i1")
    (told,) = till.tell("paid").events
    assert (told.type, told.payout.doubt, told.payout.conflict) == ("payout.conflict", "held", "paid")


@pytest.mark.parametrize("kind", ["inquire", "propose", "approve"])
def test_a_key_has_one_effect(kind) -> None:
    """Asked again it is answered and nothing is done; with anything else under it, it is refused; unknown payouts are 404."""
    till = at("unknown")
    proposal = operate(till, "propose", "p0", who="eve", resolution="failed").events[0].proposal.id
    fields = {"resolution": "failed", "proposal_id": proposal}
    assert operate(till, kind, "x", **fields).events
    again = operate(till, kind, "x", **fields)
    ((_, reply),) = again.payout_replies
    assert (again.events, again.payout_requests, reply.replayed, reply.status_code) == ([], [], True, 200)
    assert refused(operate(till, kind, "x", fingerprint="another", **fields)) == "idempotency_error"
    assert refused(operate(till, kind, "k1", **fields)) == "idempotency_error"
    missing = operate(till, kind, "y", payout_id=ids.payout_id(TENANT, "none"), **fields)
    assert refused(missing) == "resource_missing"
