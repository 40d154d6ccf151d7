"""
The partitions that a worker holds, from their assignment to their loss.

    resolving (its stable committed offset is asked)  →  restoring (its store follows the changelog)  →  running
    →  stopped (its handler met a bug, or its input is gone)

Only running partitions are fetched, each from an explicit offset.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

from schemas.logs import words
from streams.runtime.batch import Stop
from streams.runtime.config import TaskConfig
from streams.runtime.errors import Abortable, ConfigurationFault, Retriable, StreamsError
from streams.runtime.faults import fault
from streams.runtime.record import Record
from streams.runtime.restore import Restore
from streams.runtime.seams import (
    BEGINNING,
    Clients,
    Clock,
    Marker,
    SourceConsumer,
    Store,
    StoreFactory,
    TopicPartition,
)
from streams.runtime.state import StateView
from streams.runtime.status import Counters, PartitionStatus, Phase

logger = logging.getLogger(__name__)

# Asking for committed offsets waits for open transactions to end; short, so that restored partitions go on meanwhile.
RESOLVE_TIMEOUT_MS = 500

# A slice of a restore waits this long for records, with nothing or with something else to do.
RESTORE_WAIT_MS = 100
RESTORE_GLANCE_MS = 0

# How often, and how far apart, a changelog without a leader is asked for its end before the clients are replaced.
POSTPONED_MAX = 50
POSTPONED_WAIT_MS = 50


FORGOTTEN = (
    "there is state, but Kafka has no offset of group {group} for it any more, so beginning anew would do everything twice; "
    "set the group's offsets to where the last committed output's input ends, then restart"
)


class Partition:
    """One partition number of all the task's sources, which share a store."""

    __slots__ = (
        "fraction", "guard", "known_end", "number", "phase", "positions", "stop", "store", "topic_id", "topics", "view",
    )  # fmt: skip

    def __init__(self, number: int, topics: set[str]) -> None:
        self.number = number
        self.topics = topics
        self.phase: Phase = "resolving"
        # The next offset to take from each topic. Behind it everything is committed or in the batch in hand.
        self.positions: dict[str, int] = {}
        self.store: Store | None = None
        self.view: StateView | None = None
        # Held while the store changes or closes, and by other threads while they read it.
        self.guard = threading.Lock()
        # The changelog's end as far as this store follows it: an end beyond it may hold what others have committed.
        self.known_end = 0
        self.topic_id = ""
        self.fraction = 0.0
        self.stop: str | None = None

    def marker(self, config: TaskConfig, clock: Clock, offset: int) -> Marker:
        """What the store has followed up to `offset`, now."""
        return Marker(
            topic_id=self.topic_id, offset=offset, state_version=config.state_version, applied_at_ms=clock.wall_ms()
        )

    def status(self, ends: Mapping[TopicPartition, int]) -> PartitionStatus:
        """A snapshot."""
        return PartitionStatus(
            partition=self.number,
            phase=self.phase,
            positions=dict(self.positions),
            ends={topic: ends.get((topic, self.number)) for topic in sorted(self.topics)},
            restored_fraction=self.fraction,
            stopped_reason=self.stop,
        )


