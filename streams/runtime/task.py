"""
The exactly-once engine: one consumer, one transactional producer, a store per partition, no threads.

    step:  poll ── batch ── process ── begin, outputs, changelog, offsets, commit ── apply
             │                                   │
             └ rebalance: stores close           └ anything unsure: new clients, rewind to committed

A partition goes  resolving (its stable committed offset is asked)  →  restoring (its store follows the changelog)
→  running  →  stopped (its handler met a bug).  Only running partitions are fetched.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal

from streams.runtime.batch import Batch, Rejection, Stop
from streams.runtime.config import (
    BACKOFF_FIRST_MS,
    BACKOFF_LAST_MS,
    CALL_RETRIES_MAX,
    FAILURES_FORGOTTEN_MS,
    TaskConfig,
)
from streams.runtime.errors import (
    Abortable,
    ConfigurationFault,
    Fatal,
    InputLost,
    Retriable,
    StoreDamaged,
    StreamsError,
    Transient,
)
from streams.runtime.faults import fault
from streams.runtime.record import Output, Record
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
    TransactionalProducer,
)
from streams.runtime.state import StateView
from streams.runtime.status import Counters, PartitionStatus, Phase, TaskStatus
from streams.runtime.table import GlobalTable

logger = logging.getLogger(__name__)

Processor = Callable[[Batch], None]

# Asking for committed offsets waits for open transactions to end; short, so that restored partitions go on meanwhile.
RESOLVE_TIMEOUT_MS = 500

# A slice of a restore waits this long for records, with nothing or with something else to do.
RESTORE_WAIT_MS = 100
RESTORE_GLANCE_MS = 0


class _Partition:
    """One partition number of all the task's sources, which share a store."""

    __slots__ = ("fraction", "number", "phase", "positions", "stop", "store", "topic_id", "topics", "view")

    def __init__(self, number: int, topics: set[str]) -> None:
        self.number = number
        self.topics = topics
        self.phase: Phase = "resolving"
        # The next offset to take from each topic. Behind it everything is committed or in the batch in hand.
        self.positions: dict[str, int] = {}
        self.store: Store | None = None
        self.view: StateView | None = None
        self.topic_id = ""
        self.fraction = 0.0
        self.stop: str | None = None


class _Session:
    """One life of the clients: from joining until something unsure happened."""

    __slots__ = ("assigned", "consumer", "in_transaction", "partitions", "producer", "restores")

    def __init__(self, producer: TransactionalProducer, consumer: SourceConsumer) -> None:
        self.producer = producer
        self.consumer = consumer
        self.partitions: dict[int, _Partition] = {}
        self.restores: list[Restore] = []
        self.assigned = False
        self.in_transaction = False


