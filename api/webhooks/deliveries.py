"""`/v1/webhook_endpoints/{id}/deliveries` and `/replay`: what an endpoint was told, and telling it again. Both are ours, in Stripe's style."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from confluent_kafka import KafkaException

from api.http.errors import InvalidRequest, NotFound, Overloaded
from api.http.operations import Operation, Route
from api.http.parameters import Spec, Text
from api.http.service import Answer, Caller
from api.reads.errors import Unavailable
from api.reads.lists import Created, created_tests
from api.reads.paging import CREATED, CREATED_RANGE, PAGE, cut, rows_of
from api.reads.render import listed
from api.reads.service import Reads
from api.reads.warehouse import Parameter
from api.webhooks import pings, render, replays
from api.webhooks._requests import Asked, asked, made_id
from api.webhooks.book import Book, Change
from api.webhooks.changes import changed, changing, living
from api.webhooks.errors import WebhooksStopped
from api.webhooks.resource import PATH
from schemas.records import EndpointRequest, WebhookEndpoint

REPLAYS_AT_ONCE_MAX = 2
REPLAYS_WAITING_MAX = 20

DELIVERIES = Operation(
    method="GET",
    path=PATH + "/{id}/deliveries",
    id="GetWebhookEndpointsWebhookEndpointDeliveries",
    summary="What an endpoint was told, as it stands after the newest attempts; newest first.",
    scope="webhook_endpoints:read",
    object="webhook_delivery",
    answers="list",
    spec=Spec(
        fields={
            **PAGE,
            **CREATED,
            "event": Text(),
            "status": Text(choices=("accepted", "retrying", "abandoned", "skipped", "dropped")),
        }
    ),
)
REPLAY = Operation(
    method="POST",
    path=PATH + "/{id}/replay",
    id="PostWebhookEndpointsWebhookEndpointReplay",
    summary="Tell an endpoint again: one event, or what happened within a time, as many as one answer says.",
    scope="webhook_endpoints:write",
    object="webhook_replay",
    spec=Spec(fields={"event": Text(), "created": CREATED_RANGE, "starting_after": Text()}),
)
OPERATIONS: tuple[Operation, ...] = (DELIVERIES, REPLAY, pings.PING)

_LIST = """
SELECT delivery_id, endpoint_id, event_id, event_type, payment_id, replay, state, attempts, status_code, failure,
    toInt64(next_attempt_ms) AS next_attempt_ms, toInt64(attempted_ms) AS attempted_ms, toInt64(queued_ms) AS queued_ms,
    toInt64(queued_ms) AS at
FROM webhook_deliveries
WHERE tenant = {tenant:String} AND endpoint_id = {endpoint:String}"""
_EVENTS = """
SELECT event_id, companion_id, _topic AS topic, _partition AS partition, toInt64(_offset) AS offset, toInt64(occurred_ms) AS at
FROM payment_events WHERE tenant = {tenant:String}
UNION ALL
SELECT event_id, '', _topic, _partition, toInt64(_offset), toInt64(occurred_ms) FROM payout_events WHERE tenant = {tenant:String}
UNION ALL
SELECT event_id, '', _topic, _partition, toInt64(_offset), toInt64(occurred_ms) FROM customer_events WHERE tenant = {tenant:String}"""
_EVENT = f"SELECT * FROM ({_EVENTS}) WHERE event_id = {{event:String}} OR companion_id = {{event:String}} LIMIT 1"  # noqa: S608 - our own text


def routes(book: Book, reads: Reads, kafka: dict[str, Any]) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`."""
    made = Deliveries(book, reads, kafka)
    return (
        Route(operation=DELIVERIES, work=made.page),
        Route(operation=REPLAY, work=made.replay),
        *pings.routes(book),
    )


