"""Requirements and guards of the transition table; the first line of each docstring is what the documentation says of it."""

from __future__ import annotations

from streams.core._objects import disputed_minor, left_minor
from streams.core._step import Step
from streams.core.errors import CommandError
from streams.core.state import Dispute

ATTEMPTS_MAX = 32
REFUNDS_MAX = 100
CAPTURES_MAX = 50

# Requirements: raise CommandError.


def needs_method_to_confirm(step: Step) -> None:
    """A payment method, where it is to be confirmed; and an attempt left."""
    command = step.command
    if not (command.payment_method or step.payment.payment_method):
        raise CommandError("parameter_missing", param="payment_method")
    if len(step.payment.attempts) >= ATTEMPTS_MAX:
        raise CommandError("payment_attempt_limit", limit=ATTEMPTS_MAX)


def at_most_the_authorisation(step: Step) -> None:
    """At most what is authorised and not captured yet; and a part only while its provider has parts left."""
    asked = step.command.amount_minor
    attempt = step.the_attempt()
    left = step.payment.amount_minor - attempt.captured_minor
    if asked is not None and asked > left:
        raise CommandError("amount_too_large", param="amount_minor", asked=asked, left=left, wish="capture")
    if not step.command.final_capture and len(attempt.captures) >= CAPTURES_MAX:
        raise CommandError("capture_limit", limit=CAPTURES_MAX)


def something_to_change(step: Step) -> None:
    """An amount or a payment method."""
    if step.command.amount_minor is None and not step.command.payment_method:
        raise CommandError("nothing_to_update", param="amount_minor")


def dispute_of(step: Step) -> Dispute | None:
    """The dispute that the command names; None when the payment has no such one."""
    object_id = step.command.object_id
    return next((one for one in step.payment.disputes if one.id == object_id), None)


def waits_for_response(step: Step) -> None:
    """A dispute that waits for the tenant's response, and nothing asked about it meanwhile."""
    dispute = dispute_of(step)
    if dispute is None:
        raise CommandError("dispute_missing", param="object_id", object_id=step.command.object_id)
    if dispute.operation:
        raise CommandError("dispute_busy")
    inquiry = dispute.status == "warning_needs_response" and step.command.kind == "submit_evidence"
    if not (inquiry or dispute.status == "needs_response") or dispute.doubt:
        wish = "take evidence" if step.command.kind == "submit_evidence" else "be accepted"
        raise CommandError("dispute_unexpected_state", status=dispute.status, wish=wish)
    if step.command.kind == "submit_evidence" and not step.command.evidence:
        raise CommandError("evidence_missing", param="evidence")


def at_most_what_is_left(step: Step) -> None:
    """At most what is captured and neither refunded nor being refunded."""
    payment = step.payment
    left = left_minor(payment)
    if left == 0:
        raise CommandError("charge_disputed" if disputed_minor(payment) else "charge_already_refunded")
    if len(payment.refunds) >= REFUNDS_MAX:
        raise CommandError("refund_limit", limit=REFUNDS_MAX)
    asked = step.command.amount_minor
    if asked is not None and asked > left:
        raise CommandError("amount_too_large", param="amount_minor", asked=asked, left=left, wish="refund")


# Guards.


def is_to_be_confirmed(step: Step) -> bool:
    """Confirm is asked with it."""
    return step.command.confirm


def has_method(step: Step) -> bool:
    """It has a payment method."""
    return bool(step.command.payment_method)


def provider_available(step: Step) -> bool:
    """Routing finds a provider."""
    return bool(step.route(()).chosen)


def another_provider(step: Step) -> bool:
    """Another provider is left."""
    payment = step.payment
    if len(payment.attempts) >= ATTEMPTS_MAX:
        return False
    return bool(step.route(tuple(attempt.provider for attempt in payment.attempts[payment.tried_from :])).chosen)


def soft_and_another_provider(step: Step) -> bool:
    """The decline is soft and another provider is left."""
    return step.result.decline_kind == "soft" and another_provider(step)


def nothing_can_be_charged(step: Step) -> bool:
    """Only an authorisation is under way, and its outcome is not in doubt."""
    attempt = step.the_attempt()
    return step.payment.manual and attempt.operation == "authorize" and not attempt.doubt and not step.payment.canceling


def captured_unasked(step: Step) -> bool:
    """Capture is manual, and no two operators say that it is right."""
    return step.payment.manual and step.proposal is None


def part(step: Step) -> bool:
    """More of it is to be captured later."""
    attempt = step.the_attempt()
    return not attempt.asked_final and attempt.captured_minor + step.result.amount_minor < step.payment.amount_minor


def partly_captured(step: Step) -> bool:
    """A part of it was captured."""
    return step.the_attempt().captured_minor > 0


def automatic(step: Step) -> bool:
    """Capture is automatic."""
    return not step.payment.manual


def canceling(step: Step) -> bool:
    """Cancellation waits for the authorisation."""
    return step.payment.canceling


def voiding(step: Step) -> bool:
    """A void is under way."""
    return step.the_attempt().operation == "void"


def giving_up(step: Step) -> bool:
    """It is being canceled."""
    return step.payment.canceling or voiding(step)


def in_doubt_already(step: Step) -> bool:
    """That is known already."""
    return step.the_attempt().doubt == "unknown" or voiding(step) != (step.result.operation == "void")


def in_action_already(step: Step) -> bool:
    """That is known already."""
    return (step.payment.status == "requires_action" and not step.the_attempt().doubt) or voiding(step)


def authorised(step: Step) -> bool:
    """The authorisation stands."""
    return step.the_attempt().status == "authorized"
