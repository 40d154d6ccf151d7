"""Folds one partition's inputs again through the workers' own handlers, and compares all that follows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import filterfalse, islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from schemas.catalogue import (
    CUSTOMERS_CHANGELOG,
    CUSTOMERS_EVENTS,
    CUSTOMERS_INPUTS,
    LIFECYCLE_CHANGELOG,
    PAYMENTS_EVENTS,
    PAYMENTS_INPUTS,
    PAYMENTS_REPLIES,
    PROVIDER_REQUESTS,
    RECORDS_REJECTED,
    SETTLEMENT_CHANGELOG,
    SETTLEMENT_EVENTS,
    SETTLEMENT_INPUTS,
)
from streams.agents import customers, lifecycle, settlement
from streams.replay._leaves import LeafFile
from streams.replay._spool import (
    CUSTOMERS,
    LIFECYCLE,
    SETTLEMENT,
    is_payout_request,
    merged_rejections,
    partition_for,
    path_of,
    spooled,
)
from streams.replay._state import StateComparison, load
from streams.replay._store import Scratch
from streams.replay._stream import Stream
from streams.replay.difference import Difference, Place
from streams.replay.log import Bounds, Log
from streams.runtime import Batch, Context, Output, Record, Rejection, StateView
from streams.runtime.batch import Handler
from streams.runtime.config import CACHE_BYTES_MAX, OUTPUT_BYTES_MAX, REJECTION_BYTES_MAX

BATCH_RECORDS = 1_000
SHOWN_MAX = 20
"""Differences of a partition that are described; all are counted."""

_ANY = -1
_PROGRESS_RECORDS = 500


class FoldSpec(NamedTuple):
    """A fold: its group, where it reads, where it writes. `direct` are written to the partition that was read."""

    name: str
    inputs: str
    changelog: str
    direct: tuple[str, ...]
    parted: tuple[str, ...]

    @property
    def group(self) -> str:
        """The workers' consumer group."""
        return f"clearline-{self.name}"


FOLDS = {
    LIFECYCLE: FoldSpec(
        LIFECYCLE,
        PAYMENTS_INPUTS.name,
        LIFECYCLE_CHANGELOG.name,
        direct=(PAYMENTS_EVENTS.name, PROVIDER_REQUESTS.name),
        parted=(PAYMENTS_REPLIES.name, SETTLEMENT_INPUTS.name, CUSTOMERS_INPUTS.name, RECORDS_REJECTED.name),
    ),
    SETTLEMENT: FoldSpec(
        SETTLEMENT,
        SETTLEMENT_INPUTS.name,
        SETTLEMENT_CHANGELOG.name,
        direct=(),
        parted=(SETTLEMENT_EVENTS.name, PROVIDER_REQUESTS.name, PAYMENTS_REPLIES.name, RECORDS_REJECTED.name),
    ),
    CUSTOMERS: FoldSpec(
        CUSTOMERS,
        CUSTOMERS_INPUTS.name,
        CUSTOMERS_CHANGELOG.name,
        direct=(CUSTOMERS_EVENTS.name,),
        parted=(PAYMENTS_REPLIES.name, RECORDS_REJECTED.name),
    ),
}


class Cut(msgspec.Struct, frozen=True):
    """
    What is compared, chosen before anything is read.

    1. `before`: the groups' committed offsets. 2. `bounds` of every topic. 3. `after`: the groups' offsets again. All
    that inputs below `before` led to lies within the bounds; all that lies within them comes from inputs below `after`.
    """

    before: dict[str, dict[int, int]]
    bounds: dict[str, dict[int, Bounds]]
    after: dict[str, dict[int, int]]


class TopicCount(msgspec.Struct):
    """How the records of a topic that a partition's inputs led to compare."""

    equal: int = 0
    differences: int = 0
    not_comparable: int = 0


class FoldReport(msgspec.Struct, kw_only=True):
    """One partition of one fold; `differences` are the first ones, in the order of their inputs, state last."""

    fold: str
    partition: int
    inputs: int = 0
    cut: int = 0
    keys: int = 0
    topics: dict[str, TopicCount] = {}
    differences: list[Difference] = []
    newest_input_ms: int = 0
    took_s: float = 0.0

    @property
    def difference_count(self) -> int:
        """All of them."""
        return sum(count.differences for count in self.topics.values())


def handler_of(fold: str, bounds: Mapping[str, Mapping[int, Bounds]]) -> tuple[Handler, Rejection]:
    """The workers' own."""
    if fold == SETTLEMENT:
        settle = settlement.Settlement(
            partitions=len(bounds[SETTLEMENT_INPUTS.name]), reply_partitions=len(bounds[PAYMENTS_REPLIES.name])
        )
        return settle, settlement.reject
    if fold == CUSTOMERS:
        serve = customers.Customers(
            partitions=len(bounds[CUSTOMERS_INPUTS.name]),
            reply_partitions=len(bounds[PAYMENTS_REPLIES.name]),
            keys=None,  # what is erased is on a compacted topic, and is not compared
        )
        return serve, customers.reject
    handle = lifecycle.Lifecycle(
        partitions=len(bounds[PAYMENTS_INPUTS.name]), reply_partitions=len(bounds[PAYMENTS_REPLIES.name])
    )
    return handle, lifecycle.reject


