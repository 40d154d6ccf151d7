"""Finds the pending requests of partitions that were just assigned, and how far these partitions are done."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Message

from connectors.providers.gateway import _translation
from connectors.providers.gateway._items import (
    HEADER_KEY,
    HEADER_MADE_MS,
    HEADER_OFFSET,
    HEADER_REPORTED,
    POSITION_KEY,
    Pending,
    Place,
    position_of,
)
from schemas import reading
from schemas.catalogue import GATEWAY_PENDING


def restore(kafka: dict[str, Any], places: list[Place]) -> tuple[list[Pending], dict[int, tuple[int, str]]]:
    """
    Every request of these partitions that was parked and not resolved; and position and metadata of each partition that has any.

    Raises `TopicUnread` and `KafkaException`.
    """
    by_partition = {place.partition: place for place in places}
    latest: dict[tuple[int, bytes], Message] = {}
    ends = reading.ends(kafka, {(GATEWAY_PENDING.name, partition) for partition in by_partition})
    for (_, partition), _, message in reading.read(kafka, ends, group="gateway.restore"):
        name = (partition, message.key() or b"")
        if message.value() is None:
            latest.pop(name, None)
        else:
            latest[name] = message
    positions = {
        partition: position_of(message.value() or b"")
        for (partition, key), message in latest.items()
        if key == POSITION_KEY
    }
    return [
        _pending_of(message, by_partition[partition])
        for (partition, key), message in latest.items()
        if key != POSITION_KEY
    ], positions


def _pending_of(message: Message, place: Place) -> Pending:
    given: Any = message.headers() or ()
    headers: dict[str, bytes] = dict(given)
    made_ms, offset = int(headers[HEADER_MADE_MS]), int(headers[HEADER_OFFSET])
    asked = _translation.read(key=headers[HEADER_KEY], value=message.value(), timestamp_ms=made_ms)
    return Pending(asked=asked, place=place, offset=offset, reported=headers[HEADER_REPORTED] == b"1")
