"""`/v1/payment_methods`: cards by their tokens, saved for customers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.customers import render
from api.customers.desk import Desk, changes, with_key
from api.customers.errors import CardDataRefused
from api.http.errors import NotFound, ParameterMissing
from api.http.operations import Operation, Route
from api.http.parameters import Field, Object, Spec, Text, TextMap, Texts
from api.http.service import Answer, Caller
from api.reads.paging import PAGE, page_of
from schemas.ids import is_customer_id, is_method_id, method_id
from schemas.records import CustomerCommand, MethodObject
from schemas.test_cards import known
from schemas.views import CustomerView

_NOT_SUPPORTED = "Stripe has it; it is not supported here, so leave it out."
_CARD_DATA = ("number", "exp_month", "exp_year", "cvc")
_OTHERS = """acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit bacs_debit bancontact billie blik boleto
cashapp crypto customer_balance eps fpx giropay grabpay ideal interac_present kakao_pay klarna konbini kr_card link mb_way
mobilepay multibanco naver_pay nz_bank_account oxxo p24 pay_by_bank payco paynow paypal payto pix promptpay radar_options
revolut_pay samsung_pay satispay sepa_debit sofort swish twint upi us_bank_account wechat_pay zip"""
_CREATE_ELSEWHERE = dict.fromkeys(_OTHERS.split(), _NOT_SUPPORTED) | {
    "billing_details": "It is not kept here. Name, e-mail and phone belong to the customer, where they can be erased.",
    "customer": "Attach the payment method to a customer by its own request.",
    "payment_method": _NOT_SUPPORTED,
    "allow_redisplay": _NOT_SUPPORTED,
}
# Taken as parameters, so that what is refused is said plainly; their values are never looked at.
_CARD: dict[str, Field] = {"token": Text(), **{name: Text() for name in _CARD_DATA}, "networks": Object(fields={})}

CREATE = Operation(
    method="POST",
    path="/v1/payment_methods",
    id="PostPaymentMethods",
    summary="Makes a payment method of a card's token.",
    scope="payment_methods:write",
    object="payment_method",
    spec=Spec(
        fields={
            "type": Text(choices=("card",), required=True),
            "card": Object(fields=_CARD),
            "metadata": TextMap(),
            "expand": Texts(),
        },
        elsewhere=_CREATE_ELSEWHERE,
    ),
)
LIST = Operation(
    method="GET",
    path="/v1/payment_methods",
    id="GetPaymentMethods",
    summary="Lists a customer's payment methods, newest first.",
    scope="payment_methods:read",
    object="payment_method",
    answers="list",
    spec=Spec(
        fields={
            "customer": Text(required=True),
            "type": Text(choices=("card",)),
            **PAGE,
            "allow_redisplay": Text(choices=("always", "limited", "unspecified")),
        },
        elsewhere={"customer_account": _NOT_SUPPORTED},
    ),
)
RETRIEVE = Operation(
    method="GET",
    path="/v1/payment_methods/{id}",
    id="GetPaymentMethodsPaymentMethod",
    summary="Shows a payment method as it stands; also a test one, such as pm_card_visa.",
    scope="payment_methods:read",
    object="payment_method",
    spec=Spec(fields={"expand": Texts()}),
)
UPDATE = Operation(
    method="POST",
    path="/v1/payment_methods/{id}",
    id="PostPaymentMethodsPaymentMethod",
    summary="Changes the metadata of a payment method that is attached to a customer.",
    scope="payment_methods:write",
    object="payment_method",
    spec=Spec(
        fields={"metadata": TextMap(), "expand": Texts()},
        elsewhere={
            **_CREATE_ELSEWHERE,
            "card": "A card's dates come with its token; make a payment method of the new token.",
        },
    ),
)
ATTACH = Operation(
    method="POST",
    path="/v1/payment_methods/{id}/attach",
    id="PostPaymentMethodsPaymentMethodAttach",
    summary="Saves a payment method for a customer; a test one is saved under a new id.",
    scope="payment_methods:write",
    object="payment_method",
    spec=Spec(
        fields={"customer": Text(required=True), "expand": Texts()}, elsewhere={"customer_account": _NOT_SUPPORTED}
    ),
)
DETACH = Operation(
    method="POST",
    path="/v1/payment_methods/{id}/detach",
    id="PostPaymentMethodsPaymentMethodDetach",
    summary="Takes a payment method from its customer; it can't be used any more.",
    scope="payment_methods:write",
    object="payment_method",
    spec=Spec(fields={"expand": Texts()}),
)


def listed_methods(desk: Desk, caller: Caller, view: CustomerView, given: Mapping[str, Any], url: str) -> Answer:
    """A page of a customer's methods, newest first; all of them are at hand, since a customer has few. Raises `InvalidRequest`."""
    if view.customer is not None and view.customer.deleted:
        raise NotFound("customer", param="customer")
    methods: list[MethodObject] = list(reversed(view.methods))
    if given.get("allow_redisplay") not in (None, "unspecified"):
        methods = []
    return Answer(
        body=page_of(url, given, methods, id_of=lambda one: one.id, render=lambda one: desk.shown(caller, one))
    )


