"""
The edges of a task, so that it runs unchanged on librdkafka and RocksDB or on a simulated Kafka.

Each method that may block is one call with a deadline. Methods raise the errors of `streams.runtime.errors`
and nothing else; implementations map what their library raises. No method is called by two threads at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from streams.runtime.record import Output, Record

# A position that means the first record which the topic still has; used where a group never committed.
BEGINNING = -2

TopicPartition = tuple[str, int]


class Clock(Protocol):
    """Time and waiting; the only source of either inside a task."""

    def monotonic_ms(self) -> int:
        """Milliseconds that only grow, for deadlines."""

    def wall_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""

    def sleep_ms(self, duration_ms: int) -> None:
        """Wait."""


class RebalanceListener(Protocol):
    """What the consumer calls, inside `poll` or `close` only, when the group's assignment changes."""

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """These were given to us; nothing is fetched until `assign` is called with their positions."""

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """These go to another member when we return."""

    def on_lost(self, partitions: Sequence[TopicPartition]) -> None:
        """These may belong to another member already."""


class SourceConsumer(Protocol):
    """A member of the task's consumer group that reads committed records."""

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """Join the group; the listener hears of assignments."""

    def poll(self, *, records_max: int, bytes_max: int, timeout_ms: int) -> list[Record]:
        """Wait for a first record, then take what is there already, up to the limits."""

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Fetch exactly these, from these offsets (or `BEGINNING`); everything fetched before is dropped."""

    def committed(self, partitions: Sequence[TopicPartition], *, timeout_ms: int) -> dict[TopicPartition, int | None]:
        """
        Offsets that the group committed, None where it never did.

        Partitions whose offset waits for an open transaction to end are left out of the answer.
        """

    def group_metadata(self) -> object:
        """Member and generation for `TransactionalProducer.send_offsets` (KIP-447)."""

    def end_offsets(self) -> dict[TopicPartition, int]:
        """Last known ends of the partitions that are fetched; asks nobody."""

    def close(self) -> None:
        """Leave, or, as a static member, just go."""


class TransactionalProducer(Protocol):
    """A task's producer in this process."""

    def init_transactions(self, *, timeout_ms: int) -> None:
        """Fence any earlier producer of the same id and end its open transaction."""

    def begin(self) -> None:
        """Start a transaction."""

    def produce(self, outputs: Sequence[Output], *, track_last: bool = False) -> None:
        """Hand records over in order; `delivered_offset` knows the last one after `commit` if it is tracked."""

    def delivered_offset(self, topic: str, partition: int) -> int:
        """Offset of the last tracked record of this partition in the transaction that was committed."""

    def send_offsets(self, offsets: Mapping[TopicPartition, int], group_metadata: object, *, timeout_ms: int) -> None:
        """Add the group's next offsets to the transaction, after everything produced in it is in the log."""

    def commit(self, *, timeout_ms: int) -> None:
        """Make everything since `begin` visible together; `Abortable` if a record was not delivered."""

    def abort(self, *, timeout_ms: int) -> None:
        """Make everything since `begin` void."""

    def close(self) -> None:
        """Drop the client without waiting for anything."""


class TopicReader(Protocol):
    """Reads partitions of one topic, committed records only, outside any group. Assigned once, never moved."""

    def topic_id(self) -> str:
        """Id of the topic's incarnation: another one means that it was deleted and made again."""

    def partitions(self) -> tuple[int, ...]:
        """The topic's partitions."""

    def end_offsets(self, partitions: Sequence[int], *, timeout_ms: int) -> dict[int, int]:
        """
        Offsets after the last record, committed or not.

        The committed end can lie before records that are committed but whose marker is late (KAFKA-10167).
        """

    def assign(self, positions: Mapping[int, int]) -> None:
        """Start reading; called once."""

    def read(self, *, records_max: int, timeout_ms: int) -> list[Record]:
        """Records that are there, waiting for a first one up to the time-out."""

    def position(self, partition: int) -> int:
        """Offset up to which everything was returned by `read`, markers and aborted records included."""

    def close(self) -> None:
        """Drop the client."""


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """How far a store has followed its changelog; written in the same atomic write as the state."""

    topic_id: str
    offset: int
    state_version: int
    applied_at_ms: int
    format: int = 1


class Store(Protocol):
    """Committed state of one partition. Keys are non-empty bytes."""

    def marker(self) -> Marker | None:
        """The marker of the last `apply`, None in a store that never had one."""

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""

    def range(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key starts with the prefix, in key order."""

    def apply(self, changes: Iterable[tuple[bytes, bytes | None]], marker: Marker) -> None:
        """Write all changes (None deletes) and the marker atomically."""

    def close(self) -> None:
        """Release files and locks."""


class StoreFactory(Protocol):
    """Opens the stores of one task."""

    def open(self, partition: int) -> Store:
        """Open or make the partition's store; `StoreDamaged` if its bytes can't be trusted."""

    def discard(self, partition: int, *, keep: bool) -> None:
        """Remove the closed store; with `keep`, move it aside for examination instead."""


class Clients(Protocol):
    """Makes the Kafka clients of one task."""

    def consumer(self) -> SourceConsumer:
        """A new member of the task's group with this instance's id."""

    def producer(self, turn: int) -> TransactionalProducer:
        """A new producer with this instance's transactional id of that turn, 0 or 1."""

    def reader(self, topic: str) -> TopicReader:
        """A reader of a changelog or a table's topic."""