class Assignment:
    """Listens to the group for one consumer and brings what it is given to work."""

    def __init__(
        self,
        config: TaskConfig,
        consumer: SourceConsumer,
        *,
        clients: Clients,
        stores: StoreFactory,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._config, self._consumer, self._counters = config, consumer, counters
        self._clients, self._stores, self._clock = clients, stores, clock
        self._restores: list[Restore] = []
        self._postponed = 0
        self.partitions: dict[int, Partition] = {}
        # Whether the group has answered at all; it may give nothing.
        self.known = False
        # What went wrong inside a callback, for the poll around it to raise: exceptions must not cross the client.
        self.failure: StreamsError | None = None

    @property
    def settled(self) -> bool:
        """Whether the group has answered and every partition is restored."""
        return self.known and all(part.phase in ("running", "stopped") for part in list(self.partitions.values()))

    def views(self) -> dict[int, StateView]:
        """State of the partitions that run."""
        return {number: part.view for number, part in self.partitions.items() if part.view is not None}

    # Callbacks of the consumer, inside a poll. No transaction is open then: batches end before the next poll.

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Only bookkeeping: asking and restoring happen between polls, in slices, so that no callback waits."""
        self.known = True
        self._counters.rebalances += 1
        topics: dict[int, set[str]] = {}
        for topic, number in partitions:
            topics.setdefault(number, set()).add(topic)
        for number, names in sorted(topics.items()):
            if missing := sorted(set(self._config.sources) - names):
                self.failure = ConfigurationFault(
                    f"partition {number} was assigned without {', '.join(missing)}: the sources of a task need the same "
                    "number of partitions"
                )
            self.partitions[number] = Partition(number, names)
        logger.info("task %s assigned partitions %s", self._config.name, sorted(topics))

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """
        Close the stores; everything taken is committed already, and what was fetched is forgotten.

        There is no wait in it, so there is no deadline to keep.
        """
        self._give_up(partitions, point="on_revoke_before_close", current=True)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Others may own these already: nothing of them is committed any more."""
        self._give_up(partitions, point="on_lost_before_close", current=False)

    def _give_up(self, partitions: Sequence[TopicPartition], *, point: str, current: bool) -> None:
        numbers = sorted({number for _, number in partitions} & self.partitions.keys())
        try:
            fault(point)
            self.drop(numbers, current=current)
        except StreamsError as failure:
            self.failure = failure
        if numbers:
            logger.info("task %s gave up partitions %s", self._config.name, numbers)

    # Between polls

    def take(self, polled: list[Record]) -> list[Record]:
        """
        Only what is next.

        A client may still deliver what it fetched before a rebalance moved its position (librdkafka #2256). Gaps
        forwards are normal (transaction markers, compaction); an offset behind the position is never taken again.
        """
        partitions = self.partitions
        records = []
        for record in polled:
            part = partitions.get(record.partition)
            if part is None or part.phase != "running" or record.offset < part.positions[record.topic]:
                self._counters.stale_records += 1
                continue
            part.positions[record.topic] = record.offset + 1
            records.append(record)
        return records

    def advance(self) -> None:
        """Bring partitions that aren't running a little nearer to it."""
        if resolving := [part for part in self.partitions.values() if part.phase == "resolving"]:
            fault("after_assign")
            self._resolve(resolving)
        for restore in list(self._restores):
            idle = not any(part.phase == "running" for part in self.partitions.values())
            before = restore.records
            restore.advance(timeout_ms=RESTORE_WAIT_MS if idle else RESTORE_GLANCE_MS)
            self._counters.restored_records += restore.records - before
            for number, item in restore.progress.items():
                self.partitions[number].fraction = item.fraction
            if restore.done:
                self._restores.remove(restore)
                restore.close()
                fault("after_restore")
                for number, item in restore.progress.items():
                    self.partitions[number].known_end = item.position
                self._run([self.partitions[number] for number in restore.progress])

    def _resolve(self, parts: list[Partition]) -> None:
        """
        Ask where the group stands, then open the stores.

        This order matters: the answer is stable, so no transaction of an earlier owner is open when the changelog's
        end is asked for, and the end includes everything that belongs to these offsets.
        """
        asked = [(topic, part.number) for part in parts for topic in sorted(part.topics)]
        answers = self._consumer.committed(asked, timeout_ms=RESOLVE_TIMEOUT_MS)
        resolved = []
        for part in parts:
            if all((topic, part.number) in answers for topic in part.topics):
                for topic in part.topics:
                    offset = answers[topic, part.number]
                    part.positions[topic] = BEGINNING if offset is None else offset
                part.phase = "restoring"
                resolved.append(part)
        if not resolved:
            return
        if self._config.changelog is None:
            self._run(resolved)
            return
        restore = Restore(self._config, self._clients, self._stores, self._clock)
        try:
            restore.start([part.number for part in resolved], self._opened)
        except Retriable as failure:
            # Leaders move, brokers start: the changelog's end is asked again at the next turn, with nothing opened yet.
            self._postpone(resolved, failure)
            return
        self._postponed = 0
        self._restores.append(restore)
        for part in resolved:
            part.topic_id = restore.topic_id

    def _postpone(self, parts: list[Partition], failure: Retriable) -> None:
        self._postponed += 1
        if self._postponed > POSTPONED_MAX:
            raise Abortable(f"after {self._postponed} tries: {failure}") from failure
        logger.info("task %s: %s; trying again", self._config.name, failure)
        for part in parts:
            assert part.store is None, "a restore that didn't start opened nothing"
            part.phase = "resolving"
        self._clock.sleep_ms(POSTPONED_WAIT_MS)

    def _opened(self, number: int, store: Store) -> None:
        self.partitions[number].store = store

    def _run(self, parts: list[Partition]) -> None:
        for part in parts:
            part.phase, part.fraction = "running", 1.0
            part.view = StateView(
                part.store,
                cache_bytes_max=self._config.cache_bytes_max,
                value_bytes_max=self._config.output_bytes_max,
            )
            self._correct(part, part.view)
            if self._forgotten(part):
                self.stop(part.number, FORGOTTEN.format(group=self._config.group))
        self.fetch_running()

    def _correct(self, part: Partition, view: StateView) -> None:
        """
        Go on from where the state ends, whatever the group's coordinator says.

        Both were committed in one transaction, so they are the same; but a coordinator that has just been started may answer
        before it has read its log (Kafka 4.2, seen after a broker's `kill -9`): none of its offsets, or old ones. An offset
        *beyond* the state was set by hand.
        """
        for topic, at in view.positions().items():
            known = part.positions.get(topic)
            if known is None or known == at:
                continue
            where = f"task {self._config.name} {topic}[{part.number}]"
            if known > at:
                logger.warning(
                    "%s: the group's offset %d is beyond the state, which ends at %d: set by hand?", where, known, at
                )
            else:
                said = "no offset" if known == BEGINNING else f"offset {known}"
                logger.warning("%s: Kafka says %s, the state ends at %d: going on from there", where, said, at)
                part.positions[topic] = at

    def _forgotten(self, part: Partition) -> bool:
        """
        Whether there is state from before states knew their positions, but no offset that goes with it.

        Both were committed together, so Kafka must have dropped the offsets (`offsets.retention.minutes` of a group without
        members, or a deletion by hand). Beginning anew would do everything a second time.
        """
        if part.store is None or any(position != BEGINNING for position in part.positions.values()):
            return False
        if next(part.store.range(b""), None) is None:
            return False
        # Or we were replaced while we restored, and the state is our successor's: then there is an offset by now.
        asked = [(topic, part.number) for topic in sorted(part.topics)]
        answers = self._consumer.committed(asked, timeout_ms=RESOLVE_TIMEOUT_MS)
        if len(answers) < len(asked) or any(offset is not None for offset in answers.values()):
            raise Abortable(f"partition {part.number}: its offsets changed while it was restored")
        return True

    def fetch_running(self) -> None:
        """Fetch exactly the running partitions, each from its next offset."""
        self._consumer.assign(
            {
                (topic, part.number): part.positions[topic]
                for part in self.partitions.values()
                if part.phase == "running"
                for topic in sorted(part.topics)
            }
        )

    def stop_for_bug(self, number: int, stop: Stop) -> None:
        """The handler failed at this record: its partition waits there for a person, the others go on."""
        record, error = stop.record, stop.error
        where = f"{record.topic}[{record.partition}] offset {record.offset}"
        logger.error("task %s: the handler failed at %s", self._config.name, where, exc_info=error)
        self.partitions[number].positions[record.topic] = record.offset
        self.stop(number, f"{where}: {words(error)}")

    def stop(self, number: int, reason: str) -> None:
        """Take no more of a partition until it is assigned anew; `fetch_running` must follow."""
        part = self.partitions.get(number)
        if part is None:
            return
        if part.view is not None:
            part.view.discard()
        part.phase, part.stop = "stopped", reason
        self._counters.stops += 1
        logger.error(
            "task %s partition %d stopped at %s; other partitions go on. Mend the cause and restart the worker",
            self._config.name,
            number,
            reason,
        )

    def drop(self, numbers: Sequence[int], *, current: bool) -> None:
        """Forget partitions and close their stores; `current` if they were ours to the end."""
        gone = set(numbers)
        for restore in [restore for restore in self._restores if gone & restore.progress.keys()]:
            self._restores.remove(restore)
            restore.close()
            # Those of its partitions that stay begin again.
            for number in restore.progress.keys() - gone:
                if (part := self.partitions.get(number)) is not None and part.phase == "restoring":
                    self._close_store(part)
                    part.phase = "resolving"
        for number in numbers:
            if (part := self.partitions.pop(number, None)) is not None:
                if current and part.phase == "running":
                    self._touch(part)
                self._close_store(part)

    def _touch(self, part: Partition) -> None:
        """Note that the store is current today, although nothing may have changed since long ago."""
        if part.store is None:
            return
        try:
            if (marker := part.store.marker()) is not None:
                part.store.apply((), part.marker(self._config, self._clock, marker.offset))
        except StreamsError as failure:
            logger.warning("task %s partition %d: %s", self._config.name, part.number, failure)

    def _close_store(self, part: Partition) -> None:
        with part.guard:
            if part.store is not None:
                part.store.close()
            part.store = part.view = None
