"""The objects that payments' operations answer with."""

from __future__ import annotations

from api.openapi.objects import balance, disputes, payments, refunds, saved, webhooks
from api.openapi.schema import Described

OBJECTS: tuple[Described, ...] = (
    *payments.OBJECTS,
    *refunds.OBJECTS,
    *disputes.OBJECTS,
    *balance.OBJECTS,
    *saved.OBJECTS,
    *webhooks.OBJECTS,
)
