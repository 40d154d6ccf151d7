"""Refunds."""

from __future__ import annotations

from typing import Any

from api.http import render
from api.openapi.objects import _records as records
from api.openapi.schema import (
    CURRENCY,
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
)

REFUND = of_object(
    "refund",
    {
        "amount": MINOR,
        "balance_transaction": nullable(expandable("balance_transaction")),
        "charge": nullable(expandable("charge")),
        "created": SECONDS,
        "currency": CURRENCY,
        "metadata": TEXT_MAP,
        "payment_intent": nullable(expandable("payment_intent")),
        "reason": nullable(one_of("duplicate", "fraudulent", "requested_by_customer")),
        "receipt_number": NULL,
        "source_transfer_reversal": NULL,
        "status": one_of("pending", "requires_action", "succeeded", "failed", "canceled"),
        "transfer_reversal": NULL,
        "clearline": closed({"provider": nullable(TEXT), "provider_reference": nullable(TEXT)}),
    },
    optional={"failure_reason": TEXT},
)


def _examples() -> dict[str, dict[str, Any]]:
    return {"succeeded": render.refund(records.REFUNDED, payment_id=records.PAYMENT_ID)}


OBJECTS = (Described(name="refund", summary="Money given back to a customer.", schema=REFUND, examples=_examples),)
