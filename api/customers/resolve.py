"""Payments that name a customer or a saved payment method: whether they are there, and what the method's token is."""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import replace

from api.customers.desk import Finds
from api.http.errors import InvalidRequest, NotFound
from schemas.ids import CUSTOMER_PREFIX, is_customer_id, is_method_id
from schemas.records import PaymentCommand
from schemas.views import PaymentView


class Payments(Protocol):
    """Payments as they stand now."""

    async def get(self, tenant: str, payment_id: str) -> PaymentView | None:
        """The tenant's payment; None where it has none of that id."""
        ...


class Resolver:
    """Asks the workers that hold customers and payments."""

    def __init__(self, customers: Finds, payments: Payments) -> None:
        self._customers, self._payments = customers, payments

    async def resolve(self, command: PaymentCommand) -> PaymentCommand:
        """
        The command with the token of its saved method. Raises `NotFound` and `InvalidRequest`.

        A customer's name that is not one of our ids (`cus_...`) is the tenant's own and is not looked up.
        """
        if not command.customer.startswith(CUSTOMER_PREFIX) and not is_method_id(command.payment_method):
            return command
        try:
            return await self._resolved(command)
        except (NotFound, InvalidRequest):
            # A create that was carried out before has its answer, whatever has become of its customer since.
            if command.kind == "create" and await self._payments.get(command.tenant, command.payment_id) is not None:
                return command
            raise

    async def _resolved(self, command: PaymentCommand) -> PaymentCommand:
        tenant = command.tenant
        if command.customer.startswith(CUSTOMER_PREFIX):
            fits = is_customer_id(command.customer)
            view = await self._customers.get(tenant, command.customer) if fits else None
            if view is None or view.customer is None or view.customer.deleted:
                raise NotFound("customer", param="customer")
        if not is_method_id(command.payment_method):
            return command
        view = await self._customers.get(tenant, command.payment_method)
        if view is None:
            raise NotFound("payment_method", param="payment_method")
        (method,) = view.methods
        if not method.token:
            message = "This payment method was detached from its customer, and can't be used any more."
            raise InvalidRequest(message, param="payment_method", code="payment_method_unexpected_state")
        if method.customer and method.customer != await self._customer_of(command):
            message = "This payment method belongs to a customer. Send that customer with the payment."
            raise InvalidRequest(message, param="payment_method", code="payment_method_customer_mismatch")
        return replace(command, payment_method=method.token, saved_method=method.id)

    async def _customer_of(self, command: PaymentCommand) -> str:
        """Whose the payment is, after the command."""
        if command.kind == "create" or "customer" in command.given:
            return command.customer
        payment = await self._payments.get(command.tenant, command.payment_id)
        return "" if payment is None else payment.payment.customer
