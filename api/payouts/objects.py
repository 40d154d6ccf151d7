"""What payouts, settlement windows and reconciliations look like, with examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.openapi.schema import (
    BOOLEAN,
    CURRENCY,
    INTEGER,
    MINOR,
    NULL,
    SECONDS,
    TEXT,
    TEXT_MAP,
    Described,
    closed,
    expandable,
    nullable,
    of_object,
    one_of,
    ref,
)
from api.payouts import held, render
from api.payouts.payouts import STATUSES
from api.payouts.windows import KINDS
from schemas.records import PayoutObject

_AT_MS = 1_790_000_000_000

PAYOUT = of_object(
    "payout",
    {
        "amount": MINOR,
        "application_fee": NULL,
        "application_fee_amount": NULL,
        "arrival_date": SECONDS,
        "automatic": BOOLEAN,
        "balance_transaction": nullable(expandable("balance_transaction")),
        "created": SECONDS,
        "currency": CURRENCY,
        "description": nullable(TEXT),
        "destination": nullable(TEXT),
        "failure_balance_transaction": nullable(expandable("balance_transaction")),
        "failure_code": nullable(one_of(*render.FAILURES)),
        "failure_message": nullable(TEXT),
        "livemode": BOOLEAN,
        "metadata": TEXT_MAP,
        "method": one_of("standard"),
        "original_payout": NULL,
        "payout_method": NULL,
        "reconciliation_status": one_of("not_applicable"),
        "reversed_by": NULL,
        "source_type": one_of("card"),
        "statement_descriptor": NULL,
        "status": one_of(*STATUSES),
        "trace_id": NULL,
        "type": one_of("bank_account"),
        "clearline": closed(
            {
                "failure_code": nullable(TEXT),
                "outcome_unknown": BOOLEAN,
                "provider": TEXT,
                "provider_reference": nullable(TEXT),
                "settlement_window": nullable(TEXT),
                "submitted_at": SECONDS,
            }
        ),
    },
)
SETTLEMENT_WINDOW = of_object(
    "settlement_window",
    {
        "adjustments": MINOR,
        "closed_at": nullable(SECONDS),
        "closes_at": SECONDS,
        "created": SECONDS,
        "currency": CURRENCY,
        "disputes": MINOR,
        "fees": MINOR,
        "gross": MINOR,
        "late_movements": INTEGER,
        "livemode": BOOLEAN,
        "movements": INTEGER,
        "net": MINOR,
        "opens_at": SECONDS,
        "payout": nullable(TEXT),
        "provider": TEXT,
        "refunds": MINOR,
        "reserve": MINOR,
        "status": one_of("open", "closed"),
    },
)
RECONCILIATION = of_object(
    "reconciliation",
    {
        "created": SECONDS,
        "currency": CURRENCY,
        "expected": MINOR,
        "found": MINOR,
        "kind": one_of(*KINDS),
        "livemode": BOOLEAN,
        "provider": TEXT,
        "records": INTEGER,
        "remainder": MINOR,
        "status": one_of("matched", "open"),
    },
)
_DOUBT = {
    "contradicted_by": nullable(TEXT),
    "doubt": nullable(one_of("unknown", "held")),
    "livemode": BOOLEAN,
    "payout": ref("payout"),
}
HELD_PAYOUT = of_object(
    "held_payout",
    {
        **_DOUBT,
        "proposal": nullable(
            closed(
                {
                    "id": TEXT,
                    "proposed_by": TEXT,
                    "reason": TEXT,
                    "reference": nullable(TEXT),
                    "resolution": one_of(*held.RESOLUTIONS),
                }
            )
        ),
        "since": SECONDS,
    },
)
PAYOUT_OPERATION = of_object(
    "payout_operation",
    {**_DOUBT, "kind": one_of("inquire", "propose", "approve"), "proposal": nullable(TEXT)},
)


def _payouts() -> Mapping[str, dict[str, Any]]:
    paid = PayoutObject(
        id="po_0a1b2c3d4e5f60718293a4b5",
        amount_minor=125_000,
        currency="EUR",
        provider="northpay",
        status="paid",
        description="Week 38",
        metadata={"run": "38"},
        provider_reference="northpay_po_5c1f",
        created_ms=_AT_MS,
        due_ms=_AT_MS,
        paid_ms=_AT_MS + 2_000,
    )
    return {"paid": render.payout(paid, transaction="txn_0a1b2c3d4e5f60718293a4b500", livemode=False)}


_UNSURE = PayoutObject(
    id="po_0a1b2c3d4e5f60718293a4b5",
    amount_minor=125_000,
    currency="EUR",
    provider="northpay",
    status="in_transit",
    outcome_unknown=True,
    doubt="held",
    conflict="paid",
    created_ms=_AT_MS,
    due_ms=_AT_MS,
)
_PROPOSAL = "prop_0b1c2d3e4f5a6b7c8d9e0f1a"


def _held() -> Mapping[str, dict[str, Any]]:
    one = _UNSURE
    row = {
        **{name: getattr(one, name) for name in one.__struct_fields__ if name not in ("id", "created_ms")},
        "object_id": one.id,
        "at": one.created_ms,
        "since_ms": _AT_MS + 60_000,
        "proposal_id": _PROPOSAL,
        "proposal_resolution": "paid",
        "proposal_reference": "northpay_po_5c1f",
        "proposal_reason": "On the bank's statement of the 23rd",
        "proposed_by": "op_1be09fd2a4c6803357de4410",
    }
    return {"held": held.held_payout(row, livemode=False)}


def _operations() -> Mapping[str, dict[str, Any]]:
    said = held.operation(_UNSURE, kind="propose", request="req_1", proposal=_PROPOSAL, livemode=False)
    return {"proposed": said}


def _windows() -> Mapping[str, dict[str, Any]]:
    row = {
        "object_id": "sw_0a1b2c3d4e5f60718293a4b5",
        "at": _AT_MS,
        "provider": "northpay",
        "currency": "EUR",
        "status": "closed",
        "closes_ms": _AT_MS + 86_400_000,
        "closed_ms": _AT_MS + 86_405_000,
        "movements": 12,
        "captured_minor": 140_000,
        "refunded_minor": 10_000,
        "fees_minor": 2_500,
        "net_minor": 125_500,
        "late_movements": 0,
    }
    moved = {"capture": 140_000, "refund": -10_000, "fee": -2_500, "reserve": -2_000}
    return {"closed": render.settlement_window(row, moved=moved, payout_id="", livemode=False)}


def _reconciliations() -> Mapping[str, dict[str, Any]]:
    row = {
        "kind": "payments_to_windows",
        "provider": "northpay",
        "currency": "EUR",
        "expected": 130_000,
        "found": 130_000,
        "records": 12,
        "faults": 0,
    }
    return {"matched": render.reconciliation(row, tenant="acme", now_ms=_AT_MS, livemode=False)}


OBJECTS: tuple[Described, ...] = (
    Described(
        name="payout",
        summary="Settled money on its way from a provider to the tenant.",
        schema=PAYOUT,
        examples=_payouts,
    ),
    Described(
        name="held_payout",
        summary="A payout that nobody can be sure of: in doubt, held, or contradicted by its provider.",
        schema=HELD_PAYOUT,
        examples=_held,
    ),
    Described(
        name="payout_operation",
        summary="What a person asked for about a payout, and how the payout stands after it.",
        schema=PAYOUT_OPERATION,
        examples=_operations,
    ),
    Described(
        name="settlement_window",
        summary="A business day's movements at one provider in one currency, and what they come to.",
        schema=SETTLEMENT_WINDOW,
        examples=_windows,
    ),
    Described(
        name="reconciliation",
        summary="Two books held against each other, and what is left unexplained.",
        schema=RECONCILIATION,
        examples=_reconciliations,
    ),
)
