"""The real agents over one partition each, on state in memory: what they write, in order, and its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

import msgspec

from schemas.catalogue import (
    LIFECYCLE_CHANGELOG,
    PAYMENTS_INPUTS,
    RECORDS_REJECTED,
    SETTLEMENT_CHANGELOG,
    SETTLEMENT_INPUTS,
)
from streams.agents import lifecycle, settlement
from streams.runtime import Batch, Output, Record, StateView
from streams.runtime.batch import Handler, Rejection
from streams.runtime.config import CACHE_BYTES_MAX, OUTPUT_BYTES_MAX
from streams.runtime.seams import Marker

PARTITIONS = 4

CHANGELOGS = {PAYMENTS_INPUTS.name: LIFECYCLE_CHANGELOG.name, SETTLEMENT_INPUTS.name: SETTLEMENT_CHANGELOG.name}
_HANDLERS: dict[str, Callable[[], Handler]] = {
    PAYMENTS_INPUTS.name: lambda: lifecycle.Lifecycle(partitions=PARTITIONS, reply_partitions=PARTITIONS),
    SETTLEMENT_INPUTS.name: lambda: settlement.Settlement(partitions=PARTITIONS, reply_partitions=PARTITIONS),
}
_REJECTIONS: dict[str, Rejection] = {
    PAYMENTS_INPUTS.name: lifecycle.reject,
    SETTLEMENT_INPUTS.name: settlement.reject,
}


class MemoryStore:
    """A `Store` in a dictionary."""

    def __init__(self, state: dict[bytes, bytes] | None = None) -> None:
        self.state = dict(state or {})

    def marker(self) -> Marker | None:
        """None: nobody restores it."""
        return None

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        return self.state.get(key)

    def range(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pairs under a prefix, in order."""
        return iter(sorted((key, value) for key, value in self.state.items() if key.startswith(prefix)))

    def apply(self, changes: Iterable[tuple[bytes, bytes | None]], marker: Marker | None = None) -> None:
        """Take changes over."""
        del marker
        for key, value in changes:
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value

    def close(self) -> None:
        """Nothing to release."""


class Fold:
    """One partition of one input topic and the agent that folds it, a record a batch."""

    def __init__(self, topic: str, partition: int, *, state: dict[bytes, bytes] | None = None) -> None:
        self.topic, self.partition = topic, partition
        self.store = MemoryStore(state)
        self.outputs: list[Output] = []
        self.changes: list[tuple[bytes, bytes | None]] = []
        self._handler = _HANDLERS[topic]()
        self._view = StateView(self.store, cache_bytes_max=CACHE_BYTES_MAX, value_bytes_max=OUTPUT_BYTES_MAX)

    def take(self, record: Record) -> list[Output]:
        """What the agent emits for one record; its changes are in the state afterwards."""
        batch = Batch(
            [record],
            {self.partition: self._view},
            rejection=_REJECTIONS[self.topic],
            output_bytes_max=OUTPUT_BYTES_MAX,
            rejected_topic=RECORDS_REJECTED.name,
        )
        batch.run(self._handler)
        for stop in batch.stops.values():
            raise AssertionError(f"{self.topic}[{self.partition}] stops at {record.offset}") from stop.error
        changes = list(self._view.changes().items())
        self.store.apply(changes)
        self._view.committed()
        self.changes += changes
        self.outputs += batch.outputs
        return batch.outputs

    def digests(self) -> Digests:
        """Of everything so far."""
        return Digests.of(self.outputs, self.store.state)


class Digests(msgspec.Struct, frozen=True, kw_only=True):
    """SHA-256 of what was emitted, topic by topic in order, and of the state in the order of its keys."""

    outputs: dict[str, str]
    counts: dict[str, int]
    state: str
    keys: int

    @classmethod
    def of(cls, outputs: Iterable[Output], state: dict[bytes, bytes]) -> Digests:
        """Every byte counts: topic, key, value, partition, time."""
        hashes: dict[str, hashlib._Hash] = {}
        counts: dict[str, int] = {}
        for output in outputs:
            told = msgspec.msgpack.encode((output.key, output.value, output.partition, output.timestamp_ms))
            hashes.setdefault(output.topic, hashlib.sha256()).update(told)
            counts[output.topic] = counts.get(output.topic, 0) + 1
        whole = hashlib.sha256(msgspec.msgpack.encode(sorted(state.items())))
        return cls(
            outputs={topic: digest.hexdigest() for topic, digest in sorted(hashes.items())},
            counts=dict(sorted(counts.items())),
            state=whole.hexdigest(),
            keys=len(state),
        )
