"""What endpoints hear of a payment's event: Stripe's types, bodies in an endpoint's own API version, filters, ids.

Each `PaymentEvent` is one event to an endpoint under its own id (its primary), and where Stripe tells of the charge beside the payment or
the refund, one more (a companion). Types that Stripe doesn't have (`charge.outcome_unknown`) are sent as they are, to those who
ask for them by name or for all: so what `*` hears of a payment has no gap.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, TypeAlias

import msgspec

from api.customers import render as customers
from api.http import render, versions
from api.payouts import render as payouts
from schemas.holds import held_minor
from schemas.records import CustomerEvent, PaymentEvent, PayoutEvent, PayoutObject, WebhookDelivery, WebhookEndpoint

ALL = "*"
ENABLED_EVENTS_MAX = 200
TYPE_CHARS_MAX = 100

_ID_DIGITS = 24


TOLD = (PaymentEvent, PayoutEvent, CustomerEvent)
Event: TypeAlias = PaymentEvent | PayoutEvent | CustomerEvent
"""What endpoints hear of."""


class Told(msgspec.Struct, frozen=True):
    """One event as an endpoint hears of it."""

    id: str
    type: str
    previous: str
    """evt_... before it: of a primary the object's event before, of a companion its primary; empty for the first."""


def told(event: Event) -> tuple[Told, ...]:
    """What an event is to endpoints, primary first. The ids depend on the event only: again told is the same told."""
    primary = Told(event.event_id, event.type, event.previous_event_id)
    if not isinstance(event, PaymentEvent):
        return (primary,)
    return (
        primary,
        *(Told(companion_id(event.event_id, kind), kind, event.event_id) for kind in _companions(event)),
    )


def companion_id(event_id: str, kind: str) -> str:
    """evt_ and 24 digits out of an event's id and a companion's type."""
    return "evt_" + sha256(f"{event_id}/{kind}".encode()).hexdigest()[:_ID_DIGITS]


def _companions(event: PaymentEvent) -> Iterator[str]:
    """What is told of the charge. That it succeeded is told once: when it is authorised, or captured without having been."""
    if event.charge is None:
        return
    match event.type:
        case "payment_intent.succeeded":
            if held_minor(event) >= 0:
                yield "charge.succeeded"
        case "payment_intent.amount_capturable_updated" if (held := held_minor(event)) > 0:
            whole = event.payment is not None and held == event.payment.amount_minor
            yield "charge.succeeded" if whole else "charge.updated"
        case "payment_intent.payment_failed":
            yield "charge.failed"
        case "refund.created":
            yield "charge.refunded"
        case _:
            return


def wants(endpoint: WebhookEndpoint, kind: str) -> bool:
    """Whether an endpoint asked for a type, by name or with all."""
    return ALL in endpoint.enabled_events or kind in endpoint.enabled_events


def deliveries(
    event: Event,
    raw: bytes,
    *,
    place: tuple[str, int, int],
    endpoints: Iterable[WebhookEndpoint],
    queued_ms: int,
) -> list[WebhookDelivery]:
    """
    What is queued of an event: one delivery for each of its tellings and each endpoint of its tenant that is enabled and asked for it.

    `raw` is the event as it stands at `place` (topic, partition, offset). An endpoint hears nothing of what was before it was made.
    The ids depend on event and endpoint only.
    """
    topic, partition, offset = place
    hearing = [
        one
        for one in endpoints
        if one.tenant == event.tenant and one.status == "enabled" and one.created_ms <= event.occurred_ms
    ]
    return [
        WebhookDelivery(
            delivery_id=delivery_id(one.id, endpoint.endpoint_id),
            tenant=event.tenant,
            endpoint_id=endpoint.endpoint_id,
            event_id=one.id,
            event_type=one.type,
            payment_id=about(event),
            sequence=event.sequence,
            api_version=endpoint.api_version or versions.NEWEST,
            source_topic=topic,
            source_partition=partition,
            source_offset=offset,
            event=raw,
            state="queued",
            queued_ms=queued_ms,
        )
        for one in told(event)
        for endpoint in hearing
        if wants(endpoint, one.type)
    ]


def delivery_id(event_id: str, endpoint_id: str, *, replay: str = "") -> str:
    """wd_ and 24 digits; a replay's delivery is another one."""
    return "wd_" + sha256(f"{event_id}/{endpoint_id}/{replay}".encode()).hexdigest()[:_ID_DIGITS]


def about(event: Event) -> str:
    """The object whose history it belongs to: pi_..., po_..., cus_..., pm_... or seti_..."""
    match event:
        case PaymentEvent():
            return event.payment_id
        case PayoutEvent():
            return event.payout_id
        case CustomerEvent():
            return event.object_id


def body(event: Event, *, event_type: str, api_version: str, livemode: bool) -> bytes:
    """
    The bytes that are signed and sent: Stripe's event, and under `clearline` where it stands in its payment's history.

    Raises `ValueError` when the event is not told under that type.
    """
    one = next((one for one in told(event) if one.type == event_type), None)
    if one is None:
        message = f"{event.event_id} is not told as {event_type}"
        raise ValueError(message)
    payment = event if isinstance(event, PaymentEvent) else None
    said = render.event(
        one.id,
        event_type,
        about=_object(event, event_type, livemode=livemode),
        at_ms=event.occurred_ms,
        status_before=render.status_before(event_type, payment.from_status, payment.to_status) if payment else "",
        api_version=api_version,
        livemode=livemode,
        pending_webhooks=1,
        request=event.attribution.request_id,
        idempotency_key=event.attribution.idempotency_key,
        payment_id=payment.payment_id if payment else None,
        sequence=event.sequence,
        previous=one.previous,
    )
    return written(said, api_version=api_version)


def written(event: dict[str, Any], *, api_version: str) -> bytes:
    """An event's JSON as a version has it."""
    said = {**event, "data": versions.response_backwards(api_version, event["data"])}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def _object(event: Event, event_type: str, *, livemode: bool) -> dict[str, Any]:
    """The object that a type is about; of a payment's events, what has none of its own is about the payment."""
    match event:
        case PaymentEvent():
            return _of_payment(event, event_type, livemode=livemode)
        case PayoutEvent():
            return payouts.payout(event.payout or PayoutObject(id=event.payout_id), livemode=livemode)
        case CustomerEvent():
            return _of_customer(event, livemode=livemode)


def _of_customer(event: CustomerEvent, *, livemode: bool) -> dict[str, Any]:
    """What personal data a customer has is not told: it is sealed, and could not be taken back once the customer is erased."""
    if event.customer is not None:
        return customers.customer(event.customer, {}, livemode=livemode)
    if event.method is not None:
        return customers.payment_method(event.method, livemode=livemode)
    assert event.setup is not None
    return customers.setup_intent(event.setup, livemode=livemode)


def _of_payment(event: PaymentEvent, event_type: str, *, livemode: bool) -> dict[str, Any]:
    if event_type.startswith("charge.dispute.") and event.dispute is not None:
        return render.dispute(event.dispute, payment_id=event.payment_id, livemode=livemode)
    if event_type.startswith("refund.") and event.refund is not None:
        return render.refund(event.refund, payment_id=event.payment_id)
    if event_type.startswith("charge.") and event.charge is not None and event.payment is not None:
        return render.charge(event.charge, event.payment, livemode=livemode)
    if event.payment is not None:
        return render.payment_intent(event.payment, livemode=livemode)
    return {"id": event.payment_id, "object": "payment_intent"}
