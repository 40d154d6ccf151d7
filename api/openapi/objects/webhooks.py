"""Webhook endpoints, what was sent to them, and what is sent again."""

from __future__ import annotations

from typing import Any

from api.openapi.objects._records import AT_MS, DIGITS, PAYMENT_ID
from api.openapi.schema import (
    BOOLEAN,
    INTEGER,
    NULL,
    SECONDS,
    TEXT,
    TEXT_MAP,
    Described,
    array,
    closed,
    nullable,
    of_object,
    one_of,
)
from api.webhooks import render
from schemas.records import WebhookEndpoint

WEBHOOK_ENDPOINT = of_object(
    "webhook_endpoint",
    {
        "api_version": nullable(TEXT),
        "application": NULL,
        "created": SECONDS,
        "description": nullable(TEXT),
        "enabled_events": array(TEXT),
        "livemode": BOOLEAN,
        "metadata": TEXT_MAP,
        "status": one_of("enabled", "disabled"),
        "url": TEXT,
        "clearline": closed(
            {
                "disabled_reason": nullable(TEXT),
                "secrets": array(closed({"expires": nullable(SECONDS)})),
                "version": INTEGER,
            }
        ),
    },
    optional={"secret": {"type": "string", "description": "In the answer that makes it only."}},
)
WEBHOOK_DELIVERY = of_object(
    "webhook_delivery",
    {
        "attempts": INTEGER,
        "created": SECONDS,
        "event": TEXT,
        "failure": nullable(TEXT),
        "last_attempt": nullable(SECONDS),
        "livemode": BOOLEAN,
        "next_attempt": nullable(SECONDS),
        "payment": nullable(TEXT),
        "replay": nullable(TEXT),
        "response_status": nullable(INTEGER),
        "status": TEXT,
        "type": TEXT,
        "webhook_endpoint": TEXT,
    },
)
WEBHOOK_REPLAY = of_object(
    "webhook_replay",
    {
        "created": SECONDS,
        "has_more": BOOLEAN,
        "last_event": nullable(TEXT),
        "livemode": BOOLEAN,
        "queued": INTEGER,
        "webhook_endpoint": TEXT,
    },
)
_ENDPOINT = WebhookEndpoint(
    endpoint_id=f"we_{DIGITS}",
    tenant="acme",
    url="https://shop.example/hooks",
    enabled_events=("payment_intent.succeeded", "charge.dispute.created"),
    api_version="2026-08-26.dahlia",
    description="The shop",
    metadata={"team": "orders"},
    status="enabled",
    version=1,
    created_ms=AT_MS,
)


def _endpoints() -> dict[str, dict[str, Any]]:
    return {
        "made": render.endpoint(_ENDPOINT, now_ms=AT_MS, secret="whsec_…"),  # noqa: S106 - it is none
        "read": render.endpoint(_ENDPOINT, now_ms=AT_MS),
    }


def _deliveries() -> dict[str, dict[str, Any]]:
    row = {
        "delivery_id": f"whd_{DIGITS}",
        "attempts": 2,
        "queued_ms": AT_MS,
        "event_id": "evt_0a1b2c3d4e5f60718293a4b5",
        "failure": "",
        "attempted_ms": AT_MS + 60_000,
        "next_attempt_ms": 0,
        "payment_id": PAYMENT_ID,
        "replay": "",
        "status_code": 200,
        "state": "delivered",
        "event_type": "payment_intent.succeeded",
        "endpoint_id": _ENDPOINT.endpoint_id,
    }
    return {"delivered": render.delivery(row, livemode=False)}


def _replays() -> dict[str, dict[str, Any]]:
    replay_id = f"whr_{DIGITS}"
    made = render.replay(
        replay_id, _ENDPOINT, created_ms=AT_MS, queued=12, has_more=False, last_event="evt_0a1b2c3d4e5f60718293a4b5"
    )
    return {"queued": made}


OBJECTS = (
    Described(
        name="webhook_endpoint",
        summary="Where a tenant wants to hear of events, and of which.",
        schema=WEBHOOK_ENDPOINT,
        examples=_endpoints,
    ),
    Described(
        name="webhook_delivery",
        summary="One event on its way to one endpoint, after its newest attempt.",
        schema=WEBHOOK_DELIVERY,
        examples=_deliveries,
    ),
    Described(name="webhook_replay", summary="Events that are sent again.", schema=WEBHOOK_REPLAY, examples=_replays),
)
