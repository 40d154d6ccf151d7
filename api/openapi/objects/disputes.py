"""Disputes."""

from __future__ import annotations

from typing import Any

from api.http import render
from api.openapi.objects import _records as records
from api.openapi.schema import (
    BOOLEAN,
    CURRENCY,
    INTEGER,
    MINOR,
    SECONDS,
    TEXT,
    TEXT_MAP,
    Described,
    array,
    closed,
    expandable,
    nullable,
    of_object,
    one_of,
)

_REASONS = (
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

DISPUTE = of_object(
    "dispute",
    {
        "amount": MINOR,
        "balance_transactions": array({"$ref": "#/components/schemas/balance_transaction"}),
        "charge": expandable("charge"),
        "created": SECONDS,
        "currency": CURRENCY,
        "enhanced_eligibility_types": array(TEXT),
        "evidence": {"type": "object"},
        "evidence_details": closed(
            {
                "due_by": nullable(SECONDS),
                "enhanced_eligibility": closed({}),
                "has_evidence": BOOLEAN,
                "past_due": BOOLEAN,
                "submission_count": INTEGER,
            }
        ),
        "is_charge_refundable": BOOLEAN,
        "livemode": BOOLEAN,
        "metadata": TEXT_MAP,
        "payment_intent": expandable("payment_intent"),
        "reason": one_of(*_REASONS),
        "status": one_of(
            "warning_needs_response",
            "warning_under_review",
            "warning_closed",
            "needs_response",
            "under_review",
            "won",
            "lost",
            "prevented",
        ),
        "clearline": closed(
            {
                "fee": MINOR,
                "outcome_unknown": BOOLEAN,
                "provider": nullable(TEXT),
                "reason": nullable(TEXT),
                "withdrawn": MINOR,
            }
        ),
    },
)


def _examples() -> dict[str, dict[str, Any]]:
    return {"needs_response": render.dispute(records.DISPUTED, payment_id=records.PAYMENT_ID, livemode=False)}


OBJECTS = (
    Described(
        name="dispute",
        summary="A customer's bank takes a charge back, or asks about it.",
        schema=DISPUTE,
        examples=_examples,
    ),
)
