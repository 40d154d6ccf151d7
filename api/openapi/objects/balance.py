"""Balance, its transactions, and events."""

from __future__ import annotations

from typing import Any

from api.http import render as shown
from api.openapi.objects import _records as records
from api.openapi.schema import (
    BOOLEAN,
    CURRENCY,
    INTEGER,
    MINOR,
    NULL,
    SECONDS,
    TEXT,
    Described,
    array,
    closed,
    expandable,
    nullable,
    of_object,
    one_of,
)
from api.reads import render

_AMOUNTS = array(closed({"amount": MINOR, "currency": CURRENCY}))

BALANCE = closed(
    {
        "object": one_of("balance"),
        "available": _AMOUNTS,
        "livemode": BOOLEAN,
        "pending": _AMOUNTS,
    }
)

BALANCE_TRANSACTION = of_object(
    "balance_transaction",
    {
        "amount": MINOR,
        "available_on": SECONDS,
        "balance_type": one_of("payments"),
        "created": SECONDS,
        "currency": CURRENCY,
        "description": nullable(TEXT),
        "exchange_rate": nullable({"type": "number"}),
        "fee": MINOR,
        "fee_details": array(
            closed(
                {
                    "amount": MINOR,
                    "application": NULL,
                    "currency": CURRENCY,
                    "description": nullable(TEXT),
                    "type": one_of("stripe_fee"),
                }
            )
        ),
        "net": MINOR,
        "reporting_category": TEXT,
        "source": nullable(expandable("charge", "refund", "dispute")),
        "status": one_of("available", "pending"),
        "type": TEXT,
        "clearline": closed({"type": TEXT}),
    },
)

EVENT = of_object(
    "event",
    {
        "api_version": nullable(TEXT),
        "created": SECONDS,
        "data": closed(
            {"object": {"type": "object", "required": ["object"]}},
            optional={"previous_attributes": closed({"status": TEXT})},
        ),
        "livemode": BOOLEAN,
        "pending_webhooks": INTEGER,
        "request": nullable(closed({"id": nullable(TEXT), "idempotency_key": nullable(TEXT)})),
        "type": TEXT,
        "clearline": closed({"payment_intent": nullable(TEXT), "previous_event": nullable(TEXT), "sequence": INTEGER}),
    },
)


def _balances() -> dict[str, dict[str, Any]]:
    rows = [{"currency": "EUR", "available_minor": 1_946, "pending_minor": 500}]
    return {"one_currency": render.balance(rows, livemode=False)}


def _transactions() -> dict[str, dict[str, Any]]:
    at_ms = records.AT_MS
    return {"charge": render.balance_transaction(records.EARNED, created_ms=at_ms, now_ms=at_ms)}


def _events() -> dict[str, dict[str, Any]]:
    return {
        "payment_intent.succeeded": {
            "id": "evt_0a1b2c3d4e5f60718293a4b5",
            "object": "event",
            "api_version": None,
            "created": records.AT_MS // 1000,
            "data": {"object": shown.payment_intent(records.SUCCEEDED, livemode=False)},
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": "req_5a4b3c2d1e0f5a4b3c2d", "idempotency_key": "order-6735"},
            "type": "payment_intent.succeeded",
            "clearline": {
                "payment_intent": records.PAYMENT_ID,
                "previous_event": "evt_5b4a39281706f5e4d3c2b1a0",
                "sequence": 3,
            },
        }
    }


OBJECTS = (
    Described(name="balance", summary="What was earned and not yet paid out.", schema=BALANCE, examples=_balances),
    Described(
        name="balance_transaction",
        summary="One change of the balance.",
        schema=BALANCE_TRANSACTION,
        examples=_transactions,
    ),
    Described(
        name="event",
        summary="One step of a payment, a payout, a customer, a payment method or a setup intent, with its object after it.",
        schema=EVENT,
        examples=_events,
    ),
)