class _Findings:
    """Counts all differences and keeps the first ones."""

    def __init__(self, spec: FoldSpec) -> None:
        self.topics = {topic: TopicCount() for topic in (*spec.direct, *spec.parted, spec.changelog)}
        self._first: list[tuple[int, int, Difference]] = []
        self._added = 0

    def add(self, cause: int, difference: Difference) -> None:
        self.topics.setdefault(difference.topic, TopicCount()).differences += 1
        self._added += 1
        # The streams run ahead of each other by their look-ahead: sort by cause, and among equals as they were found.
        self._first.append((cause, self._added, difference))
        if len(self._first) > 2 * SHOWN_MAX:
            self._first = sorted(self._first, key=lambda item: item[:2])[:SHOWN_MAX]

    def first(self) -> list[Difference]:
        return [found for _, _, found in sorted(self._first, key=lambda item: item[:2])[:SHOWN_MAX]]


class Replayer:
    """Replays one partition of one fold."""

    def __init__(
        self, spec: FoldSpec, partition: int, *, log: Log, cut: Cut, directory: Path, with_leaves: bool
    ) -> None:
        self._spec, self._partition, self._log, self._cut = spec, partition, log, cut
        self._directory = directory
        self._before = cut.before[spec.name].get(partition, 0)
        self._after = cut.after[spec.name].get(partition, 0)
        self._findings = _Findings(spec)
        self._leaves: list[LeafFile] = []
        self._with_leaves = with_leaves
        self._streams: dict[tuple[str, int], Stream] = {}
        self._newest_ms = 0
        self._inputs = 0

    def run(self, progress: Callable[[int], None]) -> FoldReport:
        """
        Fold and compare.

        1. Inputs that were committed at the first look. 2. The changelog's state beside the fold's. 3. Inputs committed
        at the second look, one by one, until state has been equal. 4. What is left on the recorded side.
        """
        started = time.monotonic()
        spec, partition = self._spec, self._partition
        directory = self._directory / "state" / spec.name
        folded = Scratch(directory, "folded", partition)
        recorded = Scratch(directory, "recorded", partition)
        comparison = None
        try:
            self._open_streams()
            load(recorded, self._log.read(spec.changelog, partition, self._bounds(spec.changelog)))
            fold = _Fold(folded, handler_of(spec.name, self._cut.bounds), partition, self._expect)
            inputs = self._log.read(spec.inputs, partition, Bounds(0, self._after))
            # Step 1
            rest = self._fold_to_cut(fold, inputs, progress)
            if not fold.stopped():
                # Step 2
                comparison = StateComparison(folded, recorded, at=self._before)
                # Step 3
                for record in rest:
                    self._seen(record)
                    changes = fold.run([record])
                    if fold.stopped():
                        break
                    comparison.advance(changes, position=record.offset + 1)
            # Step 4
            self._finish(fold.stop, comparison)
        finally:
            for file in self._leaves:
                file.close()
            folded.close()
            recorded.close()
        progress(self._inputs)
        return FoldReport(
            fold=spec.name,
            partition=partition,
            inputs=self._inputs,
            cut=self._before,
            keys=0 if comparison is None else comparison.keys,
            topics=self._findings.topics,
            differences=self._findings.first(),
            newest_input_ms=self._newest_ms,
            took_s=time.monotonic() - started,
        )

    def _bounds(self, topic: str, partition: int | None = None) -> Bounds:
        return self._cut.bounds[topic].get(self._partition if partition is None else partition, Bounds(0, 0))

    def _open_streams(self) -> None:
        spec, partition = self._spec, self._partition
        for topic in spec.direct:
            records = self._log.read(topic, partition, self._bounds(topic))
            if topic == PROVIDER_REQUESTS.name:
                records = filterfalse(is_payout_request, records)  # settlement's, among those that it made
            if topic == PAYMENTS_EVENTS.name and self._with_leaves:
                leaves = LeafFile(self._directory, topic, partition)
                self._leaves.append(leaves)
                records = leaves.tap(records)
            self._stream(topic, partition, records)
        for topic in spec.parted:
            paths = {
                number: path_of(self._directory, topic, number, (spec.name, partition))
                for number in self._cut.bounds[topic]
            }
            if topic == RECORDS_REJECTED.name:
                self._stream(topic, _ANY, merged_rejections(list(paths.values())))
                continue
            for number, path in paths.items():
                self._stream(topic, number, spooled(path))

    def _stream(self, topic: str, number: int, records: Iterator[Record]) -> None:
        self._streams[topic, number] = Stream(
            topic,
            (self._spec.inputs, self._partition),
            records,
            cut=self._before,
            trimmed=number != _ANY and self._bounds(topic, number).start > 0,
            report=self._findings.add,
        )

    def _seen(self, record: Record) -> None:
        self._inputs += 1
        self._newest_ms = max(self._newest_ms, record.timestamp_ms)

    def _fold_to_cut(self, fold: _Fold, inputs: Iterator[Record], progress: Callable[[int], None]) -> Iterator[Record]:
        """Returns the inputs that are left."""
        batch: list[Record] = []
        for record in inputs:
            if record.offset >= self._before:
                fold.run(batch)
                return _first_then(record, inputs)
            self._seen(record)
            batch.append(record)
            if len(batch) == BATCH_RECORDS:
                fold.run(batch)
                batch = []
                if fold.stopped():
                    return iter(())
            if self._inputs % _PROGRESS_RECORDS == 0:
                progress(self._inputs)
        fold.run(batch)
        return iter(())

    def _expect(self, cause: int, output: Output) -> None:
        direct = output.topic in self._spec.direct
        if direct:
            number = self._partition
        elif output.topic == RECORDS_REJECTED.name:
            number = _ANY
            if output.key is not None:
                output = msgspec.structs.replace(output, partition=self._target(output))
        else:
            number = self._target(output)
        stream = self._streams.get((output.topic, number))
        if stream is None:
            self._stream(output.topic, number, iter(()))
            stream = self._streams[output.topic, number]
        stream.expect(cause, output)

    def _target(self, output: Output) -> int:
        if output.partition is not None:
            return output.partition
        if output.key is None:
            return _ANY
        return partition_for(output.key, len(self._cut.bounds.get(output.topic, ())) or 1)

    def _finish(self, stop: tuple[Record, BaseException] | None, comparison: StateComparison | None) -> None:
        for stream in self._streams.values():
            if stop is None:
                stream.finish()
            else:
                stream.abandon()
            count = self._findings.topics.setdefault(stream.topic, TopicCount())
            count.equal += stream.equal
            count.not_comparable += stream.not_comparable
        if stop is not None:
            record, error = stop
            self._findings.add(record.offset, self._stopped(record, error))
        if comparison is None:
            return
        count = self._findings.topics[self._spec.changelog]
        number, described = comparison.differences(self._spec.changelog, self._partition, shown_max=SHOWN_MAX)
        for difference in described:
            self._findings.add(self._after, difference)
        count.differences = number
        count.equal = comparison.keys - min(number, comparison.keys)

    def _stopped(self, record: Record, error: BaseException) -> Difference:
        return Difference(
            kind="stopped",
            topic=self._spec.inputs,
            what=f"the fold fails: {type(error).__name__}: {error}",
            cause=Place(record.topic, record.partition, record.offset),
            note="a worker went past this input, so what it recorded from here on is not compared",
        )


