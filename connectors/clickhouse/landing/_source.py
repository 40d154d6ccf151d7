"""The Kafka side of landing: committed records of this process's partitions, in bounded batches, from given offsets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.clickhouse.errors import PositionLost, RecordsMissing, TopicMissing
from connectors.clickhouse.landing._rows import Place, Raw
from schemas import clients, codec, contracts
from schemas.errors import SchemaError

GROUP = "clearline.landing"
BATCH_RECORDS_MAX = 10_000
BATCH_BYTES_MAX = 16 * 1024 * 1024
QUEUE_KBYTES_MAX = 32 * 1024  # what librdkafka reads ahead while ClickHouse is busy
BATCH_INTERVAL_S = 0.25  # at least; small parts cost ClickHouse more than they carry
REST_PER_WORK = 2.0  # under a steady trickle, how much longer than the last landing took the next batch may gather
BATCH_INTERVAL_MAX_S = 2.0
QUIET_S = 5.0  # how long records without a row of their own (clock ticks) may wait for others
POLL_S = 0.5
GATHER_MS = 50  # what comes within it is fetched together; batches take longer anyway
REREAD_PATIENCE_S = 60.0
METADATA_TIMEOUT_S = 10.0

Raws = dict[Place, list[Raw]]


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Records and, per partition, the offsets they were taken from: [from, next).

    What has no record there (markers of transactions, aborted records) never will have, so one batch's spans after
    another's tile.
    """

    raws: Raws
    spans: dict[Place, tuple[int, int]]


_GONE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}
_MISSING = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}
_TICK_IDS = frozenset(identity for identity, contract in contracts.by_id().items() if contract.record == "ClockTick")


