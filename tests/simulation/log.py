"""Partition logs: records, control markers, what is replicated, what is stable, and compaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from streams.runtime.record import Headers, Record

TopicPartition = tuple[str, int]

# Replication takes this long at most, normally; acks=all waits for it.
REPLICATION_MS_MAX = 3


class Entry:
    """One offset: a record of a transaction (or of none), or a control marker."""

    __slots__ = ("aborted", "offset", "pid", "record", "removed", "visible_ms")

    def __init__(self, offset: int, pid: int | None, record: Record | None, visible_ms: int) -> None:
        self.offset, self.pid, self.record = offset, pid, record
        self.visible_ms = visible_ms
        # None: nobody knows yet.
        self.aborted: bool | None = None if pid is not None and record is not None else False
        self.removed = False

    @property
    def committed(self) -> bool:
        """Whether a read-committed reader is to see this record, now or once it is stable."""
        return self.record is not None and self.aborted is False


class PartitionLog:
    """One partition, as its leader has it."""

    def __init__(self, topic: str, number: int, random: Random) -> None:
        self.topic, self.number = topic, number
        self.entries: list[Entry] = []
        self._random = random
        self._high = 0
        # First offset of each open transaction, by producer id, and the producer epochs that the leader has seen.
        self.open: dict[int, int] = {}
        self.epochs: dict[int, int] = {}
        self.compacted = 0
        # Who waits for something new here, once.
        self.waiting: list[Callable[[], None]] = []

    def append(
        self,
        now_ms: int,
        *,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: int,
        headers: Headers = (),
        pid: int | None = None,
    ) -> Entry:
        """Append one record, of a transaction if a producer id is given."""
        offset = len(self.entries)
        record = Record(self.topic, self.number, offset, timestamp_ms, key, value, headers)
        entry = self._add(now_ms, pid, record)
        if pid is not None:
            self.open.setdefault(pid, offset)
        return entry

    def mark(self, now_ms: int, pid: int, *, commit: bool) -> None:
        """End a producer's transaction here."""
        first = self.open.pop(pid, None)
        if first is not None:
            for entry in self.entries[first:]:
                if entry.pid == pid and entry.aborted is None:
                    entry.aborted = not commit
        self._add(now_ms, pid, None)

    def _add(self, now_ms: int, pid: int | None, record: Record | None) -> Entry:
        visible_ms = now_ms + self._random.randrange(REPLICATION_MS_MAX)
        if self.entries:
            visible_ms = max(visible_ms, self.entries[-1].visible_ms)
        entry = Entry(len(self.entries), pid, record, visible_ms)
        self.entries.append(entry)
        if self.waiting:
            waiting, self.waiting = self.waiting, []
            for call in waiting:
                call()
        return entry

    def high_watermark(self, now_ms: int) -> int:
        """Offset after the last replicated entry: the end that `READ_UNCOMMITTED` readers are told."""
        high, entries = self._high, self.entries
        while high < len(entries) and entries[high].visible_ms <= now_ms:
            high += 1
        self._high = high
        return high

    def stable(self, now_ms: int) -> int:
        """The last stable offset: no transaction is open before it."""
        high = self.high_watermark(now_ms)
        return min((high, *self.open.values()))

    def read(
        self, position: int, now_ms: int, *, records_max: int, uncommitted: bool = False
    ) -> tuple[list[Record], int]:
        """Committed records from a position on, and the position after them (or after what is passed over)."""
        end = self.high_watermark(now_ms) if uncommitted else self.stable(now_ms)
        records: list[Record] = []
        entries = self.entries
        while position < end and len(records) < records_max:
            entry = entries[position]
            position += 1
            if entry.record is not None and not entry.removed and (uncommitted or not entry.aborted):
                records.append(entry.record)
        return records, position

    def compact(self, now_ms: int, *, tombstones_kept_ms: int, wall_ms: int) -> int:
        """
        Remove what a later committed record of the same key replaces, aborted records, and old tombstones.

        Only below the last stable offset, and never the last entry. Returns how many were removed.
        """
        removed = 0
        end = self.stable(now_ms)
        last: dict[bytes, int] = {}
        for entry in self.entries[:end]:
            if entry.record is not None and not entry.aborted and entry.record.key is not None:
                last[entry.record.key] = entry.offset
        for entry in self.entries[: max(0, end - 1)]:
            record = entry.record
            if record is None or entry.removed or record.key is None:
                continue
            old_tombstone = record.value is None and record.timestamp_ms + tombstones_kept_ms < wall_ms
            if entry.aborted or last[record.key] != entry.offset or old_tombstone:
                entry.removed = True
                removed += 1
        self.compacted += removed
        return removed

    def committed(self, end: int | None = None) -> Iterator[Record]:
        """Every committed record ever, compacted or not: what history says, for checks."""
        for entry in self.entries if end is None else self.entries[:end]:
            if entry.committed:
                assert entry.record is not None
                yield entry.record


class Topic:
    """A topic's partitions and its incarnation."""

    def __init__(self, name: str, partitions: int, random: Random, *, compacted: bool = False) -> None:
        self.name = name
        self.topic_id = f"{name}-1"
        self.compacted = compacted
        self.partitions = [PartitionLog(name, number, random) for number in range(partitions)]
