from streams.core import keys
from streams.core.idempotency import REPLIES_KEPT_MS
from tests.unit.core.books import audit
from tests.unit.core.situations import at


def _legs(event):
    return [(leg.account, leg.amount_minor) for leg in event.postings]


def test_a_chargeback_takes_the_money_and_its_fee_and_gives_them_back_when_it_is_won():
    """needs_response: 10.00 and a fee of 0.15 are withdrawn; won: both are reinstated, and the tenant is as before."""
    world = at("captured")
    opened = world.notify(
        "needs_response", withdrawn_minor=1000, provider_fee_minor=15, evidence_due_ms=world.time_ms + 7
    )
    created, withdrawn = opened.events
    assert (created.type, created.postings) == ("charge.dispute.created", ())
    assert created.dispute.status == "needs_response"
    assert withdrawn.type == "charge.dispute.funds_withdrawn"
    assert _legs(withdrawn) == [
        ("tenant_payable:acme", 1000),
        ("provider_receivable:northpay", -1000),
        ("tenant_payable:acme", 15),
        ("provider_receivable:northpay", -15),
    ]
    assert [(one.kind, one.amount_minor) for one in opened.movements] == [("dispute", -1000), ("fee", -15)]
    assert withdrawn.payment.amount_disputed_minor == 1000
    won = world.notify("won")
    assert [event.type for event in won.events] == ["charge.dispute.closed", "charge.dispute.funds_reinstated"]
    assert [(one.kind, one.amount_minor) for one in won.movements] == [("dispute_reversal", 1000), ("fee", 15)]
    assert won.events[-1].payment.amount_disputed_minor == 0
    audit(world)


def test_an_inquiry_moves_no_money_and_may_become_a_chargeback():
    """warning_needs_response has no postings; when it escalates, the money goes."""
    world = at("inquiry")
    assert not world.movements[2:]
    assert [event.type for event in world.notify("needs_response", withdrawn_minor=1000).events] == [
        "charge.dispute.updated",
        "charge.dispute.funds_withdrawn",
    ]
    audit(world)


def test_a_dispute_after_a_refund_takes_from_the_tenant_only_what_is_left():
    """4.00 of 10.00 were refunded: of a dispute about 10.00 the tenant bears 6.00, the rest is for people to recover."""
    world = at("disputed after a refund")
    event = world.events[-1]
    assert ("tenant_payable:acme", 600) in _legs(event)
    assert ("provider_disputed:northpay", 400) in _legs(event)
    assert event.payment.amount_disputed_minor == 600
    refused = world.send("refund", "r2", of="k1", amount_minor=1).replies[0][1]
    assert refused.error.code == "charge_disputed"
    back = world.notify("won").events[-1]
    assert ("provider_disputed:northpay", -400) in _legs(back)
    audit(world)


def test_the_same_notice_counts_once_and_an_older_one_not_at_all():
    """By the provider's event id; and by its count, when a late one arrives after a newer."""
    world = at("captured")
    late = world.notice("needs_response", withdrawn_minor=1000, sequence=1, notice_id="first")
    newer = world.notice("lost", withdrawn_minor=1000, sequence=2, notice_id="second")
    assert world.put(newer).events
    assert world.put(newer).writes == []
    assert world.put(late).events == []
    assert world.payment().disputes[0].status == "lost"
    mark = keys.notice("acme", newer.payment_id, "northpay", "second")
    assert mark in world.view.data
    world.tick(world.time_ms + REPLIES_KEPT_MS)
    assert mark not in world.view.data
    assert world.put(newer).events == []
    audit(world)


def test_a_dispute_that_is_told_of_before_the_capture_is_posted_with_it():
    """While the charge is in doubt the dispute is kept; the answer that ends the doubt posts capture and withdrawal."""
    world = at("disputed before the capture is known")
    assert not world.movements
    decision = world.answer(world.requests[-1], "captured")
    assert [event.type for event in decision.events] == ["payment_intent.succeeded", "charge.dispute.funds_withdrawn"]
    audit(world)


def test_evidence_goes_to_the_provider_and_its_answer_to_the_caller():
    """submit_evidence asks the provider under a deterministic id; its answer puts the dispute under review and answers the caller."""
    world = at("evidence sent")
    request = world.requests[-1]
    dispute = world.payment().disputes[0]
    assert (request.request_id, request.evidence) == (
        f"{dispute.id}_submit_evidence_1",
        {"product_description": "a chair"},
    )
    decision = world.answer(request, "evidence_submitted")
    reply = decision.replies[0][1]
    assert (reply.status_code, reply.dispute.status, reply.dispute.evidence_submitted) == (200, "under_review", True)
    again = world.send("submit_evidence", "d1", of="k1", object_id=dispute.id, evidence=request.evidence)
    assert again.replies[0][1].replayed
    assert again.replies[0][1].dispute == reply.dispute
    assert not again.requests


def test_a_dispute_in_another_currency_is_held_until_the_provider_says_something_possible():
    """Nothing is posted, the event says so; the next possible notice ends the hold."""
    world = at("disputed and held")
    assert world.events[-1].type == "charge.dispute.integrity_failure"
    assert world.events[-1].dispute.outcome_unknown
    world.notify("needs_response", withdrawn_minor=1000)
    assert world.payment().disputes[0].withdrawn_minor == 1000
    audit(world)
