"""Finds the pending requests of partitions that were just assigned, and how far these partitions are done."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from connectors.providers.errors import GatewayStopped
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
from schemas.catalogue import GATEWAY_PENDING
from schemas.clients import consumer_config

RESTORE_DEADLINE_S = 120.0
ENDS_DEADLINE_S = 30.0
_BATCH = 1_000


def ends(kafka: dict[str, Any], partitions: list[int]) -> dict[int, int]:
    """The end of each partition of the pending topic, open transactions included.

    A read-committed end would stop before a transaction whose marker is late, and miss what it then commits (KAFKA-10167).
    """
    latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = {TopicPartition(GATEWAY_PENDING.name, partition): latest for partition in partitions}
    admin = AdminClient(kafka)  # kept in a name: its futures never end once it is gone
    futures = admin.list_offsets(
        asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=ENDS_DEADLINE_S
    )
    return {where.partition: future.result(timeout=2 * ENDS_DEADLINE_S).offset for where, future in futures.items()}


def restore(kafka: dict[str, Any], places: list[Place]) -> tuple[list[Pending], dict[int, tuple[int, str]]]:
    """
    Every request of these partitions that was parked and not resolved; and position and metadata of each partition that has any.

    Raises `GatewayStopped` when they can't be read.
    """
    left = {partition: end for partition, end in ends(kafka, [place.partition for place in places]).items() if end > 0}
    latest: dict[tuple[int, bytes], Message] = {}
    reader = Consumer(
        consumer_config(kafka["bootstrap.servers"], "gateway.restore", {**kafka, "enable.partition.eof": True})
    )
    try:
        reader.assign([TopicPartition(GATEWAY_PENDING.name, partition, 0) for partition in left])
        deadline = time.monotonic() + RESTORE_DEADLINE_S
        while left:
            if time.monotonic() > deadline:
                raise GatewayStopped(
                    f"{GATEWAY_PENDING.name} could not be read to its end: partitions {sorted(left)} are left"
                )
            for message in reader.consume(_BATCH, 1.0):
                if _reached(message, left):
                    del left[_number(message.partition())]
                _keep(message, latest)
    finally:
        reader.close()
    by_partition = {place.partition: place for place in places}
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


def _reached(message: Message, left: dict[int, int]) -> bool:
    """Whether this message, or the end it tells of, is the last that was to be read of its partition."""
    end = left.get(_number(message.partition()))
    if end is None:
        return False
    return _number(message.offset()) >= (end if message.error() else end - 1)


def _keep(message: Message, latest: dict[tuple[int, bytes], Message]) -> None:
    error = message.error()
    if error is not None:
        if error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        return
    name = (_number(message.partition()), message.key() or b"")
    if message.value() is None:
        latest.pop(name, None)
    else:
        latest[name] = message


def _pending_of(message: Message, place: Place) -> Pending:
    given: Any = message.headers() or ()
    headers: dict[str, bytes] = dict(given)
    made_ms, offset = int(headers[HEADER_MADE_MS]), int(headers[HEADER_OFFSET])
    asked = _translation.read(key=headers[HEADER_KEY], value=message.value(), timestamp_ms=made_ms)
    return Pending(asked=asked, place=place, offset=offset, reported=headers[HEADER_REPORTED] == b"1")


def _number(given: int | None) -> int:
    """A partition or offset, which a consumed message always has."""
    assert given is not None
    return given