class Task:
    """
    Runs a processor over its sources' records, exactly once.

    All edges are arguments, so that a simulator can run it. `step` never blocks for longer than its deadlines and
    raises only `Fatal`; whoever calls it must then `close` and end the process.
    """

    def __init__(
        self,
        config: TaskConfig,
        processor: Processor,
        *,
        clients: Clients,
        stores: StoreFactory,
        clock: Clock,
        rejection: Rejection | None = None,
        tables: Sequence[GlobalTable[Any]] = (),
    ) -> None:
        self.config = config
        self.counters = Counters()
        self._processor, self._rejection = processor, rejection
        self._clients, self._stores, self._clock = clients, stores, clock
        self._tables = tables
        self._session: _Session | None = None
        self._leftover: list[Record] = []
        self._failures = 0
        self._failed_ms = clock.monotonic_ms()
        self._state: Literal["open", "failed", "closed"] = "open"
        self._ready_said = False
        self._last_commit_ms: int | None = None
        self._last_error: str | None = None
        self._callback_fault: StreamsError | None = None
        self._ends: dict[TopicPartition, int] = {}
        self._ends_asked_ms = 0

    # The loop

    def step(self) -> int:
        """One turn; returns how many records it committed, 0 when there was nothing to do or it failed and rewound."""
        assert self._state == "open", "a task that failed or was closed takes no more steps"
        try:
            committed = self._turn()
        except StoreDamaged as damage:
            self._rebuild_store(damage)
        except Transient as failure:
            self._restart_session(failure)
        except Fatal as failure:
            self._fail(failure)
            raise
        else:
            return committed
        return 0

    def _turn(self) -> int:
        session = self._session or self._open_session()
        for table in self._tables:
            table.refresh()
        records, self._leftover = self._leftover, []
        if not records:
            records = self._poll(session)
        if not session.assigned:
            return 0
        self._note_ends(session)
        committed = self._process(session, records) if records else 0
        self._advance(session)
        return committed

    def _poll(self, session: _Session) -> list[Record]:
        busy = any(part.phase in ("resolving", "restoring") for part in session.partitions.values())
        try:
            polled = session.consumer.poll(
                records_max=self.config.batch_records_max,
                bytes_max=self.config.batch_bytes_max,
                timeout_ms=0 if busy else self.config.poll_timeout_ms,
            )
        except InputLost as lost:
            self._stop(session, lost.partition, f"input lost: {lost}; decide by hand where to go on")
            self._assign_running(session)
            return []
        if self._callback_fault is not None:
            failure, self._callback_fault = self._callback_fault, None
            raise failure
        return self._in_order(session, polled)

    def _in_order(self, session: _Session, polled: list[Record]) -> list[Record]:
        """
        Only what is next.

        A client may still deliver what it fetched before a rebalance moved its position (librdkafka #2256). Gaps
        forwards are normal (transaction markers, compaction); an offset behind the position is never taken again.
        """
        partitions = session.partitions
        records = []
        for record in polled:
            part = partitions.get(record.partition)
            if part is None or part.phase != "running":
                self.counters.stale_records += 1
                continue
            if record.offset < part.positions[record.topic]:
                self.counters.stale_records += 1
                continue
            part.positions[record.topic] = record.offset + 1
            records.append(record)
        return records

    def _process(self, session: _Session, records: list[Record]) -> int:
        fault("after_poll")
        views = {number: part.view for number, part in session.partitions.items() if part.view is not None}
        batch = Batch(records, views, rejection=self._rejection, output_bytes_max=self.config.output_bytes_max)
        try:
            self._processor(batch)
        except StreamsError:
            raise
        except Exception as error:
            raise Abortable(f"the batch was not processed: {error!r}") from error
        if not batch.finished:
            raise Abortable("the processor returned without running the batch")
        fault("after_process_before_begin")
        if batch.positions:
            self._commit(session, batch)
        for number, stop in batch.stops.items():
            self._stop_for_bug(session, number, stop)
        if batch.stops:
            self._assign_running(session)
        self._leftover = [record for record in records[batch.taken :] if record.partition not in batch.stops]
        return len(batch.positions) and batch.taken

    def _commit(self, session: _Session, batch: Batch) -> None:
        """
        Make the batch's effects visible together.

        1. Begin. 2. Outputs, in the order of their emission. 3. One changelog record per changed key. 4. The sources'
        next offsets, with the group's generation (KIP-447). 5. Commit. 6. The stores follow.
        """
        producer, timeout_ms = session.producer, self.config.call_timeout_ms
        # Step 1
        self._retrying(producer.begin)
        session.in_transaction = True
        # Step 2
        producer.produce(batch.outputs)
        # Step 3
        changed = self._produce_changelog(session, batch)
        fault("after_produce_before_offsets")
        # Step 4
        metadata = session.consumer.group_metadata()
        self._retrying(lambda: producer.send_offsets(batch.positions, metadata, timeout_ms=timeout_ms))
        fault("after_offsets_before_commit")
        # Step 5
        self._retrying(lambda: producer.commit(timeout_ms=timeout_ms))
        session.in_transaction = False
        self._failures = 0
        self._last_commit_ms = self._clock.wall_ms()
        self._count(batch)
        fault("after_commit_before_apply")
        # Step 6
        for part in changed:
            self._apply(session, part)
        fault("after_apply")

    def _produce_changelog(self, session: _Session, batch: Batch) -> list[_Partition]:
        changelog = self.config.changelog
        if changelog is None:
            return []
        times = {record.partition: record.timestamp_ms for record in batch.records[: batch.taken]}
        produce = session.producer.produce
        changed = []
        for number in sorted({number for _, number in batch.positions}):
            part = session.partitions[number]
            assert part.view is not None, "a running partition of a task with state has a view"
            changes = part.view.changes()
            if not changes:
                continue
            changed.append(part)
            timestamp_ms = times[number]
            produce(
                [Output(changelog, value, key, number, (), timestamp_ms) for key, value in changes.items()],
                track_last=True,
            )
            self.counters.state_changes += len(changes)
        return changed

    def _apply(self, session: _Session, part: _Partition) -> None:
        assert self.config.changelog is not None
        assert part.store is not None
        assert part.view is not None
        offset = session.producer.delivered_offset(self.config.changelog, part.number)
        part.store.apply(part.view.changes().items(), self._marker(part, offset + 1))
        part.view.committed()

    def _marker(self, part: _Partition, offset: int) -> Marker:
        return Marker(
            topic_id=part.topic_id,
            offset=offset,
            state_version=self.config.state_version,
            applied_at_ms=self._clock.wall_ms(),
        )

    def _count(self, batch: Batch) -> None:
        counters = self.counters
        counters.batches += 1
        counters.records += batch.taken
        counters.outputs += len(batch.outputs)
        counters.rejected += batch.rejected

    def _retrying(self, call: Callable[[], None]) -> None:
        """Make a call again while it says that nothing happened; then the transaction is given up."""
        wait_ms = BACKOFF_FIRST_MS
        for attempt in range(1, CALL_RETRIES_MAX + 1):
            try:
                return call()
            except Retriable as failure:
                if attempt == CALL_RETRIES_MAX:
                    raise Abortable(f"after {attempt} tries: {failure}") from failure
                logger.info("task %s: %s; trying again in %d ms", self.config.name, failure, wait_ms)
                self._clock.sleep_ms(wait_ms)
                wait_ms *= 2
        return None

    # Sessions

    def _open_session(self) -> _Session:
        """New clients. The producer comes first: it ends what a predecessor of this instance left open."""
        if not self._failures:
            for table in self._tables:
                table.load(self._clients, self._clock)
        producer = self._clients.producer()
        try:
            producer.init_transactions(timeout_ms=self.config.call_timeout_ms)
            consumer = self._clients.consumer()
        except BaseException:
            producer.close()
            raise
        self._session = session = _Session(producer, consumer)
        self._ready_said = False
        self._leftover = []
        self._callback_fault = None
        consumer.subscribe(self.config.sources, _Listener(self, session))
        return session

    def _restart_session(self, failure: StreamsError) -> None:
        """
        Forget everything that isn't committed and begin anew.

        The clients are replaced whatever the failure was. A new producer ends the old one's transaction, so an outcome
        that is unknown becomes known; a new consumer has nothing fetched from before the rewind.
        """
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._failed_ms > FAILURES_FORGOTTEN_MS:
            self._failures = 0
        self._failed_ms = now_ms
        self._failures += 1
        self.counters.aborts += 1
        self._last_error = str(failure)
        if self._failures > self.config.failures_in_a_row_max:
            fatal = Fatal(f"task {self.config.name} failed {self._failures} times in a row, at last: {failure}")
            self._fail(fatal)
            raise fatal from failure
        wait_ms = min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** min(self._failures - 1, 10))
        logger.warning("task %s rewinds to its committed offsets in %d ms: %s", self.config.name, wait_ms, failure)
        try:
            self._drop_session(abort=isinstance(failure, Abortable))
        except Fatal as fatal_failure:
            self._fail(fatal_failure)
            raise
        self._clock.sleep_ms(wait_ms)

    def _rebuild_store(self, damage: StoreDamaged) -> None:
        """Move the damaged store aside and begin anew; the restore finds no store and reads the whole changelog."""
        self._restart_session(damage)
        if damage.partition is not None:
            logger.warning("task %s partition %d: store is rebuilt: %s", self.config.name, damage.partition, damage)
            try:
                self._stores.discard(damage.partition, keep=True)
            except Fatal as failure:
                self._fail(failure)
                raise

    def _drop_session(self, *, abort: bool) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        if abort and session.in_transaction:
            # A courtesy to readers, whom the open transaction holds back; the next producer would end it as well.
            try:
                session.producer.abort(timeout_ms=self.config.call_timeout_ms)
            except StreamsError as failure:
                logger.info("task %s: %s", self.config.name, failure)
        self._drop_partitions(session, list(session.partitions), current=False)
        session.producer.close()
        try:
            session.consumer.close()
        except StreamsError as failure:
            logger.info("task %s: %s", self.config.name, failure)

    def _fail(self, failure: Fatal) -> None:
        self._state = "failed"
        self._last_error = str(failure)
        logger.error("task %s ends: %s", self.config.name, failure)

    def close(self) -> None:
        """Leave the group. Everything processed is committed, because no batch outlives a step."""
        if self._state == "closed":
            return
        failed, self._state = self._state == "failed", "closed"
        fault("before_leave")
        session, self._session = self._session, None
        if session is not None:
            self._drop_partitions(session, list(session.partitions), current=not failed)
            session.producer.close()
            try:
                session.consumer.close()
            except StreamsError as failure:
                logger.info("task %s: %s", self.config.name, failure)
        for table in self._tables:
            table.close()
        logger.info("task %s closed after %d records", self.config.name, self.counters.records)

    # Partitions

    def on_assigned(self, session: _Session, partitions: Sequence[TopicPartition]) -> None:
        """The group gave us these. Only bookkeeping: asking and restoring happen between polls, in slices."""
        self.counters.rebalances += 1
        session.assigned = True
        self._ready_said = False
        topics: dict[int, set[str]] = {}
        for topic, number in partitions:
            topics.setdefault(number, set()).add(topic)
        for number, names in sorted(topics.items()):
            if names != set(self.config.sources):
                missing = sorted(set(self.config.sources) - names)
                self._callback_fault = ConfigurationFault(
                    f"partition {number} was assigned without {', '.join(missing)}: the sources of a task need the same "
                    "number of partitions"
                )
            session.partitions[number] = _Partition(number, names)
        logger.info("task %s assigned partitions %s", self.config.name, sorted(topics))

    def on_revoked(self, session: _Session, partitions: Sequence[TopicPartition]) -> None:
        """
        The group takes these back. No transaction is open: callbacks come inside a poll, batches end before it.

        What is left to do has no wait in it: forget what was fetched and close the stores.
        """
        self._give_up(session, partitions, point="on_revoke_before_close", current=True)

    def on_lost(self, session: _Session, partitions: Sequence[TopicPartition]) -> None:
        """Others may own these already: nothing of them is committed any more."""
        self._give_up(session, partitions, point="on_lost_before_close", current=False)

    def _give_up(self, session: _Session, partitions: Sequence[TopicPartition], *, point: str, current: bool) -> None:
        numbers = sorted({number for _, number in partitions} & session.partitions.keys())
        try:
            fault(point)
            self._drop_partitions(session, numbers, current=current)
        except StreamsError as failure:
            # An exception must not cross the client's callback; the poll raises it.
            self._callback_fault = failure
        logger.info("task %s gave up partitions %s", self.config.name, numbers)

    def _drop_partitions(self, session: _Session, numbers: list[int], *, current: bool) -> None:
        gone = set(numbers)
        self._leftover = [record for record in self._leftover if record.partition not in gone]
        for restore in [restore for restore in session.restores if gone & restore.progress.keys()]:
            # Those of its partitions that stay are resolved and restored again.
            session.restores.remove(restore)
            restore.close()
            for number in restore.progress.keys() - gone:
                if (part := session.partitions.get(number)) is not None and part.phase == "restoring":
                    self._close_store(part)
                    part.phase = "resolving"
        for number in numbers:
            part = session.partitions.pop(number, None)
            if part is not None:
                if current and part.phase == "running":
                    self._touch(part)
                self._close_store(part)

    def _touch(self, part: _Partition) -> None:
        """Note that the store is current today, although nothing may have changed since long ago."""
        if part.store is None:
            return
        try:
            if (marker := part.store.marker()) is not None:
                part.store.apply((), self._marker(part, marker.offset))
        except StreamsError as failure:
            logger.warning("task %s partition %d: %s", self.config.name, part.number, failure)

    def _close_store(self, part: _Partition) -> None:
        if part.store is not None:
            part.store.close()
        part.store = part.view = None

    def _advance(self, session: _Session) -> None:
        """Bring partitions that aren't running a little nearer to it."""
        resolving = [part for part in session.partitions.values() if part.phase == "resolving"]
        if resolving:
            fault("after_assign")
            self._resolve(session, resolving)
        for restore in list(session.restores):
            idle = not any(part.phase == "running" for part in session.partitions.values())
            before = sum(item.records for item in restore.progress.values())
            restore.advance(timeout_ms=RESTORE_WAIT_MS if idle else RESTORE_GLANCE_MS)
            self.counters.restored_records += sum(item.records for item in restore.progress.values()) - before
            for number, item in restore.progress.items():
                session.partitions[number].fraction = item.fraction
            if restore.done:
                session.restores.remove(restore)
                restore.close()
                fault("after_restore")
                self._run(session, [session.partitions[number] for number in restore.progress])
        if not self._ready_said and self.ready:
            self._ready_said = True
            logger.info("task %s ready: partitions %s", self.config.name, sorted(session.partitions))

    def _resolve(self, session: _Session, parts: list[_Partition]) -> None:
        """
        Ask where the group stands, then open the stores.

        This order matters: the answer is stable, so no transaction of an earlier owner is open when the changelog's
        end is asked for, and the end includes everything that belongs to these offsets.
        """
        asked = [(topic, part.number) for part in parts for topic in sorted(part.topics)]
        answers = session.consumer.committed(asked, timeout_ms=RESOLVE_TIMEOUT_MS)
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
        if self.config.changelog is None:
            self._run(session, resolved)
            return
        restore = Restore(self.config, self._clients, self._stores, self._clock)
        session.restores.append(restore)
        restore.start([part.number for part in resolved], lambda number, store: self._opened(session, number, store))
        for part in resolved:
            part.topic_id = restore.topic_id

    def _opened(self, session: _Session, number: int, store: Store) -> None:
        session.partitions[number].store = store

    def _run(self, session: _Session, parts: list[_Partition]) -> None:
        for part in parts:
            part.phase, part.fraction = "running", 1.0
            part.view = StateView(
                part.store,
                cache_bytes_max=self.config.cache_bytes_max,
                value_bytes_max=self.config.output_bytes_max,
            )
        self._assign_running(session)

    def _assign_running(self, session: _Session) -> None:
        """Fetch exactly the running partitions, each from its next offset."""
        session.consumer.assign(
            {
                (topic, part.number): part.positions[topic]
                for part in session.partitions.values()
                if part.phase == "running"
                for topic in sorted(part.topics)
            }
        )

    def _stop_for_bug(self, session: _Session, number: int, stop: Stop) -> None:
        record, error = stop.record, stop.error
        session.partitions[number].positions[record.topic] = record.offset
        logger.error(
            "task %s stops partition %d at %s[%d] offset %d: %r; other partitions go on. Mend the code and restart",
            self.config.name, number, record.topic, record.partition, record.offset, error, exc_info=error,
        )  # fmt: skip
        self._stop(session, number, f"{record.topic}[{record.partition}] offset {record.offset}: {error!r}")

    def _stop(self, session: _Session, number: int, reason: str) -> None:
        part = session.partitions.get(number)
        if part is None:
            return
        if part.view is not None:
            part.view.discard()
        part.phase, part.stop = "stopped", reason
        self._leftover = [record for record in self._leftover if record.partition != number]
        self.counters.stops += 1
        self._last_error = f"partition {number} stopped: {reason}"
        logger.error("task %s partition %d stopped: %s", self.config.name, number, reason)

    # What others see

    @property
    def ready(self) -> bool:
        """Whether every assigned partition is restored."""
        session = self._session
        return (
            session is not None
            and session.assigned
            and all(part.phase in ("running", "stopped") for part in list(session.partitions.values()))
        )

    def status(self) -> TaskStatus:
        """A snapshot; may be called from another thread."""
        session = self._session
        parts = sorted(list(session.partitions.values()), key=lambda part: part.number) if session else []
        return TaskStatus(
            task=self.config.name,
            instance=self.config.instance,
            state=self._status_state(session, parts),
            partitions=tuple(
                PartitionStatus(
                    partition=part.number,
                    phase=part.phase,
                    positions=dict(part.positions),
                    ends={topic: self._ends.get((topic, part.number)) for topic in sorted(part.topics)},
                    restored_fraction=part.fraction,
                    stopped_reason=part.stop,
                )
                for part in parts
            ),
            counters=self.counters,
            last_commit_ms=self._last_commit_ms,
            last_error=self._last_error,
        )

    def _status_state(
        self, session: _Session | None, parts: list[_Partition]
    ) -> Literal["starting", "joining", "restoring", "ready", "stopped", "failed", "closed"]:
        if self._state != "open":
            return self._state
        if session is None:
            return "starting"
        if not session.assigned:
            return "joining"
        phases = {part.phase for part in parts}
        if phases & {"resolving", "restoring"}:
            return "restoring"
        return "stopped" if "stopped" in phases else "ready"

    def _note_ends(self, session: _Session) -> None:
        """Look at the known ends once a second, for the lag that status shows."""
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._ends_asked_ms >= 1_000:
            self._ends_asked_ms = now_ms
            self._ends = session.consumer.end_offsets()


class _Listener:
    """Binds rebalance callbacks to the session they belong to: a late one of a dropped session changes nothing."""

    def __init__(self, task: Task, session: _Session) -> None:
        self._task, self._session = task, session

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
        self._task.on_assigned(self._session, partitions)

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self._task.on_revoked(self._session, partitions)

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        self._task.on_lost(self._session, partitions)
