"""Customers, payment methods and setup intents as Stripe's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.ids import digest
from schemas.records import CardFacts, CustomerObject, MethodObject, SetupObject
from schemas.test_cards import EXP_MONTH, EXP_YEAR, known

_CARD = ["card"]
_ERROR_TYPES = {"card_declined": "card_error", "setup_intent_authentication_failure": "card_error"}


def customer(one: CustomerObject, personal: Mapping[str, str], *, livemode: bool) -> dict[str, Any]:
    """A customer; what of it was erased is null. A deleted one says that and nothing else."""
    if one.deleted:
        return {"id": one.id, "object": "customer", "deleted": True}
    return {
        "id": one.id,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": one.created_ms // 1000,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": personal.get("description"),
        "discount": None,
        "email": personal.get("email"),
        "invoice_prefix": digest(one.id)[:8].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": one.default_method or None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": livemode,
        "metadata": dict(one.metadata),
        "name": personal.get("name"),
        "next_invoice_sequence": 1,
        "phone": personal.get("phone"),
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def payment_method(one: MethodObject, *, livemode: bool) -> dict[str, Any]:
    """A payment method. Whose it is says its customer; it holds no billing details of its own."""
    return {
        "id": one.id,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {
            "address": dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state")),
            "email": None,
            "name": None,
            "phone": None,
            "tax_id": None,
        },
        "card": _card(one.card),
        "created": one.created_ms // 1000,
        "customer": one.customer or None,
        "livemode": livemode,
        "metadata": dict(one.metadata),
        "type": "card",
    }


def _card(card: CardFacts) -> dict[str, Any]:
    brand = card.brand or "unknown"
    return {
        "brand": brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": None},
        "country": card.country or None,
        "display_brand": brand,
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "fingerprint": card.fingerprint or None,
        "funding": card.funding or "unknown",
        "generated_from": None,
        "last4": card.last4,
        "networks": {"available": [brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def test_method(token: str, *, livemode: bool) -> dict[str, Any] | None:
    """A test payment method by its own name, such as pm_card_visa: nobody's, and never saved under that name. None: no such."""
    card = known(token) if token.startswith("pm_card_") else None
    if card is None:
        return None
    facts = CardFacts(
        brand=card.brand,
        last4=card.last4,
        exp_month=EXP_MONTH,
        exp_year=EXP_YEAR,
        funding=card.funding,
        country=card.country,
    )
    return payment_method(MethodObject(id=token, token=token, card=facts), livemode=livemode)


def setup_intent(one: SetupObject, *, livemode: bool) -> dict[str, Any]:
    """A setup intent."""
    return {
        "id": one.id,
        "object": "setup_intent",
        "allowed_payment_method_types": _CARD,
        "application": None,
        "automatic_payment_methods": None,
        "cancellation_reason": one.cancellation_reason or None,
        "client_secret": None,
        "created": one.created_ms // 1000,
        "customer": one.customer or None,
        "description": None,
        "flow_directions": None,
        "last_setup_error": _setup_error(one),
        "latest_attempt": None,
        "livemode": livemode,
        "mandate": None,
        "metadata": dict(one.metadata),
        "next_action": {"type": "use_stripe_sdk", "use_stripe_sdk": {}} if one.status == "requires_action" else None,
        "on_behalf_of": None,
        "payment_method": one.method or None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": _CARD,
        "single_use_mandate": None,
        "status": one.status,
        "usage": one.usage,
    }


def _setup_error(one: SetupObject) -> dict[str, Any] | None:
    if not one.error_code:
        return None
    error: dict[str, Any] = {
        "code": one.error_code,
        "message": one.error_message,
        "type": _ERROR_TYPES.get(one.error_code, "invalid_request_error"),
    }
    if one.error_decline_code:
        error["decline_code"] = one.error_decline_code
    return error
