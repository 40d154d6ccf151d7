"""Rows of the warehouse back into the objects that events carry."""

from __future__ import annotations

from typing import Any, Literal, cast

import msgspec

from schemas.records import (
    BalanceTransaction,
    ChargeObject,
    DisputeObject,
    PaymentObject,
    PayoutObject,
    RefundObject,
)

Row = dict[str, Any]


def _columns(kind: type[msgspec.Struct], *, prefix: str = "", but: str) -> tuple[tuple[str, str], ...]:
    """The fields of a record that have columns, with those; `but`: those that have none, or one of another name."""
    return tuple((field, prefix + field) for field in kind.__struct_fields__ if field not in but.split())


_PAYMENT = _columns(PaymentObject, but="id status personal_key personal")
_CHARGE = _columns(ChargeObject, prefix="charge_", but="currency")
_REFUND = _columns(RefundObject, prefix="refund_", but="currency created_ms")
_DISPUTE = _columns(DisputeObject, prefix="dispute_", but="currency evidence created_ms")
_CHANGE = _columns(BalanceTransaction, but="id")


def payment(row: Row) -> PaymentObject:
    """The payment after a row of payment_events."""
    return PaymentObject(id=row["payment_id"], status=row["to_status"], **_taken(row, _PAYMENT))


def charge(row: Row) -> ChargeObject:
    """The charge that a row of payment_events is about."""
    return ChargeObject(currency=row["currency"], **_taken(row, _CHARGE))


def refund(row: Row) -> RefundObject:
    """The refund that a row of payment_events is about."""
    return RefundObject(currency=row["currency"], **_taken(row, _REFUND))


def dispute(row: Row) -> DisputeObject:
    """The dispute that a row of payment_events is about."""
    return DisputeObject(currency=row["currency"], **_taken(row, _DISPUTE))


def balance_transaction(row: Row) -> BalanceTransaction:
    """A row of balance_transactions."""
    return BalanceTransaction(id=row["transaction_id"], **_taken(row, _CHANGE))


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


def _taken(row: Row, columns: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    return {field: row[column] for field, column in columns}
