"""Endpoints that are dead are disabled, and the tenant's other endpoints hear of it: `webhook_endpoint.disabled`, an event of ours."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from hashlib import sha256

from msgspec.structs import replace

from api.http import render as shown
from api.http import versions
from api.webhooks import render, types
from api.webhooks.book import Change
from schemas import codec
from schemas.catalogue import WEBHOOKS_ENDPOINTS
from schemas.records import Attribution, WebhookDelivery, WebhookEndpoint

DISABLED = "webhook_endpoint.disabled"

log = logging.getLogger("clearline.webhooks")


def disabled(
    endpoints: Mapping[str, WebhookEndpoint], endpoint_id: str, *, reason: str, partition: int
) -> Change[bool]:
    """
    An endpoint disabled, and a delivery of that to each other endpoint of the tenant that wants to hear of it.

    False, and nothing, when it is not enabled any more.
    """
    one = endpoints.get(endpoint_id)
    if one is None or one.status != "enabled":
        return Change(result=False)
    now_ms = time.time_ns() // 1_000_000
    made = replace(
        one,
        status="disabled",
        disabled_reason=reason,
        version=one.version + 1,
        updated_ms=now_ms,
        attribution=Attribution(actor_kind="system", actor_id="webhooks", reason=reason),
    )
    told = replace(made, secrets=(), requests=())
    event_id = "evt_" + sha256(f"{made.tenant}/{endpoint_id}/{made.version}".encode()).hexdigest()[:24]
    deliveries = tuple(
        (
            partition,
            WebhookDelivery(
                delivery_id=types.delivery_id(event_id, other.endpoint_id),
                tenant=made.tenant,
                endpoint_id=other.endpoint_id,
                event_id=event_id,
                event_type=DISABLED,
                sequence=made.version,
                api_version=other.api_version or versions.NEWEST,
                source_topic=WEBHOOKS_ENDPOINTS.name,
                event=codec.encode(told),
                state="queued",
                queued_ms=now_ms,
            ),
        )
        for other in endpoints.values()
        if other.status == "enabled" and other.endpoint_id != endpoint_id and types.wants(other, DISABLED)
    )
    return Change(result=True, endpoints=(made,), deliveries=deliveries)


def body(endpoint: WebhookEndpoint, delivery: WebhookDelivery, *, livemode: bool) -> bytes:
    """The bytes of such an event."""
    said = shown.event(
        delivery.event_id,
        delivery.event_type,
        about=render.endpoint(endpoint, now_ms=endpoint.updated_ms),
        at_ms=endpoint.updated_ms,
        api_version=delivery.api_version,
        livemode=livemode,
        pending_webhooks=1,
        sequence=delivery.sequence,
    )
    return types.written(said, api_version=delivery.api_version)
