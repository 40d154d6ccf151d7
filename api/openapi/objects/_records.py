"""The records that the examples are made of. They stand for ever: what is recorded of them is held by a contract test."""

from __future__ import annotations

from schemas.records import BalanceTransaction, ChargeObject, DisputeObject, PaymentObject, RefundObject

DIGITS = "3f0c9b2a7d51e84660a1c2d3"
PAYMENT_ID, CHARGE_ID = f"pi_{DIGITS}", f"ch_{DIGITS}01"
REFUND_ID, DISPUTE_ID = "re_5b1d0e7f2a9c8463b7e0d1f2", "dp_9e8d7c6b5a4f3e2d1c0b9a88"
AT_MS = 1_790_000_000_000
DAY_MS = 86_400_000

SUCCEEDED = PaymentObject(
    id=PAYMENT_ID,
    status="succeeded",
    amount_minor=1_999,
    currency="EUR",
    capture_method="automatic",
    amount_received_minor=1_999,
    payment_method="pm_card_visa",
    description="A chair",
    metadata={"order": "6735"},
    latest_charge=CHARGE_ID,
    provider="alpha",
    created_ms=AT_MS,
)
CHALLENGED = PaymentObject(
    id=PAYMENT_ID,
    status="requires_action",
    amount_minor=1_999,
    currency="EUR",
    capture_method="manual",
    payment_method="pm_card_authenticationRequired",
    latest_charge=CHARGE_ID,
    provider="alpha",
    action_url="https://bank.example/challenges/7c1",
    due_ms=AT_MS + DAY_MS,
    created_ms=AT_MS,
)
DECLINED = PaymentObject(
    id=PAYMENT_ID,
    status="requires_payment_method",
    amount_minor=1_999,
    currency="EUR",
    capture_method="automatic",
    latest_charge=CHARGE_ID,
    provider="alpha",
    last_error_code="card_declined",
    last_error_decline_code="insufficient_funds",
    last_error_message="The card has insufficient funds.",
    created_ms=AT_MS,
)
CHARGED = ChargeObject(
    id=CHARGE_ID,
    attempt=1,
    provider="alpha",
    status="succeeded",
    outcome="captured",
    amount_minor=1_999,
    amount_captured_minor=1_999,
    currency="EUR",
    provider_reference="alpha_77",
    provider_fee_minor=20,
    tenant_fee_minor=53,
)
FAILED = ChargeObject(
    id=CHARGE_ID,
    attempt=1,
    provider="alpha",
    status="failed",
    outcome="declined",
    amount_minor=1_999,
    currency="EUR",
    failure_code="card_declined",
    failure_message="The card has insufficient funds.",
)
REFUNDED = RefundObject(
    id=REFUND_ID,
    charge=CHARGE_ID,
    amount_minor=500,
    currency="EUR",
    status="succeeded",
    reason="requested_by_customer",
    provider="alpha",
    provider_reference="alpha_78",
    created_ms=AT_MS + DAY_MS,
)
DISPUTED = DisputeObject(
    id=DISPUTE_ID,
    charge=CHARGE_ID,
    amount_minor=1_999,
    currency="EUR",
    status="needs_response",
    reason="fraudulent",
    provider="alpha",
    provider_reference="alpha_d1",
    withdrawn_minor=1_999,
    fee_minor=1_500,
    evidence_due_ms=AT_MS + 10 * DAY_MS,
    created_ms=AT_MS + 2 * DAY_MS,
)
EARNED = BalanceTransaction(
    id="txn_c0ffee00c0ffee00c0ffee00",
    type="charge",
    gross_minor=1_999,
    fee_minor=53,
    net_minor=1_946,
    currency="EUR",
    source=CHARGE_ID,
    available_on_ms=AT_MS + 2 * DAY_MS,
)
