"""
The exactly-once engine: one consumer, two transactional producers that take turns, a store per partition, no threads.

    step:  poll ── batch ── process ── begin, outputs, changelog, offsets, commit ── apply
             │                                   │
             └ rebalance: stores close           └ anything unsure: new clients, rewind to committed

What happens to partitions between their assignment and their loss is in `_assignment`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from schemas.logs import words
from streams.runtime._assignment import Assignment, Partition
from streams.runtime.batch import Batch, Rejection
from streams.runtime.config import (
    BACKOFF_FIRST_MS,
    BACKOFF_LAST_MS,
    CALL_RETRIES_MAX,
    FAILURES_FORGOTTEN_MS,
    TaskConfig,
)
from streams.runtime.errors import (
    Abortable,
    Behind,
    Fatal,
    InputLost,
    NotHeld,
    Retriable,
    StoreDamaged,
    StreamsError,
    Transient,
)
from streams.runtime.faults import fault
from streams.runtime.record import Output, Record
from streams.runtime.seams import (
    Clients,
    Clock,
    SourceConsumer,
    StoreFactory,
    TopicPartition,
    TransactionalProducer,
)
from streams.runtime.status import Counters, State, TaskStatus
from streams.runtime.table import GlobalTable
from streams.runtime.turns import Turns

logger = logging.getLogger(__name__)

Processor = Callable[[Batch], None]

# A commit puts its marker behind its last record; before it, nobody can write there but the other producer of this task.
MARKER_OFFSETS = 1

T = TypeVar("T")


class _Session:
    """One life of the clients: from joining until something unsure happened."""

    __slots__ = ("assignment", "consumer", "in_transaction", "producer")

    def __init__(self, producer: TransactionalProducer, consumer: SourceConsumer, assignment: Assignment) -> None:
        self.producer, self.consumer, self.assignment = producer, consumer, assignment
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
        self._tables_loaded = False
        self._session: _Session | None = None
        self._leftover: list[Record] = []
        self._failures = 0
        self._failed_ms = clock.monotonic_ms()
        self._state: Literal["open", "failed", "closed"] = "open"
        self._ready_said = False
        self._last_commit_ms: int | None = None
        self._last_error: str | None = None
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
        records = self._leftover or self._poll(session)
        self._leftover = []
        assignment = session.assignment
        if not assignment.known:
            return 0
        self._note_ends(session)
        committed = self._process(session, records) if records else 0
        assignment.advance()
        if assignment.settled != self._ready_said:
            self._ready_said = assignment.settled
            if self._ready_said:
                logger.info("task %s ready: partitions %s", self.config.name, sorted(assignment.partitions))
        return committed

    def _poll(self, session: _Session) -> list[Record]:
        assignment = session.assignment
        try:
            polled = session.consumer.poll(
                records_max=self.config.batch_records_max,
                bytes_max=self.config.batch_bytes_max,
                timeout_ms=self.config.poll_timeout_ms if assignment.settled or not assignment.known else 0,
            )
        except InputLost as lost:
            assignment.stop(lost.partition, f"lost input ({lost}); decide by hand where to go on")
            assignment.fetch_running()
            return []
        if assignment.failure is not None:
            raise assignment.failure
        return assignment.take(polled)

    def _process(self, session: _Session, records: list[Record]) -> int:
        fault("after_poll")
        assignment = session.assignment
        batch = Batch(
            records,
            assignment.views(),
            rejection=self._rejection,
            output_bytes_max=self.config.output_bytes_max,
            rejected_topic=self.config.rejected,
            rejection_bytes_max=self.config.rejection_bytes_max,
            epoch=self.counters.aborts,
        )
        try:
            self._processor(batch)
        except StreamsError:
            raise
        except Exception as error:
            raise Abortable(f"the batch was not processed: {words(error)}") from error
        if not batch.finished:
            raise Abortable("the processor returned without running the batch")
        fault("after_process_before_begin")
        if batch.positions:
            self._commit(session, batch)
        for number, stop in batch.stops.items():
            assignment.stop_for_bug(number, stop)
            self._last_error = assignment.partitions[number].stop
        if batch.stops:
            assignment.fetch_running()
        self._leftover = [record for record in records[batch.taken :] if record.partition not in batch.stops]
        return batch.processed

    def _commit(self, session: _Session, batch: Batch) -> None:
        """
        Make the batch's effects visible together.

        1. Begin. 2. Outputs, in the order of their emission. 3. One changelog record per changed key, and one that says how
        far the inputs are in the state. 4. The sources' next offsets, with the group's generation (KIP-447). 5. Commit. 6. The
        stores follow.
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

    def _produce_changelog(self, session: _Session, batch: Batch) -> list[Partition]:
        changelog = self.config.changelog
        if changelog is None:
            return []
        times = {record.partition: record.timestamp_ms for record in batch.records[: batch.taken]}
        produce = session.producer.produce
        changed = []
        for number in sorted({number for _, number in batch.positions}):
            part = session.assignment.partitions[number]
            assert part.view is not None, "a running partition of a task with state has a view"
            part.view.move({topic: at for (topic, here), at in batch.positions.items() if here == number})
            changes = part.view.changes()
            changed.append(part)
            timestamp_ms = times[number]
            produce(
                [Output(changelog, value, key, number, (), timestamp_ms) for key, value in changes.items()],
                track_last=True,
            )
            self.counters.state_changes += len(changes) - 1  # the positions are the runtime's own
        return changed

    def _apply(self, session: _Session, part: Partition) -> None:
        assert self.config.changelog is not None
        assert part.store is not None
        assert part.view is not None
        offset = session.producer.delivered_offset(self.config.changelog, part.number)
        with part.guard:
            part.store.apply(part.view.changes().items(), part.marker(self.config, self._clock, offset + 1))
            # Markers of this transaction and of the one before it may both be still to come.
            written = len(part.view.changes()) + MARKER_OFFSETS
            part.known_end = max(part.known_end + written, offset + 1 + MARKER_OFFSETS)
        part.view.committed()

    def _count(self, batch: Batch) -> None:
        counters = self.counters
        counters.batches += 1
        counters.records += batch.processed
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
        if not (self._tables_loaded and self._failures):
            # A load that fails leaves a table in part, on which nothing may be decided.
            self._tables_loaded = False
            for table in self._tables:
                table.load(self._clients, self._clock)
            self._tables_loaded = True
        producer = Turns(self._clients)
        try:
            producer.init_transactions(timeout_ms=self.config.call_timeout_ms)
            consumer = self._clients.consumer()
        except BaseException:
            producer.close()
            raise
        assignment = Assignment(
            self.config,
            consumer,
            clients=self._clients,
            stores=self._stores,
            clock=self._clock,
            counters=self.counters,
        )
        self._session = session = _Session(producer, consumer, assignment)
        self._ready_said = False
        self._leftover = []
        consumer.subscribe(self.config.sources, assignment)
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
        session.assignment.drop(list(session.assignment.partitions), current=False)
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
            session.assignment.drop(list(session.assignment.partitions), current=not failed)
            session.producer.close()
            try:
                session.consumer.close()
            except StreamsError as failure:
                logger.info("task %s: %s", self.config.name, failure)
        for table in self._tables:
            table.close()
        logger.info("task %s closed after %d records", self.config.name, self.counters.records)

    # What others see

    @property
    def ready(self) -> bool:
        """Whether every assigned partition is restored."""
        session = self._session
        return session is not None and session.assignment.settled

    def read(self, number: int, reader: Callable[[Callable[[bytes], bytes | None]], T], *, end: int = 0) -> T:
        """
        What `reader` makes of a partition's committed state, given a function from key to value; from any thread.

        It reads the store under the partition's guard, never the overlay, so it sees whole transactions that have
        committed. `end` is the changelog's end (uncommitted), asked for after the question came: everything that was
        visible to anybody by then lies before it, whoever wrote it. Raises `Behind` while this store has not come so far
        (its own commit is about to be applied; or another worker commits, and we have not heard of it yet), `NotHeld`
        when the partition isn't ours or isn't restored.
        """
        session = self._session
        part = session.assignment.partitions.get(number) if session is not None else None
        if part is None:
            raise NotHeld(f"partition {number} of task {self.config.name} is not held by {self.config.instance}")
        with part.guard:
            store = part.store
            if store is None or part.phase not in ("running", "stopped"):
                raise NotHeld(f"partition {number} of task {self.config.name} is {part.phase}")
            if part.known_end < end:
                raise Behind(f"partition {number} of task {self.config.name} follows to {part.known_end} of {end}")
            return reader(store.get)

    def status(self) -> TaskStatus:
        """Take a snapshot; may be called from another thread."""
        session = self._session
        parts = list(session.assignment.partitions.values()) if session is not None else []
        return TaskStatus(
            task=self.config.name,
            instance=self.config.instance,
            state=self._status_state(session),
            partitions=tuple(part.status(self._ends) for part in sorted(parts, key=lambda part: part.number)),
            counters=self.counters,
            last_commit_ms=self._last_commit_ms,
            last_error=self._last_error,
        )

    def _status_state(self, session: _Session | None) -> State:
        if self._state != "open":
            return self._state
        if session is None:
            return "starting"
        assignment = session.assignment
        if not assignment.settled:
            return "restoring" if assignment.known else "joining"
        stopped = any(part.phase == "stopped" for part in list(assignment.partitions.values()))
        return "stopped" if stopped else "ready"

    def _note_ends(self, session: _Session) -> None:
        """Look at the known ends once a second, for the lag that status shows."""
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._ends_asked_ms >= 1_000:
            self._ends_asked_ms = now_ms
            self._ends = session.consumer.end_offsets()
