"""Payment methods as they are made, attached to customers and detached from them."""

from __future__ import annotations

from msgspec.structs import replace

from schemas import test_cards
from streams.core import ids
from streams.core._customer_step import Step
from streams.core.customers_state import Customer, Method
from streams.core.errors import CommandError

METHODS_MAX = 100
"""Saved payment methods of one customer: each read and each deletion of the customer touches them all."""


def make_method(step: Step, token: str) -> Method:
    """A method of what a provider knows a card by; of a test card everything is known, of another one nothing."""
    card = test_cards.known(token)
    token = test_cards.provider_token(token)
    if card is None:
        return Method(step.now_ms, token, fingerprint=_fingerprint(token))
    return Method(
        step.now_ms,
        token,
        brand=card.brand,
        last4=card.last4,
        exp_month=test_cards.EXP_MONTH,
        exp_year=test_cards.EXP_YEAR,
        fingerprint=_fingerprint(token),
        funding=card.funding,
        country=card.country,
    )


def _fingerprint(token: str) -> str:
    return ids.fingerprint(f"card/{token}".encode()).hex()[:16]


def check_attachable(method: Method, customer: str) -> None:
    """Raises `CommandError` for a method that was detached, or is another's than the customer's. `customer` empty: nobody's."""
    if not method.token:
        why = "was detached from its customer, and can't be used any more"
        raise CommandError("payment_method_unexpected_state", param="payment_method", why=why)
    if method.customer and method.customer != customer:
        why = "is attached to a customer already"
        raise CommandError("payment_method_unexpected_state", param="payment_method", why=why)


def attach(step: Step, method_id: str, method: Method, customer_id: str) -> None:
    """The method is the customer's. Raises `CommandError` without such a customer, or when it has as many as it may."""
    customer = step.get(Customer, customer_id, param="customer")
    if len(customer.methods) >= METHODS_MAX:
        raise CommandError("payment_method_limit", param="customer", limit=METHODS_MAX)
    step.put(customer_id, replace(customer, methods=(*customer.methods, method_id)))
    step.tell(method_id, replace(method, customer=customer_id), "payment_method.attached")


def detach(step: Step, method_id: str, method: Method) -> None:
    """The method is nobody's, and can't be used any more: whose it was agreed to nothing further."""
    customer = step.find(Customer, method.customer)
    assert customer is not None, "a method's customer is there"
    left = tuple(one for one in customer.methods if one != method_id)
    default = "" if customer.default_method == method_id else customer.default_method
    step.put(method.customer, replace(customer, methods=left, default_method=default))
    step.tell(method_id, replace(method, customer="", token=""), "payment_method.detached")
