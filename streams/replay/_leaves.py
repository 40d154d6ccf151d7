"""Leaf hashes of events on disk: one file a topic partition, so that partitions are read in parallel and joined in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from streams.replay.digest import day_of, leaf_hash, tenant_of
from streams.replay.errors import TooMuch
from streams.runtime import Record

TENANT_DAYS_MAX = 500_000
"""Of one partition. Each holds some hashes in memory while the trees grow: half a gigabyte at the most."""

_INDEX_BYTES = 4
_HASH_BYTES = 32
_ENTRY_BYTES = _INDEX_BYTES + _HASH_BYTES
_BUFFER_BYTES = 1024 * 1024


class LeafFile:
    """Writes the leaves of one topic partition."""

    def __init__(self, directory: Path, topic: str, partition: int) -> None:
        self._path = leaf_path(directory, topic, partition)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("wb", buffering=_BUFFER_BYTES)
        self._names: dict[tuple[str, str], bytes] = {}

    def tap(self, records: Iterator[Record]) -> Iterator[Record]:
        """The same records, each noted on its way."""
        for record in records:
            self.add(record)
            yield record

    def add(self, record: Record) -> None:
        """Note one event."""
        name = tenant_of(record.key), day_of(record.timestamp_ms)
        index = self._names.get(name)
        if index is None:
            if len(self._names) == TENANT_DAYS_MAX:
                message = f"{record.topic}/{record.partition} has events of more than {TENANT_DAYS_MAX:,} tenant days"
                raise TooMuch(message, remedy="Replay without digests, on a log parted by time")
            index = self._names[name] = len(self._names).to_bytes(_INDEX_BYTES, "big")
        self._file.write(index + leaf_hash(record.value or b""))

    def close(self) -> None:
        """Write what is left, and the names."""
        self._file.close()
        self._path.with_suffix(".names").write_bytes(msgspec.msgpack.encode(list(self._names)))


def leaf_path(directory: Path, topic: str, partition: int) -> Path:
    """The leaves' file."""
    return directory / "leaves" / topic / f"{partition}.leaves"


def leaves(path: Path) -> Iterator[tuple[tuple[str, str], bytes]]:
    """The ((tenant, day), leaf hash) of a file, in order; none where there is no file."""
    if not path.exists():
        return
    names = msgspec.msgpack.decode(path.with_suffix(".names").read_bytes(), type=list[tuple[str, str]])
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        while entry := file.read(_ENTRY_BYTES):
            yield names[int.from_bytes(entry[:_INDEX_BYTES], "big")], entry[_INDEX_BYTES:]
