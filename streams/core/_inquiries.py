"""An operator has the provider asked at once: what about, and the request that asks what became of an earlier one.

It moves no money, and so one person is enough. What the provider says comes back as the earlier request's own result.
"""

from __future__ import annotations

from schemas.records import ProviderOperation
from streams.core import ids
from streams.core._operators import needs_operator, refund_of
from streams.core._step import Step
from streams.core.errors import CommandError
from streams.core.state import Attempt


def may_inquire(step: Step) -> None:
    """An operator, with a reason; about a charge or refund that is under way, in doubt or held."""
    needs_operator(step)
    if not step.command.attribution.reason:
        raise CommandError("reason_missing", param="attribution.reason")
    object_id = step.command.object_id
    refund = refund_of(step, object_id)
    if refund is not None:
        if refund.status != "pending":
            raise _nothing(object_id, f"this refund is {refund.status}")
        return
    number = ids.attempt_of(object_id, step.payment_id)
    if not 0 < number <= len(step.payment.attempts):
        raise _nothing(object_id, "it is no charge or refund of this payment")
    attempt = step.payment.attempts[number - 1]
    if not attempt.operation and not attempt.doubt:
        raise _nothing(object_id, f"this charge is {attempt.status}, and nothing is under way")


def inquire(step: Step) -> None:
    """The provider is asked at once what became of the newest request; its answer is that request's result."""
    payment, object_id = step.payment, step.command.object_id
    refund = step.refund = refund_of(step, object_id)
    step.number = ids.attempt_of(object_id, step.payment_id) if refund is None else refund.attempt
    attempt = step.attempt = payment.attempts[step.number - 1]
    if refund is None:
        operation, number, amount_minor = _asked_last(attempt, payment.amount_minor)
    else:
        operation, number, amount_minor = "refund", 1, refund.amount_minor
    authorizes = operation == "authorize"
    step.request(
        object_id=object_id,
        operation=operation,
        number=number,
        attempt=step.number,
        provider=attempt.provider,
        amount_minor=amount_minor,
        reference="" if authorizes else attempt.reference,
        capture=authorizes and not payment.manual,
        final_capture=operation != "capture" or attempt.asked_final,
        inquiry=payment.sequence + 1,  # one a payment's event: no two inquiries share an id
    )


def _asked_last(attempt: Attempt, payment_minor: int) -> tuple[ProviderOperation, int, int]:
    """Operation, number and amount of the newest request about an attempt."""
    operation = attempt.operation or "authorize"  # held with nothing under way: the authorisation was contradicted
    if operation == "authorize":
        return operation, 1, attempt.first_minor or payment_minor
    if operation == "void" and attempt.status != "stray":
        return operation, attempt.requests, payment_minor - attempt.captured_minor
    return operation, attempt.requests, attempt.asked_minor


def _nothing(object_id: str, why: str) -> CommandError:
    return CommandError("nothing_to_inquire", param="object_id", object_id=object_id, why=why)
