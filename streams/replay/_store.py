"""State on disk for the time of a replay, so that memory does not grow with the number of payments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from streams.runtime import RocksStores
from streams.runtime.seams import Marker

_MARKER = Marker(topic_id="replay", offset=0, state_version=0, applied_at_ms=0)


class Scratch:
    """One RocksDB below a directory that is thrown away; the same engine and settings as a worker's."""

    def __init__(self, directory: Path, name: str, partition: int) -> None:
        self.store = RocksStores(directory / name).open(partition)
        self.get = self.store.get

    def range(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key starts with the prefix, in key order."""
        return self.store.range(prefix)

    def apply(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Write all changes."""
        if changes:
            self.store.apply(changes.items(), _MARKER)

    def close(self) -> None:
        """Release the files."""
        self.store.close()
