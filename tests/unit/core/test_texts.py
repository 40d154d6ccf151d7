"""What tenants write about payments, charges, refunds and disputes, and may change."""

from __future__ import annotations

import pytest

from schemas.records import PaymentCommand
from streams.core import ids, keys
from streams.core._texts import KEPT_MS
from tests.unit.core.situations import at
from tests.unit.core.world import T0, TENANT, World

EVIDENCE = {"product_description": "a chair", "customer_name": "Jenny"}


def _reply(decision):
    (told,) = decision.replies
    return told[1]


def _update(world: World, key: str, **fields):
    return world.send("update", key, of="k1", **fields)


def _created() -> World:
    world = World()
    world.create(confirm=False, description="A chair", metadata={"order": "1", "hall": "b"})
    return world


def test_metadata_is_merged_unset_and_cleared() -> None:
    """Names that are given are set, or removed with an empty value; metadata that is given empty is cleared; nothing else changes."""
    world = _created()
    merged = _reply(_update(world, "u1", given=("metadata",), metadata={"order": "2", "hall": "", "row": "7"})).payment
    assert (merged.metadata, merged.description) == ({"order": "2", "row": "7"}, "A chair")
    described = _reply(_update(world, "u2", given=("description",), description="")).payment
    assert (described.metadata, described.description) == ({"order": "2", "row": "7"}, "")
    assert _reply(_update(world, "u3", given=("metadata",))).payment.metadata == {}
    assert [event.type for event in world.events] == ["payment_intent.created"] + 3 * ["payment_intent.updated"]
    assert world.events[-1].payment.metadata == {}


@pytest.mark.parametrize("situation", ["captured", "refunded in full", "disputed", "without a method"])
def test_words_change_in_any_state_and_nothing_else_does(situation) -> None:
    """Description and metadata change whatever has become of the payment; its status and money stay."""
    world = at(situation)
    before = world.payment()
    reply = _reply(_update(world, "u", given=("description", "metadata"), description="x", metadata={"a": "b"}))
    assert (reply.payment.description, reply.payment.metadata, reply.payment.status) == ("x", {"a": "b"}, before.status)
    after = world.payment()
    assert (after.status, after.attempts, after.refunds, after.disputes) == (
        before.status,
        before.attempts,
        before.refunds,
        before.disputes,
    )
    assert world.events[-1].postings == ()


def test_an_answer_given_before_a_change_stays_as_it_was() -> None:
    """A repeated create is answered with the texts of that time; those are forgotten with the answer, and the newest never."""
    world = _created()
    first = world.decisions[-1].replies[0][1]
    world.time_ms = T0 + 1_000
    _update(world, "u1", given=("metadata",), metadata={"order": "2"})
    second = world.decisions[-1].replies[0][1]
    _update(world, "u2", given=("metadata",), metadata={"order": "3"})
    again = world.create(confirm=False, description="A chair", metadata={"order": "1", "hall": "b"}).replies[0][1]
    assert again.payment == first.payment
    assert _reply(_update(world, "u1", given=("metadata",), metadata={"order": "2"})).payment == second.payment
    versions = [key for key in world.view.data if key.startswith(b"x/")]
    assert len(versions) == 3
    world.tick(T0 + 1_000 + KEPT_MS)
    assert [key for key in world.view.data if key.startswith(b"x/")] == [
        keys.texts(TENANT, ids.payment_id(TENANT, "k1"), version=2)
    ]
    assert _reply(_update(world, "u4", given=("description",))).payment.metadata == {"order": "3", "hall": "b"}


def test_currency_and_capture_before_the_first_attempt_only() -> None:
    """They change before anything was asked of a provider; after the first attempt they stay, and the key of the create still fits."""
    world = World()
    made = {"confirm": False, "payment_method": ""}
    world.create(**made)
    changed = _update(
        world,
        "u1",
        given=("currency", "capture_method", "customer"),
        currency="USD",
        capture_method="manual",
        customer="cus_1",
    )
    payment = _reply(changed).payment
    assert (payment.currency, payment.capture_method, payment.customer) == ("USD", "manual", "cus_1")
    world.view.data.pop(keys.reply(TENANT, ids.payment_id(TENANT, "k1"), "k1"))
    assert _reply(world.create(**made)).status_code == 200
    declined = at("declined")
    for name, value in (("currency", "USD"), ("capture_method", "manual")):
        refused = _reply(_update(declined, name, given=(name,), **{name: value}))
        assert (refused.error.code, refused.error.param) == ("payment_attempted", name)


def test_more_metadata_than_may_be_kept() -> None:
    """Fifty keys are kept in all; one more is refused, and nothing changes."""
    world = _created()
    many = {f"k{number}": "v" for number in range(49)}
    refused = _reply(_update(world, "u1", given=("metadata",), metadata=many))
    assert (refused.status_code, refused.error.param) == (400, "metadata")
    assert _reply(_update(world, "u2", given=("metadata",), metadata={**many, "hall": ""})).status_code == 200


