"""Answers about payments and customers from the state that this worker holds, for the API."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from schemas.catalogue import PAYMENTS_INPUTS
from schemas.ids import is_customer_id, is_method_id, is_setup_id
from schemas.partitioner import partition_of
from schemas.records import MethodObject
from schemas.views import CustomerView, PaymentView
from streams.core import keys
from streams.core._customer_objects import customer_object, method_object, setup_object
from streams.core._effects import proposal_object
from streams.core._objects import charge_object, dispute_object, payment_object, refund_object
from streams.core._texts import of_object, of_payment
from streams.core.customers_state import Customer, Method, Setup
from streams.core.errors import StateUnreadable
from streams.core.ids import charge_id
from streams.core.state import Payment, Texts, decode
from streams.runtime import POSITIONS_KEY, Behind, NotHeld, StreamsError

logger = logging.getLogger(__name__)

# How long an answer waits for the commit under way; the API goes on asking until its own deadline.
READ_TIMEOUT_S = 2.0

Get = Callable[[bytes], bytes | None]
T = TypeVar("T")

_positions = msgspec.json.Decoder(dict[str, int])


class Answer(msgspec.Struct, frozen=True):
    """Status and JSON body."""

    status: int
    body: bytes


class Readable(Protocol):
    """A source whose partitions can be read: `streams.runtime.Source`."""

    async def read(self, partition: int, reader: Callable[[Get], T], *, timeout_s: float) -> T:
        """Committed state, or `NotHeld`, `Behind`, `StreamsError`."""


class Views:
    """
    The worker's views of what it holds.

    200 with the object; 404 it isn't there; 421 another worker has the partition (or none has restored it); 503 ask
    again; 401 without the token. What it says was committed, and includes every commit that anybody could see before the
    question came, so also the caller's own that a Reply has told of: `Source.read` sees to that.
    """

    def __init__(self, source: Readable, *, token: str, partitions: Callable[[], int]) -> None:
        self._source = source
        self._expected = f"Bearer {token}".encode() if token else b""
        self._ask_partitions = partitions
        self._partitions = 0

    async def _answer(
        self, authorization: str, *, key: str, what: str, reader: Callable[[Get, int], msgspec.Struct | None]
    ) -> Answer:
        """The answer to one question about what lies in the partition of a key."""
        if not self._expected or not hmac.compare_digest(self._expected, authorization.encode("utf-8", "replace")):
            return _said(401, "give the installation's CLEARLINE_INTERNAL_TOKEN as bearer token")
        try:
            if not self._partitions:
                self._partitions = await asyncio.to_thread(self._ask_partitions)
            partition = partition_of(key.encode(), self._partitions)
            found = await self._source.read(partition, lambda get: reader(get, partition), timeout_s=READ_TIMEOUT_S)
        except NotHeld as error:
            return _said(421, str(error))
        except (Behind, StreamsError) as error:
            return _said(503, str(error))
        except StateUnreadable as error:
            logger.exception("%s can't be shown", what)
            return _said(500, str(error))
        if found is None:
            return _said(404, "there is no such thing")
        return Answer(200, msgspec.json.encode(found))


class PaymentViews(Views):
    """The worker's view `GET /payments/{tenant}/{payment_id}`: a `PaymentView`."""

    async def answer(self, authorization: str, tenant: str, payment_id: str) -> Answer:
        """The answer to one question."""
        key = f"{tenant}/{payment_id}"
        return await self._answer(
            authorization,
            key=key,
            what=key,
            reader=lambda get, partition: view(get, tenant, payment_id, partition=partition),
        )


class CustomerViews(Views):
    """The worker's view `GET /customers/{tenant}/{object_id}`: a `CustomerView` of a customer, method or setup intent."""

    async def answer(self, authorization: str, tenant: str, object_id: str) -> Answer:
        """The answer to one question."""
        return await self._answer(
            authorization,
            key=tenant,
            what=f"{tenant}/{object_id}",
            reader=lambda get, _partition: customer_view(get, tenant, object_id),
        )


def view(get: Get, tenant: str, payment_id: str, *, partition: int) -> PaymentView | None:
    """The payment as state has it. Raises `StateUnreadable`."""
    value = get(keys.payment(tenant, payment_id))
    if value is None:
        return None
    payment = decode(Payment, value)

    def texts_of(object_id: str, version: int) -> Texts:
        return of_object(get, tenant, payment_id, object_id, version)

    positions = get(POSITIONS_KEY)
    return PaymentView(
        tenant=tenant,
        payment=payment_object(payment_id, payment, of_payment(get, tenant, payment_id, payment)),
        charges=tuple(
            charge_object(
                payment_id, payment, number, attempt, "", texts=texts_of(charge_id(payment_id, number), attempt.texts)
            )
            for number, attempt in enumerate(payment.attempts, 1)
        ),
        refunds=tuple(
            refund_object(payment_id, payment, refund, texts_of(refund.id, refund.texts)) for refund in payment.refunds
        ),
        disputes=tuple(
            dispute_object(payment_id, payment, dispute, texts_of(dispute.id, dispute.texts))
            for dispute in payment.disputes
        ),
        proposal=None if payment.proposal is None else proposal_object(payment.proposal),
        sequence=payment.sequence,
        partition=partition,
        position=0 if positions is None else _positions.decode(positions).get(PAYMENTS_INPUTS.name, 0),
    )


def customer_view(get: Get, tenant: str, object_id: str) -> CustomerView | None:
    """A customer with its methods, a method, or a setup intent with its method, as state has it. Raises `StateUnreadable`."""
    if is_customer_id(object_id):
        value = get(keys.customer(tenant, object_id))
        if value is None:
            return None
        customer = decode(Customer, value)
        methods = tuple(one for method in customer.methods for one in _methods(get, tenant, method))
        shown = customer_object(object_id, customer)
        return CustomerView(tenant=tenant, customer=shown, methods=methods, sequence=customer.sequence)
    if is_method_id(object_id):
        found = _methods(get, tenant, object_id)
        return CustomerView(tenant=tenant, methods=found) if found else None
    value = get(keys.setup(tenant, object_id)) if is_setup_id(object_id) else None
    if value is None:
        return None
    setup = decode(Setup, value)
    methods = _methods(get, tenant, setup.method) if setup.method else ()
    return CustomerView(tenant=tenant, setup=setup_object(object_id, setup), methods=methods, sequence=setup.sequence)


def _methods(get: Get, tenant: str, method_id: str) -> tuple[MethodObject, ...]:
    value = get(keys.method(tenant, method_id))
    return () if value is None else (method_object(method_id, decode(Method, value)),)


def _said(status: int, message: str) -> Answer:
    return Answer(status, msgspec.json.encode({"error": message}))
