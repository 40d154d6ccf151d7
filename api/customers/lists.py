"""Lists of customers and setup intents from the warehouse, and what this process's callers wrote that it may not have yet."""

from __future__ import annotations

import asyncio
import base64
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec

from api.http.parameters import Field
from api.reads import paging
from api.reads.errors import Unavailable
from api.reads.render import listed
from api.reads.warehouse import Parameter, Warehouse
from schemas.catalogue import CUSTOMERS_INPUTS
from schemas.records import CustomerObject, CustomerReply, SealedField, SetupObject

DEADLINE_S = 5.0
PAUSE_S = 0.05
TENANTS_MAX = 10_000
"""Beyond these the oldest are forgotten: a list may then miss what was written longest ago for a moment."""

PAGE: Mapping[str, Field] = {**paging.PAGE, **paging.CREATED}
"""What these lists take."""

_EFFECTS = (200, 402)
_COLUMNS = (
    "object_id, toInt64(created_ms) AS at, deleted, personal, metadata, customer, payment_method, status, usage, "
    "cancellation_reason, error_code, error_decline_code, error_message"
)
_OBJECTS = (  # all of it is our own text
    f"SELECT {_COLUMNS} FROM customer_events WHERE tenant = {{tenant:String}} AND object = {{object:String}} "  # noqa: S608
    "ORDER BY sequence DESC LIMIT 1 BY object_id"
)
_LANDED = """
SELECT toInt64(max(cause_offset)) AS offset FROM customer_events
INNER JOIN landed_positions USING (_topic, _partition)
WHERE tenant = {tenant:String} AND cause_topic = {topic:String} AND _offset < next_offset"""
_T = TypeVar("_T", CustomerObject, SetupObject)


class Found(msgspec.Struct, Generic[_T], frozen=True):
    """A page of objects, newest first."""

    objects: list[_T]
    has_more: bool

    def listed(self, url: str, data: list[dict[str, Any]]) -> dict[str, Any]:
        """The answer."""
        return listed(url, data, has_more=self.has_more)


class Saved:
    """Every query has the tenant of the credential as a bound parameter."""

    def __init__(self, warehouse: Warehouse, landed: Landed) -> None:
        self._warehouse, self._landed = warehouse, landed

    async def customers(self, tenant: str, given: Mapping[str, Any]) -> Found[CustomerObject]:
        """A page of customers that were not deleted. Raises `InvalidRequest`, `Unavailable`."""
        rows, more = await self._page(tenant, "customer", given, ["NOT deleted"], {})
        return Found([_customer(row) for row in rows], more)

    async def setups(self, tenant: str, given: Mapping[str, Any]) -> Found[SetupObject]:
        """A page of setup intents. Raises `InvalidRequest`, `Unavailable`."""
        names = [name for name in ("customer", "payment_method") if given.get(name)]
        tests = [f"{name} = {{{name}:String}}" for name in names]
        rows, more = await self._page(tenant, "setup_intent", given, tests, {name: given[name] for name in names})
        return Found([_setup(row) for row in rows], more)

    async def _page(
        self, tenant: str, kind: str, given: Mapping[str, Any], tests: list[str], bound: Mapping[str, Parameter]
    ) -> tuple[list[dict[str, Any]], bool]:
        """Rows of a page and whether there are more behind it, by (created, id), newest first."""
        where = paging.cut(given)
        await self._landed.wait(tenant)
        parameters: dict[str, Parameter] = {"tenant": tenant, "object": kind, **bound}
        return await paging.rows_of(self._warehouse, _OBJECTS, where, given, tests=tests, parameters=parameters)


class Landed:
    """The newest command with an effect of each tenant: all of a tenant's are in one order, so the newest stands for all."""

    def __init__(self, warehouse: Warehouse, *, deadline_s: float = DEADLINE_S) -> None:
        self._warehouse, self._deadline_s = warehouse, deadline_s
        self._newest: OrderedDict[str, int] = OrderedDict()

    def note(self, reply: CustomerReply) -> None:
        """A command was answered. Answers without an effect of their own leave nothing to wait for."""
        if reply.replayed or reply.status_code not in _EFFECTS or reply.cause_topic != CUSTOMERS_INPUTS.name:
            return
        self._newest[reply.tenant] = max(reply.cause_offset, self._newest.pop(reply.tenant, -1))
        if len(self._newest) > TENANTS_MAX:
            self._newest.popitem(last=False)

    async def wait(self, tenant: str) -> None:
        """Return when the tenant's writes of before this call have landed. Raises `Unavailable` after the deadline."""
        wanted = self._newest.get(tenant)
        end_s = time.monotonic() + self._deadline_s
        while wanted is not None:
            parameters: dict[str, Parameter] = {"tenant": tenant, "topic": CUSTOMERS_INPUTS.name}
            rows = await self._warehouse.rows(_LANDED, parameters)
            if rows and rows[0]["offset"] >= wanted:
                if self._newest.get(tenant) == wanted:
                    del self._newest[tenant]
                return
            if time.monotonic() >= end_s:
                raise Unavailable(f"this caller's writes about customers did not land in {self._deadline_s} s")
            await asyncio.sleep(PAUSE_S)


def _customer(row: dict[str, Any]) -> CustomerObject:
    personal = []
    for name, held in sorted(row["personal"].items()):
        key_id, _, sealed = held.partition(" ")
        personal.append(SealedField(name=name, key_id=key_id, sealed=base64.b64decode(sealed)))
    return CustomerObject(
        id=row["object_id"],
        personal=tuple(personal),
        metadata=row["metadata"],
        default_method=row["payment_method"],
        created_ms=row["at"],
    )


def _setup(row: dict[str, Any]) -> SetupObject:
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
        created_ms=row["at"],
    )
