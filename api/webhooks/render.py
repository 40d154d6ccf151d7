"""Endpoints, deliveries and replays as JSON: Stripe's fields where Stripe has the object, ours under `clearline`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.records import WebhookEndpoint


def endpoint(one: WebhookEndpoint, *, now_ms: int, secret: str = "") -> dict[str, Any]:
    """An endpoint. `secret` only when it was just made."""
    shown: dict[str, Any] = {
        "id": one.endpoint_id,
        "object": "webhook_endpoint",
        "api_version": one.api_version or None,
        "application": None,
        "created": one.created_ms // 1000,
        "description": one.description or None,
        "enabled_events": list(one.enabled_events),
        "livemode": one.livemode,
        "metadata": dict(one.metadata),
        "status": "enabled" if one.status == "enabled" else "disabled",
        "url": one.url,
        "clearline": {
            "disabled_reason": one.disabled_reason or None,
            "secrets": [
                {"expires": sealed.expires_ms // 1000 or None}
                for sealed in one.secrets
                if not sealed.expires_ms or sealed.expires_ms > now_ms
            ],
            "version": one.version,
        },
    }
    if secret:
        shown["secret"] = secret
    return shown


def deleted(endpoint_id: str) -> dict[str, Any]:
    """An endpoint that is no more."""
    return {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}


def delivery(row: Mapping[str, Any], *, livemode: bool) -> dict[str, Any]:
    """A delivery after its newest attempt, from the warehouse."""
    return {
        "id": row["delivery_id"],
        "object": "webhook_delivery",
        "attempts": row["attempts"],
        "created": row["queued_ms"] // 1000,
        "event": row["event_id"],
        "failure": row["failure"] or None,
        "last_attempt": row["attempted_ms"] // 1000 or None,
        "livemode": livemode,
        "next_attempt": row["next_attempt_ms"] // 1000 or None,
        "payment": row["payment_id"] if row["payment_id"].startswith("pi_") else None,
        "replay": row["replay"] or None,
        "response_status": row["status_code"] or None,
        "status": row["state"],
        "type": row["event_type"],
        "webhook_endpoint": row["endpoint_id"],
    }


def replay(
    replay_id: str, endpoint: WebhookEndpoint, *, created_ms: int, queued: int, has_more: bool, last_event: str
) -> dict[str, Any]:
    """A replay that was queued. With `has_more` there is more within that time: ask again with `starting_after` its last event."""
    return {
        "id": replay_id,
        "object": "webhook_replay",
        "created": created_ms // 1000,
        "has_more": has_more,
        "last_event": last_event or None,
        "livemode": endpoint.livemode,
        "queued": queued,
        "webhook_endpoint": endpoint.endpoint_id,
    }
