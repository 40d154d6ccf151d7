"""Customers, their payment methods, and setup intents."""

from __future__ import annotations

from typing import Any

from api.customers import render
from api.openapi.objects._records import AT_MS, DIGITS
from api.openapi.schema import (
    BOOLEAN,
    INTEGER,
    MINOR,
    NULL,
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
from schemas.records import CardFacts, CustomerObject, MethodObject, SetupObject

_CUSTOMER_ID, _METHOD_ID, _SETUP_ID = f"cus_{DIGITS}", f"pm_{DIGITS}", f"seti_{DIGITS}"
_METHOD = nullable(expandable("payment_method"))

CUSTOMER = of_object(
    "customer",
    {
        "address": NULL,
        "balance": MINOR,
        "created": SECONDS,
        "currency": NULL,
        "default_source": NULL,
        "delinquent": BOOLEAN,
        "description": nullable(TEXT),
        "discount": NULL,
        "email": nullable(TEXT),
        "invoice_prefix": TEXT,
        "invoice_settings": closed(
            {"custom_fields": NULL, "default_payment_method": _METHOD, "footer": NULL, "rendering_options": NULL}
        ),
        "livemode": BOOLEAN,
        "metadata": TEXT_MAP,
        "name": nullable(TEXT),
        "next_invoice_sequence": INTEGER,
        "phone": nullable(TEXT),
        "preferred_locales": array(TEXT),
        "shipping": NULL,
        "tax_exempt": one_of("none"),
        "test_clock": NULL,
    },
)
_ADDRESS = closed({name: nullable(TEXT) for name in ("city", "country", "line1", "line2", "postal_code", "state")})
_CARD = closed(
    {
        "brand": TEXT,
        "checks": closed({"address_line1_check": NULL, "address_postal_code_check": NULL, "cvc_check": NULL}),
        "country": nullable(TEXT),
        "display_brand": TEXT,
        "exp_month": INTEGER,
        "exp_year": INTEGER,
        "fingerprint": nullable(TEXT),
        "funding": one_of("credit", "debit", "prepaid", "unknown"),
        "generated_from": NULL,
        "last4": {"type": "string", "maxLength": 4},
        "networks": closed({"available": array(TEXT), "preferred": NULL}),
        "regulated_status": one_of("unregulated"),
        "three_d_secure_usage": closed({"supported": BOOLEAN}),
        "wallet": NULL,
    }
)
PAYMENT_METHOD = of_object(
    "payment_method",
    {
        "allow_redisplay": one_of("unspecified"),
        "billing_details": closed(
            {"address": _ADDRESS, "email": NULL, "name": NULL, "phone": NULL, "tax_id": NULL},
        ),
        "card": _CARD,
        "created": SECONDS,
        "customer": nullable(expandable("customer")),
        "livemode": BOOLEAN,
        "metadata": TEXT_MAP,
        "type": one_of("card"),
    },
)
SETUP_INTENT = of_object(
    "setup_intent",
    {
        "allowed_payment_method_types": array(one_of("card")),
        "application": NULL,
        "automatic_payment_methods": NULL,
        "cancellation_reason": nullable(one_of("abandoned", "duplicate", "requested_by_customer")),
        "client_secret": nullable(TEXT),
        "created": SECONDS,
        "customer": nullable(expandable("customer")),
        "description": nullable(TEXT),
        "flow_directions": NULL,
        "last_setup_error": nullable(
            closed(
                {"code": TEXT, "message": TEXT, "type": one_of("card_error", "invalid_request_error")},
                optional={"decline_code": TEXT},
            )
        ),
        "latest_attempt": NULL,
        "livemode": BOOLEAN,
        "mandate": NULL,
        "metadata": TEXT_MAP,
        "next_action": nullable(closed({"type": one_of("use_stripe_sdk"), "use_stripe_sdk": {"type": "object"}})),
        "on_behalf_of": NULL,
        "payment_method": _METHOD,
        "payment_method_configuration_details": NULL,
        "payment_method_options": {"type": "object"},
        "payment_method_types": array(one_of("card")),
        "single_use_mandate": NULL,
        "status": one_of(
            "requires_payment_method",
            "requires_confirmation",
            "requires_action",
            "processing",
            "canceled",
            "succeeded",
        ),
        "usage": one_of("off_session", "on_session"),
    },
)


def _customers() -> dict[str, dict[str, Any]]:
    one = CustomerObject(id=_CUSTOMER_ID, metadata={"account": "7"}, default_method=_METHOD_ID, created_ms=AT_MS)
    personal = {"name": "Ada Lovelace", "email": "ada@example.com"}
    return {
        "named": render.customer(one, personal, livemode=False),
        "erased": render.customer(one, {}, livemode=False),
    }


def _methods() -> dict[str, dict[str, Any]]:
    card = CardFacts(brand="visa", last4="4242", exp_month=12, exp_year=2034, funding="credit", country="US")
    one = MethodObject(id=_METHOD_ID, customer=_CUSTOMER_ID, card=card, created_ms=AT_MS)
    return {"attached": render.payment_method(one, livemode=False)}


def _setups() -> dict[str, dict[str, Any]]:
    one = SetupObject(
        id=_SETUP_ID,
        status="succeeded",
        customer=_CUSTOMER_ID,
        method=_METHOD_ID,
        usage="off_session",
        created_ms=AT_MS,
    )
    declined = SetupObject(
        id=_SETUP_ID,
        status="requires_payment_method",
        usage="off_session",
        error_code="card_declined",
        error_decline_code="insufficient_funds",
        error_message="The card has insufficient funds.",
        created_ms=AT_MS,
    )
    return {
        "succeeded": render.setup_intent(one, livemode=False),
        "declined": render.setup_intent(declined, livemode=False),
    }


OBJECTS = (
    Described(
        name="customer",
        summary="Who pays. Names and addresses are sealed with a key of the customer's own.",
        schema=CUSTOMER,
        examples=_customers,
        deleted_is_shown=True,
    ),
    Described(
        name="payment_method",
        summary="What a customer pays with: a provider's token of a card.",
        schema=PAYMENT_METHOD,
        examples=_methods,
    ),
    Described(
        name="setup_intent",
        summary="A payment method on its way to being saved.",
        schema=SETUP_INTENT,
        examples=_setups,
    ),
)
