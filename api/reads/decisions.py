"""`/v1/routing/decisions`: which provider each attempt went to, which were passed over and why; from the warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.http.errors import NotFound
from api.http.operations import Operation, Route
from api.http.parameters import Spec, Text
from api.http.service import Answer, Caller
from api.openapi.schema import BOOLEAN, INTEGER, SECONDS, TEXT, Described, array, closed, nullable, of_object
from api.reads.landed import Landed
from api.reads.paging import PAGE, cut
from api.reads.render import listed
from api.reads.warehouse import Parameter, Warehouse

_PATH = "/v1/routing/decisions"
_PREFIX = "rd_"
_EVENT = "evt_"

_COLUMNS = """
SELECT event_id, payment_id, charge_id, toInt64(occurred_ms) AS occurred_ms, toInt64(_offset) AS _offset, decision_attempt, decision_chosen,
    decision_candidates, decision_excluded, toInt64(decision_policy_version) AS decision_policy_version
FROM payment_events
WHERE tenant = {tenant:String} AND decision_attempt > 0"""

_FILTERS: Mapping[str, str] = {
    "payment_intent": "payment_id = {payment_intent:String}",
    "provider": "decision_chosen = {provider:String}",
}
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path=_PATH,
        id="GetRoutingDecisions",
        summary="List routing decisions, newest first: of one payment, or for one provider.",
        scope="routing:read",
        object="routing_decision",
        answers="list",
        spec=Spec(fields={**PAGE, **{name: Text() for name in _FILTERS}}),
    ),
    Operation(
        method="GET",
        path=_PATH + "/{id}",
        id="GetRoutingDecisionsDecision",
        summary="Retrieve a routing decision.",
        scope="routing:read",
        object="routing_decision",
    ),
)


def routes(warehouse: Warehouse, landed: Landed) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`."""
    made = Decisions(warehouse, landed)
    return tuple(
        Route(operation=operation, work=work)
        for operation, work in zip(OPERATIONS, (made.page, made.retrieve), strict=True)
    )


class Decisions:
    """The work of each operation."""

    def __init__(self, warehouse: Warehouse, landed: Landed) -> None:
        self._warehouse, self._landed = warehouse, landed

    async def page(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """A page."""
        tenant, where = caller.identity.tenant, cut(given)
        await self._landed.wait(tenant)
        tests, parameters = [""], dict[str, Parameter](tenant=tenant, rows=where.limit + 1)
        for name in _FILTERS:
            if given.get(name):
                tests.append(_FILTERS[name])
                parameters[name] = given[name]
        if where.cursor:
            at = await self._find(tenant, where.cursor)
            if at is None:
                raise where.nowhere()
            sign = ">" if where.before else "<"
            tests.append(f"(occurred_ms, _offset, event_id) {sign} ({{at:Int64}}, {{offset:Int64}}, {{event:String}})")
            parameters |= {"at": at["occurred_ms"], "offset": at["_offset"], "event": at["event_id"]}
        order = "ASC" if where.before else "DESC"
        sql = f"{_COLUMNS}{' AND '.join(tests)} ORDER BY occurred_ms {order}, _offset {order}, event_id {order} LIMIT {{rows:UInt32}}"
        shown, more = where.kept(await self._warehouse.rows(sql, parameters))
        data = [render(row, livemode=caller.identity.livemode) for row in shown]
        return Answer(body=listed(_PATH, data, has_more=more))

    async def retrieve(self, caller: Caller, path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        """One."""
        await self._landed.wait(caller.identity.tenant)
        row = await self._find(caller.identity.tenant, path["id"])
        if row is None:
            raise NotFound("routing_decision")
        return Answer(body=render(row, livemode=caller.identity.livemode))

    async def _find(self, tenant: str, decision: str) -> dict[str, Any] | None:
        event = _EVENT + decision.removeprefix(_PREFIX) if decision.startswith(_PREFIX) else ""
        sql = _COLUMNS + " AND event_id = {event:String} LIMIT 1"
        rows = await self._warehouse.rows(sql, {"tenant": tenant, "event": event})
        return rows[0] if rows else None


def render(row: Mapping[str, Any], *, livemode: bool) -> dict[str, Any]:
    """A decision, from the row of the event that tells it."""
    passed_over = [text.partition(": ") for text in row["decision_excluded"]]
    return {
        "id": _PREFIX + row["event_id"].removeprefix(_EVENT),
        "object": "routing_decision",
        "attempt": row["decision_attempt"],
        "candidates": list(row["decision_candidates"]),
        "charge": row["charge_id"] or None,
        "chosen": row["decision_chosen"] or None,
        "created": row["occurred_ms"] // 1000,
        "event": row["event_id"],
        "livemode": livemode,
        "passed_over": [{"provider": provider, "why": why} for provider, _, why in passed_over],
        "payment_intent": row["payment_id"],
        "policy_version": row["decision_policy_version"],
    }


def _examples() -> Mapping[str, dict[str, Any]]:
    row = {
        "event_id": "evt_7f0d2c41aa97e35bd08f6e1c",
        "payment_id": "pi_5a0e1c6f3b2d4a7e9c8b1f02",
        "charge_id": "ch_5a0e1c6f3b2d4a7e9c8b1f0202",
        "occurred_ms": 1_790_000_000_000,
        "decision_attempt": 2,
        "decision_chosen": "southpay",
        "decision_candidates": ["northpay", "southpay"],
        "decision_excluded": ["northpay: tried"],
        "decision_policy_version": 1,
    }
    return {"second_attempt": render(row, livemode=False)}


OBJECTS: tuple[Described, ...] = (
    Described(
        name="routing_decision",
        summary="Why an attempt went to the provider that it went to.",
        schema=of_object(
            "routing_decision",
            {
                "attempt": INTEGER,
                "candidates": array(TEXT),
                "charge": nullable(TEXT),
                "chosen": nullable(TEXT),
                "created": SECONDS,
                "event": TEXT,
                "livemode": BOOLEAN,
                "passed_over": array(closed({"provider": TEXT, "why": TEXT})),
                "payment_intent": TEXT,
                "policy_version": INTEGER,
            },
        ),
        examples=_examples,
    ),
)
