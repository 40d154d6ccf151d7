"""Rows of customer_events back into the objects that events carry."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from schemas.records import CardFacts, CustomerObject, MethodObject, SealedField, SetupObject


def customer(row: Mapping[str, Any]) -> CustomerObject:
    """The customer after an event; its personal fields sealed."""
    personal = []
    for name, held in sorted(row["personal"].items()):
        key_id, _, sealed = held.partition(" ")
        personal.append(SealedField(name=name, key_id=key_id, sealed=base64.b64decode(sealed)))
    return CustomerObject(
        id=row["object_id"],
        deleted=row["deleted"],
        personal=tuple(personal),
        metadata=row["metadata"],
        default_method=row["payment_method"],
        created_ms=row["created_ms"],
    )


def method(row: Mapping[str, Any]) -> MethodObject:
    """The payment method after an event, without its token, which no table has."""
    return MethodObject(
        id=row["object_id"],
        customer=row["customer"],
        card=CardFacts(
            brand=row["card_brand"],
            last4=row["card_last4"],
            exp_month=row["card_exp_month"],
            exp_year=row["card_exp_year"],
            fingerprint=row["card_fingerprint"],
            funding=row["card_funding"],
            country=row["card_country"],
        ),
        metadata=row["metadata"],
        created_ms=row["created_ms"],
    )


def setup(row: Mapping[str, Any]) -> SetupObject:
    """The setup intent after an event."""
    return SetupObject(
        id=row["object_id"],
        status=row["status"],
        customer=row["customer"],
        method=row["payment_method"],
        usage=row["usage"],
        cancellation_reason=row["cancellation_reason"],
        error_code=row["error_code"],
        error_decline_code=row["error_decline_code"],
        error_message=row["error_message"],
        metadata=row["metadata"],
        created_ms=row["created_ms"],
    )
