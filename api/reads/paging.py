"""Pages of lists, newest first, with cursors both ways: what they take, and how they are cut in memory and in the warehouse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from api.http.errors import InvalidRequest
from api.http.parameters import Field, Integer, Object, Text
from api.reads.lists import LIMIT_DEFAULT, LIMIT_MAX, Created, created_tests
from api.reads.render import listed
from api.reads.warehouse import Parameter, Warehouse

SECONDS_MAX = 10**11

_BOUND = Integer(most=SECONDS_MAX)
PAGE: Mapping[str, Field] = {
    "limit": Integer(least=1, most=LIMIT_MAX),
    "starting_after": Text(),
    "ending_before": Text(),
}
"""What every list takes."""
CREATED_RANGE = Object(fields={"gt": _BOUND, "gte": _BOUND, "lt": _BOUND, "lte": _BOUND})
CREATED: Mapping[str, Field] = {"created": CREATED_RANGE}
"""What those of them take that can be asked for a time; seconds since the epoch, UTC."""

_T = TypeVar("_T")


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page lies."""

    limit: int
    after: str
    before: str

    @property
    def cursor(self) -> str:
        """The id that it lies next to; empty at the start."""
        return self.after or self.before

    def nowhere(self) -> InvalidRequest:
        """The list has nothing with the cursor's id."""
        param = "starting_after" if self.after else "ending_before"
        return InvalidRequest(f"No such object to page from: {param}.", param=param, code="resource_missing")

    def kept(self, rows: list[_T]) -> tuple[list[_T], bool]:
        """The page of up to limit + 1 rows that were read away from the cursor, and whether more lie behind it."""
        page = rows[: self.limit]
        if self.before:
            page.reverse()
        return page, len(rows) > self.limit


def cut(given: Mapping[str, Any]) -> Cut:
    """Raises `InvalidRequest` for both cursors at once."""
    after, before = given.get("starting_after") or "", given.get("ending_before") or ""
    if after and before:
        raise InvalidRequest("Send starting_after or ending_before, not both.", param="ending_before")
    return Cut(limit=given.get("limit") or LIMIT_DEFAULT, after=after, before=before)


def page_of(
    url: str,
    given: Mapping[str, Any],
    found: Sequence[_T],
    *,
    id_of: Callable[[_T], str],
    render: Callable[[_T], dict[str, Any]],
) -> dict[str, Any]:
    """The answer of a list that is in memory whole, given in its order. Raises `InvalidRequest`."""
    where = cut(given)
    rest = list(found)
    if where.cursor:
        at = next((number for number, one in enumerate(rest) if id_of(one) == where.cursor), None)
        if at is None:
            raise where.nowhere()
        rest = rest[at + 1 :] if where.after else rest[:at]
    if where.before:
        rest.reverse()
    page, more = where.kept(rest)
    return listed(url, [render(one) for one in page], has_more=more)


async def rows_of(
    warehouse: Warehouse,
    objects: str,
    where: Cut,
    given: Mapping[str, Any],
    *,
    tests: Sequence[str],
    parameters: Mapping[str, Parameter],
    id_column: str = "object_id",
) -> tuple[list[dict[str, Any]], bool]:
    """
    A page's rows by (at, id), and whether more lie behind it. Raises `InvalidRequest`, `Unavailable`.

    `objects` is a query of ours with a column `at` in ms, whose tenant is among the bound `parameters`; `tests` are
    conditions of ours on its columns; `given` may hold a `created` range.
    """
    bounds_tests, bounds = created_tests(Created(**(given.get("created") or {})))
    conditions, bound = [*tests, *bounds_tests], {**parameters, **bounds, "rows": where.limit + 1}
    if where.cursor:
        sql = f"SELECT at FROM ({objects}) WHERE {id_column} = {{cursor:String}}"  # noqa: S608 - all of it is our own text
        places = await warehouse.rows(sql, {**parameters, "cursor": where.cursor})
        if not places:
            raise where.nowhere()
        conditions.append(f"(at, {id_column}) {'<' if where.after else '>'} ({{at:Int64}}, {{cursor:String}})")
        bound |= {"at": places[0]["at"], "cursor": where.cursor}
    order = "ASC" if where.before else "DESC"
    sql = (
        f"SELECT * FROM ({objects}) WHERE {' AND '.join(conditions) or '1'} "  # noqa: S608 - our own text
        f"ORDER BY at {order}, {id_column} {order} LIMIT {{rows:UInt32}}"
    )
    return where.kept(await warehouse.rows(sql, bound))