def test_a_refunds_metadata_and_time() -> None:
    """A refund is made with metadata, says when it was made, and its metadata can be changed."""
    world = at("captured")
    world.time_ms += 5_000
    world.send("refund", "r1", of="k1", amount_minor=200, metadata={"case": "9"})
    made = world.answer(world.requests[-1], "refunded").replies[0][1].refund
    assert (made.metadata, made.created_ms) == ({"case": "9"}, world.time_ms)
    world.time_ms += 5_000
    changed = _reply(_update(world, "u1", object_id=made.id, given=("metadata",), metadata={"case": "", "desk": "2"}))
    assert (changed.refund.metadata, changed.refund.created_ms) == ({"desk": "2"}, made.created_ms)
    assert (changed.refund.status, changed.dispute, changed.charge) == ("succeeded", None, None)
    event = world.events[-1]
    assert (event.type, event.refund) == ("refund.updated", changed.refund)


def test_evidence_is_kept_until_it_is_submitted() -> None:
    """Evidence can be given bit by bit; submitting sends all of it; events never hold it, answers do."""
    world = at("disputed")
    dispute = world.payment().disputes[0].id
    first = _reply(
        _update(world, "u1", object_id=dispute, given=("evidence",), evidence={"product_description": "a chair"})
    )
    assert (first.dispute.evidence, first.dispute.status) == ({"product_description": "a chair"}, "needs_response")
    assert first.dispute.created_ms == T0
    more = {"customer_name": "Jenny", "service_date": "2026-01-01"}
    _update(world, "u2", object_id=dispute, given=("evidence", "metadata"), evidence=more, metadata={"a": "b"})
    _update(world, "u3", object_id=dispute, given=("evidence",), evidence={"service_date": ""})
    assert world.requests[-1].operation == "authorize"
    world.send("submit_evidence", "s1", of="k1", object_id=dispute)
    assert world.requests[-1].evidence == EVIDENCE
    taken = world.answer(world.requests[-1], "evidence_submitted").replies[0][1].dispute
    assert (taken.status, taken.evidence, taken.metadata) == ("under_review", EVIDENCE, {"a": "b"})
    told = [event.dispute for event in world.events if event.dispute is not None]
    assert [one.evidence for one in told] == [{}] * len(told)
    assert told[-1].metadata == {"a": "b"}
    late = _reply(_update(world, "u4", object_id=dispute, given=("evidence",), evidence={"customer_name": "J"}))
    assert late.error.code == "dispute_unexpected_state"
    assert _reply(_update(world, "u5", object_id=dispute, given=("metadata",))).dispute.metadata == {}


def test_a_charge_has_the_payments_words_until_it_has_its_own() -> None:
    """The first change of a charge's texts begins with the payment's, and leaves those as they are."""
    world = World()
    world.create(description="A chair", metadata={"order": "1"})
    world.answer(world.requests[-1], "captured")
    charge = ids.charge_id(ids.payment_id(TENANT, "k1"), 1)
    assert not world.events[-1].charge.has_texts
    reply = _reply(_update(world, "u1", object_id=charge, given=("metadata",), metadata={"row": "7"}))
    assert (reply.charge.description, reply.charge.metadata) == ("A chair", {"order": "1", "row": "7"})
    assert reply.payment.metadata == {"order": "1"}
    assert world.events[-1].type == "charge.updated"
    assert world.events[-1].charge == reply.charge
    refunding = world.send("refund", "r1", of="k1").events[0]
    assert refunding.charge.metadata == {"order": "1", "row": "7"}


@pytest.mark.parametrize(
    ("object_id", "code"),
    [("ch_" + "0" * 26, "charge_missing"), ("re_" + "0" * 24, "refund_missing"), ("dp_" + "0" * 24, "dispute_missing")],
)
def test_objects_that_are_not_the_payments(object_id, code) -> None:
    """An id of no charge, refund or dispute of the payment: a typed error, and nothing changes."""
    world = at("captured")
    events = len(world.events)
    reply = _reply(_update(world, "u1", object_id=object_id, given=("metadata",), metadata={"a": "b"}))
    assert (reply.status_code, reply.error.code) == (404, code)
    assert len(world.events) == events


@pytest.mark.parametrize(
    "fields",
    [
        {"given": ("amount",)},
        {"given": ("evidence",)},
        {"given": ("currency",), "currency": "XXQ"},
        {"given": ("capture_method",), "capture_method": "unrecognized"},
        {"given": ("description",), "object_id": "re_" + "0" * 24},
        {"given": ("metadata",), "object_id": "pi_" + "0" * 24},
        {"given": ("metadata",), "metadata": {"card": "4242424242424242"}},
    ],
)
def test_updates_that_break_the_contract(fields) -> None:
    """What can't be changed there is refused before the payment is looked at."""
    world = _created()
    decision = _update(world, "u1", **fields)
    assert decision.refused is not None
    assert not decision.writes


def test_digests_of_older_commands_stay() -> None:
    """A command of before there was `given` has the digest that it always had; one with it has another."""
    from streams.core.idempotency import fingerprint

    old = PaymentCommand(kind="update", amount_minor=5)
    assert fingerprint(old).hex() == "179a7a29c3f83761bc6250584d9b0387"
    assert fingerprint(PaymentCommand(kind="update", amount_minor=5, given=("metadata",))) != fingerprint(old)
