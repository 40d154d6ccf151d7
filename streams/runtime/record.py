"""What goes into and comes out of a task."""

from __future__ import annotations

import msgspec

Headers = tuple[tuple[str, bytes | None], ...]

# What the broker and librdkafka add to a record at most (varints, attributes, batch header), so that the limit
# which we check ourselves is never looser than the one that the broker checks.
RECORD_OVERHEAD_BYTES = 128


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as it was read from a topic partition."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()


class Output(msgspec.Struct, frozen=True, gc=False):
    """One record to be produced; without a partition, murmur2 of the key decides it."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    partition: int | None = None
    headers: Headers = ()
    timestamp_ms: int = 0

    def size_bytes(self) -> int:
        """Upper bound of what the record takes on the wire, uncompressed."""
        size = RECORD_OVERHEAD_BYTES + len(self.value or b"") + len(self.key or b"")
        for name, value in self.headers:
            size += len(name.encode()) + len(value or b"") + 10
        return size
