"""Lists of customers and setup intents from the warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec

from api.customers import rows
from api.http.parameters import Field
from api.reads import paging
from api.reads.landed import LandedCustomers
from api.reads.render import listed
from api.reads.warehouse import Parameter, Warehouse
from schemas.records import CustomerObject, SetupObject

PAGE: Mapping[str, Field] = {**paging.PAGE, **paging.CREATED}
"""What these lists take."""

_COLUMNS = (
    "object_id, toInt64(created_ms) AS at, created_ms, deleted, personal, metadata, customer, payment_method, status, usage, "
    "cancellation_reason, error_code, error_decline_code, error_message"
)
_OBJECTS = (  # all of it is our own text
    f"SELECT {_COLUMNS} FROM customer_events WHERE tenant = {{tenant:String}} AND object = {{object:String}} "  # noqa: S608
    "ORDER BY sequence DESC LIMIT 1 BY object_id"
)
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

    def __init__(self, warehouse: Warehouse, landed: LandedCustomers) -> None:
        self._warehouse, self._landed = warehouse, landed

    async def customers(self, tenant: str, given: Mapping[str, Any]) -> Found[CustomerObject]:
        """A page of customers that were not deleted. Raises `InvalidRequest`, `Unavailable`."""
        found, more = await self._page(tenant, "customer", given, ["NOT deleted"], {})
        return Found([rows.customer(row) for row in found], more)

    async def setups(self, tenant: str, given: Mapping[str, Any]) -> Found[SetupObject]:
        """A page of setup intents. Raises `InvalidRequest`, `Unavailable`."""
        names = [name for name in ("customer", "payment_method") if given.get(name)]
        tests = [f"{name} = {{{name}:String}}" for name in names]
        found, more = await self._page(tenant, "setup_intent", given, tests, {name: given[name] for name in names})
        return Found([rows.setup(row) for row in found], more)

    async def _page(
        self, tenant: str, kind: str, given: Mapping[str, Any], tests: list[str], bound: Mapping[str, Parameter]
    ) -> tuple[list[dict[str, Any]], bool]:
        """Rows of a page and whether there are more behind it, by (created, id), newest first."""
        where = paging.cut(given)
        await self._landed.wait(tenant)
        parameters: dict[str, Parameter] = {"tenant": tenant, "object": kind, **bound}
        return await paging.rows_of(self._warehouse, _OBJECTS, where, given, tests=tests, parameters=parameters)
