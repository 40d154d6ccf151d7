"""Reads partitions to an end and no further, outside of any group: how a process learns what a topic holds already."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from schemas.clients import consumer_config
from schemas.errors import TopicUnread

ENDS_TIMEOUT_S = 30.0
STALLED_S = 120.0
"""How long nothing may come; longer than a dead writer's open transaction and a broker's restart."""

_BATCH = 5_000
_POLL_S = 0.5
_FETCH_WAIT_MS = 10  # that a partition has ended is told with an answer that holds nothing, after this long

Place = tuple[str, int]
"""Topic and partition."""

_PASSING = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
    }
)
_MOVING = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})
_PAUSE_S = 0.1


class Held(NamedTuple):
    """A committed record and where it stands."""

    place: Place
    offset: int
    message: Message


def ends(kafka: Mapping[str, Any], places: Collection[Place], *, open_too: bool = True) -> dict[Place, int]:
    """
    The offset behind each partition's last record, whether it is committed or not; not `open_too`: behind the last that can be read.

    Whoever takes something over needs the former: the latter stops before a transaction that is committed and whose marker is late (KAFKA-10167).
    Raises `KafkaException`.
    """
    if not places:
        return {}
    end_s = time.monotonic() + ENDS_TIMEOUT_S
    while True:
        try:
            return _ends(kafka, places, open_too=open_too)
        except KafkaException as error:
            # A partition that has just been made, or that moves, has its leader in a moment.
            if error.args[0].code() not in _MOVING or time.monotonic() > end_s:
                raise
        time.sleep(_PAUSE_S)


def _ends(kafka: Mapping[str, Any], places: Collection[Place], *, open_too: bool) -> dict[Place, int]:
    latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    level = IsolationLevel.READ_UNCOMMITTED if open_too else IsolationLevel.READ_COMMITTED
    admin = AdminClient(dict(kafka))  # kept in a name: its futures never end once it is gone
    asked = {TopicPartition(*place): latest for place in places}
    futures = admin.list_offsets(asked, isolation_level=level, request_timeout=ENDS_TIMEOUT_S)
    try:
        return {
            (where.topic, where.partition): future.result(2 * ENDS_TIMEOUT_S).offset
            for where, future in futures.items()
        }
    except TimeoutError:
        silent = KafkaError(KafkaError._TIMED_OUT, f"Kafka does not tell where {_named(places)} end")
        raise KafkaException(silent) from None


def read(
    kafka: Mapping[str, Any],
    until: Mapping[Place, int],
    *,
    group: str,
    starts: Mapping[Place, int] | None = None,
    stalled_s: float = STALLED_S,
) -> Iterator[Held]:
    """
    The committed records before these offsets, each partition's in order: from its first, or from that of `starts`.

    The ends need not have a record before them, since markers of transactions have offsets too; but records must come to there.
    `group` is a name for the broker's eyes: nothing is joined or committed. Raises `TopicUnread` when nothing comes for so long, and
    `KafkaException`.
    """
    begin = {place: (starts or {}).get(place, 0) for place in until}
    left = {place: end for place, end in until.items() if end > begin[place]}
    if not left:
        return
    settings = {**kafka, "enable.partition.eof": True, "fetch.wait.max.ms": _FETCH_WAIT_MS}
    reader = Consumer(consumer_config(kafka["bootstrap.servers"], group, settings))
    try:
        reader.assign([TopicPartition(*place, begin[place]) for place in left])
        moved = time.monotonic()
        while left:
            # The first is waited for, the others are taken as they are there: `consume` waits for all, or for the whole time.
            first = reader.poll(_POLL_S)
            if first is None:
                if time.monotonic() - moved > stalled_s:
                    raise TopicUnread(
                        f"{_named(left)} could not be read to the end: nothing came for {stalled_s:.0f} s; check the broker, then try again"
                    )
                continue
            for message in (first, *reader.consume(_BATCH, 0)):
                ended = _ended(message.error())
                if ended is None:
                    continue
                place, offset = (str(message.topic()), number(message.partition())), number(message.offset())
                if place not in left:
                    continue
                if not ended and offset < left[place]:
                    yield Held(place, offset, message)
                if offset >= left[place] - (not ended):
                    del left[place]
                moved = time.monotonic()
    finally:
        reader.close()


def number(given: int | None) -> int:
    """A partition or offset, which a consumed message always has."""
    assert given is not None
    return given


def _ended(error: KafkaError | None) -> bool | None:
    """False for a record, True for the end of a partition, None for what the client mends by itself; raises the rest."""
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:
        return True
    if error.fatal() or not (error.retriable() or error.code() in _PASSING):
        raise KafkaException(error)
    return None


def _named(places: Collection[Place]) -> str:
    return ", ".join(f"{topic}/{partition}" for topic, partition in sorted(places))
