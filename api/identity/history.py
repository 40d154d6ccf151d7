"""`/v1/operators/history`: who changed what of the organisation, its tenants, keys and people, and by whose word."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from api.http.operations import Operation, Route
from api.http.parameters import Spec, Text
from api.http.service import Answer, Caller
from api.identity.log import ConfigurationLog
from api.openapi.schema import BOOLEAN, INTEGER, SECONDS, TEXT, Described, closed, nullable, of_object, one_of
from api.reads import landed
from api.reads.errors import WAREHOUSE_BACK_S, Unavailable
from api.reads.paging import CREATED, PAGE, cut, rows_of
from api.reads.render import listed
from api.reads.warehouse import Parameter, Warehouse

_PATH = "/v1/operators/history"
_KINDS = ("api_key", "approval", "operator", "operator_session", "organization", "routing_policy", "tenant")
_FILTERS: Mapping[str, str] = {"act": "act", "actor": "actor_id", "kind": "object", "object_id": "object_id"}
"""Parameters and the columns that they are about."""

_LANDED = "SELECT toInt64(max(next_offset)) AS position FROM landed_positions WHERE _topic = 'identity.history'"

# Whose a tenant is, its newest record says: what an organisation gave away is not its to read any more.
_EVENTS = """
SELECT toInt64(_timestamp_ms) AS at, concat('ie_', lower(leftPad(hex(_offset), 16, '0'))) AS id, tenant, object, object_id, act,
    toInt64(version) AS version, after, actor_kind, actor_id, on_behalf_of, actor_reason, request_id
FROM identity_events
WHERE {organization:String} != '' AND multiIf(
    {kept:UInt8} = 1, tenant IN {tenants:Array(String)},
    organization = {organization:String} AND object != 'tenant' OR
    object = 'operator_session' AND actor_id IN (
        SELECT object_id FROM identity_events WHERE object = 'operator' AND organization = {organization:String}
    ) OR
    tenant != '' AND tenant IN (
        SELECT object_id FROM identity_events WHERE object = 'tenant'
        GROUP BY object_id HAVING argMax(organization, (_partition, _offset)) = {organization:String}
    ))"""

LIST = Operation(
    method="GET",
    path=_PATH,
    id="GetOperatorsHistory",
    summary="List what was changed of tenants, policies, keys, people and approvals, and by whom, newest first.",
    scope="operators:read",
    object="identity_event",
    answers="list",
    spec=Spec(
        fields={**PAGE, **CREATED, "act": Text(), "actor": Text(), "kind": Text(choices=_KINDS), "object_id": Text()}
    ),
)


def routes(log: ConfigurationLog, warehouse: Warehouse) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`."""

    async def work(caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        await _landed(log, warehouse)
        tests, parameters = [], _whose(caller)
        for name, column in _FILTERS.items():
            if given.get(name):
                tests.append(f"{column} = {{{name}:String}}")
                parameters[name] = given[name]
        rows, more = await rows_of(
            warehouse, _EVENTS, cut(given), given, tests=tests, parameters=parameters, id_column="id"
        )
        data = [render(row, livemode=caller.identity.livemode) for row in rows]
        return Answer(body=listed(_PATH, data, has_more=more))

    return (Route(operation=LIST, work=work),)


def _whose(caller: Caller) -> dict[str, Parameter]:
    """Of the tenant that is acted for; else of all that an operator is kept to, or of the whole organisation."""
    who = caller.identity
    tenants = [who.tenant] if who.tenant else list(who.tenants)
    return {"organization": who.organization, "kept": int(bool(tenants)), "tenants": tenants}


async def _landed(log: ConfigurationLog, warehouse: Warehouse) -> None:
    """Wait for what this process wrote. Raises `Unavailable`."""
    end_s, pauses = time.monotonic() + landed.DEADLINE_S, landed.pauses_s()
    while (await warehouse.rows(_LANDED, {}))[0]["position"] < log.history_end:
        if time.monotonic() >= end_s:
            raise Unavailable("identity.history has not landed", retry_after_s=WAREHOUSE_BACK_S)
        await asyncio.sleep(next(pauses))


def render(row: Mapping[str, Any], *, livemode: bool) -> dict[str, Any]:
    """A change."""
    return {
        "id": row["id"],
        "object": "identity_event",
        "act": row["act"],
        "actor": {
            "id": row["actor_id"] or None,
            "kind": row["actor_kind"],
            "on_behalf_of": row["on_behalf_of"] or None,
            "reason": row["actor_reason"] or None,
        },
        "after": msgspec.json.decode(row["after"]),
        "created": row["at"] // 1000,
        "kind": row["object"],
        "livemode": livemode,
        "object_id": row["object_id"],
        "request": row["request_id"] or None,
        "tenant": row["tenant"] or None,
        "version": row["version"],
    }


def _examples() -> Mapping[str, dict[str, Any]]:
    row = {
        "id": "ie_000000000000002a",
        "at": 1_790_000_000_000,
        "tenant": "acme",
        "object": "approval",
        "object_id": "apr_8e21c40fb3d7a965104cde2f",
        "act": "approval.approved",
        "version": 0,
        "after": '{"action":"routing.policies.create","parameters":{"providers":["southpay"]},"status":"approved"}',
        "actor_kind": "operator",
        "actor_id": "op_1be09fd2a4c6803357de4410",
        "on_behalf_of": "",
        "actor_reason": "",
        "request_id": "req_4b1f9c2a6d7e8f001122",
    }
    return {"approved": render(row, livemode=False)}


OBJECTS: tuple[Described, ...] = (
    Described(
        name="identity_event",
        summary="A change of who may do what. `after` is its object as it then was, without secrets and personal data.",
        schema=of_object(
            "identity_event",
            {
                "act": TEXT,
                "actor": closed(
                    {"id": nullable(TEXT), "kind": TEXT, "on_behalf_of": nullable(TEXT), "reason": nullable(TEXT)}
                ),
                "after": {"type": "object"},
                "created": SECONDS,
                "kind": one_of(*_KINDS),
                "livemode": BOOLEAN,
                "object_id": TEXT,
                "request": nullable(TEXT),
                "tenant": nullable(TEXT),
                "version": INTEGER,
            },
        ),
        examples=_examples,
    ),
)
