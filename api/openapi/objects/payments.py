"""Payment intents and charges."""

from __future__ import annotations

from typing import Any

from api.http import render
from api.openapi.objects import _records as records
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
    any_of,
    array,
    browsers_name,
    closed,
    expandable,
    nullable,
    of_object,
    one_of,
    ref,
)

ERROR_TYPES = ("api_error", "card_error", "idempotency_error", "invalid_request_error")

LAST_ERROR = closed(
    {"type": one_of(*ERROR_TYPES), "code": TEXT, "message": TEXT},
    optional={"decline_code": TEXT, "charge": TEXT},
)
NEXT_ACTION = closed(
    {
        "type": one_of("redirect_to_url"),
        "redirect_to_url": closed({"url": {"type": "string", "format": "uri"}, "return_url": nullable(TEXT)}),
    }
)

PAYMENT_INTENT = of_object(
    "payment_intent",
    {
        "allowed_payment_method_types": array(one_of("card")),
        "amount": MINOR,
        "amount_capturable": MINOR,
        "amount_details": closed({"tip": closed({})}),
        "amount_received": MINOR,
        "application": NULL,
        "application_fee_amount": NULL,
        "automatic_payment_methods": NULL,
        "canceled_at": nullable(SECONDS),
        "cancellation_reason": nullable(TEXT),
        "capture_method": one_of("automatic", "manual"),
        "client_secret": nullable(TEXT),
        "confirmation_method": one_of("automatic"),
        "created": SECONDS,
        "currency": CURRENCY,
        "customer": nullable(expandable("customer")),
        "description": nullable(TEXT),
        "last_payment_error": nullable(LAST_ERROR),
        "latest_charge": nullable(expandable("charge")),
        "livemode": BOOLEAN,
        "metadata": TEXT_MAP,
        "next_action": nullable(NEXT_ACTION),
        "on_behalf_of": NULL,
        "payment_method": nullable(expandable("payment_method")),
        "payment_method_options": {"type": "object"},
        "payment_method_types": array(TEXT),
        "processing": NULL,
        "receipt_email": NULL,
        "review": NULL,
        "setup_future_usage": nullable(one_of("off_session", "on_session")),
        "shipping": NULL,
        "statement_descriptor": NULL,
        "statement_descriptor_suffix": NULL,
        "status": one_of(
            "requires_payment_method",
            "requires_confirmation",
            "requires_action",
            "processing",
            "requires_capture",
            "canceled",
            "succeeded",
        ),
        "transfer_data": NULL,
        "transfer_group": NULL,
        "clearline": closed(
            {
                "amount_disputed": MINOR,
                "amount_refunded": MINOR,
                "due": nullable(SECONDS),
                "outcome_unknown": BOOLEAN,
                "provider": nullable(TEXT),
            }
        ),
    },
)

CHARGE = of_object(
    "charge",
    {
        "amount": MINOR,
        "amount_captured": MINOR,
        "amount_refunded": MINOR,
        "balance_transaction": nullable(expandable("balance_transaction")),
        "billing_details": closed(
            {"address": NULL, "email": nullable(TEXT), "name": nullable(TEXT), "phone": nullable(TEXT), "tax_id": NULL}
        ),
        "captured": BOOLEAN,
        "created": SECONDS,
        "currency": CURRENCY,
        "customer": nullable(expandable("customer")),
        "description": nullable(TEXT),
        "disputed": BOOLEAN,
        "failure_code": nullable(TEXT),
        "failure_message": nullable(TEXT),
        "livemode": BOOLEAN,
        "metadata": TEXT_MAP,
        "paid": BOOLEAN,
        "payment_intent": expandable("payment_intent"),
        "payment_method": nullable(TEXT),
        "payment_method_details": NULL,
        "refunded": BOOLEAN,
        "status": one_of("pending", "succeeded", "failed"),
        "clearline": closed(
            {
                "attempt": INTEGER,
                "outcome": TEXT,
                "provider": nullable(TEXT),
            }
        ),
    },
)

ERROR = closed(
    {
        "error": closed(
            {"type": one_of(*ERROR_TYPES), "message": TEXT},
            optional={
                "code": TEXT,
                "param": TEXT,
                "decline_code": TEXT,
                "charge": TEXT,
                "payment_intent": any_of(ref("payment_intent"), ref(browsers_name("payment_intent"))),
                "setup_intent": any_of(ref("setup_intent"), ref(browsers_name("setup_intent"))),
            },
        )
    }
)


def _payments() -> dict[str, dict[str, Any]]:
    return {
        "succeeded": render.payment_intent(records.SUCCEEDED, livemode=False),
        "requires_action": render.payment_intent(records.CHALLENGED, livemode=False),
        "declined": render.payment_intent(records.DECLINED, livemode=True),
    }


def _charges() -> dict[str, dict[str, Any]]:
    return {
        "succeeded": render.charge(records.CHARGED, records.SUCCEEDED, livemode=False),
        "failed": render.charge(records.FAILED, records.DECLINED, livemode=False),
    }


def _errors() -> dict[str, dict[str, Any]]:
    return {
        "parameter_unknown": {
            "error": {
                "code": "parameter_unknown",
                "message": "Received unknown parameter: amuont. Did you mean amount?",
                "param": "amuont",
                "type": "invalid_request_error",
            }
        }
    }


OBJECTS = (
    Described(
        name="payment_intent",
        summary="A payment from its creation to success or cancellation.",
        schema=PAYMENT_INTENT,
        examples=_payments,
    ),
    Described(name="charge", summary="One attempt of a payment at a provider.", schema=CHARGE, examples=_charges),
    Described(name="error", summary="Any answer but success.", schema=ERROR, examples=_errors),
)
