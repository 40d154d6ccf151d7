"""A Kafka small enough to read: logs with markers, one group, transactions, and failures on request."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from streams.runtime.errors import Abortable, Fenced, StoreDamaged, StreamsError
from streams.runtime.record import Output, Record
from streams.runtime.seams import BEGINNING, Marker, RebalanceListener, TopicPartition


class Entry(msgspec.Struct):
    """A place in a log: a record, or a marker (record is None), in a transaction that is open, committed or aborted."""

    record: Record | None
    state: str = "committed"


class Log:
    """Topics, the group's offsets and the transactional ids of one task."""

    def __init__(self) -> None:
        self.entries: dict[TopicPartition, list[Entry]] = defaultdict(list)
        self.topic_ids: dict[str, str] = defaultdict(lambda: "incarnation-1")
        self.offsets: dict[TopicPartition, int] = {}
        self.unstable: set[TopicPartition] = set()
        self.epochs: dict[int, int] = defaultdict(int)
        self.generation = 0
        # With `markers_late` a transaction's markers are written when the next one has ended.
        self.markers_late = False
        self.late: list[TopicPartition] = []
        self.open: list[tuple[Entry, TopicPartition]] = []
        self.open_offsets: dict[TopicPartition, int] = {}
        # Exceptions to raise at the next call of an operation ("commit", "send_offsets", ...), and where they strike.
        self.failures: dict[str, deque[tuple[StreamsError, bool]]] = defaultdict(deque)
        self.calls: list[str] = []

    def fail(self, operation: str, *errors: StreamsError, after: bool = False) -> None:
        """Make the next calls raise; with `after`, only when they have taken effect."""
        self.failures[operation].extend((error, after) for error in errors)

    def strike(self, operation: str, act: Callable[[], None] = lambda: None) -> None:
        """Do an operation, with its failure if one is due."""
        self.calls.append(operation)
        error, after = self.failures[operation].popleft() if self.failures[operation] else (None, False)
        if error is None or after:
            act()
        if error is not None:
            raise error

    def append(self, topic: str, *pairs: tuple[bytes, bytes | None], partition: int = 0) -> None:
        """Append committed records."""
        for key, value in pairs:
            log = self.entries[topic, partition]
            log.append(Entry(Record(topic, partition, len(log), 1_000 + len(log), key, value)))

    def mark(self, topic: str, *, partition: int = 0) -> None:
        """Append a transaction marker: an offset without a record."""
        self.entries[topic, partition].append(Entry(None))

    def committed(self, topic: str, partition: int | None = None) -> list[Record]:
        """What a read-committed reader sees."""
        return [
            entry.record
            for (name, number), log in sorted(self.entries.items())
            if name == topic and partition in (None, number)
            for entry in log
            if entry.record is not None and entry.state == "committed"
        ]

    def finish(self, state: str) -> None:
        """End the open transaction."""
        for entry, _ in self.open:
            entry.state = state
        markers = sorted({pair for _, pair in self.open})
        if self.markers_late:
            markers, self.late = self.late, markers
        for pair in markers:
            self.entries[pair].append(Entry(None))
        if state == "committed":
            self.offsets.update(self.open_offsets)
        self.open, self.open_offsets = [], {}


