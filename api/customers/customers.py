"""`/v1/customers`: who pays. Name, e-mail, phone and description are sealed with the customer's own key before the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.customers import lists
from api.customers.desk import Desk, changes, with_key
from api.customers.lists import Saved
from api.customers.methods import listed_methods
from api.http.errors import ParameterInvalid
from api.http.operations import Operation, Route
from api.http.parameters import Field, Object, Spec, Text, TextMap, Texts
from api.http.service import Answer, Caller
from api.reads.paging import PAGE
from schemas.ids import customer_id, is_customer_id
from schemas.personal import CUSTOMER_CHARS_MAX
from schemas.records import CustomerCommand

EMAIL_CHARS_MAX = 512
NAME_CHARS_MAX = 256
_PERSONAL = ("description", "email", "name", "phone")
_ELSEWHERE = dict.fromkeys(
    [
        "address",
        "balance",
        "business_name",
        "cash_balance",
        "default_source",
        "individual_name",
        "invoice_prefix",
        "next_invoice_sequence",
        "payment_method",
        "preferred_locales",
        "promotion_code",
        "shipping",
        "source",
        "tax",
        "tax_exempt",
        "tax_id_data",
        "test_clock",
        "validate",
    ],
    "Stripe has it; it is not supported here, so leave it out. Payment methods are attached by their own requests.",
)
_FIELDS: dict[str, Field] = {
    "name": Text(chars_max=NAME_CHARS_MAX),
    "email": Text(chars_max=EMAIL_CHARS_MAX),
    "phone": Text(),
    "description": Text(chars_max=CUSTOMER_CHARS_MAX),
    "metadata": TextMap(),
    "invoice_settings": Object(fields={"default_payment_method": Text()}),
    "expand": Texts(),
}
_SPEC = Spec(fields=_FIELDS, elsewhere=_ELSEWHERE)

CREATE = Operation(
    method="POST",
    path="/v1/customers",
    id="PostCustomers",
    summary="Makes a customer.",
    scope="customers:write",
    object="customer",
    spec=_SPEC,
)
UPDATE = Operation(
    method="POST",
    path="/v1/customers/{id}",
    id="PostCustomersCustomer",
    summary="Changes a customer; what is not named stays.",
    scope="customers:write",
    object="customer",
    spec=_SPEC,
)
RETRIEVE = Operation(
    method="GET",
    path="/v1/customers/{id}",
    id="GetCustomersCustomer",
    summary="Shows a customer as it stands.",
    scope="customers:read",
    object="customer",
    spec=Spec(fields={"expand": Texts()}),
)
DELETE = Operation(
    method="DELETE",
    path="/v1/customers/{id}",
    id="DeleteCustomersCustomer",
    summary="Deletes a customer for good: detaches its payment methods and erases the keys of its personal data, that of its payments too.",
    scope="customers:write",
    object="customer",
    answers="deleted",
)
LIST = Operation(
    method="GET",
    path="/v1/customers",
    id="GetCustomers",
    summary="Lists customers, newest first; deleted ones are not in it.",
    scope="customers:read",
    object="customer",
    answers="list",
    spec=Spec(
        fields=lists.PAGE,
        elsewhere={
            "email": "E-mail addresses are sealed, so nobody can look for one here; keep the customer's id beside yours.",
            "test_clock": "Stripe has it; it is not supported here.",
        },
    ),
)
METHODS = Operation(
    method="GET",
    path="/v1/customers/{id}/payment_methods",
    id="GetCustomersCustomerPaymentMethods",
    summary="Lists a customer's payment methods, newest first.",
    scope="payment_methods:read",
    object="payment_method",
    answers="list",
    spec=Spec(
        fields={
            **PAGE,
            "type": Text(choices=("card",)),
            "allow_redisplay": Text(choices=("always", "limited", "unspecified")),
        }
    ),
)
METHOD = Operation(
    method="GET",
    path="/v1/customers/{id}/payment_methods/{method}",
    id="GetCustomersCustomerPaymentMethodsPaymentMethod",
    summary="Shows one of a customer's payment methods.",
    scope="payment_methods:read",
    object="payment_method",
    spec=Spec(fields={"expand": Texts()}),
)


class Customers:
    """The work behind the operations."""

    def __init__(self, desk: Desk, saved: Saved) -> None:
        self._desk, self._saved = desk, saved

    async def create(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Make a customer."""
        caller = with_key(caller)
        identity = customer_id(caller.identity.tenant, caller.idempotency_key)
        return await self._change(caller, "create_customer", identity, given)

    async def update(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Change a customer."""
        if not is_customer_id(path["id"]) or any(given.get(name) for name in _PERSONAL):
            # Asked before anything is sealed: a key for a customer that isn't there would belong to nobody.
            await self._desk.find(caller, path["id"], "customer")
        return await self._change(with_key(caller), "update_customer", path["id"], given)

    async def _change(self, caller: Caller, kind: Any, identity: str, given: dict[str, Any]) -> Answer:
        email = given.get("email")
        if email and "@" not in email:
            raise ParameterInvalid("email is no e-mail address.", param="email", code="email_invalid")
        fields = {name: given[name] for name in _PERSONAL if name in given}
        if kind == "create_customer":
            fields = {name: text for name, text in fields.items() if text}
        settings = given.get("invoice_settings")
        default = None
        if settings is not None and "default_payment_method" in settings:
            default = settings["default_payment_method"] or ""
            if default:
                await self._desk.find(
                    caller, default, "payment_method", param="invoice_settings[default_payment_method]"
                )
        command = CustomerCommand(
            object_id=identity,
            kind=kind,
            default_method=default,
            personal=await self._desk.seal(caller, identity, fields),
            **changes(given),
        )
        return await self._desk.answer(caller, command, given.get("expand"))

    async def retrieve(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Show a customer."""
        view = await self._desk.find(caller, path["id"], "customer")
        body = self._desk.shown(caller, view.customer)
        return Answer(body=await self._desk.expanded(caller, body, given.get("expand")))

    async def delete(self, caller: Caller, path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        """Delete a customer; one that is deleted already is answered for in the same way."""
        view = await self._desk.find(caller, path["id"], "customer")
        if view.customer is not None and view.customer.deleted:
            return Answer(body=self._desk.shown(caller, view.customer))
        command = CustomerCommand(object_id=path["id"], kind="delete_customer")
        return await self._desk.answer(with_key(caller), command)

    async def page(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """List customers."""
        found = await self._saved.customers(caller.identity.tenant, given)
        data = [self._desk.shown(caller, one) for one in found.objects]
        return Answer(body=found.listed(LIST.path, data))

    async def methods(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """List a customer's payment methods."""
        view = await self._desk.find(caller, path["id"], "customer")
        return listed_methods(self._desk, caller, view, given, f"/v1/customers/{path['id']}/payment_methods")

    async def method(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Show one of a customer's payment methods."""
        view = await self._desk.find(caller, path["id"], "customer")
        one = next((one for one in view.methods if one.id == path["method"]), None)
        if one is None:
            view = await self._desk.find(caller, "", "payment_method")
        body = self._desk.shown(caller, one)
        return Answer(body=await self._desk.expanded(caller, body, given.get("expand")))

    def routes(self) -> tuple[Route, ...]:
        """For the application."""
        return (
            Route(operation=CREATE, work=self.create),
            Route(operation=LIST, work=self.page),
            Route(operation=RETRIEVE, work=self.retrieve),
            Route(operation=UPDATE, work=self.update),
            Route(operation=DELETE, work=self.delete),
            Route(operation=METHODS, work=self.methods),
            Route(operation=METHOD, work=self.method),
        )