class Methods:
    """The work behind the operations."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Make a payment method of a token."""
        card = given.get("card") or {}
        for name in _CARD_DATA:
            if name in card:
                raise CardDataRefused(f"card[{name}]")
        if not card.get("token"):
            raise ParameterMissing("card[token]")
        caller = with_key(caller)
        identity = method_id(caller.identity.tenant, caller.idempotency_key)
        command = CustomerCommand(object_id=identity, kind="create_method", token=card["token"], **changes(given))
        return await self._desk.answer(caller, command, given.get("expand"))

    async def retrieve(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Show a payment method."""
        test = render.test_method(path["id"], livemode=caller.identity.livemode)
        if test is not None:
            return Answer(body=test)
        view = await self._desk.find(caller, path["id"], "payment_method")
        body = self._desk.shown(caller, view.methods[0])
        return Answer(body=await self._desk.expanded(caller, body, given.get("expand")))

    async def update(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Change a payment method's metadata."""
        if not is_method_id(path["id"]):
            raise NotFound("payment_method")
        command = CustomerCommand(object_id=path["id"], kind="update_method", **changes(given))
        return await self._desk.answer(with_key(caller), command, given.get("expand"))

    async def attach(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Save a payment method for a customer."""
        if not is_customer_id(given["customer"]):
            raise NotFound("customer", param="customer")
        caller = with_key(caller)
        identity, token = path["id"], ""
        if known(identity) is not None and not is_method_id(identity):
            identity, token = method_id(caller.identity.tenant, caller.idempotency_key), identity
        elif not is_method_id(identity):
            raise NotFound("payment_method")
        command = CustomerCommand(object_id=identity, kind="attach_method", token=token, customer=given["customer"])
        return await self._desk.answer(caller, command, given.get("expand"))

    async def detach(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Take a payment method from its customer."""
        if not is_method_id(path["id"]):
            raise NotFound("payment_method")
        command = CustomerCommand(object_id=path["id"], kind="detach_method")
        return await self._desk.answer(with_key(caller), command, given.get("expand"))

    async def page(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """List a customer's payment methods."""
        view = await self._desk.find(caller, given["customer"], "customer", param="customer")
        return listed_methods(self._desk, caller, view, given, LIST.path)

    def routes(self) -> tuple[Route, ...]:
        """For the application."""
        return (
            Route(operation=CREATE, work=self.create),
            Route(operation=LIST, work=self.page),
            Route(operation=RETRIEVE, work=self.retrieve),
            Route(operation=UPDATE, work=self.update),
            Route(operation=ATTACH, work=self.attach),
            Route(operation=DETACH, work=self.detach),
        )
