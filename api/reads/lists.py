"""Lists of a tenant's objects from the warehouse: pages in a stable order, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from api.http.errors import InvalidRequest
from api.reads.warehouse import Parameter, Warehouse

Kind = Literal["payment_intents", "charges", "refunds", "disputes", "balance_transactions", "events"]

LIMIT_DEFAULT = 10
LIMIT_MAX = 100


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds in seconds since the epoch; None: no bound."""

    gt: int | None = None
    gte: int | None = None
    lt: int | None = None
    lte: int | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list is asked for. Not both cursors: whoever makes one has refused that."""

    limit: int = LIMIT_DEFAULT
    starting_after: str = ""
    ending_before: str = ""
    created: Created = Created()


class Place(msgspec.Struct, frozen=True):
    """Where an object is: its payment and when it was made, ms since the epoch."""

    id: str
    payment_id: str
    at: int
    tie: int = 0
    """Orders what was made in one millisecond, before the id does."""


class Listed(msgspec.Struct, frozen=True):
    """A page: where its objects are, newest first, and their newest rows."""

    places: list[Place]
    rows: list[dict[str, Any]]
    has_more: bool


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """More objects of a kind, one a row of a table whose columns may be called otherwise."""

    table: str
    id: str
    type: str = "type"
    about: str
    """What stands for the payment."""

    def places(self, tests: str, *, id_name: str) -> str:
        """The same as `_Source.places`. The tests are on columns by the source's names."""
        renamed = f"tenant, {self.id} AS {id_name}, {self.type} AS type, {self.about} AS about, occurred_ms, _offset"
        inner = f"SELECT {renamed} FROM {self.table} WHERE tenant = {{tenant:String}}"  # noqa: S608 - our own text
        columns = f"{id_name} AS object_id, about AS payment_id, toInt64(occurred_ms) AS at, toInt64(_offset) AS tie"
        return f"SELECT {columns} FROM ({inner}) WHERE {tests}"  # noqa: S608 - ditto


class _Source(msgspec.Struct, frozen=True, kw_only=True):
    """How a kind of object is found. Rows are of one object each, or `grouped` into objects."""

    table: str = "payment_events"
    id: str
    where: str
    grouped: bool = True
    filters: Mapping[str, str]
    """By the API's name: a condition on one bound parameter of the same name."""
    also: tuple[_Part, ...] = ()

    def places(self, conditions: list[str]) -> str:
        """A query of (id, payment_id, at, tie) of every object of the tenant that meets the conditions."""
        at, tie, end = (
            ("min(occurred_ms)", "toInt64(0)", f" GROUP BY payment_id, {self.id}")
            if self.grouped
            else ("occurred_ms", "_offset", "")
        )
        tests = " AND ".join(["tenant = {tenant:String}", self.where, *conditions])
        columns = f"{self.id} AS object_id, payment_id, toInt64({at}) AS at, toInt64({tie}) AS tie"
        found = f"SELECT {columns} FROM {self.table} WHERE {tests}{end}"  # noqa: S608 - all of it is our own text
        return " UNION ALL ".join([found, *(part.places(tests, id_name=self.id) for part in self.also)])


_TYPE = (
    "(type = {type:String} OR (endsWith({type:String}, '.*') AND startsWith(type, substring({type:String}, 1, "
    "length({type:String}) - 1))))"
)

