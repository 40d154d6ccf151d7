"""Types of events that webhooks tell and `/v1/events` lists, by what they are about: whoever asks for one can ask for no other."""

from __future__ import annotations

from collections.abc import Mapping

BY_OBJECT: Mapping[str, tuple[str, ...]] = {
    "charge": (
        "capture_failed",
        "captured",
        "conflict",
        "expired",
        "failed",
        "increment_failed",
        "integrity_failure",
        "outcome_unknown",
        "refunded",
        "reversed",
        "succeeded",
        "updated",
        "void_failed",
    ),
    "charge.dispute": (
        "acceptance_sent",
        "closed",
        "conflict",
        "created",
        "evidence_sent",
        "funds_reinstated",
        "funds_withdrawn",
        "integrity_failure",
        "outcome_unknown",
        "reopened",
        "request_failed",
        "updated",
    ),
    "customer": ("created", "deleted", "updated"),
    "payment_intent": (
        "amount_capturable_updated",
        "cancel_requested",
        "canceled",
        "capture_requested",
        "created",
        "increment_requested",
        "inquiry_requested",
        "payment_failed",
        "processing",
        "requires_action",
        "reserve_released",
        "resolution_approved",
        "resolution_proposed",
        "succeeded",
        "updated",
    ),
    "payment_method": ("attached", "created", "detached", "updated"),
    "payout": (
        "canceled",
        "conflict",
        "created",
        "failed",
        "inquiry_requested",
        "paid",
        "resolution_approved",
        "resolution_proposed",
        "updated",
    ),
    "refund": ("conflict", "created", "failed", "integrity_failure", "outcome_unknown", "updated"),
    "setup_intent": ("canceled", "created", "requires_action", "setup_failed", "succeeded", "updated"),
    "webhook_endpoint": ("disabled",),
}

TYPES: tuple[str, ...] = tuple(f"{of}.{what}" for of, some in BY_OBJECT.items() for what in some)
"""All of them; payment_intent.succeeded and the like."""