class Deliveries:
    """The work of both."""

    def __init__(self, book: Book, reads: Reads, kafka: dict[str, Any]) -> None:
        self._book, self._reads, self._kafka = book, reads, kafka
        self._gate = asyncio.Semaphore(REPLAYS_AT_ONCE_MAX)
        self._waiting = 0

    async def page(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """A page of deliveries."""
        endpoint = await self._endpoint(caller, path["id"])
        where, tests = cut(given), list[str]()
        parameters: dict[str, Parameter] = {"tenant": endpoint.tenant, "endpoint": endpoint.endpoint_id}
        for name, column in (("event", "event_id"), ("status", "state")):
            if given.get(name):
                tests.append(f"{column} = {{{name}:String}}")
                parameters[name] = given[name]
        found, has_more = await rows_of(
            self._reads.warehouse, _LIST, where, given, tests=tests, parameters=parameters, id_column="delivery_id"
        )
        url = f"{PATH}/{endpoint.endpoint_id}/deliveries"
        return Answer(
            body=listed(url, [render.delivery(row, livemode=endpoint.livemode) for row in found], has_more=has_more)
        )

    async def replay(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Queue events again for one endpoint: all of them with one effect, under one idempotency key."""
        ask = asked(caller, "replay", of=path["id"], given=given, now_ms=time.time_ns() // 1_000_000)
        event_id, created = given.get("event") or "", given.get("created") or {}
        if bool(event_id) == bool(created):
            raise InvalidRequest("Send event, or a time as created[gte] and created[lt].", param="event")
        if created and not ({"gt", "gte"} & created.keys()):
            raise InvalidRequest("A replay begins at a time: send created[gte].", param="created")
        if self._waiting >= REPLAYS_WAITING_MAX:
            raise Overloaded
        self._waiting += 1
        try:
            async with self._gate:
                return await self._replay(ask, caller, path["id"], given)
        finally:
            self._waiting -= 1

    async def _replay(self, ask: Asked, caller: Caller, endpoint_id: str, given: Mapping[str, Any]) -> Answer:
        tenant, event_id = caller.identity.tenant, given.get("event") or ""
        endpoints = await self._of(tenant)
        one = living(endpoints, endpoint_id)
        if (done := ask.before(endpoints)) is not None:
            return _again(*done)
        _check_enabled(one)
        for landed in (self._reads.landed, self._reads.landed_payouts, self._reads.landed_customers):
            await landed.wait(tenant)
        places = await (self._one(tenant, event_id) if event_id else self._within(tenant, given))
        more = len(places) > replays.EVENTS_MAX
        places = places[: replays.EVENTS_MAX]
        try:
            found = await asyncio.to_thread(replays.read, self._kafka, tenant, places)
        except (WebhooksStopped, KafkaException) as error:
            raise Unavailable(f"events to replay can't be read: {error}") from error
        replay_id = made_id("wr", tenant, ask.key)

        def decide(now: Mapping[str, WebhookEndpoint]) -> Change[Answer]:
            endpoint = living(now, endpoint_id)
            if (before := ask.before(now)) is not None:
                return Change(result=_again(*before))
            _check_enabled(endpoint)
            queued = replays.deliveries(found, endpoint, replay=replay_id, event_id=event_id, now_ms=ask.now_ms)
            body = render.replay(
                replay_id,
                endpoint,
                created_ms=ask.now_ms,
                queued=len(queued),
                has_more=more or len(found) < len(places),
                last_event=found[-1].place.event_id if found else "",
            )
            made = changed(endpoint, ask, result=msgspec.json.encode(body).decode())
            return Change(result=Answer(body=body), endpoints=(made,), deliveries=tuple(queued))

        return await changing(self._book, tenant, decide)

    async def _one(self, tenant: str, event_id: str) -> list[replays.Place]:
        """An event by its id."""
        rows = await self._reads.warehouse.rows(_EVENT, {"tenant": tenant, "event": event_id})
        if not rows:
            raise NotFound("event", param="event")
        return [replays.place_of(row) for row in rows]

    async def _within(self, tenant: str, given: Mapping[str, Any]) -> list[replays.Place]:
        """Events of a time, oldest first: one more than a replay takes, if there are as many."""
        tests, bounds = created_tests(Created(**given["created"]))
        parameters: dict[str, Parameter] = {"tenant": tenant, **bounds, "rows": replays.EVENTS_MAX + 1}
        if cursor := given.get("starting_after"):
            rows = await self._reads.warehouse.rows(_EVENT, {"tenant": tenant, "event": cursor})
            if not rows:
                message = "No such event to go on from: starting_after."
                raise InvalidRequest(message, param="starting_after", code="resource_missing")
            tests.append(
                "(at, topic, partition, offset) > ({cursor_at:Int64}, {cursor_topic:String}, {cursor_partition:Int32}, {cursor_offset:Int64})"
            )
            parameters |= {
                "cursor_at": rows[0]["at"],
                "cursor_topic": rows[0]["topic"],
                "cursor_partition": rows[0]["partition"],
                "cursor_offset": rows[0]["offset"],
            }
        sql = f"SELECT * FROM ({_EVENTS}) WHERE {' AND '.join(tests)} ORDER BY at, topic, partition, offset LIMIT {{rows:UInt32}}"  # noqa: S608
        return [replays.place_of(row) for row in await self._reads.warehouse.rows(sql, parameters)]

    async def _endpoint(self, caller: Caller, endpoint_id: str) -> WebhookEndpoint:
        return living(await self._of(caller.identity.tenant), endpoint_id)

    async def _of(self, tenant: str) -> dict[str, WebhookEndpoint]:
        try:
            return await self._book.of(tenant)
        except (WebhooksStopped, KafkaException) as error:
            raise Unavailable(str(error)) from error


def _again(endpoint: WebhookEndpoint, request: EndpointRequest) -> Answer:
    """What the request was answered with."""
    del endpoint
    return Answer(body=msgspec.json.decode(request.result, type=dict[str, Any]), replayed=True)


def _check_enabled(endpoint: WebhookEndpoint) -> None:
    if endpoint.status != "enabled":
        raise InvalidRequest(
            "This endpoint is disabled and hears of nothing. Enable it first.", code="endpoint_disabled"
        )
