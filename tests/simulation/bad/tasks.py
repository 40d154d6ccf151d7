"""Wrong engines: the real task with one rule broken."""

from __future__ import annotations

from typing import Any

from streams.runtime import _assignment as assignments
from streams.runtime.batch import Batch
from streams.runtime.errors import StreamsError, Transient
from streams.runtime.record import Record
from streams.runtime.seams import TopicPartition
from streams.runtime.task import Task
from tests.simulation.cluster import Engine

# Faust's own mode commits on a timer beside its agents.
COMMIT_INTERVAL_MS = 1_000


class _TimerCommit(Task):
    """
    Commits on a timer without a barrier, as Faust's exactly_once does.

    What was produced is in the open transaction at once; its offset only when it is done, which the timer doesn't wait
    for: the offsets of the batch in hand come with the next commit.
    """

    _behind: dict[TopicPartition, int]
    _parts: dict[int, Any]
    _committed_ms = 0

    def _commit(self, session: Any, batch: Batch) -> None:
        producer, timeout_ms = session.producer, self.config.call_timeout_ms
        if not session.in_transaction:
            self._retrying(producer.begin)
            session.in_transaction = True
            self._behind, self._parts = {}, {}
        producer.produce(batch.outputs)
        self._parts |= {part.number: part for part in self._produce_changelog(session, batch)}
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._committed_ms >= COMMIT_INTERVAL_MS and self._behind:
            metadata = session.consumer.group_metadata()
            self._retrying(lambda: producer.send_offsets(self._behind, metadata, timeout_ms=timeout_ms))
            self._retrying(lambda: producer.commit(timeout_ms=timeout_ms))
            session.in_transaction = False
            self._committed_ms = now_ms
            self._failures = 0
            for number, part in self._parts.items():
                if session.assignment.partitions.get(number) is part:
                    self._apply(session, part)
        self._behind = self._behind | batch.positions


class _ApplyFirst(Task):
    """State goes to the store before the commit, as if a commit could not fail."""

    def _produce_changelog(self, session: Any, batch: Batch) -> list[Any]:
        changed = super()._produce_changelog(session, batch)
        for part in changed:
            marker = part.store.marker()
            part.store.apply(
                part.view.changes().items(),
                part.marker(self.config, self._clock, marker.offset if marker is not None else 0),
            )
        return changed


class _NoRewind(Task):
    """After an abort it goes on with the next records, as if what was aborted came again by itself."""

    def _turn(self) -> int:
        try:
            return super()._turn()
        except Transient:
            session = self._session
            if session is None or not session.in_transaction:
                raise
            session.producer.abort(timeout_ms=self.config.call_timeout_ms)
            session.in_transaction = False
            for part in session.assignment.partitions.values():
                if part.view is not None:
                    part.view.discard()
            return 0


class _KeptOverlay(Task):
    """After an abort it rewinds its clients, but what the aborted batch had changed goes into the store."""

    def _restart_session(self, failure: StreamsError) -> None:
        session = self._session
        if session is not None and session.in_transaction:
            for part in session.assignment.partitions.values():
                if part.view is not None and part.store is not None and (marker := part.store.marker()) is not None:
                    part.store.apply(part.view.changes().items(), marker)
        super()._restart_session(failure)


class Believing(Task):
    """Takes the coordinator's word for where to go on, although the state knows better."""

    def _open_session(self) -> Any:
        session = super()._open_session()
        session.assignment._correct = lambda part, view: None
        session.assignment._forgotten = lambda part: False
        return session


class _Trusting(Task):
    """Takes whatever the client delivers, also what it has taken before."""

    def _poll(self, session: Any) -> list[Record]:
        session.assignment.take = lambda polled: _take_all(session.assignment, polled)
        return super()._poll(session)


def _take_all(assignment: assignments.Assignment, polled: list[Record]) -> list[Record]:
    records = []
    for record in polled:
        part = assignment.partitions.get(record.partition)
        if part is not None and part.phase == "running":
            part.positions[record.topic] = max(part.positions[record.topic], record.offset + 1)
            records.append(record)
    return records


TASKS: tuple[Engine, ...] = (
    Engine(name="commit on a timer", task=_TimerCommit),
    Engine(name="state applied before the commit", task=_ApplyFirst),
    Engine(name="no rewind after an abort", task=_NoRewind),
    Engine(name="overlay kept after an abort", task=_KeptOverlay),
    Engine(name="no contiguity check", task=_Trusting),
    Engine(name="the coordinator is believed", task=Believing),
)
