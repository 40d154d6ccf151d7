"""Recomputes what an agent must have done with a partition: its own handler, on state in memory, without the runtime."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator

from streams.runtime import Output, PoisonRecord, Record

_PREFIX_BYTES = 2  # every state key begins with a letter and a slash; ranges ask for those


class State:
    """A partition's state in memory, with the same view of it that handlers have."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self._sorted: dict[bytes, list[bytes]] = {}
        self._journal: list[tuple[bytes, bytes | None]] = []

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        return self.values.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set."""
        self._journal.append((key, self.values.get(key)))
        self._set(key, value)

    def delete(self, key: bytes) -> None:
        """Remove, if it is there."""
        if key in self.values:
            self._journal.append((key, self.values[key]))
            self._set(key, None)

    def range(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pairs in the order of their keys. Lazy, since a tick looks at the first few of very many; nobody writes meanwhile."""
        head = prefix[:_PREFIX_BYTES]
        if head not in self._sorted:
            self._sorted[head] = sorted(key for key in self.values if key.startswith(head))
        keys = self._sorted[head]
        for at in range(bisect_left(keys, prefix), len(keys)):
            if not keys[at].startswith(prefix):
                return
            yield keys[at], self.values[keys[at]]

    def release(self) -> None:
        """What was changed stays."""
        self._journal.clear()

    def rollback(self) -> None:
        """What was changed goes."""
        while self._journal:
            key, before = self._journal.pop()
            self._set(key, before)

    def _set(self, key: bytes, value: bytes | None) -> None:
        keys = self._sorted.get(key[:_PREFIX_BYTES])
        if keys is not None and (key in self.values) != (value is not None):
            if value is None:
                del keys[bisect_left(keys, key)]
            else:
                insort(keys, key)
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value


class Fold:
    """One partition's fold: `take` each record in order and see what must have come out."""

    epoch = 0  # nothing is ever dropped here

    def __init__(
        self, handler: Callable[[Record, Fold], None], rejection: Callable[[Record, PoisonRecord], Output]
    ) -> None:
        self.store = State()
        self._handler, self._rejection = handler, rejection
        self._outputs: list[Output] = []
        self._record: Record | None = None

    def emit(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: tuple[()] = (),
        timestamp_ms: int | None = None,
    ) -> None:
        """What a handler calls: keep the output, with the time of the record in hand unless it names one."""
        assert self._record is not None
        time_ms = self._record.timestamp_ms if timestamp_ms is None else timestamp_ms
        self._outputs.append(Output(topic, value, key, partition, headers, time_ms))

    def take(self, record: Record) -> list[Output]:
        """Everything that follows from one record: its outputs, or its rejection alone."""
        self._record, self._outputs = record, []
        try:
            self._handler(record, self)
        except PoisonRecord as poison:
            self.store.rollback()
            self._outputs = []
            refused = self._rejection(record, poison)
            self.emit(refused.topic, refused.value, key=refused.key)
        self.store.release()
        return self._outputs
