"""How far each partition of events has been queued, and each partition of deliveries taken over, as `webhooks.pending` has it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from schemas import reading
from schemas.catalogue import PAYMENTS_EVENTS, WEBHOOKS_PENDING
from schemas.transactions import Produce

TAKEN = b"\xfftaken"
"""Key of the position in `webhooks.deliveries`. No delivery's id begins like this."""

_NO_DELIVERY = b"\xff"


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

    Raises `TopicUnread` and `KafkaException`.
    """
    found: dict[tuple[bytes, int], int] = {}
    ends = reading.ends(kafka, {(WEBHOOKS_PENDING.name, partition) for partition in partitions})
    for (_, partition), _, message in reading.read(kafka, ends, group="webhooks.restore"):
        key = message.key() or b""
        if key in whats:
            found[key, partition] = int(message.value() or b"")
        elif not key.startswith(_NO_DELIVERY):
            waiting(partition, key, message.value())
    return found
