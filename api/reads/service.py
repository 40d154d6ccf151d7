"""The reading half of the API without HTTP: what a caller sees of single objects and of lists."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, cast

from api.http import render as shown
from api.http.errors import NotFound
from api.http.parameters import Field, Integer, Spec, Text, Texts, check
from api.http.payments import Found, Paths
from api.http.service import Caller, now_ms
from api.http.wire import Tree
from api.reads import _rows, expand, render
from api.reads.landed import Landed, LandedCustomers, LandedPayouts
from api.reads.lists import SOURCES, Created, Kind, Listed, Lists, Page, Place
from api.reads.owners import Owners
from api.reads.paging import CREATED, PAGE, SECONDS_MAX, cut
from api.reads.payments import Customers, Payments
from api.reads.warehouse import Parameter, Warehouse
from schemas.environment import Environment
from schemas.ids import is_dispute_id, is_payment_id, is_refund_id, payment_of_charge
from schemas.views import PaymentView

OBJECTS: Mapping[Kind, str] = {
    "payment_intents": "payment_intent",
    "charges": "charge",
    "refunds": "refund",
    "disputes": "dispute",
    "balance_transactions": "balance_transaction",
    "events": "event",
}
_PREFIXES: Mapping[str, Kind] = {
    "pi": "payment_intents",
    "ch": "charges",
    "re": "refunds",
    "dp": "disputes",
    "txn": "balance_transactions",
}
_WITH_TRANSACTION: tuple[Kind, ...] = ("charges", "refunds")
_MAY_COME: Mapping[Kind, Callable[[str], bool]] = {"refunds": is_refund_id, "disputes": is_dispute_id}
"""Kinds, and what their ids look like, that somebody may have been told of, by a webhook or another process, before they have landed."""
LOOKUPS_MAX = 8
"""Some two seconds for an id that may still come. Counted and not timed, so that nobody can tell another tenant's id from none."""
LOOKUP_PAUSE_S = 0.25
_BOUND = Integer(most=SECONDS_MAX)
_PAGE: Mapping[str, Field] = {**PAGE, "expand": Texts(), **CREATED}


def list_spec(kind: Kind, *, created_is_exact: bool) -> Spec:
    """What a list takes; `created` is a range or one second."""
    filters: dict[str, Field] = {name: Texts() if name == "types" else Text() for name in SOURCES[kind].filters}
    created: dict[str, Field] = {"created": _BOUND} if created_is_exact else {}
    return Spec(fields={**_PAGE, **created, **filters})


