"""Brings stores up to the end of their changelog, a slice at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable

from streams.runtime.config import RESTORE_SLICE_RECORDS, TaskConfig
from streams.runtime.errors import InputLost, StoreDamaged, StreamsError
from streams.runtime.faults import fault
from streams.runtime.seams import Clients, Clock, Marker, Store, StoreFactory

logger = logging.getLogger(__name__)

# A progress line appears at most this often, and once at the end.
PROGRESS_INTERVAL_MS = 2_000


class Progress:
    """How far one partition's restore has come, in changelog offsets."""

    __slots__ = ("position", "records", "start", "store", "target")

    def __init__(self, store: Store, *, start: int, target: int) -> None:
        self.store = store
        self.start = self.position = start
        self.target = target
        self.records = 0

    @property
    def done(self) -> bool:
        """Whether everything up to the target is applied."""
        return self.position >= self.target

    @property
    def fraction(self) -> float:
        """0 to 1."""
        return 1.0 if self.done else (self.position - self.start) / (self.target - self.start)


class Restore:
    """
    One reader that restores a set of partitions of one changelog.

    The caller has read the partitions' stable committed offsets before: then no transaction of an earlier owner is
    open, everything it committed lies before the end asked for here, and it can't add to it (its generation is over).
    The end is the uncommitted one and the read is of committed records (KAFKA-10167).
    """

    def __init__(self, config: TaskConfig, clients: Clients, stores: StoreFactory, clock: Clock) -> None:
        assert config.changelog is not None
        self._config, self._stores, self._clock = config, stores, clock
        self._reader = clients.reader(config.changelog)
        self.progress: dict[int, Progress] = {}
        self._topic_id = ""
        self._reported_ms = clock.monotonic_ms()

    def start(self, partitions: list[int], opened: Callable[[int, Store], None]) -> None:
        """Open the stores, hand each to the caller at once (who closes it), and seek to where each one stood."""
        self._topic_id = self._reader.topic_id()
        ends = self._reader.end_offsets(partitions, timeout_ms=self._config.call_timeout_ms)
        for number in partitions:
            store, start = self._opened(number, end=ends[number])
            opened(number, store)
            self.progress[number] = Progress(store, start=start, target=ends[number])
        behind = {number: item.start for number, item in self.progress.items() if not item.done}
        if behind:
            self._reader.assign(behind)

    def _opened(self, number: int, *, end: int) -> tuple[Store, int]:
        """The partition's store and the changelog offset to continue from; a store that can't be trusted is rebuilt."""
        keep = False
        for _ in range(2):
            store: Store | None = None
            try:
                store = self._stores.open(number)
                marker = store.marker()
                if marker is None:
                    return store, 0
                reason = self._reason_to_rebuild(marker, end=end)
                if reason is None:
                    return store, marker.offset
            except StoreDamaged as damage:
                reason, keep = str(damage), True
            if store is not None:
                store.close()
            logger.warning("task %s partition %d: store is rebuilt: %s", self._config.name, number, reason)
            self._stores.discard(number, keep=keep)
        raise StoreDamaged(f"partition {number}: a store made anew is damaged as well: {reason}", partition=number)

    def _reason_to_rebuild(self, marker: Marker, *, end: int) -> str | None:
        if marker.topic_id != self._topic_id:
            return f"changelog {self._config.changelog} was made anew"
        if marker.state_version != self._config.state_version:
            return f"state version {marker.state_version} became {self._config.state_version}"
        if marker.offset > end:
            return f"store is at {marker.offset}, beyond the changelog's end {end}"
        if self._clock.wall_ms() - marker.applied_at_ms > self._config.tombstone_retention_ms and marker.offset < end:
            return "store stood still for so long that compaction may have removed deletions it has not seen"
        return None

    @property
    def records(self) -> int:
        """Records applied so far."""
        return sum(item.records for item in self.progress.values())

    @property
    def done(self) -> bool:
        """Whether every partition is at its target."""
        return all(item.done for item in self.progress.values())

    def advance(self, *, timeout_ms: int) -> None:
        """Read and apply one slice."""
        if self.done:
            return
        try:
            records = self._reader.read(records_max=RESTORE_SLICE_RECORDS, timeout_ms=timeout_ms)
        except InputLost as lost:
            raise StoreDamaged(
                f"partition {lost.partition}: its changelog position is gone: {lost}", partition=lost.partition
            ) from lost
        changes: dict[int, dict[bytes, bytes | None]] = {}
        for record in records:
            if record.key:
                changes.setdefault(record.partition, {})[record.key] = record.value
                self.progress[record.partition].records += 1
        for number, item in self.progress.items():
            if item.done:
                continue
            before, item.position = item.position, self._reader.position(number)
            assert item.position >= before, "a changelog is read forwards"
            # When it is done, a store that had nothing to apply gets its fresh marker too: it is known to be current.
            if number in changes or item.done:
                item.store.apply(changes.get(number, {}).items(), self._marker(item.position))
        if records:
            fault("during_restore")
        self._report()

    def _marker(self, offset: int) -> Marker:
        return Marker(
            topic_id=self._topic_id,
            offset=offset,
            state_version=self._config.state_version,
            applied_at_ms=self._clock.wall_ms(),
        )

    def _report(self) -> None:
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._reported_ms < PROGRESS_INTERVAL_MS and not self.done:
            return
        self._reported_ms = now_ms
        total = sum(item.target - item.start for item in self.progress.values())
        passed = sum(min(item.position, item.target) - item.start for item in self.progress.values())
        logger.info(
            "task %s restoring %s: %d%% (%d of %d offsets, %d records, partitions %s)",
            self._config.name,
            self._config.changelog,
            100 * passed // total if total else 100,
            passed,
            total,
            self.records,
            sorted(self.progress),
        )

    @property
    def topic_id(self) -> str:
        """The changelog's incarnation."""
        return self._topic_id

    def close(self) -> None:
        """Drop the reader; the stores belong to the caller, who must come to close them whatever happens here."""
        try:
            self._reader.close()
        except StreamsError as failure:
            logger.warning("task %s: %s", self._config.name, failure)