class Source:
    """A consumer that is told where to read; it never asks Kafka. Partitions are taken by number: `p % shares == share`."""

    def __init__(
        self,
        bootstrap: str,
        *,
        topics: Iterable[str],
        share: int = 0,
        shares: int = 1,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self._topics = tuple(topics)
        self._share, self._shares = share, shares
        self._config = clients.consumer_config(bootstrap, GROUP, dict(extra or {})) | {
            # An offset that is not there any more is a loss to report, not a reason to begin elsewhere.
            "auto.offset.reset": "error",
            "queued.max.messages.kbytes": QUEUE_KBYTES_MAX,
            "enable.partition.eof": False,
            **clients.gathering(GATHER_MS),
        }
        self._consumer = Consumer(self._config)
        self._positions: dict[Place, int] = {}
        self._started = self._ended = 0.0  # of the last landing

    @property
    def places(self) -> frozenset[Place]:
        """The partitions being read."""
        return frozenset(self._positions)

    @property
    def positions(self) -> Mapping[Place, int]:
        """The next offset to be read, per partition."""
        return self._positions

    def find(self) -> set[Place]:
        """This share's partitions of all topics. Raises `TopicMissing` or `KafkaException`."""
        metadata = self._consumer.list_topics(timeout=METADATA_TIMEOUT_S)
        places = set()
        for name in self._topics:
            topic = metadata.topics.get(name)
            if topic is None or topic.error is not None or not topic.partitions:
                raise TopicMissing(f"topic {name} does not exist; create the topics of the catalogue first")
            places |= {Place(name, number) for number in topic.partitions if number % self._shares == self._share}
        return places

    def begin(self, places: Iterable[Place], landed: Mapping[Place, int]) -> None:
        """Read these partitions from what is not landed yet; one without anything landed, from its first offset."""
        positions = {}
        for place in places:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=METADATA_TIMEOUT_S)
            position = landed.get(place, low)
            if not low <= position <= high:
                raise PositionLost(
                    f"{place.topic}/{place.partition} has offsets {low} to {high}, and landing must go on at {position}: "
                    "records were deleted before they were landed, or the topic was made anew. Landing stops; restore the "
                    "topic, or point CLEARLINE_CLICKHOUSE to a new database"
                )
            positions[place] = position
        self._positions = positions
        self._assign(positions)

    def collect(self, stopping: Callable[[], bool]) -> Batch:
        """The next records: at once after a pause, in batches of some size under a steady stream. Empty when none came."""
        messages: list[Message] = []
        size, ticks_only = 0, True
        began = time.monotonic()
        while len(messages) < BATCH_RECORDS_MAX and size < BATCH_BYTES_MAX and not stopping():
            now = time.monotonic()
            due = began + POLL_S
            if messages:
                due = began + QUIET_S if ticks_only else max(self._ended + self._interval_s(), now)
            found = _some(self._consumer, BATCH_RECORDS_MAX - len(messages), min(POLL_S, max(0.0, due - now)))
            for message in found:
                size += len(message.value() or b"") + len(message.key() or b"")
                ticks_only = ticks_only and _is_tick(message.value())
            messages += found
            if not found and time.monotonic() >= due:
                break
        if messages:
            self._started = time.monotonic()
        return self._batch(messages)

    def landed(self) -> None:
        """The last batch is landed: what follows it closely may gather for a while."""
        self._ended = time.monotonic()

    def _interval_s(self) -> float:
        worked_s = self._ended - self._started
        return min(max(BATCH_INTERVAL_S, REST_PER_WORK * worked_s), BATCH_INTERVAL_MAX_S)

    def commit(self, positions: Mapping[Place, int]) -> None:
        """Tell Kafka how far landing is: for lag tools only, nobody reads it back."""
        offsets = [TopicPartition(*place, offset) for place, offset in positions.items()]
        self._consumer.commit(offsets=offsets, asynchronous=True)

    def reread(self, spans: Mapping[Place, tuple[int, int]], stopping: Callable[[], bool]) -> Raws:
        """The committed records of these offsets, read anew. Raises `RecordsMissing` when they don't come."""
        batch: Raws = {place: [] for place in spans}
        consumer = Consumer(self._config)
        try:
            consumer.assign([TopicPartition(*place, first) for place, (first, _) in spans.items()])
            missing = set(spans)
            patience = time.monotonic() + REREAD_PATIENCE_S
            while missing and not stopping():
                for message in _some(consumer, BATCH_RECORDS_MAX, POLL_S):
                    patience = time.monotonic() + REREAD_PATIENCE_S
                    raw = _raw(message)
                    last = spans[raw.place][1] - 1
                    if raw.offset <= last and raw.place in missing:
                        batch[raw.place].append(raw)
                    if raw.offset >= last:
                        missing.discard(raw.place)
                if time.monotonic() > patience:
                    raise RecordsMissing(
                        f"records of {sorted(missing)} that a batch was claimed with don't come; landing stops"
                    )
        finally:
            consumer.close()
        for place, (_, after) in spans.items():
            if place not in missing and (not batch[place] or batch[place][-1].offset != after - 1):
                raise RecordsMissing(f"{place.topic}/{place.partition} has no record at {after - 1}, which was claimed")
        return {} if missing else batch

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _assign(self, positions: Mapping[Place, int]) -> None:
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in positions.items()])

    def _batch(self, messages: list[Message]) -> Batch:
        raws: Raws = {}
        spans: dict[Place, tuple[int, int]] = {}
        for message in messages:
            raw = _raw(message)
            position = self._positions[raw.place]
            assert raw.offset >= position, "Kafka gave a record twice"
            first, _ = spans.get(raw.place, (position, position))
            spans[raw.place] = (first, raw.offset + 1)
            self._positions[raw.place] = raw.offset + 1
            raws.setdefault(raw.place, []).append(raw)
        return Batch(raws=raws, spans=spans)


def _some(consumer: Consumer, count: int, timeout_s: float) -> list[Message]:
    """Up to `count` records as they are there, waiting for the first only."""
    # consume(n, t) by itself waits for all n or for the whole time.
    first = consumer.poll(timeout_s)
    if first is None:
        return []
    good = []
    for message in (first, *(consumer.consume(count - 1, 0) if count > 1 else ())):
        if message.error() is None:
            good.append(message)
        else:
            _judge(message)
    return good


def _raw(message: Message) -> Raw:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return Raw(
        Place(topic, partition), offset, max(message.timestamp()[1], 0), _bytes(message.key()), _bytes(message.value())
    )


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _is_tick(value: str | bytes | None) -> bool:
    try:
        return codec.schema_id(_bytes(value)) in _TICK_IDS
    except SchemaError:
        return False


def _judge(message: Message) -> None:
    """Raise what an error event means; pass over what the client mends by itself."""
    error = message.error()
    assert error is not None
    where = f"{message.topic()}/{message.partition()}"
    if error.code() in _GONE:
        raise PositionLost(f"{where} does not hold offset {message.offset()} any more: {error.str()}; landing stops")
    if error.code() in _MISSING:
        raise TopicMissing(f"{where} is gone: {error.str()}")
    if error.fatal() or not (error.retriable() or error.code() in _PASSING):
        raise KafkaException(error)


_PASSING = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._RESOLVE,
    KafkaError._PARTITION_EOF,
}
