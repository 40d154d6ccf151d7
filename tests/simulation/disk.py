"""A worker's disk: stores that survive their process, and what power cuts and bad sectors do to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streams.runtime.errors import StoreBusy, StoreDamaged, StoreFailed
from streams.runtime.seams import Marker
from tests.simulation.scheduler import Process

# What a power cut may take back: the last writes that the operating system had not written out.
UNSYNCED_MAX = 6

# A handful of blocks that can't be read any more, out of all.
_MISSING = object()


class Files:
    """One partition's store as it is on disk."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.marker: Marker | None = None
        self.owner: Process | None = None
        self.damaged = ""
        self._unsynced: list[tuple[Marker | None, dict[bytes, object]]] = []

    def write(self, changes: Iterable[tuple[bytes, bytes | None]], marker: Marker) -> None:
        """Apply changes and marker atomically; what they replaced is remembered for a power cut."""
        before: dict[bytes, object] = {}
        for key, value in changes:
            before.setdefault(key, self.data.get(key, _MISSING))
            if value is None:
                self.data.pop(key, None)
            else:
                self.data[key] = value
        self._unsynced.append((self.marker, before))
        del self._unsynced[:-UNSYNCED_MAX]
        self.marker = marker

    def lose_power(self, writes: int) -> None:
        """Fall back by some writes."""
        for _ in range(min(writes, len(self._unsynced))):
            self.marker, before = self._unsynced.pop()
            for key, value in before.items():
                if value is _MISSING:
                    self.data.pop(key, None)
                else:
                    assert isinstance(value, bytes)
                    self.data[key] = value


class Disk:
    """All stores of one worker."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, int], Files] = {}
        self.set_aside = 0
        self.full = False

    def power_cut(self, writes: int) -> None:
        """Every store falls back."""
        for files in self.files.values():
            files.lose_power(writes)

    def wipe(self) -> None:
        """The directory is gone."""
        self.files.clear()


class SimStore:
    """An open store."""

    def __init__(self, disk: Disk, files: Files, process: Process, partition: int) -> None:
        self._disk, self.files, self._process, self._partition = disk, files, process, partition
        self._closed = False

    def marker(self) -> Marker | None:
        """The marker of the last `apply`."""
        self._check()
        return self.files.marker

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        self._check()
        return self.files.data.get(key)

    def range(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pairs under a prefix, in key order."""
        self._check()
        return iter(sorted(pair for pair in self.files.data.items() if pair[0].startswith(prefix)))

    def apply(self, changes: Iterable[tuple[bytes, bytes | None]], marker: Marker) -> None:
        """Write atomically."""
        self._check()
        if self._disk.full:
            raise StoreFailed("no space left on device")
        if self._process.alive:
            self.files.write(changes, marker)

    def _check(self) -> None:
        assert not self._closed, "a closed store is used"
        if self.files.damaged == "reads":
            raise StoreDamaged("block checksum mismatch", partition=self._partition)

    def close(self) -> None:
        """Release the lock."""
        self._closed = True
        if self.files.owner is self._process:
            self.files.owner = None


class SimStores:
    """Opens the stores of one task."""

    def __init__(self, disk: Disk, task: str, process: Process) -> None:
        self._disk, self._task, self._process = disk, task, process

    def open(self, partition: int) -> SimStore:
        """Open or make a store."""
        files = self._disk.files.setdefault((self._task, partition), Files())
        if files.owner is not None and files.owner.alive:
            raise StoreBusy(f"store {partition} is open already")
        if files.damaged == "opens":
            raise StoreDamaged("CURRENT is torn", partition=partition)
        if files.marker is None and files.data:
            raise StoreDamaged("state without a marker", partition=partition)
        files.owner = self._process
        return SimStore(self._disk, files, self._process, partition)

    def discard(self, partition: int, *, keep: bool) -> None:
        """Remove a store, or set it aside."""
        files = self._disk.files.pop((self._task, partition), None)
        assert files is None or files.owner is None or not files.owner.alive, "an open store is discarded"
        self._disk.set_aside += keep
