"""Customers, payment methods and setup intents as the outside sees them, made from state."""

from __future__ import annotations

from schemas.records import CardFacts, CustomerObject, MethodObject, SealedField, SetupObject
from streams.core.customers_state import Customer, Method, Setup


def customer_object(customer_id: str, customer: Customer) -> CustomerObject:
    """The customer."""
    return CustomerObject(
        id=customer_id,
        deleted=customer.deleted,
        personal=tuple(SealedField(name=one.name, key_id=one.key_id, sealed=one.sealed) for one in customer.personal),
        metadata=customer.metadata,
        default_method=customer.default_method,
        created_ms=customer.created_ms,
    )


def method_object(method_id: str, method: Method) -> MethodObject:
    """The payment method."""
    return MethodObject(
        id=method_id,
        customer=method.customer,
        token=method.token,
        card=CardFacts(
            brand=method.brand,
            last4=method.last4,
            exp_month=method.exp_month,
            exp_year=method.exp_year,
            fingerprint=method.fingerprint,
            funding=method.funding,
            country=method.country,
        ),
        metadata=method.metadata,
        created_ms=method.created_ms,
    )


def setup_object(setup_id: str, setup: Setup) -> SetupObject:
    """The setup intent."""
    error = setup.error
    return SetupObject(
        id=setup_id,
        status=setup.status,
        customer=setup.customer,
        method=setup.method,
        usage=setup.usage,
        cancellation_reason=setup.cancellation_reason,
        error_code="" if error is None else error.code,
        error_decline_code="" if error is None else error.decline_code,
        error_message="" if error is None else error.message,
        metadata=setup.metadata,
        created_ms=setup.created_ms,
    )
