"""How far each partition of events has been queued, and each partition of deliveries taken over, as `webhooks.pending` has it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from api.webhooks._transactions import Produce
from api.webhooks.errors import WebhooksStopped
from schemas.catalogue import PAYMENTS_EVENTS, WEBHOOKS_PENDING
from schemas.clients import consumer_config

TAKEN = b"\xfftaken"
"""Key of the position in `webhooks.deliveries`. No delivery's id begins like this."""

_NO_DELIVERY = b"\xff"
READ_DEADLINE_S = 120.0
ENDS_DEADLINE_S = 30.0
_BATCH = 1_000


def queued(topic: str) -> bytes:
    """Key of the position in a topic of events."""
    return b"\xffqueued" if topic == PAYMENTS_EVENTS.name else b"\xffqueued/" + topic.encode()


def said(what: bytes, partition: int, position: int) -> Produce:
    """The record that says: everything of the partition before this offset is done."""
    return Produce(WEBHOOKS_PENDING.name, what, b"%d" % position, partition)


def read(
    kafka: dict[str, Any],
    whats: Collection[bytes],
    partitions: Collection[int],
    *,
    waiting: Callable[[int, bytes, bytes | None], None] = lambda _partition, _key, _value: None,
) -> dict[tuple[bytes, int], int]:
    """
    The positions of these keys, of each partition that has one; `waiting` is told each delivery's record as it comes, the newest of a key last.

    Raises `WebhooksStopped` when they can't be read.
    """
    left = {partition: end for partition, end in _ends(kafka, partitions).items() if end > 0} if partitions else {}
    found: dict[tuple[bytes, int], int] = {}
    settings = {**kafka, "enable.partition.eof": True}
    reader = Consumer(consumer_config(kafka["bootstrap.servers"], "webhooks.restore", settings))
    try:
        reader.assign([TopicPartition(WEBHOOKS_PENDING.name, partition, 0) for partition in left])
        deadline = time.monotonic() + READ_DEADLINE_S
        while left:
            if time.monotonic() > deadline:
                why = f"{WEBHOOKS_PENDING.name} could not be read to its end: partitions {sorted(left)} are left"
                raise WebhooksStopped(why)
            for message in reader.consume(_BATCH, 1.0):
                _check(message.error())
                partition, offset, ended = (
                    _number(message.partition()),
                    _number(message.offset()),
                    bool(message.error()),
                )
                key = message.key() or b""
                if ended:
                    pass
                elif key in whats:
                    found[key, partition] = int(message.value() or b"")
                elif not key.startswith(_NO_DELIVERY):
                    waiting(partition, key, message.value())
                if partition in left and offset >= left[partition] - (not ended):
                    del left[partition]
    finally:
        reader.close()
    return found


def _ends(kafka: dict[str, Any], partitions: Collection[int]) -> dict[int, int]:
    """The partitions' ends, open transactions included: a read-committed end could stop before one that is still committed (KAFKA-10167)."""
    latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = {TopicPartition(WEBHOOKS_PENDING.name, partition): latest for partition in partitions}
    admin = AdminClient(kafka)  # kept in a name: its futures never end once it is gone
    futures = admin.list_offsets(
        asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=ENDS_DEADLINE_S
    )
    return {where.partition: future.result(timeout=2 * ENDS_DEADLINE_S).offset for where, future in futures.items()}


def _check(error: KafkaError | None) -> None:
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise KafkaException(error)


def _number(given: int | None) -> int:
    """A partition or offset, which a consumed message always has."""
    assert given is not None
    return given
