"""`/v1/webhook_endpoints/{id}/ping`: tells an endpoint of itself at once, to see that it hears. Ours, after Stripe's for its event destinations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from api.http import versions
from api.http.errors import InvalidRequest
from api.http.operations import Operation, Route
from api.http.parameters import Spec
from api.http.service import Answer, Caller, now_ms
from api.webhooks import notices, types
from api.webhooks._requests import asked, made_id
from api.webhooks.book import Book, Change
from api.webhooks.changes import changed, changing, living
from api.webhooks.resource import PATH
from schemas import codec
from schemas.catalogue import WEBHOOKS_ENDPOINTS
from schemas.records import WebhookDelivery, WebhookEndpoint

TYPE = "webhook_endpoint.ping"
"""No endpoint asks for it: it comes to the one that is pinged, whatever that asks for, and is listed nowhere."""

PING = Operation(
    method="POST",
    path=PATH + "/{id}/ping",
    id="PostWebhookEndpointsWebhookEndpointPing",
    summary="Send an endpoint an event about itself, signed and tried like any other, to see that it hears.",
    scope="webhook_endpoints:write",
    object="event",
    spec=Spec(),
)


def routes(book: Book) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`."""

    async def work(caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        return await ping(book, caller, path["id"], given)

    return (Route(operation=PING, work=work),)


async def ping(book: Book, caller: Caller, endpoint_id: str, given: Mapping[str, Any]) -> Answer:
    """Queue the event once for each idempotency key, and answer with it. Raises `ApiError`."""
    ask = asked(caller, "ping", of=endpoint_id, given=given, now_ms=now_ms())
    tenant = caller.identity.tenant

    def decide(endpoints: Mapping[str, WebhookEndpoint]) -> Change[Answer]:
        one = living(endpoints, endpoint_id)
        if (before := ask.before(endpoints)) is not None:
            return Change(result=Answer(body=json.loads(before[1].result), replayed=True))
        if one.status != "enabled":
            message = "This endpoint is disabled and hears of nothing. Enable it first."
            raise InvalidRequest(message, code="endpoint_disabled")
        told = replace(one, secrets=(), requests=(), updated_ms=ask.now_ms, version=one.version + 1)
        event_id = made_id("evt", tenant, ask.key)
        delivery = WebhookDelivery(
            delivery_id=types.delivery_id(event_id, endpoint_id),
            tenant=tenant,
            endpoint_id=endpoint_id,
            event_id=event_id,
            event_type=TYPE,
            sequence=told.version,
            api_version=one.api_version or versions.NEWEST,
            source_topic=WEBHOOKS_ENDPOINTS.name,
            event=codec.encode(told),
            state="queued",
            queued_ms=ask.now_ms,
        )
        body = notices.body(told, delivery, livemode=one.livemode)
        made = changed(one, ask, result=body.decode())
        return Change(result=Answer(body=json.loads(body)), endpoints=(made,), deliveries=((0, delivery),))

    return await changing(book, tenant, decide)
