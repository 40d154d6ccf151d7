"""What an answer is worth, held against what was asked."""

from __future__ import annotations

import msgspec
import pytest

from connectors.providers.base import DeclineKind, OperationKind, Outcome, OutcomeKind, unknown, verified
from tests.unit.providers._world import authorize, follow_up

CAPTURED = Outcome(kind=OutcomeKind.CAPTURED, reference="ch_1", amount_minor=1_999, currency="USD", fee_minor=10)


def test_a_matching_answer_is_left_as_it_is():
    """An answer about the amount and currency that were asked passes unchanged."""
    assert verified(authorize(), CAPTURED) is CAPTURED


@pytest.mark.parametrize(
    ("amount_minor", "currency"),
    [(1_998, "USD"), (2_000, "USD"), (1_999, "EUR"), (None, "USD"), (1_999, None), (0, "USD")],
)
def test_another_amount_or_currency_is_an_integrity_failure(amount_minor, currency):
    """A positive answer about anything else than what was asked is held, with what was reported."""
    answer = Outcome(kind=OutcomeKind.CAPTURED, reference="ch_1", amount_minor=amount_minor, currency=currency)
    found = verified(authorize(), answer)
    assert found.kind is OutcomeKind.INTEGRITY_FAILURE
    assert (found.amount_minor, found.currency, found.reference) == (amount_minor, currency, "ch_1")
    assert not found.permits_failover


CONVERTED = Outcome(
    kind=OutcomeKind.CAPTURED,
    reference="ch_1",
    amount_minor=1_999,
    currency="USD",
    settlement_amount_minor=1_842,
    settlement_currency="EUR",
    fx_rate="0.9215",
)


def test_a_conversion_that_was_asked_for_is_left_as_it_is():
    """The amount is not computed here: whether it can be right is judged where the charge is known."""
    asked = authorize(settlement_currency="EUR")
    assert verified(asked, CONVERTED) is CONVERTED
    assert verified(asked, CAPTURED) is CAPTURED  # a provider that can't convert says nothing


@pytest.mark.parametrize(
    ("asked", "stated"),
    [
        (None, {}),
        ("GBP", {}),
        ("EUR", {"settlement_currency": None}),
        ("EUR", {"settlement_amount_minor": None}),
        ("EUR", {"settlement_amount_minor": -1}),
        ("EUR", {"settlement_amount_minor": 10**15 + 1}),
        ("EUR", {"fx_rate": None}),
        ("EUR", {"fx_rate": "about 0.9"}),
        ("EUR", {"fx_rate": "4.242424242424242"}),
    ],
)
def test_a_conversion_that_was_not_asked_for_or_cannot_be_read_is_an_integrity_failure(asked, stated):
    """It is held, and what was stated of it goes no further: a rate of sixteen digits could be a card number."""
    found = verified(authorize(settlement_currency=asked), msgspec.structs.replace(CONVERTED, **stated))
    assert (found.kind, found.code) == (OutcomeKind.INTEGRITY_FAILURE, "conversion_mismatch")
    assert (found.settlement_amount_minor, found.settlement_currency, found.fx_rate) == (None, None, None)
    assert found.amount_minor == 1_999


@pytest.mark.parametrize("kind", [OutcomeKind.REFUNDED, OutcomeKind.REFUND_PENDING])
def test_a_refund_of_another_amount_is_an_integrity_failure(kind):
    """Refunds are compared too, also pending ones."""
    asked = follow_up(OperationKind.REFUND, "ch_1", "key-2", amount_minor=500)
    answer = Outcome(kind=kind, amount_minor=501, currency="USD")
    assert verified(asked, answer).kind is OutcomeKind.INTEGRITY_FAILURE


def test_a_capture_that_nobody_asked_for_is_an_integrity_failure():
    """Asked to authorise only, a provider that captured is held."""
    found = verified(authorize(capture=False), CAPTURED)
    assert (found.kind, found.code) == (OutcomeKind.INTEGRITY_FAILURE, "captured_unasked")


@pytest.mark.parametrize("kind", [OutcomeKind.VOIDED, OutcomeKind.REFUNDED, OutcomeKind.AUTHORIZED])
def test_an_answer_to_another_question_is_unknown(kind):
    """An outcome that the operation can't have is no answer."""
    asked = follow_up(OperationKind.CAPTURE, "ch_1", "key-2")
    found = verified(asked, Outcome(kind=kind, amount_minor=1_999, currency="USD"))
    assert (found.kind, found.code) == (OutcomeKind.UNKNOWN, "unexpected_answer")


def test_only_a_definite_no_permits_failover():
    """Declined and refused permit another provider; nothing else does, unknown least of all."""
    permitting = {kind for kind in OutcomeKind if Outcome(kind=kind).permits_failover}
    assert permitting == {OutcomeKind.DECLINED, OutcomeKind.REFUSED}


def test_unknown_is_not_definite_and_a_pending_refund_not_settled():
    """Unknown needs an inquiry at once, a pending refund or a payout in transit later, everything else none."""
    assert not unknown("timed_out", "").definite
    unsettled = {kind for kind in OutcomeKind if not Outcome(kind=kind).settled}
    assert unsettled == {
        OutcomeKind.UNKNOWN,
        OutcomeKind.REFUND_PENDING,
        OutcomeKind.REQUIRES_ACTION,
        OutcomeKind.PAYOUT_IN_TRANSIT,
    }


def test_a_decline_keeps_its_kind():
    """Declines and refusals carry no amount and are not compared."""
    decline = Outcome(kind=OutcomeKind.DECLINED, code="do_not_honor", decline_kind=DeclineKind.SOFT)
    assert verified(authorize(), decline) is decline