class _Fold:
    """The runtime's own batch around the handler, on scratch state; `sink` gets each output with its input's offset."""

    def __init__(
        self,
        store: Scratch,
        handlers: tuple[Handler, Rejection],
        partition: int,
        sink: Callable[[int, Output], None],
    ) -> None:
        self._store, self._partition, self._sink = store, partition, sink
        self._handler, self._rejection = handlers
        self._view = StateView(store.store, cache_bytes_max=CACHE_BYTES_MAX, value_bytes_max=OUTPUT_BYTES_MAX)
        self.stop: tuple[Record, BaseException] | None = None

    def stopped(self) -> bool:
        """Whether an input could not be folded."""
        return self.stop is not None

    def run(self, records: list[Record]) -> dict[bytes, bytes | None]:
        """Fold the records; returns what they changed. Sets `stop` at one that can't be folded."""
        changed: dict[bytes, bytes | None] = {}
        while records and not self.stopped():
            taken, changes = self._batch(records)
            changed.update(changes)
            records = records[taken:]
        return changed

    def _batch(self, records: list[Record]) -> tuple[int, dict[bytes, bytes | None]]:
        batch = Batch(
            records,
            {self._partition: self._view},
            rejection=self._rejection,
            output_bytes_max=OUTPUT_BYTES_MAX,
            rejected_topic=RECORDS_REJECTED.name,
            rejection_bytes_max=REJECTION_BYTES_MAX,
        )
        begins: list[tuple[int, int]] = []

        def handle(record: Record, context: Context) -> None:
            begins.append((len(batch.outputs), record.offset))
            self._handler(record, context)

        batch.run(handle)
        ends = [begin for begin, _ in begins[1:]] + [len(batch.outputs)]
        for (begin, offset), end in zip(begins, ends, strict=True):
            for output in islice(batch.outputs, begin, end):
                self._sink(offset, output)
        for stop in batch.stops.values():
            self.stop = stop.record, stop.error
        changes = self._view.changes()
        self._store.apply(changes)
        self._view.committed()
        return batch.taken, changes


def _first_then(first: Record, rest: Iterator[Record]) -> Iterator[Record]:
    yield first
    yield from rest