SOURCES: Mapping[Kind, _Source] = {
    "payment_intents": _Source(
        id="payment_id", where="sequence = 1", grouped=False, filters={"customer": "customer = {customer:String}"}
    ),
    "charges": _Source(
        id="charge_id",
        where="charge_id != ''",
        filters={
            "customer": "customer = {customer:String}",
            "payment_intent": "payment_id = {payment_intent:String}",
        },
    ),
    "refunds": _Source(
        id="refund_id",
        where="refund_id != ''",
        filters={
            "charge": "refund_charge = {charge:String}",
            "payment_intent": "payment_id = {payment_intent:String}",
        },
    ),
    "disputes": _Source(
        id="dispute_id",
        where="dispute_id != ''",
        filters={
            "charge": "dispute_charge = {charge:String}",
            "payment_intent": "payment_id = {payment_intent:String}",
        },
    ),
    "balance_transactions": _Source(
        table="balance_transactions",
        id="transaction_id",
        where="transaction_id != ''",
        grouped=False,
        filters={
            "currency": "currency = upper({currency:String})",
            "source": "source = {source:String}",
            "type": "type = {type:String}",
        },
    ),
    "events": _Source(
        id="event_id",
        where="event_id != ''",
        grouped=False,
        filters={"type": _TYPE, "types": "type IN {types:Array(String)}"},
        also=(
            _Part(table="payment_events", id="companion_id", type="companion_type", about="payment_id"),
            _Part(table="payout_events", id="event_id", about="payout_id"),
            _Part(table="customer_events", id="event_id", about="object_id"),
        ),
    ),
}

_BALANCE = """
SELECT currency, toInt64(available_minor) AS available_minor, toInt64(pending_minor) AS pending_minor
FROM tenant_balances WHERE tenant = {tenant:String} ORDER BY currency"""

_TRANSACTIONS = """
SELECT source, argMin(transaction_id, (occurred_ms, _offset, _ordinal)) AS id
FROM balance_transactions
WHERE tenant = {tenant:String} AND source IN {sources:Array(String)} AND type IN ('charge', 'refund', 'dispute')
GROUP BY source"""

_BEGINNINGS = """
SELECT payment_id, if(dispute_id != '', dispute_id, refund_id) AS id, toInt64(min(occurred_ms)) AS at
FROM payment_events
WHERE tenant = {tenant:String} AND payment_id IN {payments:Array(String)} AND id IN {named:Array(String)}
GROUP BY payment_id, id"""


