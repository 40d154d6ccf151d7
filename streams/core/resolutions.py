"""Carries out what two operators agreed on, as if the provider itself had said it; nothing else ends a doubt but the provider."""

from __future__ import annotations

from typing import cast

from msgspec.structs import replace

from schemas.records import ProviderOperation, ProviderOutcome, ProviderResult
from streams.core import _operators, ledger, refunds, table
from streams.core._row import Row
from streams.core._step import Step
from streams.core.errors import InvariantBroken


def carry_out(step: Step) -> Row | None:
    """What follows from the proposal that was just approved. The row it took, None where no row of the payment's table is."""
    proposal = step.proposal
    assert proposal is not None
    if proposal.resolution in _operators.ADJUSTMENTS:
        _adjust(step, proposal.amount_minor * _operators.ADJUSTMENTS[proposal.resolution], proposal.id)
        return None
    refund = _operators.refund_of(step, proposal.object_id)
    if refund is not None:
        step.number, step.attempt = refund.attempt, step.payment.attempts[refund.attempt - 1]
        outcome = cast("ProviderOutcome", proposal.resolution)
        step.result = _result(step, "refund", outcome, refund.amount_minor, reference=refund.reference)
        refunds.take_result(step, replace(refund, doubt=""), outcome)
        return None
    attempt = step.the_attempt()
    trigger = _operators.CHARGE_RESOLUTIONS[attempt.status, proposal.resolution]
    operation, _, outcome_name = trigger.partition("/")
    amount_minor = _operators.amount_minor(
        attempt,
        proposal.resolution,
        payment_minor=step.payment.amount_minor,
        proposed_minor=proposal.amount_minor,
    )
    if operation != "operator":
        step.result = _result(
            step,
            cast("ProviderOperation", operation),
            cast("ProviderOutcome", outcome_name),
            amount_minor,
            reference=attempt.reference,
        )
    row = table.run(step, trigger)
    if row is None:
        message = f"no row for {trigger} on a payment that is {step.payment.status}"
        raise InvariantBroken(message)
    return row


def _result(
    step: Step, operation: ProviderOperation, outcome: ProviderOutcome, amount_minor: int, *, reference: str
) -> ProviderResult:
    attempt = step.the_attempt()
    return ProviderResult(
        tenant=step.tenant,
        payment_id=step.payment_id,
        object_id=step.charge_id,
        provider=attempt.provider,
        operation=operation,
        outcome=outcome,
        amount_minor=amount_minor,
        currency=step.payment.currency,
        provider_reference=reference,
        decline_kind="hard" if outcome == "declined" else "none",
        message="Found out by operators.",
        attribution=step.attribution,
    )


def _adjust(step: Step, amount_minor: int, source: str) -> None:
    attempt = step.the_attempt()
    step.begin()
    step.postings = ledger.adjustment(step.tenant, amount_minor, step.settles_in)
    step.move(kind="adjustment", amount_minor=amount_minor, object_id=source, provider=attempt.provider)
    step.transact("adjustment", gross_minor=amount_minor, fee_minor=0, source=source)
    status = step.payment.status
    step.record(event_type="balance.adjusted", from_status=status, to_status=status)
