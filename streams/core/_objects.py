"""Payments, charges and refunds as the outside sees them, made from state."""

from __future__ import annotations

from schemas.records import ChargeObject, ChargeStatus, DisputeObject, PaymentObject, RefundObject
from streams.core import ids
from streams.core._texts import NO_TEXTS
from streams.core.errors import last_error_message
from streams.core.state import Attempt, AttemptStatus, Dispute, Payment, Refund, Texts

__all__ = [
    "NO_TEXTS",
    "charge_object",
    "dispute_object",
    "disputed_minor",
    "left_minor",
    "payment_object",
    "refund_object",
    "refunded_minor",
]

_CHARGE_STATUS: dict[AttemptStatus, ChargeStatus] = {
    "pending": "pending",
    "authorized": "succeeded",
    "captured": "succeeded",
    "voided": "succeeded",  # as at Stripe: the authorisation did succeed, and amount_captured_minor says the rest
    "failed": "failed",
    "stray": "failed",
    "reversed": "failed",
}


def refunded_minor(payment: Payment) -> int:
    """Refunded or being refunded, in minor units."""
    return sum(refund.amount_minor for refund in payment.refunds if refund.status != "failed")


def disputed_minor(payment: Payment) -> int:
    """Taken back from the tenant for disputes and not given back, in minor units."""
    return sum(dispute.withdrawn_minor for dispute in payment.disputes)


def left_minor(payment: Payment) -> int:
    """Captured and neither refunded, being refunded nor taken back for disputes, in minor units."""
    captured = sum(attempt.captured_minor for attempt in payment.attempts if attempt.status == "captured")
    return captured - refunded_minor(payment) - disputed_minor(payment)


def payment_object(payment_id: str, payment: Payment, texts: Texts) -> PaymentObject:
    """The payment intent."""
    attempts = payment.attempts
    latest_charge = provider = ""
    capturable = received = 0
    in_doubt = False
    if attempts:
        latest = attempts[-1]
        latest_charge = ids.charge_id(payment_id, len(attempts))
        provider = latest.provider
        in_doubt = latest.doubt != ""
        if latest.status == "authorized":
            capturable = payment.amount_minor - latest.captured_minor
            received = latest.captured_minor
        elif latest.status == "captured":
            received = latest.captured_minor
    return PaymentObject(
        id=payment_id,
        status=payment.status,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        capture_method="manual" if payment.manual else "automatic",
        amount_capturable_minor=capturable,
        amount_received_minor=received,
        amount_refunded_minor=refunded_minor(payment) if payment.refunds else 0,
        payment_method=payment.payment_method,
        customer=payment.customer,
        description=texts.description,
        metadata=texts.metadata,
        personal_key=texts.personal_key,
        personal=texts.personal,
        latest_charge=latest_charge,
        provider=provider,
        outcome_unknown=in_doubt,
        cancellation_reason=payment.cancellation_reason,
        last_error_code=payment.error_code,
        last_error_decline_code=payment.error_decline_code,
        last_error_message=last_error_message(payment.error_code),
        amount_disputed_minor=disputed_minor(payment) if payment.disputes else 0,
        action_url=payment.action_url if payment.status == "requires_action" else "",
        due_ms=payment.due_ms,
        created_ms=payment.created_ms,
        saved_method=payment.saved_method,
        setup_future_usage=payment.setup_future_usage,
    )


def charge_object(
    payment_id: str, payment: Payment, number: int, attempt: Attempt, message: str, *, texts: Texts = NO_TEXTS
) -> ChargeObject:
    """Attempt `number`, with the provider's words where it just failed, and its own texts where it has any."""
    if attempt.status == "captured":
        refunded = refunded_minor(payment) if payment.refunds else 0
    else:
        refunded = attempt.captured_minor if attempt.status == "reversed" else 0
    return ChargeObject(
        id=ids.charge_id(payment_id, number),
        attempt=number,
        provider=attempt.provider,
        status=_CHARGE_STATUS[attempt.status],
        outcome=attempt.outcome,
        amount_minor=payment.amount_minor,
        amount_captured_minor=attempt.captured_minor,
        amount_refunded_minor=refunded,
        currency=payment.currency,
        provider_reference=attempt.reference,
        provider_fee_minor=attempt.fee_minor,
        tenant_fee_minor=attempt.tenant_fee_minor,
        failure_code=attempt.failure_code,
        failure_message=message,
        has_texts=attempt.texts > 0,
        description=texts.description,
        metadata=texts.metadata,
    )


def refund_object(payment_id: str, payment: Payment, refund: Refund, texts: Texts = NO_TEXTS) -> RefundObject:
    """The refund."""
    return RefundObject(
        id=refund.id,
        charge=ids.charge_id(payment_id, refund.attempt),
        amount_minor=refund.amount_minor,
        currency=payment.currency,
        status=refund.status,
        reason=refund.reason,
        provider=payment.attempts[refund.attempt - 1].provider,
        provider_reference=refund.reference,
        failure_reason=refund.failure,
        metadata=texts.metadata,
        created_ms=refund.created_ms,
    )


def dispute_object(
    payment_id: str, payment: Payment, dispute: Dispute, texts: Texts = NO_TEXTS, *, in_event: bool = False
) -> DisputeObject:
    """The dispute. Events leave its evidence out: it is long, and of use to whoever asks for the dispute only."""
    return DisputeObject(
        id=dispute.id,
        charge=ids.charge_id(payment_id, dispute.attempt),
        amount_minor=dispute.amount_minor,
        currency=payment.currency,
        status=dispute.status,
        reason=dispute.reason,
        provider=payment.attempts[dispute.attempt - 1].provider,
        provider_reference=dispute.reference,
        withdrawn_minor=dispute.withdrawn_minor,
        fee_minor=dispute.fee_minor,
        evidence_due_ms=dispute.due_ms,
        evidence_submitted=dispute.submitted,
        outcome_unknown=dispute.doubt != "",
        metadata=texts.metadata,
        evidence={} if in_event else texts.evidence,
        created_ms=dispute.created_ms,
    )
