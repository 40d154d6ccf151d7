"""A read-only copy of a small compacted topic, for configuration that every partition needs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from streams.runtime.errors import ConfigurationFault, Fatal, Indefinite
from streams.runtime.record import Record
from streams.runtime.seams import Clients, Clock, TopicReader

logger = logging.getLogger(__name__)

V = TypeVar("V")

# A table is for configuration; what needs more belongs into a task's own state.
TABLE_ENTRIES_MAX = 100_000
TABLE_BYTES_MAX = 128 * 1024 * 1024

# How long the first load may take, and how often a running task looks for news.
LOAD_TIMEOUT_MS = 60_000
REFRESH_INTERVAL_MS = 200
READ_RECORDS_MAX = 5_000


class GlobalTable(Generic[V]):
    """
    The last value of each key of a topic, decoded once when it is read.

    It is complete before the task's first record and refreshed between batches, never within one. `refresh` and
    `get` belong to the task's thread; a value that can't be decoded is logged and the one before it stays.
    """

    def __init__(
        self,
        topic: str,
        decode: Callable[[Record], V],
        *,
        entries_max: int = TABLE_ENTRIES_MAX,
        bytes_max: int = TABLE_BYTES_MAX,
    ) -> None:
        self.topic = topic
        self._entries_max, self._bytes_max = entries_max, bytes_max
        self._decode = decode
        self._clock: Clock | None = None
        self._values: dict[bytes, V] = {}
        self._sizes: dict[bytes, int] = {}
        self._bytes = 0
        self._reader: TopicReader | None = None
        self._refreshed_ms = 0
        self.undecodable = 0

    def load(self, clients: Clients, clock: Clock) -> None:
        """Read the topic to its present end; again from the start if it was loaded before."""
        if self._clock is not None and self._clock is not clock:
            raise ConfigurationFault(f"table {self.topic} belongs to another task already; make one for each task")
        self._clock = clock
        self.close()
        self._values, self._sizes, self._bytes = {}, {}, 0
        self.cleared()
        self._reader = reader = clients.reader(self.topic)
        partitions = reader.partitions()
        ends = reader.end_offsets(partitions, timeout_ms=LOAD_TIMEOUT_MS // 4)
        reader.assign(dict.fromkeys(partitions, 0))
        deadline_ms = clock.monotonic_ms() + LOAD_TIMEOUT_MS
        while any(reader.position(number) < end for number, end in ends.items()):
            if clock.monotonic_ms() > deadline_ms:
                raise Indefinite(f"table {self.topic} was not read to its end in {LOAD_TIMEOUT_MS} ms")
            self._take(reader.read(records_max=READ_RECORDS_MAX, timeout_ms=200))
        logger.info("table %s loaded: %d entries", self.topic, len(self._values))

    def refresh(self) -> None:
        """Take what is new, without waiting; looks at most every `REFRESH_INTERVAL_MS`."""
        if self._reader is None or self._clock is None:
            return
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._refreshed_ms < REFRESH_INTERVAL_MS:
            return
        self._refreshed_ms = now_ms
        self._take(self._reader.read(records_max=READ_RECORDS_MAX, timeout_ms=0))

    def _take(self, records: list[Record]) -> None:
        for record in records:
            if record.key is None:
                continue
            if record.value is None:
                before = self._values.pop(record.key, None)
                if before is not None:
                    self.changed(record.key, before, None)
                self._bytes -= self._sizes.pop(record.key, 0)
                continue
            try:
                value = self._decode(record)
            except Exception:
                self.undecodable += 1
                logger.exception(
                    "table %s: what is at [%d] offset %d can't be decoded; its key is left as it was",
                    self.topic, record.partition, record.offset,
                )  # fmt: skip
                continue
            self.changed(record.key, self._values.get(record.key), value)
            self._values[record.key] = value
            self._bytes += len(record.value) - self._sizes.get(record.key, 0)
            self._sizes[record.key] = len(record.value)
        if len(self._values) > self._entries_max or self._bytes > self._bytes_max:
            raise Fatal(
                f"table {self.topic} exceeds {self._entries_max} entries or {self._bytes_max} bytes; "
                "it is for configuration: keep large data in a task's state"
            )

    def cleared(self) -> None:
        """For subclasses that keep an index: every value is gone, and will be read again."""

    def changed(self, key: bytes, before: V | None, now: V | None) -> None:
        """For subclasses that keep an index: the value of a key changes."""

    def get(self, key: bytes) -> V | None:
        """The last decoded value of a key, or None."""
        return self._values.get(key)

    def items(self) -> Iterator[tuple[bytes, V]]:
        """All pairs, in the order of their first appearance."""
        return iter(list(self._values.items()))

    def __len__(self) -> int:
        return len(self._values)

    def close(self) -> None:
        """Drop the reader; the values stay."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