class Lists:
    """Every method takes the tenant of the credential, and every query has it as a bound parameter."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def page(self, kind: Kind, tenant: str, page: Page, filters: Mapping[str, Parameter]) -> Listed:
        """A page; `filters` by the API's names. Raises `InvalidRequest` for a cursor that isn't there, `Unavailable`."""
        source = SOURCES[kind]
        tests, bounds = created_tests(page.created)
        parameters: dict[str, Parameter] = {"tenant": tenant, **filters, **bounds, "rows": page.limit + 1}
        cursor, backwards = page.starting_after or page.ending_before, bool(page.ending_before)
        if cursor:
            at = await self.find(kind, tenant, cursor)
            if at is None:
                param = "ending_before" if backwards else "starting_after"
                raise InvalidRequest(f"No such object to page from: {param}.", param=param, code="resource_missing")
            tests.append(
                f"(at, tie, object_id) {'>' if backwards else '<'} ({{at:Int64}}, {{tie:Int64}}, {{cursor:String}})"
            )
            parameters |= {"at": at.at, "tie": at.tie, "cursor": cursor}
        order = "ASC" if backwards else "DESC"
        inner = source.places([source.filters[name] for name in filters])
        sql = (
            f"SELECT object_id, payment_id, at, tie FROM ({inner}) WHERE {' AND '.join(tests) or '1'} "  # noqa: S608
            f"ORDER BY at {order}, tie {order}, object_id {order} LIMIT {{rows:UInt32}}"
        )
        found = [_place(row) for row in await self._warehouse.rows(sql, parameters)]
        has_more = len(found) > page.limit
        places = found[: page.limit]
        if backwards:
            places.reverse()
        return Listed(places, await self._newest(source, tenant, places), has_more)

    async def matching(
        self, kind: Kind, tenant: str, sql: str, parameters: Mapping[str, Parameter], *, limit: int
    ) -> Listed:
        """What a statement of places finds that has the tenant as a parameter; it asks for one row more than the limit."""
        rows = await self._warehouse.rows(sql, {**parameters, "tenant": tenant})
        places = [_place(row) for row in rows[:limit]]
        return Listed(places, await self._newest(SOURCES[kind], tenant, places), len(rows) > limit)

    async def find(self, kind: Kind, tenant: str, object_id: str) -> Place | None:
        """Where one object is; None where the tenant has no such. Raises `Unavailable`."""
        source = SOURCES[kind]
        sql = source.places([f"{source.id} = {{id:String}}"])
        rows = await self._warehouse.rows(sql, {"tenant": tenant, "id": object_id})
        return _place(rows[0]) if rows else None

    async def row(self, kind: Kind, tenant: str, place: Place) -> dict[str, Any]:
        """The newest row of an object that is there. Raises `Unavailable`."""
        (row,) = await self._newest(SOURCES[kind], tenant, [place])
        return row

    async def _newest(self, source: _Source, tenant: str, places: list[Place]) -> list[dict[str, Any]]:
        """The newest row of each object, in the same order."""
        if not places:
            return []
        newest = "ORDER BY sequence DESC " if source.table == "payment_events" else ""
        ids = [place.id for place in places]
        payments = sorted({place.payment_id for place in places})
        by_id: dict[str, dict[str, Any]] = {}
        for part in (_Part(table=source.table, id=source.id, about="payment_id"), *source.also):
            if len(by_id) == len(ids):
                break
            sql = (
                f"SELECT *, {part.id} AS found_id, {part.type} AS found_type FROM {part.table} "  # noqa: S608 - our own text
                f"WHERE tenant = {{tenant:String}} AND {part.about} IN {{payments:Array(String)}} "
                f"AND {part.id} IN {{ids:Array(String)}} {newest}LIMIT 1 BY {part.id}"
            )
            rows = await self._warehouse.rows(sql, {"tenant": tenant, "payments": payments, "ids": ids})
            by_id |= {row["found_id"]: row for row in rows}
        if source.also:
            await self._with_beginnings(tenant, payments, list(by_id.values()))
        return [by_id[one] for one in ids]

    async def _with_beginnings(self, tenant: str, payments: list[str], rows: list[dict[str, Any]]) -> None:
        """Put into events' rows when the refund or dispute that they name was made: the first event that names it was then."""
        columns = ("refund_id", "dispute_id")
        named = sorted({str(row[column]) for row in rows for column in columns if row.get(column)})
        if not named:
            return
        parameters: dict[str, Parameter] = {"tenant": tenant, "payments": payments, "named": named}
        found = await self._warehouse.rows(_BEGINNINGS, parameters)
        made = {(row["payment_id"], row["id"]): row["at"] for row in found}
        for row in rows:
            one = row.get("dispute_id") or row.get("refund_id")
            row["made_ms"] = made.get((row.get("payment_id"), one), 0)

    async def transactions(self, tenant: str, sources: list[str]) -> dict[str, str]:
        """The first balance transaction of each charge, refund or dispute that has one, by its id. Raises `Unavailable`."""
        if not sources:
            return {}
        rows = await self._warehouse.rows(_TRANSACTIONS, {"tenant": tenant, "sources": sources})
        return {row["source"]: row["id"] for row in rows}

    async def balance(self, tenant: str) -> list[dict[str, Any]]:
        """currency, available_minor and pending_minor of each currency that the tenant earned anything in, less what was paid out."""
        return await self._warehouse.rows(_BALANCE, {"tenant": tenant})


def created_tests(created: Created) -> tuple[list[str], dict[str, Parameter]]:
    """Conditions on `at` in ms for bounds in whole seconds: an object of second 7 has at from 7000 to 7999."""
    bounds = {
        "created_from": [created.gte, None if created.gt is None else created.gt + 1],
        "created_until": [created.lt, None if created.lte is None else created.lte + 1],
    }
    tests: list[str] = []
    parameters: dict[str, Parameter] = {}
    for name, values in bounds.items():
        given = [value for value in values if value is not None]
        if given:
            first = name == "created_from"
            parameters[name] = 1000 * (max(given) if first else min(given))
            tests.append(f"at {'>=' if first else '<'} {{{name}:Int64}}")
    return tests, parameters


def _place(row: dict[str, Any]) -> Place:
    return Place(row["object_id"], row["payment_id"], row["at"], row["tie"])
