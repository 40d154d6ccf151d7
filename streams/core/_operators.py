"""What two operators together may say is true, or put right: requirements of the table, and what each resolution triggers."""

from __future__ import annotations

from streams.core import ids
from streams.core._step import Step
from streams.core.errors import CommandError
from streams.core.state import Attempt, Refund

ADJUSTMENTS: dict[str, int] = {"credit": 1, "debit": -1}
"""Resolutions that give to the tenant's balance or take from it."""

CHARGE_RESOLUTIONS: dict[tuple[str, str], str] = {
    ("pending", "authorized"): "authorize/authorized",
    ("pending", "captured"): "authorize/captured",
    ("pending", "declined"): "authorize/declined",
    ("pending", "voided"): "void/voided",
    ("authorized", "authorized"): "operator/authorized",
    ("authorized", "captured"): "capture/captured",
    ("authorized", "voided"): "void/voided",
}
"""What an attempt that is in doubt is, what operators found, and the trigger that this is."""

REFUND_RESOLUTIONS = ("refunded", "refund_failed")
RESOLUTIONS = (*ADJUSTMENTS, *dict.fromkeys(found for _, found in CHARGE_RESOLUTIONS), *REFUND_RESOLUTIONS)


def may_propose(step: Step) -> None:
    """An operator, with a reason; about a charge or refund that is in doubt or held, or the payment's balance."""
    who, command = step.command.attribution, step.command
    needs_operator(step)
    if not who.reason:
        raise CommandError("reason_missing", param="attribution.reason")
    _check_resolution(step, command.resolution, command.object_id, command.amount_minor or 0)


def may_approve(step: Step) -> None:
    """Another operator than the one who proposed, and what it is about is still so."""
    needs_operator(step)
    proposal = step.payment.proposal
    if proposal is None or proposal.id != step.command.object_id:
        raise CommandError("proposal_missing", param="object_id", object_id=step.command.object_id)
    if step.command.attribution.actor_id == proposal.proposed_by:
        raise CommandError("approval_by_proposer")
    _check_resolution(step, proposal.resolution, proposal.object_id, proposal.amount_minor)


def refund_of(step: Step, object_id: str) -> Refund | None:
    """The payment's refund with that id."""
    return next((one for one in step.payment.refunds if one.id == object_id), None)


def amount_minor(attempt: Attempt, resolution: str, *, payment_minor: int, proposed_minor: int) -> int:
    """The amount that a resolution is about."""
    if proposed_minor:
        return proposed_minor
    if resolution == "captured" and attempt.status == "authorized":
        asked_minor = attempt.asked_minor if attempt.operation == "capture" else 0
        return asked_minor or payment_minor - attempt.captured_minor
    return payment_minor


def needs_operator(step: Step) -> None:
    """An operator, under a name of their own."""
    who = step.command.attribution
    if who.actor_kind != "operator" or not who.actor_id:
        raise CommandError("operator_needed", param="attribution.actor_kind")


def _check_resolution(step: Step, resolution: str, object_id: str, proposed_minor: int) -> None:
    payment = step.payment
    if resolution in ADJUSTMENTS:
        if object_id != step.payment_id or not payment.attempts or not proposed_minor:
            raise _not_possible(resolution, "an adjustment names a payment that was attempted, and an amount")
        return
    refund = refund_of(step, object_id)
    if refund is not None:
        if resolution not in REFUND_RESOLUTIONS or not refund.doubt:
            raise _not_possible(resolution, "a refund in doubt or held is refunded or refund_failed")
        return
    if not payment.attempts or object_id != ids.charge_id(step.payment_id, len(payment.attempts)):
        raise _not_possible(resolution, "it has to be the newest charge, one of the refunds, or the payment itself")
    attempt = payment.attempts[-1]
    possible = [found for status, found in CHARGE_RESOLUTIONS if status == attempt.status]
    if not attempt.doubt or payment.status != "processing" or resolution not in possible:
        raise _not_possible(
            resolution, f"a charge that is in doubt or held here is {' or '.join(possible) or 'neither'}"
        )
    most_minor = payment.amount_minor - attempt.captured_minor
    if resolution == "captured" and proposed_minor > most_minor:
        raise CommandError(
            "amount_too_large", param="amount_minor", asked=proposed_minor, left=most_minor, wish="capture"
        )


def _not_possible(resolution: str, why: str) -> CommandError:
    return CommandError("resolution_not_possible", param="resolution", resolution=resolution, why=why)
