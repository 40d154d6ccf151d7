"""Events read again from their topic, to be told to an endpoint once more under a replay's identity."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from api.http import versions
from api.webhooks import types
from api.webhooks.errors import WebhooksStopped
from schemas import codec
from schemas.clients import consumer_config
from schemas.records import WebhookDelivery, WebhookEndpoint

EVENTS_MAX = 1_000
BYTES_MAX = 32 * 1024 * 1024
READ_DEADLINE_S = 20.0
GAP_MAX = 2_000
"""Records of others that are read over; a wider gap is jumped."""
_BATCH = 500
_GONE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an event is."""

    event_id: str
    topic: str
    partition: int
    offset: int
    at_ms: int


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it stands on its topic."""

    place: Place
    event: types.Event
    raw: bytes


def read(kafka: dict[str, Any], tenant: str, places: Iterable[Place]) -> list[Found]:
    """
    These events, in the order of their places, up to `BYTES_MAX` together: it may be fewer from the end.

    Raises `WebhooksStopped` when they don't come, or are not the tenant's.
    """
    wanted = list(places)
    offsets: dict[tuple[str, int], set[int]] = defaultdict(set)
    for place in wanted:
        offsets[place.topic, place.partition].add(place.offset)
    consumer = Consumer(consumer_config(kafka["bootstrap.servers"], "webhooks.replay", kafka))
    raws: dict[tuple[str, int, int], bytes] = {}
    deadline = time.monotonic() + READ_DEADLINE_S
    try:
        for where, some in offsets.items():
            _read_partition(consumer, where, sorted(some), raws, deadline)
    finally:
        consumer.close()
    found: list[Found] = []
    size = 0
    for place in wanted:
        raw = raws.get((place.topic, place.partition, place.offset), b"")
        size += len(raw)
        if found and size > BYTES_MAX:
            break
        event = codec.decode(raw, expected=types.TOLD)
        if not isinstance(event, types.TOLD) or event.tenant != tenant:
            raise WebhooksStopped(f"{place.topic}[{place.partition}]@{place.offset} is not what the warehouse says")
        found.append(Found(place=place, event=event, raw=raw))
    return found


def _read_partition(
    consumer: Consumer,
    where: tuple[str, int],
    offsets: list[int],
    raws: dict[tuple[str, int, int], bytes],
    deadline: float,
) -> None:
    left = deque(offsets)
    consumer.assign([TopicPartition(*where, left[0])])
    while left:
        if time.monotonic() > deadline:
            raise WebhooksStopped(f"{where[0]}[{where[1]}] was not read to {left[0]} in time")
        first = consumer.poll(1.0)
        if first is None:
            continue
        reached = left[0]
        for message in (first, *consumer.consume(_BATCH, 0)):
            error, offset = message.error(), message.offset()
            if error is not None:
                if error.fatal() or error.code() in _GONE:
                    raise KafkaException(error)
                continue
            assert offset is not None
            reached = offset
            if left and offset == left[0]:
                raws[(*where, left.popleft())] = message.value() or b""
        if left and left[0] > reached + GAP_MAX:
            consumer.seek(TopicPartition(*where, left[0]))


def deliveries(
    found: Iterable[Found], endpoint: WebhookEndpoint, *, replay: str, event_id: str, now_ms: int
) -> list[tuple[int, WebhookDelivery]]:
    """What is queued, with the partition that it goes to: of one event what has that id, else what the endpoint asks for."""
    return [
        (
            one.place.partition,
            WebhookDelivery(
                delivery_id=types.delivery_id(told.id, endpoint.endpoint_id, replay=replay),
                tenant=endpoint.tenant,
                endpoint_id=endpoint.endpoint_id,
                event_id=told.id,
                event_type=told.type,
                payment_id=types.about(one.event),
                sequence=one.event.sequence,
                api_version=endpoint.api_version or versions.NEWEST,
                source_topic=one.place.topic,
                source_partition=one.place.partition,
                source_offset=one.place.offset,
                event=one.raw,
                replay=replay,
                state="queued",
                queued_ms=now_ms,
            ),
        )
        for one in found
        for told in types.told(one.event)
        if (told.id == event_id if event_id else types.wants(endpoint, told.type))
    ]


def place_of(row: Mapping[str, Any]) -> Place:
    """A place as the warehouse tells it."""
    return Place(
        event_id=row["event_id"], topic=row["topic"], partition=row["partition"], offset=row["offset"], at_ms=row["at"]
    )
