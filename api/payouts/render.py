"""Payouts as Stripe's JSON; settlement windows and reconciliations in the same style."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.ids import digest
from schemas.records import PayoutObject

FAILURES = (
    "account_closed",
    "account_frozen",
    "bank_account_restricted",
    "bank_ownership_changed",
    "could_not_process",
    "debit_not_authorized",
    "declined",
    "incorrect_account_holder_address",
    "incorrect_account_holder_name",
    "incorrect_account_holder_tax_id",
    "incorrect_account_type",
    "insufficient_funds",
    "invalid_account_number",
    "invalid_account_number_length",
    "invalid_currency",
    "no_account",
    "unsupported_card",
)
"""Stripe's words; any other of a provider's is could_not_process, and stands under `clearline` as it came."""

_OF_KINDS = {
    "dispute": "disputes",
    "dispute_reversal": "disputes",
    "reserve": "reserve",
    "reserve_release": "reserve",
    "adjustment": "adjustments",
}
"""What of a window's other movements is counted where."""


def _seconds(ms: int) -> int:
    return ms // 1000


def payout(one: PayoutObject, *, transaction: str = "", returned: str = "", livemode: bool) -> dict[str, Any]:
    """A payout. `transaction` took its amount off the balance, `returned` gave it back; empty where that is not known."""
    code = one.failure_code
    return {
        "id": one.id,
        "object": "payout",
        "amount": one.amount_minor,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": _seconds(one.paid_ms or one.due_ms),
        "automatic": one.automatic,
        "balance_transaction": transaction or None,
        "created": _seconds(one.created_ms),
        "currency": one.currency.lower(),
        "description": one.description or None,
        "destination": one.destination or None,
        "failure_balance_transaction": returned or None,
        "failure_code": (code if code in FAILURES else "could_not_process") if code else None,
        "failure_message": one.failure_message or None,
        "livemode": livemode,
        "metadata": dict(one.metadata),
        "method": "standard",
        "original_payout": None,
        "payout_method": None,
        "reconciliation_status": "not_applicable",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": None,
        "status": one.status,
        "trace_id": None,
        "type": "bank_account",
        "clearline": {
            "failure_code": code or None,
            "outcome_unknown": one.outcome_unknown,
            "provider": one.provider,
            "provider_reference": one.provider_reference or None,
            "settlement_window": one.window_id or None,
            "submitted_at": _seconds(one.due_ms),
        },
    }


def settlement_window(
    row: Mapping[str, Any], *, moved: Mapping[str, int], payout_id: str, livemode: bool
) -> dict[str, Any]:
    """A settlement window. `moved`: sums of its movements by kind."""
    parts = {"adjustments": 0, "disputes": 0, "reserve": 0}
    for kind, amount_minor in moved.items():
        if kind in _OF_KINDS:
            parts[_OF_KINDS[kind]] += amount_minor
    return {
        "id": row["object_id"],
        "object": "settlement_window",
        "adjustments": parts["adjustments"],
        "closed_at": _seconds(row["closed_ms"]) or None,
        "closes_at": _seconds(row["closes_ms"]),
        "created": _seconds(row["at"]),
        "currency": row["currency"].lower(),
        "disputes": parts["disputes"],
        "fees": -row["fees_minor"],
        "gross": row["captured_minor"],
        "late_movements": row["late_movements"],
        "livemode": livemode,
        "movements": row["movements"],
        "net": row["net_minor"],
        "opens_at": _seconds(row["at"]),
        "payout": payout_id or None,
        "provider": row["provider"],
        "refunds": -row["refunded_minor"],
        "reserve": parts["reserve"],
        "status": row["status"],
    }


def reconciliation(row: Mapping[str, Any], *, tenant: str, now_ms: int, livemode: bool) -> dict[str, Any]:
    """One comparison of two books; `remainder` is what no record explains."""
    of = f"rec/{tenant}/{row['kind']}/{row['provider']}/{row['currency']}"
    remainder = row["expected"] - row["found"]
    return {
        "id": f"rec_{digest(of)}",
        "object": "reconciliation",
        "created": _seconds(now_ms),
        "currency": row["currency"].lower(),
        "expected": row["expected"],
        "found": row["found"],
        "kind": row["kind"],
        "livemode": livemode,
        "provider": row["provider"],
        "records": row["records"],
        "remainder": remainder,
        "status": "open" if remainder or row["faults"] else "matched",
    }
