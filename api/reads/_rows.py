"""Rows of the warehouse back into the objects that events carry."""

from __future__ import annotations

from typing import Any, Literal, cast

from schemas.records import (
    BalanceTransaction,
    ChargeObject,
    DisputeObject,
    PaymentObject,
    PayoutObject,
    RefundObject,
)

Row = dict[str, Any]


def payment(row: Row) -> PaymentObject:
    """The payment after a row of payment_events."""
    return PaymentObject(
        id=row["payment_id"],
        status=row["to_status"],
        capture_method=row["capture_method"],
        metadata=row["metadata"],
        **{
            name: row[name]
            for name in (
                "amount_minor",
                "currency",
                "amount_capturable_minor",
                "amount_received_minor",
                "amount_refunded_minor",
                "payment_method",
                "customer",
                "description",
                "latest_charge",
                "provider",
                "outcome_unknown",
                "cancellation_reason",
                "last_error_code",
                "last_error_decline_code",
                "last_error_message",
                "amount_disputed_minor",
                "action_url",
                "due_ms",
                "created_ms",
                "saved_method",
                "setup_future_usage",
            )
        },
    )


def charge(row: Row) -> ChargeObject:
    """The charge that a row of payment_events is about."""
    return ChargeObject(
        id=row["charge_id"],
        currency=row["currency"],
        **_part(
            row,
            "charge",
            "attempt",
            "provider",
            "status",
            "outcome",
            "amount_minor",
            "amount_captured_minor",
            "amount_refunded_minor",
            "provider_reference",
            "provider_fee_minor",
            "tenant_fee_minor",
            "failure_code",
            "failure_message",
            "has_texts",
            "description",
            "metadata",
        ),
    )


def refund(row: Row) -> RefundObject:
    """The refund that a row of payment_events is about."""
    return RefundObject(
        id=row["refund_id"],
        currency=row["currency"],
        **_part(
            row,
            "refund",
            "charge",
            "amount_minor",
            "status",
            "reason",
            "provider",
            "provider_reference",
            "failure_reason",
            "metadata",
        ),
    )


def dispute(row: Row) -> DisputeObject:
    """The dispute that a row of payment_events is about."""
    return DisputeObject(
        id=row["dispute_id"],
        currency=row["currency"],
        **_part(
            row,
            "dispute",
            "charge",
            "amount_minor",
            "status",
            "reason",
            "provider",
            "provider_reference",
            "withdrawn_minor",
            "fee_minor",
            "evidence_due_ms",
            "evidence_submitted",
            "metadata",
            "outcome_unknown",
        ),
    )


def balance_transaction(row: Row) -> BalanceTransaction:
    """A row of balance_transactions."""
    names = ("type", "gross_minor", "fee_minor", "net_minor", "currency", "source", "available_on_ms", "exchange_rate")
    return BalanceTransaction(id=row["transaction_id"], **{name: row[name] for name in names})


def payout(row: Row) -> PayoutObject:
    """The payout after a row of payout_events."""
    names = set(PayoutObject.__struct_fields__) & row.keys()
    return PayoutObject(id=row["payout_id"], status=row["to_status"], **{name: row[name] for name in names})


About = Literal["payment_intent", "charge", "refund", "dispute"]


def about(row: Row) -> About:
    """What an event's object is, by its type: what it names first, so far as it carries that."""
    kind = row["type"]
    if kind.startswith("charge.dispute.") and row["dispute_id"]:
        return "dispute"
    head = kind.partition(".")[0]
    if head in ("charge", "refund", "dispute") and row[f"{head}_id"]:
        return cast("About", head)
    return "payment_intent"


def _part(row: Row, prefix: str, *names: str) -> dict[str, Any]:
    return {name: row[f"{prefix}_{name}"] for name in names}
