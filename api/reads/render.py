"""What only reads show, as Stripe's JSON: balance, balance transactions, events, lists; beside `api.http.render`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.customers import render as saved
from api.customers import rows
from api.http import render
from api.payouts import render as payouts
from api.reads import _rows
from schemas.records import BalanceTransaction

_TYPES = {
    "charge": "charge",
    "refund": "refund",
    "refund_failure": "refund_failure",
    "fee": "stripe_fee",
    "fee_return": "stripe_fee",
    "reserve": "reserve_transaction",
    "reserve_release": "reserve_transaction",
    "payout": "payout",
    "payout_cancel": "payout_cancel",
    "payout_failure": "payout_failure",
}
"""Stripe's words for ours; the others are adjustments to Stripe. Ours stands under `clearline`."""
_CATEGORIES = {
    "charge": "charge",
    "refund": "refund",
    "refund_failure": "refund_failure",
    "dispute": "dispute",
    "dispute_reversal": "dispute_reversal",
    "fee": "fee",
    "fee_return": "fee",
    "payout": "payout",
    "payout_cancel": "payout_reversal",
    "payout_failure": "payout_reversal",
}


def listed(url: str, data: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """A page."""
    return {"object": "list", "url": url, "has_more": has_more, "data": data}


def of_payment_row(row: Mapping[str, Any], *, livemode: bool) -> dict[str, Any]:
    """The payment after an event."""
    return render.payment_intent(_rows.payment(dict(row)), livemode=livemode)


def balance(rows: Sequence[Mapping[str, Any]], *, livemode: bool) -> dict[str, Any]:
    """What a tenant earned by payments, per currency."""

    def amounts(name: str) -> list[dict[str, Any]]:
        return [{"amount": row[name], "currency": row["currency"].lower()} for row in rows]

    return {
        "object": "balance",
        "available": amounts("available_minor"),
        "livemode": livemode,
        "pending": amounts("pending_minor"),
    }


def balance_transaction(one: BalanceTransaction, *, created_ms: int, now_ms: int) -> dict[str, Any]:
    """One change of the balance."""
    return {
        "id": one.id,
        "object": "balance_transaction",
        "amount": one.gross_minor,
        "available_on": one.available_on_ms // 1000,
        "balance_type": "payments",
        "created": created_ms // 1000,
        "currency": one.currency.lower(),
        "description": None,
        # Stripe's is a JSON number. It is for show: amounts are never computed from it.
        "exchange_rate": float(one.exchange_rate) if one.exchange_rate else None,
        "fee": one.fee_minor,
        "fee_details": [
            {
                "amount": one.fee_minor,
                "application": None,
                "currency": one.currency.lower(),
                "description": None,
                "type": "stripe_fee",
            }
        ]
        if one.fee_minor
        else [],
        "net": one.net_minor,
        "reporting_category": _CATEGORIES.get(one.type, "other_adjustment"),
        "source": one.source or None,
        "status": "available" if one.available_on_ms <= now_ms else "pending",
        "type": _TYPES.get(one.type, "adjustment"),
        "clearline": {"type": one.type},
    }


def event(row: dict[str, Any], *, livemode: bool, api_version: str) -> dict[str, Any]:
    """An event with its object as it was after it; `found_id` and `found_type` of the row are what it was told as."""
    event_id, kind = row["found_id"], row["found_type"]
    payment_id = row.get("payment_id")
    return render.event(
        event_id,
        kind,
        about=object_of({**row, "type": kind}, livemode=livemode),
        at_ms=row["occurred_ms"],
        status_before=render.status_before(kind, row["from_status"], row["to_status"]) if payment_id else "",
        api_version=api_version,
        livemode=livemode,
        request=row["request_id"],
        idempotency_key=row["idempotency_key"],
        payment_id=payment_id,
        sequence=row["sequence"],
        previous=row["previous_event_id"] if event_id == row["event_id"] else row["event_id"],
    )


def object_of(row: dict[str, Any], *, livemode: bool) -> dict[str, Any]:
    """What an event is about. A customer's personal fields are null in it, as in what webhooks tell."""
    if "payout_id" in row:
        return payouts.payout(_rows.payout(row), livemode=livemode)
    match row.get("object", "payment"):
        case "customer":
            return saved.customer(rows.customer(row), {}, livemode=livemode)
        case "payment_method":
            return saved.payment_method(rows.method(row), livemode=livemode)
        case "setup_intent":
            return saved.setup_intent(rows.setup(row), livemode=livemode)
    kind = _rows.about(row)
    if kind == "charge":
        return render.charge(_rows.charge(row), _rows.payment(row), livemode=livemode)
    if kind == "refund":
        return render.refund(_rows.refund(row), payment_id=row["payment_id"], created_ms=row.get("made_ms", 0))
    if kind == "dispute":
        dispute = _rows.dispute(row)
        return render.dispute(
            dispute, payment_id=row["payment_id"], livemode=livemode, created_ms=row.get("made_ms", 0)
        )
    return of_payment_row(row, livemode=livemode)
