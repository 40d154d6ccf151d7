"""Where replay reads from: the seam, and Kafka behind it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from streams.replay.errors import NotComparable
from streams.runtime import InputLost, KafkaClients, Record, StreamsError, TaskConfig, Transient

DEADLINE_S = 120.0
"""How long nothing may move; longer than a dead worker's open transaction (15 s) and a broker's restart."""

_REQUEST_TIMEOUT_S = 20.0
_PAUSE_S = 0.05
_READ_RECORDS = 2_000
_READ_TIMEOUT_MS = 500
_RETRIES_MAX = 20

_EARLIEST: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]

_T = TypeVar("_T")


class Bounds(NamedTuple):
    """A partition's first offset, and an end: what is before it is decided, what was there at the call is before it."""

    start: int
    end: int


class Log(Protocol):
    """Committed records and how far groups are. Implementations can be pickled, since each process reads for itself."""

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """The group's committed offset of each partition, 0 where it has none; no transaction of theirs is open then."""

    def bounds(self, topic: str) -> dict[int, Bounds]:
        """Bounds of each partition; empty when there is no such topic."""

    def read(self, topic: str, partition: int, bounds: Bounds) -> Iterator[Record]:
        """The committed records within the bounds, in order."""


class KafkaLog:
    """A real Kafka. `client` holds extra librdkafka settings (TLS, SASL)."""

    def __init__(self, bootstrap: str, *, client: Mapping[str, str | int | float | bool] | None = None) -> None:
        self._config = TaskConfig(
            name="replay",
            application="clearline",
            instance=f"replay-{os.getpid()}",
            sources=("unset",),
            bootstrap=bootstrap,
            client=dict(client or {}),
        )

    def _admin(self) -> AdminClient:
        return KafkaClients(self._config).admin()

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Stable offsets: the broker answers none while a transaction that moves it is open."""
        admin = self._admin()
        partitions = self._partitions(admin, topic)
        if not partitions:
            return {}
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, number) for number in partitions])

        def ask() -> dict[int, int]:
            futures = admin.list_consumer_group_offsets(
                [asked], require_stable=True, request_timeout=_REQUEST_TIMEOUT_S
            )
            answers = futures[group].result(_REQUEST_TIMEOUT_S + 5).topic_partitions
            for answer in answers:
                if answer.error is not None:
                    raise KafkaException(answer.error)
            return {answer.partition: max(answer.offset, 0) for answer in answers}

        return _asked(ask, f"the committed offsets of group {group}")

    def bounds(self, topic: str) -> dict[int, Bounds]:
        """Waits until every transaction that is open now has ended: then the last stable offset is past today's end."""
        admin = self._admin()
        partitions = self._partitions(admin, topic)
        starts = self._offsets(admin, topic, partitions, _EARLIEST, IsolationLevel.READ_UNCOMMITTED)
        ends = self._offsets(admin, topic, partitions, _LATEST, IsolationLevel.READ_UNCOMMITTED)
        deadline = time.monotonic() + DEADLINE_S
        while True:
            stable = self._offsets(admin, topic, partitions, _LATEST, IsolationLevel.READ_COMMITTED)
            if all(stable[number] >= ends[number] for number in partitions):
                return {number: Bounds(starts[number], stable[number]) for number in partitions}
            if time.monotonic() > deadline:
                raise NotComparable(
                    f"a transaction on {topic} has been open for {DEADLINE_S:.0f} s",
                    remedy="Find its producer with kafka-transactions.sh, or try again later",
                )
            time.sleep(_PAUSE_S)

    def read(self, topic: str, partition: int, bounds: Bounds) -> Iterator[Record]:
        """Reads with a consumer of its own, outside of any group."""
        if bounds.start >= bounds.end:
            return
        reader = KafkaClients(self._config).reader(topic)
        try:
            reader.assign({partition: bounds.start})
            moved_at, before = time.monotonic(), -1
            while reader.position(partition) < bounds.end:
                try:
                    records = reader.read(records_max=_READ_RECORDS, timeout_ms=_READ_TIMEOUT_MS)
                except InputLost as lost:
                    message = f"{topic}/{partition}: records went away while they were read: {lost}"
                    raise NotComparable(message, remedy="Try again") from lost
                except Transient:
                    records = []  # the client finds its way back to the broker, or the deadline passes
                for record in records:
                    if record.offset >= bounds.end:
                        return
                    yield record
                now, position = time.monotonic(), reader.position(partition)
                if position > before:
                    moved_at, before = now, position
                elif now - moved_at > DEADLINE_S:
                    raise NotComparable(
                        f"{topic}/{partition} can't be read beyond offset {position} of {bounds.end}",
                        remedy="See whether the broker is well (`clearline status`), then try again",
                    )
        except StreamsError as error:
            raise NotComparable(f"{topic}/{partition} can't be read: {error}", remedy="Try again") from error
        finally:
            reader.close()

    @staticmethod
    def _partitions(admin: AdminClient, topic: str) -> list[int]:
        def ask() -> list[int]:
            found = admin.list_topics(topic, timeout=_REQUEST_TIMEOUT_S).topics.get(topic)
            if found is None or (found.error is not None and found.error.code() in _NO_TOPIC):
                return []
            if found.error is not None:
                raise KafkaException(found.error)
            return sorted(found.partitions)

        return _asked(ask, f"the partitions of {topic}")

    @staticmethod
    def _offsets(
        admin: AdminClient, topic: str, partitions: list[int], spec: Any, level: IsolationLevel
    ) -> dict[int, int]:
        if not partitions:
            return {}

        def ask() -> dict[int, int]:
            wanted = {TopicPartition(topic, number): spec for number in partitions}
            futures = admin.list_offsets(wanted, isolation_level=level, request_timeout=_REQUEST_TIMEOUT_S)
            return {pair.partition: future.result(_REQUEST_TIMEOUT_S + 5).offset for pair, future in futures.items()}

        return _asked(ask, f"the offsets of {topic}")


_NO_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)
_HOPELESS = (
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
)


def _asked(ask: Callable[[], _T], what: str) -> _T:
    """The answer, asked for again while the broker is busy: an election, an open transaction, a restart."""
    deadline = time.monotonic() + DEADLINE_S
    for attempt in range(_RETRIES_MAX):
        try:
            return ask()
        except (KafkaException, TimeoutError) as error:
            code = error.args[0].code() if isinstance(error, KafkaException) else None
            last = attempt == _RETRIES_MAX - 1 or time.monotonic() > deadline
            if last or code in _HOPELESS:
                raise NotComparable(
                    f"Kafka does not tell {what}: {error}",
                    remedy="Start it (`clearline up`), or set CLEARLINE_KAFKA to the brokers' addresses",
                ) from error
        time.sleep(min(2.0, _PAUSE_S * 2**attempt))
    raise AssertionError("unreachable")
