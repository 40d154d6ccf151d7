"""Authorisations that are raised."""

from __future__ import annotations

import pytest

from streams.core import ids, keys
from streams.core._guards import INCREMENTS_MAX
from tests.unit.core.books import audit
from tests.unit.core.situations import at
from tests.unit.core.world import TENANT


def _accounts(world) -> dict[str, int]:
    """What stands on each account by all events."""
    totals: dict[str, int] = {}
    for event in world.events:
        for posting in event.postings:
            totals[posting.account] = totals.get(posting.account, 0) + posting.amount_minor
    return totals


def test_more_is_held_and_captured() -> None:
    """The provider is asked for the whole new amount; then the payment is of it, more is held, and no money has moved."""
    world = at("incrementing")
    asked = world.requests[-1]
    assert (asked.operation, asked.amount_minor, asked.request_id) == (
        "increment",
        1_500,
        f"{ids.charge_id(ids.payment_id(TENANT, 'k1'), 1)}_increment_2",
    )
    assert _accounts(world)["authorization_hold:northpay"] == 1_000
    decision = world.answer(asked, "incremented")
    payment = decision.replies[0][1].payment
    assert (payment.status, payment.amount_minor, payment.amount_capturable_minor) == ("requires_capture", 1_500, 1_500)
    assert _accounts(world) == {"authorization_hold:northpay": 1_500, f"authorized_funds:{TENANT}": -1_500}
    assert not decision.movements
    world.send("capture", "c1", of="k1")
    world.answer(world.requests[-1], "captured")
    assert world.payment().attempts[-1].captured_minor == 1_500
    assert _accounts(world)["authorization_hold:northpay"] == 0
    audit(world)


@pytest.mark.parametrize("outcome", ["declined", "refused"])
def test_a_decline_leaves_the_old_amount(outcome) -> None:
    """The authorisation stands as it was, the caller hears why, and it can be captured or asked again."""
    world = at("incrementing")
    decision = world.answer(world.requests[-1], outcome)
    reply = decision.replies[0][1]
    assert (reply.status_code, reply.error.code, reply.error.type) == (402, "increment_failed", "card_error")
    assert reply.error.decline_code == ("insufficient_funds" if outcome == "declined" else "")
    payment = decision.events[-1].payment
    assert (payment.status, payment.amount_minor, payment.amount_capturable_minor) == ("requires_capture", 1_000, 1_000)
    assert decision.events[-1].postings == ()
    world.send("increment", "n2", of="k1", amount_minor=1_200)
    assert world.requests[-1].request_id.endswith("_increment_3")
    world.answer(world.requests[-1], "incremented")
    assert (world.payment().amount_minor, world.payment().error_code) == (1_200, "")


def test_an_unknown_outcome_waits_for_the_inquiry() -> None:
    """Nobody may capture while it is in doubt; what the inquiry finds is the answer that counts."""
    world = at("incrementing, unknown")
    assert world.events[-1].type == "charge.outcome_unknown"
    refused = world.send("capture", "c1", of="k1").replies[0][1]
    assert refused.error.code == "payment_intent_unexpected_state"
    world.answer(world.requests[-1], "incremented")
    assert (world.payment().status, world.payment().amount_minor) == ("requires_capture", 1_500)
    assert world.answer(world.requests[-1], "incremented").writes == []


def test_another_amount_than_asked_is_held() -> None:
    """A provider that reports another amount is believed by nobody."""
    world = at("incrementing")
    world.answer(world.requests[-1], "incremented", amount_minor=1_400)
    assert (world.events[-1].type, world.payment().amount_minor) == ("charge.integrity_failure", 1_000)


def test_what_is_said_again_of_the_first_amount_is_no_news() -> None:
    """The first authorisation's result, repeated after it was raised, is of the amount that was asked then."""
    world = at("incremented")
    assert world.answer(world.requests[0], "authorized").writes == []


def test_the_create_is_still_the_same_request() -> None:
    """The key of the create fits after its answer was forgotten, with the amount that it had."""
    world = at("incremented")
    world.view.data.pop(keys.reply(TENANT, ids.payment_id(TENANT, "k1"), "k1"))
    assert world.create(capture_method="manual").replies[0][1].error is None


def test_limits() -> None:
    """More than now, before any part is captured, and ten times at most."""
    world = at("authorised")
    for number in range(INCREMENTS_MAX):
        world.send("increment", f"n{number}", of="k1", amount_minor=1_001 + number)
        world.answer(world.requests[-1], "incremented")
    over = world.send("increment", "n", of="k1", amount_minor=5_000).replies[0][1]
    assert over.error.code == "increment_limit"
    for amount_minor in (1_010, 5):
        small = world.send("increment", f"s{amount_minor}", of="k1", amount_minor=amount_minor).replies[0][1]
        assert (small.error.code, small.error.param) == ("amount_too_small", "amount_minor")
    part = at("partly captured, the rest authorised")
    late = part.send("increment", "n1", of="k1", amount_minor=5_000).replies[0][1]
    assert late.error.code == "increment_too_late"
    assert at("authorised").send("increment", "n1", of="k1").refused.field == "amount_minor"
