"""A Kafka in memory: topics, coordinators, and the moments at which it can't be reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from schemas.partitioner import partition_of
from streams.runtime.record import Headers, Output
from tests.simulation.groups import GroupCoordinator
from tests.simulation.log import Entry, Topic, TopicPartition
from tests.simulation.scheduler import World
from tests.simulation.transactions import Participant, TransactionCoordinator

# Heartbeats, session and transaction time-outs are looked at this often.
TICK_MS = 250

# Markers follow their decision within this time, normally; a coordinator that is slow takes longer.
MARKER_MS_MAX = 6
SLOW_MARKER_MS_MAX = 3_000

REBALANCE_TIMEOUT_MS = 6_000
TOMBSTONES_KEPT_MS = 120_000


class Broker:
    """The whole cluster: one machine as far as being reached goes, replicated as far as losing goes."""

    def __init__(self, world: World, *, slow_marker_share: float = 0.0, slow_marker_topic: str = "") -> None:
        self.world = world
        self.topics: dict[str, Topic] = {}
        self.transactions = TransactionCoordinator(self)
        self.groups = GroupCoordinator(self)
        self.rebalance_timeout_ms = REBALANCE_TIMEOUT_MS
        self.down_until_ms = 0
        self.moving_until_ms = 0
        # Until then the groups' coordinator answers without having read its log.
        self.forgetful_until_ms = 0
        self.faults: Counter[str] = Counter()
        self.slow_marker_share, self.slow_marker_topic = slow_marker_share, slow_marker_topic
        # Checks and recorders that want to know.
        self.on_offset: list[Callable[[str, TopicPartition, int | None, int], None]] = []
        self.on_began: list[Callable[[str], None]] = []
        self._tick()

    def create(self, name: str, partitions: int, *, compacted: bool = False) -> None:
        """Make a topic."""
        self.topics[name] = Topic(name, partitions, self.world.random, compacted=compacted)

    def counted(self, fault: str) -> None:
        """Count something that went wrong, for the report."""
        self.faults[fault] += 1

    # Being reached

    def down(self) -> bool:
        """Whether nobody reaches it."""
        return self.world.now_ms < self.down_until_ms

    def moving(self) -> bool:
        """Whether the coordinators are between two machines."""
        return self.world.now_ms < self.moving_until_ms

    def _tick(self) -> None:
        if not self.down() and not self.moving():
            self.transactions.expire()
            self.groups.tick()
        self.world.after(TICK_MS, self._tick)

    # Writing

    def partition_for(self, output: Output) -> int:
        """The partition that a record goes to."""
        if output.partition is not None:
            return output.partition
        return partition_of(output.key or b"", len(self.topics[output.topic].partitions))

    def append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        timestamp_ms: int | None = None,
        headers: Headers = (),
    ) -> Entry:
        """Append a record outside any transaction."""
        log = self.topics[topic].partitions
        number = partition if partition is not None else partition_of(key or b"", len(log))
        time_ms = self.world.wall_ms if timestamp_ms is None else timestamp_ms
        return log[number].append(self.world.now_ms, key=key, value=value, timestamp_ms=time_ms, headers=headers)

    def append_in_transaction(
        self, name: str, pid: int, epoch: int, outputs: Sequence[Output], number: int
    ) -> list[Entry]:
        """A produce request to one partition. Raises `Refused` when the transaction or the epoch is over."""
        topic = outputs[0].topic
        log = self.topics[topic].partitions[number]
        self.transactions.verify(name, pid, epoch, (topic, number))
        assert log.epochs.get(pid, -1) <= epoch, "a marker of a later epoch is written, yet the transaction goes on"
        log.epochs[pid] = epoch
        return [
            log.append(
                self.world.now_ms,
                key=output.key,
                value=output.value,
                timestamp_ms=output.timestamp_ms,
                headers=output.headers,
                pid=pid,
            )
            for output in outputs
        ]

    def write_marker(self, participant: Participant, pid: int, epoch: int, *, commit: bool) -> None:
        """A control marker, on a partition or on a group's offsets."""
        name, number = participant
        if name == "group":
            assert isinstance(number, str)
            self.groups.mark(number, pid, commit=commit)
            return
        assert isinstance(number, int)
        log = self.topics[name].partitions[number]
        log.epochs[pid] = epoch
        log.mark(self.world.now_ms, pid, commit=commit)

    def marker_delay_ms(self, participant: Participant) -> int:
        """How long after the decision a marker is written; the leaders of one topic may be slow, or all."""
        random = self.world.random
        if self.slow_marker_topic in ("", participant[0]) and random.random() < self.slow_marker_share:
            self.counted("late marker")
            return random.randrange(SLOW_MARKER_MS_MAX)
        return 1 + random.randrange(MARKER_MS_MAX)

    # Observers

    def began(self, name: str) -> None:
        """A transactional id has a new transaction."""
        for call in self.on_began:
            call(name)

    def offset_committed(self, group: str, pair: TopicPartition, before: int | None, after: int) -> None:
        """A group's offset changes."""
        for call in self.on_offset:
            call(group, pair, before, after)

    def compact(self) -> None:
        """Compact every compacted topic now."""
        for topic in self.topics.values():
            if topic.compacted:
                for log in topic.partitions:
                    if log.compact(
                        self.world.now_ms, tombstones_kept_ms=TOMBSTONES_KEPT_MS, wall_ms=self.world.wall_ms
                    ):
                        self.counted("compaction")

    def ends(self, topic: str, positions: Mapping[int, int]) -> dict[int, int]:
        """High watermarks."""
        return {number: self.topics[topic].partitions[number].high_watermark(self.world.now_ms) for number in positions}
