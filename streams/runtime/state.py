"""A partition's state as handlers see it: the batch's overlay over the committed store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from streams.runtime._cache import RecentValues
from streams.runtime.errors import ConfigurationFault, OutputOversized
from streams.runtime.record import RECORD_OVERHEAD_BYTES
from streams.runtime.seams import Store

# Where the state itself says which inputs are in it: a JSON object, topic to next offset. Handlers have no keys like it.
POSITIONS_KEY = b"\xffpositions"
RESERVED_PREFIX = b"\xff"

_ABSENT = object()
_positions = msgspec.json.Decoder(dict[str, int])


class StateView:
    """
    Read and write one partition's state inside a batch.

    Writes stay in the overlay until the batch's transaction has committed. Each record has a savepoint, so that a
    rejected record leaves nothing behind.
    """

    __slots__ = ("_cache", "_overlay", "_store", "_undo", "_value_bytes_max")

    def __init__(self, store: Store | None, *, cache_bytes_max: int, value_bytes_max: int) -> None:
        self._store = store
        self._cache = RecentValues(bytes_max=cache_bytes_max)
        self._value_bytes_max = value_bytes_max
        self._overlay: dict[bytes, bytes | None] = {}
        self._undo: list[tuple[bytes, object]] = []

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        value = self._overlay.get(key, _ABSENT)
        if value is _ABSENT:
            value = self._cache.get(key, _ABSENT)
            if value is _ABSENT:
                value = self._committed().get(key)
                self._cache.put(key, value)
        return value  # type: ignore[return-value]

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of a non-empty key."""
        if type(value) is not bytes or type(key) is not bytes or not key:
            raise TypeError("state keys are non-empty bytes and values are bytes; use delete to remove a key")
        if key.startswith(RESERVED_PREFIX):
            raise TypeError("state keys that begin with 0xff are the runtime's own")
        if len(key) + len(value) + RECORD_OVERHEAD_BYTES > self._value_bytes_max:
            raise OutputOversized(
                f"state of {len(key) + len(value)} bytes exceeds the record limit of {self._value_bytes_max}"
            )
        self._change(key, value)

    def delete(self, key: bytes) -> None:
        """Remove a key; nothing happens if it isn't there."""
        if type(key) is not bytes or not key or key.startswith(RESERVED_PREFIX):
            raise TypeError("state keys are non-empty bytes that don't begin with 0xff")
        if self.get(key) is not None:
            self._change(key, None)

    def range(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key starts with the prefix, in key order; changes made meanwhile are not seen."""
        changed = sorted((key, value) for key, value in self._overlay.items() if key.startswith(prefix))
        pairs = _merged(self._committed().range(prefix), changed)
        return pairs if prefix else (pair for pair in pairs if not pair[0].startswith(RESERVED_PREFIX))

    def _committed(self) -> Store:
        if self._store is None:
            raise ConfigurationFault("this task has no state: give its TaskConfig a changelog topic")
        return self._store

    def _change(self, key: bytes, value: bytes | None) -> None:
        if self._store is None:
            self._committed()
        overlay = self._overlay
        self._undo.append((key, overlay.get(key, _ABSENT)))
        overlay[key] = value

    # What follows is for Batch and Task.

    def release(self) -> None:
        """A record is done: its changes stay."""
        self._undo.clear()

    def rollback(self) -> None:
        """A record is refused: its changes go."""
        while self._undo:
            key, before = self._undo.pop()
            if before is _ABSENT:
                del self._overlay[key]
            else:
                self._overlay[key] = before  # type: ignore[assignment]

    def positions(self) -> dict[str, int]:
        """The next offset of each source topic by the state itself; empty before the first batch."""
        value = None if self._store is None else self.get(POSITIONS_KEY)
        return {} if value is None else _positions.decode(value)

    def move(self, positions: Mapping[str, int]) -> None:
        """The batch takes the state to these positions; part of its changes like everything else."""
        self._overlay[POSITIONS_KEY] = msgspec.json.encode({**self.positions(), **positions}, order="sorted")

    def changes(self) -> dict[bytes, bytes | None]:
        """What the batch changed, in the order of first change; one entry a key."""
        return self._overlay

    def committed(self) -> None:
        """The overlay is in the store: remember its values and start anew."""
        assert not self._undo, "a batch commits between records"
        put = self._cache.put
        for key, value in self._overlay.items():
            put(key, value)
        self._overlay = {}

    def discard(self) -> None:
        """The batch is void."""
        self._undo.clear()
        self._overlay = {}


def _merged(
    stored: Iterator[tuple[bytes, bytes]], changed: list[tuple[bytes, bytes | None]]
) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    for key, value in stored:
        while position < len(changed) and changed[position][0] < key:
            if (new := changed[position][1]) is not None:
                yield changed[position][0], new
            position += 1
        if position < len(changed) and changed[position][0] == key:
            if (new := changed[position][1]) is not None:
                yield key, new
            position += 1
        else:
            yield key, value
    for key, changed_value in changed[position:]:
        if changed_value is not None:
            yield key, changed_value