class Reads:
    """Everything that reading needs; one for each process."""

    def __init__(self, environment: Environment, *, failed: Callable[[BaseException], None]) -> None:
        self.owners = Owners(environment.kafka, dict(environment.kafka_config), failed=failed)
        self.payments = Payments(self.owners, token=environment.internal_token)
        self.customers = Customers(self.owners, token=environment.internal_token)
        self.saved: Callable[[Caller, str], Awaitable[dict[str, Any] | None]] | None = None
        """Shows a customer or a saved method by its id; whoever can open personal data sets it."""
        self.warehouse = Warehouse(environment.warehouse)
        self.lists = Lists(self.warehouse)
        self.landed = Landed(self.warehouse)
        self.landed_payouts = LandedPayouts(self.warehouse)
        self.landed_customers = LandedCustomers(self.warehouse)

    async def start(self) -> None:
        """Learn who holds what. Raises KafkaException."""
        await self.owners.start()
        await self.payments.start()
        await self.customers.start()
        await self.warehouse.start()

    async def close(self) -> None:
        """End threads and connections."""
        await self.payments.close()
        await self.customers.close()
        await self.warehouse.close()
        await self.owners.close()

    async def retrieve(self, kind: Kind, caller: Caller, object_id: str, tree: dict[str, Tree]) -> dict[str, Any]:
        """One object. Raises `ApiError`."""
        caller.identity.require(f"{kind}:read")
        given = check(Spec(fields={"expand": Texts()}), tree)
        paths = expand.check(given.get("expand") or [], of=OBJECTS[kind], in_list=False)
        body = await self._object(kind, caller, object_id)
        if body is None:
            raise NotFound(OBJECTS[kind], param="intent" if kind == "payment_intents" else "id")
        await self.expand(caller, body, paths)
        return body

    async def place(self, kind: Found, tenant: str, object_id: str) -> Place | None:
        """Where an object is; None where the tenant has none of that id. Raises `ApiError`."""
        if kind == "charges":
            payment_id = payment_of_charge(object_id)
            view = await self.payments.get(tenant, payment_id) if payment_id else None
            known = view is not None and any(one.id == object_id for one in view.charges)
            return Place(object_id, payment_id, 0) if known else None
        await self.landed.wait(tenant)
        return await self._found(kind, tenant, object_id)

    async def _found(self, kind: Kind, tenant: str, object_id: str) -> Place | None:
        """Where the warehouse has it. What was just told of elsewhere may land a moment later, so that is waited for."""
        may_come = kind in _MAY_COME and _MAY_COME[kind](object_id)
        found = await self.lists.find(kind, tenant, object_id)
        for _ in range(LOOKUPS_MAX if may_come else 0):
            if found is not None:
                break
            await asyncio.sleep(LOOKUP_PAUSE_S)
            found = await self.lists.find(kind, tenant, object_id)
        return found

    async def show(self, kind: Found, caller: Caller, object_id: str) -> dict[str, Any] | None:
        """The object as it stands; None where the caller's tenant has none of that id. Raises `ApiError`."""
        return await self._object(kind, caller, object_id)

    def paths(self, given: list[str], *, of: str) -> Paths:
        """The paths of `expand` for one object. Raises `ParameterInvalid`."""
        return expand.check(given, of=of, in_list=False)

    async def expand(self, caller: Caller, body: dict[str, Any], paths: Paths) -> None:
        """Put objects in the place of ids, within `body`. Raises `ApiError`."""
        if any("balance_transaction" in steps for steps in paths):
            # It is known once it has landed, as this caller's own writes soon have.
            await self.landed.wait(caller.identity.tenant)
            for kind in _WITH_TRANSACTION:
                if body["object"] == OBJECTS[kind]:
                    await self._with_transactions(kind, caller.identity.tenant, [body])
        await self._expand([body], paths, caller)

    async def page(self, kind: Kind, caller: Caller, url: str, tree: dict[str, Tree]) -> dict[str, Any]:
        """A page. Raises `ApiError`."""
        caller.identity.require(f"{kind}:read")
        exact = isinstance(tree.get("created"), str | int)
        given = check(list_spec(kind, created_is_exact=exact), tree)
        paths = expand.check(given.get("expand") or [], of=OBJECTS[kind], in_list=True)
        page = _page(given)
        filters: dict[str, Parameter] = {name: given[name] for name in SOURCES[kind].filters if given.get(name)}
        tenant = caller.identity.tenant
        await self.landed.wait(tenant)
        if kind in ("balance_transactions", "events"):
            await self.landed_payouts.wait(tenant)
        if kind == "events":
            await self.landed_customers.wait(tenant)
        found = await self.lists.page(kind, tenant, page, filters)
        return render.listed(url, await self.data(kind, caller, found, paths), has_more=found.has_more)

    def list_paths(self, given: list[str], *, of: str) -> Paths:
        """The paths of `expand` for a list. Raises `ParameterInvalid`."""
        return expand.check(given, of=of, in_list=True)

    async def matching(
        self, kind: Kind, caller: Caller, sql: str, parameters: Mapping[str, Parameter], *, limit: int
    ) -> Listed:
        """What a statement finds among the caller's own. Raises `Unavailable`."""
        tenant = caller.identity.tenant
        await self.landed.wait(tenant)
        return await self.lists.matching(kind, tenant, sql, parameters, limit=limit)

    async def data(self, kind: Kind, caller: Caller, found: Listed, paths: Paths) -> list[dict[str, Any]]:
        """A page's objects, expanded. Raises `ApiError`."""
        data = [
            self._of_row(kind, caller, row, created_ms=place.at)
            for place, row in zip(found.places, found.rows, strict=True)
        ]
        await self._with_transactions(kind, caller.identity.tenant, data)
        await self._expand(data, paths, caller)
        return data

    async def balance(self, caller: Caller, tree: dict[str, Tree]) -> dict[str, Any]:
        """What the tenant earned. Raises `ApiError`."""
        caller.identity.require("balance:read")
        check(Spec(), tree)
        await self.landed.wait(caller.identity.tenant)
        await self.landed_payouts.wait(caller.identity.tenant)
        return render.balance(await self.lists.balance(caller.identity.tenant), livemode=caller.identity.livemode)

    async def _object(self, kind: Kind, caller: Caller, object_id: str) -> dict[str, Any] | None:
        tenant = caller.identity.tenant
        if kind == "payment_intents":
            view = await self.payments.get(tenant, object_id) if is_payment_id(object_id) else None
            return None if view is None else shown.payment_intent(view.payment, livemode=caller.identity.livemode)
        if kind == "charges":
            payment_id = payment_of_charge(object_id)
            view = await self.payments.get(tenant, payment_id) if payment_id else None
            body = None if view is None else _within(view, kind, object_id, livemode=caller.identity.livemode)
            if body is not None:
                await self._with_transactions(kind, tenant, [body])
            return body
        await self.landed.wait(tenant)
        place = await self._found(kind, tenant, object_id)
        if place is None:
            return None
        if kind in ("balance_transactions", "events"):
            row = await self.lists.row(kind, tenant, place)
            return self._of_row(kind, caller, row, created_ms=place.at)
        # Where it is, the warehouse knows; how it stands, its owner does.
        view = await self.payments.get(tenant, place.payment_id)
        body = None if view is None else _within(view, kind, object_id, livemode=caller.identity.livemode)
        if body is not None:
            body["created"] = body["created"] or place.at // 1000
            await self._with_transactions(kind, tenant, [body])
        return body

    def _of_row(self, kind: Kind, caller: Caller, row: dict[str, Any], *, created_ms: int) -> dict[str, Any]:
        livemode = caller.identity.livemode
        if kind == "payment_intents":
            return render.of_payment_row(row, livemode=livemode)
        if kind == "charges":
            return shown.charge(_rows.charge(row), _rows.payment(row), livemode=livemode)
        if kind == "balance_transactions":
            one = _rows.balance_transaction(row)
            return render.balance_transaction(one, created_ms=created_ms, now_ms=now_ms())
        if kind == "events":
            return render.event(row, livemode=livemode, api_version=caller.version)
        if kind == "refunds":
            return shown.refund(_rows.refund(row), payment_id=row["payment_id"], created_ms=created_ms)
        return shown.dispute(_rows.dispute(row), payment_id=row["payment_id"], livemode=livemode, created_ms=created_ms)

    async def _with_transactions(self, kind: Kind, tenant: str, data: list[dict[str, Any]]) -> None:
        if kind in _WITH_TRANSACTION:
            known = await self.lists.transactions(tenant, [body["id"] for body in data])
            for body in data:
                body["balance_transaction"] = known.get(body["id"])

    async def _expand(self, data: list[dict[str, Any]], paths: list[tuple[str, ...]], caller: Caller) -> None:
        known: dict[str, dict[str, Any] | None] = {}

        async def fetch(_field: str, object_id: str) -> dict[str, Any] | None:
            kind = _PREFIXES.get(object_id.partition("_")[0])
            if kind is None:
                return None if self.saved is None else await self.saved(caller, object_id)
            caller.identity.require(f"{kind}:read")
            if object_id not in known:
                known[object_id] = await self._object(kind, caller, object_id)
            found = known[object_id]
            return None if found is None else dict(found)  # each place is expanded on its own

        for body in data:
            for steps in paths:
                await expand.expand(body, steps, fetch)


def _page(given: Mapping[str, Any]) -> Page:
    where = cut(given)
    created = given.get("created") or {}
    bounds = {"gte": created, "lte": created} if isinstance(created, int) else created
    return Page(limit=where.limit, starting_after=where.after, ending_before=where.before, created=Created(**bounds))


def _within(
    view: PaymentView, kind: Literal["charges", "refunds", "disputes"] | Kind, object_id: str, *, livemode: bool
) -> dict[str, Any] | None:
    """The charge, refund or dispute of this id in a payment."""
    one = next((one for one in cast("tuple[Any, ...]", getattr(view, kind)) if one.id == object_id), None)
    if one is None:
        return None
    if kind == "charges":
        return shown.charge(one, view.payment, livemode=livemode)
    if kind == "refunds":
        return shown.refund(one, payment_id=view.payment.id)
    return shown.dispute(one, payment_id=view.payment.id, livemode=livemode)
