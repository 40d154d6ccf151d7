"""Our records as Stripe's JSON: the fields that its published schema requires, and those that SDKs' users read."""

from __future__ import annotations

from typing import Any

from schemas.ids import payment_of_charge
from schemas.records import ChargeObject, DisputeObject, PaymentObject, RefundObject

_CARD_TYPES = ["card"]
_ERROR_TYPES = {
    "card_declined": "card_error",
    "processing_error": "card_error",
    "capture_failed": "card_error",
    "void_failed": "card_error",
    "increment_failed": "card_error",
    "no_route": "api_error",
}
_REFUND_FAILURES = (
    "charge_for_pending_refund_disputed",
    "declined",
    "expired_or_canceled_card",
    "insufficient_funds",
    "lost_or_stolen_card",
    "merchant_request",
    "unknown",
)
_DISPUTE_REASONS = (
    "bank_cannot_process",
    "check_returned",
    "credit_not_processed",
    "customer_initiated",
    "debit_not_authorized",
    "duplicate",
    "fraudulent",
    "general",
    "incorrect_account_details",
    "insufficient_funds",
    "noncompliant",
    "product_not_received",
    "product_unacceptable",
    "subscription_canceled",
    "unrecognized",
)


def _seconds(ms: int) -> int:
    return ms // 1000


def payment_intent(payment: PaymentObject, *, livemode: bool) -> dict[str, Any]:
    """A payment intent. What Stripe has no field for stands under `clearline`."""
    return {
        "id": payment.id,
        "object": "payment_intent",
        "allowed_payment_method_types": _CARD_TYPES,
        "amount": payment.amount_minor,
        "amount_capturable": payment.amount_capturable_minor,
        "amount_details": {"tip": {}},
        "amount_received": payment.amount_received_minor,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": payment.cancellation_reason or None,
        "capture_method": "manual" if payment.capture_method == "manual" else "automatic",
        "client_secret": None,
        "confirmation_method": "automatic",
        "created": _seconds(payment.created_ms),
        "currency": payment.currency.lower(),
        "customer": payment.customer or None,
        "description": payment.description or None,
        "last_payment_error": _last_error(payment),
        "latest_charge": payment.latest_charge or None,
        "livemode": livemode,
        "metadata": dict(payment.metadata),
        "next_action": _next_action(payment),
        "on_behalf_of": None,
        "payment_method": payment.saved_method or payment.payment_method or None,
        "payment_method_options": {},
        "payment_method_types": _CARD_TYPES,
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": payment.setup_future_usage or None,
        "shipping": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": payment.status,
        "transfer_data": None,
        "transfer_group": None,
        "clearline": {
            "amount_disputed": payment.amount_disputed_minor,
            "amount_refunded": payment.amount_refunded_minor,
            "due": _seconds(payment.due_ms) or None,
            "outcome_unknown": payment.outcome_unknown,
            "provider": payment.provider or None,
        },
    }


def _last_error(payment: PaymentObject) -> dict[str, Any] | None:
    if not payment.last_error_code:
        return None
    error: dict[str, Any] = {
        "type": _ERROR_TYPES.get(payment.last_error_code, "invalid_request_error"),
        "code": payment.last_error_code,
        "message": payment.last_error_message,
    }
    if payment.last_error_decline_code:
        error["decline_code"] = payment.last_error_decline_code
    if payment.latest_charge:
        error["charge"] = payment.latest_charge
    return error


def _next_action(payment: PaymentObject) -> dict[str, Any] | None:
    if payment.status != "requires_action" or not payment.action_url:
        return None
    return {"type": "redirect_to_url", "redirect_to_url": {"url": payment.action_url, "return_url": None}}


def refund(refund: RefundObject, *, payment_id: str = "", created_ms: int = 0) -> dict[str, Any]:
    """A refund. `created_ms`: when it began, of one of before that was kept in it; 0 where that is not known."""
    failure = refund.failure_reason
    return {
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount_minor,
        "balance_transaction": None,
        "charge": refund.charge or None,
        "created": _seconds(refund.created_ms or created_ms) or None,
        "currency": refund.currency.lower(),
        "failure_reason": failure if failure in _REFUND_FAILURES or not failure else "unknown",
        "metadata": dict(refund.metadata),
        "payment_intent": payment_id or payment_of_charge(refund.charge) or None,
        "reason": refund.reason or None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": refund.status,
        "transfer_reversal": None,
        "clearline": {"provider": refund.provider or None, "provider_reference": refund.provider_reference or None},
    }


