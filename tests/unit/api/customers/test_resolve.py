from __future__ import annotations

import asyncio

import pytest

from api.customers.resolve import Resolver
from api.http.errors import ApiError
from schemas import ids
from schemas.records import CustomerObject, MethodObject, PaymentCommand, PaymentObject
from schemas.views import CustomerView, PaymentView

CUSTOMER, GONE = ids.customer_id("acme", "c"), ids.customer_id("acme", "gone")
SAVED, FREE, DETACHED = (ids.method_id("acme", name) for name in ("saved", "free", "detached"))
PAYMENT = ids.payment_id("acme", "p")


def method(identity: str, **fields) -> CustomerView:
    """As a worker shows it."""
    return CustomerView(tenant="acme", methods=(MethodObject(id=identity, **fields),))


HELD = {
    CUSTOMER: CustomerView(tenant="acme", customer=CustomerObject(id=CUSTOMER)),
    GONE: CustomerView(tenant="acme", customer=CustomerObject(id=GONE, deleted=True)),
    SAVED: method(SAVED, customer=CUSTOMER, token="pm_card_visa"),
    FREE: method(FREE, token="pm_card_amex"),
    DETACHED: method(DETACHED),
}


class Customers:
    """What workers hold."""

    async def get(self, tenant: str, object_id: str) -> CustomerView | None:
        return HELD.get(object_id) if tenant == "acme" else None


class Payments:
    """Payments as they stand."""

    def __init__(self, customer: str | None) -> None:
        self.customer = customer

    async def get(self, tenant: str, payment_id: str) -> PaymentView | None:
        if self.customer is None:
            return None
        return PaymentView(tenant=tenant, payment=PaymentObject(id=payment_id, customer=self.customer))


def resolve(of: str | None = None, /, **fields) -> PaymentCommand:
    """The command as it is sent; `of`: the payment's customer, None where it isn't there."""
    resolver = Resolver(Customers(), Payments(of))
    return asyncio.run(resolver.resolve(PaymentCommand(tenant="acme", payment_id=PAYMENT, **fields)))


def test_a_saved_method_becomes_its_token() -> None:
    """For its customer's payments, and, where it is nobody's, for any; what is no id of ours stays as it is."""
    found = resolve(kind="create", customer=CUSTOMER, payment_method=SAVED)
    assert (found.payment_method, found.saved_method) == ("pm_card_visa", SAVED)
    confirmed = resolve(CUSTOMER, kind="confirm", payment_method=SAVED)
    assert (confirmed.payment_method, confirmed.saved_method) == ("pm_card_visa", SAVED)
    assert resolve(kind="create", payment_method=FREE).payment_method == "pm_card_amex"
    plain = resolve(kind="create", customer="customer-17", payment_method="pm_card_visa")
    assert (plain.payment_method, plain.saved_method, plain.customer) == ("pm_card_visa", "", "customer-17")


@pytest.mark.parametrize(
    ("payment_of", "fields", "code"),
    [
        (None, {"kind": "create", "customer": GONE}, "resource_missing"),
        (None, {"kind": "create", "customer": "cus_17"}, "resource_missing"),
        (None, {"kind": "create", "payment_method": "pm_" + "0" * 24}, "resource_missing"),
        (None, {"kind": "create", "payment_method": DETACHED}, "payment_method_unexpected_state"),
        (None, {"kind": "create", "payment_method": SAVED}, "payment_method_customer_mismatch"),
        ("", {"kind": "confirm", "payment_method": SAVED}, "payment_method_customer_mismatch"),
        (GONE, {"kind": "confirm", "payment_method": SAVED}, "payment_method_customer_mismatch"),
    ],
)
def test_what_can_not_be_used_is_refused_before_the_payment_is_asked(payment_of, fields, code) -> None:
    """Typed, whether it never was, is gone, or is somebody else's."""
    with pytest.raises(ApiError) as refused:
        resolve(payment_of, **fields)
    assert refused.value.code == code


def test_a_create_that_was_carried_out_is_asked_again_whatever_became_of_its_method() -> None:
    """So that its stored answer is found; it is passed on without a token, which nothing could be charged by."""
    again = resolve(CUSTOMER, kind="create", customer=GONE, payment_method=DETACHED)
    assert (again.payment_method, again.saved_method) == (DETACHED, "")
