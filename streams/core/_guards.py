"""Requirements and guards of the transition table; the first line of each docstring is what the documentation says of it."""

from __future__ import annotations

from collections.abc import Mapping

from streams.core import _texts, ids
from streams.core._objects import disputed_minor, left_minor
from streams.core._step import Step
from streams.core.checks import EVIDENCE_KEYS_MAX, METADATA_KEYS_MAX
from streams.core.errors import CommandError
from streams.core.state import Dispute, Refund

ATTEMPTS_MAX = 32
REFUNDS_MAX = 100
CAPTURES_MAX = 50
INCREMENTS_MAX = 10
"""As at Stripe; each is a request that the provider is asked."""

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


def more_than_the_authorisation(step: Step) -> None:
    """More than is authorised; nothing of it captured yet; and at most ten times."""
    asked, attempt = step.command.amount_minor, step.the_attempt()
    if asked is None or asked <= step.payment.amount_minor:
        raise CommandError("amount_too_small", param="amount_minor", authorized=step.payment.amount_minor)
    if attempt.captured_minor:
        raise CommandError("increment_too_late")
    if attempt.increments >= INCREMENTS_MAX:
        raise CommandError("increment_limit", limit=INCREMENTS_MAX)


def something_to_change(step: Step) -> None:
    """Something to change; and for another currency or capture method, a payment that was never attempted."""
    command = step.command
    if command.amount_minor is None and not command.payment_method and not command.given:
        raise CommandError("nothing_to_update", param="amount_minor")
    for name in ("currency", "capture_method"):
        if name in command.given and step.payment.attempts:
            raise CommandError("payment_attempted", param=name)
    metadata_of(step, step.texts.metadata)


def words_to_change(step: Step) -> None:
    """A description or metadata within their limits."""
    metadata_of(step, step.texts.metadata)


def metadata_of(step: Step, known: Mapping[str, str]) -> dict[str, str]:
    """Metadata after the command. Raises `CommandError` when it is more than may be kept."""
    command = step.command
    if "metadata" not in command.given:
        return dict(known)
    after = _texts.merged(known, command.metadata, cleared=not command.metadata)
    if len(after) > METADATA_KEYS_MAX:
        detail = f"metadata would have {len(after)} keys; at most {METADATA_KEYS_MAX} are allowed. Remove some with empty values."
        raise CommandError("parameter_invalid", param="metadata", detail=detail)
    return after


def evidence_of(step: Step, known: Mapping[str, str]) -> dict[str, str]:
    """Evidence after the command. Raises `CommandError` when it is more than may be kept."""
    command = step.command
    submitted = command.kind == "submit_evidence" and bool(command.evidence)
    if "evidence" not in command.given and not submitted:
        return dict(known)
    after = _texts.merged(known, command.evidence, cleared=not command.evidence)
    if len(after) > EVIDENCE_KEYS_MAX:
        detail = f"evidence would have {len(after)} texts; at most {EVIDENCE_KEYS_MAX} are allowed. Remove some with empty values."
        raise CommandError("parameter_invalid", param="evidence", detail=detail)
    return after


def charge_is_known(step: Step) -> None:
    """A charge of this payment."""
    object_id = step.command.object_id
    number = ids.attempt_of(object_id, step.payment_id)
    if not 0 < number <= len(step.payment.attempts):
        raise CommandError("charge_missing", param="object_id", object_id=object_id)
    attempt = step.payment.attempts[number - 1]
    metadata_of(step, (step.texts_of(object_id, attempt.texts) if attempt.texts else step.texts).metadata)


def refund_of(step: Step) -> Refund | None:
    """The refund that the command names; None when the payment has no such one."""
    object_id = step.command.object_id
    return next((one for one in step.payment.refunds if one.id == object_id), None)


def refund_is_known(step: Step) -> None:
    """A refund of this payment."""
    refund = refund_of(step)
    if refund is None:
        raise CommandError("refund_missing", param="object_id", object_id=step.command.object_id)
    metadata_of(step, step.texts_of(refund.id, refund.texts).metadata)


def dispute_is_known(step: Step) -> None:
    """A dispute of this payment; for evidence, one that waits for the tenant's response."""
    command = step.command
    responds = bool(command.evidence) or "evidence" in command.given
    dispute = _responding(step) if responds else _known_dispute(step)
    texts = step.texts_of(dispute.id, dispute.texts)
    metadata_of(step, texts.metadata)
    evidence_of(step, texts.evidence)


def dispute_of(step: Step) -> Dispute | None:
    """The dispute that the command names; None when the payment has no such one."""
    object_id = step.command.object_id
    return next((one for one in step.payment.disputes if one.id == object_id), None)


def waits_for_response(step: Step) -> None:
    """A dispute that waits for the tenant's response, and nothing asked about it meanwhile."""
    dispute = _responding(step)
    if step.command.kind != "submit_evidence":
        return
    texts = step.texts_of(dispute.id, dispute.texts)
    metadata_of(step, texts.metadata)
    if not evidence_of(step, texts.evidence):
        raise CommandError("evidence_missing", param="evidence")


def _known_dispute(step: Step) -> Dispute:
    dispute = dispute_of(step)
    if dispute is None:
        raise CommandError("dispute_missing", param="object_id", object_id=step.command.object_id)
    return dispute


def _responding(step: Step) -> Dispute:
    dispute = _known_dispute(step)
    if dispute.operation:
        raise CommandError("dispute_busy")
    inquiry = dispute.status == "warning_needs_response" and step.command.kind != "close_dispute"
    if not (inquiry or dispute.status == "needs_response") or dispute.doubt:
        wish = "be accepted" if step.command.kind == "close_dispute" else "take evidence"
        raise CommandError("dispute_unexpected_state", status=dispute.status, wish=wish)
    return dispute


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


def names_charge(step: Step) -> bool:
    """It names a charge."""
    return step.command.object_id.startswith(ids.CHARGE_PREFIX)


def names_refund(step: Step) -> bool:
    """It names a refund."""
    return step.command.object_id.startswith("re_")


def names_dispute(step: Step) -> bool:
    """It names a dispute."""
    return step.command.object_id.startswith("dp_")


def only_words(step: Step) -> bool:
    """It names nothing but description and metadata."""
    command = step.command
    words = bool(command.given) and set(command.given) <= {"description", "metadata"}
    return words and command.amount_minor is None and not command.payment_method


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