class LogConsumer:
    """A member; the test decides when it gets and loses partitions, inside a poll."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.positions: dict[TopicPartition, int] = {}
        self.events: deque[Callable[[], None]] = deque()
        self.extra: list[Record] = []
        self.closed = False

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        self.topics, self.listener = topics, listener

    def give(self, *numbers: int, topics: Sequence[str] | None = None) -> None:
        """Assign partitions at the next poll."""
        pairs = [(topic, number) for topic in topics or self.topics for number in numbers]
        self.log.generation += 1
        self.events.append(lambda: self.listener.on_assigned(pairs))

    def take(self, *numbers: int, lost: bool = False) -> None:
        """Revoke (or lose) partitions at the next poll."""
        pairs = [(topic, number) for topic in self.topics for number in numbers]

        def event() -> None:
            (self.listener.on_lost if lost else self.listener.on_revoked)(pairs)
            self.positions = {pair: at for pair, at in self.positions.items() if pair not in pairs}

        self.log.generation += 1
        self.events.append(event)

    def poll(self, *, records_max: int, bytes_max: int, timeout_ms: int) -> list[Record]:
        self.log.strike("poll")
        while self.events:
            self.events.popleft()()
        records, self.extra = self.extra, []
        for pair in sorted(self.positions):
            position = self.positions[pair]
            for entry in self.log.entries[pair][max(0, position) :]:
                if entry.state == "open" or len(records) >= records_max:
                    break
                position = max(0, position) + 1
                if entry.record is not None and entry.state == "committed":
                    records.append(entry.record)
            self.positions[pair] = position
        return records

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self.positions = dict(positions)

    def committed(self, partitions: Sequence[TopicPartition], *, timeout_ms: int) -> dict[TopicPartition, int | None]:
        self.log.strike("committed")
        return {pair: self.log.offsets.get(pair) for pair in partitions if pair not in self.log.unstable}

    def group_metadata(self) -> object:
        return self.log.generation

    def end_offsets(self) -> dict[TopicPartition, int]:
        return {pair: len(self.log.entries[pair]) for pair in self.positions}

    def close(self) -> None:
        self.closed = True


class LogProducer:
    """The transactional producer of one turn."""

    def __init__(self, log: Log, turn: int) -> None:
        self.log, self.turn, self.epoch = log, turn, 0
        self.delivered: dict[TopicPartition, int] = {}

    def init_transactions(self, *, timeout_ms: int) -> None:
        def act() -> None:
            self.log.finish("aborted")
            self.log.epochs[self.turn] += 1
            self.epoch = self.log.epochs[self.turn]

        self.log.strike("init", act)

    def begin(self) -> None:
        self.log.strike("begin")

    def produce(self, outputs: Sequence[Output], *, track_last: bool = False) -> None:
        self.log.strike("produce")
        for output in outputs:
            pair = output.topic, output.partition or 0
            log = self.log.entries[pair]
            record = Record(
                output.topic, pair[1], len(log), output.timestamp_ms, output.key, output.value, output.headers
            )
            log.append(Entry(record, "open"))
            self.log.open.append((log[-1], pair))
            if track_last:
                self.delivered[pair] = record.offset

    def delivered_offset(self, topic: str, partition: int) -> int:
        return self.delivered[topic, partition]

    def send_offsets(self, offsets: Mapping[TopicPartition, int], group_metadata: object, *, timeout_ms: int) -> None:
        if group_metadata != self.log.generation:
            raise Abortable("illegal generation")
        self.log.strike("send_offsets", lambda: self.log.open_offsets.update(offsets))

    def commit(self, *, timeout_ms: int) -> None:
        if self.epoch != self.log.epochs[self.turn]:
            raise Fenced("a newer producer")
        self.log.strike("commit", lambda: self.log.finish("committed"))

    def abort(self, *, timeout_ms: int) -> None:
        self.log.strike("abort", lambda: self.log.finish("aborted"))

    def close(self) -> None:
        self.log.calls.append("close_producer")


class LogReader:
    """A reader of one topic."""

    def __init__(self, log: Log, topic: str) -> None:
        self.log, self.topic = log, topic
        self.positions: dict[int, int] = {}

    def topic_id(self) -> str:
        return self.log.topic_ids[self.topic]

    def partitions(self) -> tuple[int, ...]:
        return tuple(sorted(number for topic, number in self.log.entries if topic == self.topic))

    def end_offsets(self, partitions: Sequence[int], *, timeout_ms: int) -> dict[int, int]:
        self.log.strike("end_offsets")
        return {number: len(self.log.entries[self.topic, number]) for number in partitions}

    def assign(self, positions: Mapping[int, int]) -> None:
        assert not self.positions
        self.positions = dict(positions)

    def read(self, *, records_max: int, timeout_ms: int) -> list[Record]:
        self.log.strike("read")
        records: list[Record] = []
        for number, position in self.positions.items():
            for entry in self.log.entries[self.topic, number][position:]:
                if entry.state == "open" or len(records) >= records_max:
                    break
                self.positions[number] += 1
                if entry.record is not None and entry.state == "committed":
                    records.append(entry.record)
        return records

    def position(self, partition: int) -> int:
        return self.positions[partition]

    def close(self) -> None:
        pass


class LogClients:
    """Makes clients of the log; keeps the last consumer, whom tests command."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.consumers: list[LogConsumer] = []
        # Partitions that a new consumer gets at its first poll.
        self.at_once: tuple[int, ...] = ()

    def consumer(self) -> LogConsumer:
        self.consumers.append(made := LogConsumer(self.log))
        subscribe = made.subscribe

        def subscribing(topics: Sequence[str], listener: RebalanceListener) -> None:
            subscribe(topics, listener)
            if self.at_once:
                made.give(*self.at_once)

        made.subscribe = subscribing  # type: ignore[method-assign]
        return made

    def producer(self, turn: int) -> LogProducer:
        return LogProducer(self.log, turn)

    def reader(self, topic: str) -> LogReader:
        return LogReader(self.log, topic)


class DictStore:
    """A store on a disk that is a dictionary."""

    def __init__(self, disk: dict[bytes, bytes], partition: int, journal: list[str]) -> None:
        self.disk, self.partition, self.journal = disk, partition, journal
        self.closed = False
        self.damaged = False

    def marker(self) -> Marker | None:
        raw = self.disk.get(b"")
        return msgspec.json.decode(raw, type=Marker) if raw else None

    def get(self, key: bytes) -> bytes | None:
        if self.damaged:
            raise StoreDamaged("checksum", partition=self.partition)
        return self.disk.get(key)

    def range(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted((k, v) for k, v in self.disk.items() if k and k.startswith(prefix)))

    def apply(self, changes: Iterable[tuple[bytes, bytes | None]], marker: Marker) -> None:
        assert not self.closed
        self.journal.append("apply")
        for key, value in changes:
            if value is None:
                self.disk.pop(key, None)
            else:
                self.disk[key] = value
        self.disk[b""] = msgspec.json.encode(marker)

    def close(self) -> None:
        self.closed = True


class DictStores:
    """Disks that outlive tasks."""

    def __init__(self, journal: list[str] | None = None) -> None:
        self.disks: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        self.opened: dict[int, DictStore] = {}
        self.discarded: list[tuple[int, bool]] = []
        self.journal: list[str] = [] if journal is None else journal

    def open(self, partition: int) -> DictStore:
        assert partition not in self.opened or self.opened[partition].closed, "a store is opened twice"
        self.opened[partition] = DictStore(self.disks[partition], partition, self.journal)
        return self.opened[partition]

    def discard(self, partition: int, *, keep: bool) -> None:
        self.discarded.append((partition, keep))
        self.disks.pop(partition, None)

    @property
    def all_closed(self) -> bool:
        return all(store.closed for store in self.opened.values())


class StepClock:
    """Time that passes only by sleeping, and a millisecond a look."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.slept_ms: list[int] = []

    def monotonic_ms(self) -> int:
        self.now_ms += 1
        return self.now_ms

    def wall_ms(self) -> int:
        return self.now_ms

    def sleep_ms(self, duration_ms: int) -> None:
        self.slept_ms.append(duration_ms)
        self.now_ms += duration_ms


__all__ = ["BEGINNING", "DictStores", "Log", "LogClients", "StepClock"]