def charge(charge: ChargeObject, payment: PaymentObject, *, livemode: bool) -> dict[str, Any]:
    """One attempt at a provider."""
    captured = charge.amount_captured_minor > 0
    failure = charge.failure_code or None
    return {
        "id": charge.id,
        "object": "charge",
        "amount": charge.amount_minor,
        "amount_captured": charge.amount_captured_minor,
        "amount_refunded": charge.amount_refunded_minor,
        "balance_transaction": None,
        "billing_details": {"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
        "captured": captured,
        "created": _seconds(payment.created_ms),
        "currency": charge.currency.lower(),
        "customer": payment.customer or None,
        "description": (charge if charge.has_texts else payment).description or None,
        "disputed": payment.amount_disputed_minor > 0,
        "failure_code": failure,
        "failure_message": charge.failure_message or None,
        "livemode": livemode,
        "metadata": dict((charge if charge.has_texts else payment).metadata),
        "paid": charge.status == "succeeded",
        "payment_intent": payment.id,
        "payment_method": payment.saved_method or payment.payment_method or None,
        "payment_method_details": None,
        "refunded": captured and charge.amount_refunded_minor >= charge.amount_captured_minor,
        "status": charge.status,
        "clearline": {"attempt": charge.attempt, "outcome": charge.outcome, "provider": charge.provider or None},
    }


def dispute(dispute: DisputeObject, *, payment_id: str, livemode: bool, created_ms: int = 0) -> dict[str, Any]:
    """A dispute. `created_ms`: when we heard of it, of one of before that was kept in it; 0 where that is not known."""
    reason = dispute.reason
    return {
        "id": dispute.id,
        "object": "dispute",
        "amount": dispute.amount_minor,
        "balance_transactions": [],
        "charge": dispute.charge,
        "created": _seconds(dispute.created_ms or created_ms) or None,
        "currency": dispute.currency.lower(),
        "enhanced_eligibility_types": [],
        "evidence": {"enhanced_evidence": {}, **dispute.evidence},
        "evidence_details": {
            "due_by": _seconds(dispute.evidence_due_ms) or None,
            "enhanced_eligibility": {},
            "has_evidence": dispute.evidence_submitted or bool(dispute.evidence),
            "past_due": False,
            "submission_count": 1 if dispute.evidence_submitted else 0,
        },
        "is_charge_refundable": dispute.status in ("warning_needs_response", "warning_under_review"),
        "livemode": livemode,
        "metadata": dict(dispute.metadata),
        "payment_intent": payment_id,
        "reason": reason if reason in _DISPUTE_REASONS else "general",
        "status": dispute.status,
        "clearline": {
            "fee": dispute.fee_minor,
            "outcome_unknown": dispute.outcome_unknown,
            "provider": dispute.provider or None,
            "reason": reason or None,
            "withdrawn": dispute.withdrawn_minor,
        },
    }


def event(
    event_id: str,
    kind: str,
    *,
    about: dict[str, Any],
    at_ms: int,
    status_before: str = "",
    api_version: str,
    livemode: bool,
    pending_webhooks: int = 0,
    request: str = "",
    idempotency_key: str = "",
    payment_id: str | None = None,
    sequence: int,
    previous: str = "",
) -> dict[str, Any]:
    """
    An event, the same wherever it is told.

    With its object as it was after it, and under `clearline` where it stands in the history of what it is about.
    `status_before` is empty where the object's status did not change by it.
    """
    data: dict[str, Any] = {"object": about}
    if status_before:
        data["previous_attributes"] = {"status": status_before}
    return {
        "id": event_id,
        "object": "event",
        "api_version": api_version or None,
        "created": _seconds(at_ms),
        "data": data,
        "livemode": livemode,
        "pending_webhooks": pending_webhooks,
        "request": {"id": request or None, "idempotency_key": idempotency_key or None},
        "type": kind,
        "clearline": {"payment_intent": payment_id, "previous_event": previous or None, "sequence": sequence},
    }


def status_before(kind: str, before: str, after: str) -> str:
    """What an event of a payment says that its status was; empty: that it did not change, or is not what the event is about."""
    return before if kind.startswith("payment_intent.") and before not in (after, "unrecognized") else ""
