"""Requirements and guards of the transition table; the first line of each docstring is what the documentation says of it."""

from __future__ import annotations

from streams.core._objects import refunded_minor
from streams.core._step import Step
from streams.core.errors import CommandError

ATTEMPTS_MAX = 32
REFUNDS_MAX = 100

# Requirements: raise CommandError.


def needs_method_to_confirm(step: Step) -> None:
    """A payment method, where it is to be confirmed; and an attempt left."""
    command = step.command
    if not (command.payment_method or step.payment.payment_method):
        raise CommandError("parameter_missing", param="payment_method")
    if len(step.payment.attempts) >= ATTEMPTS_MAX:
        raise CommandError("payment_attempt_limit", limit=ATTEMPTS_MAX)


def at_most_the_authorisation(step: Step) -> None:
    """At most what is authorised."""
    asked = step.command.amount_minor
    if asked is not None and asked > step.payment.amount_minor:
        raise CommandError(
            "amount_too_large", param="amount_minor", asked=asked, left=step.payment.amount_minor, wish="capture"
        )


def at_most_what_is_left(step: Step) -> None:
    """At most what is captured and neither refunded nor being refunded."""
    payment = step.payment
    left = payment.attempts[-1].captured_minor - refunded_minor(payment)
    if left == 0:
        raise CommandError("charge_already_refunded")
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


def manual(step: Step) -> bool:
    """Capture is manual."""
    return step.payment.manual


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
