"""Committed state on disk: one RocksDB per task and partition."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
)

from streams.runtime.errors import StoreBusy, StoreDamaged, StoreFailed, StreamsError
from streams.runtime.seams import Marker

logger = logging.getLogger(__name__)

# The marker lies under the empty key, which no state may use; it sorts first, so a scan meets it once.
MARKER_KEY = b""

# Shared by all stores of the process, so that memory doesn't grow with the number of partitions.
BLOCK_CACHE_BYTES = 64 * 1024 * 1024
WRITE_BUFFERS_BYTES = 64 * 1024 * 1024
WRITE_BUFFER_BYTES = 8 * 1024 * 1024

# RocksDB opens a file handle a table; bounded, because a worker may hold dozens of partitions.
OPEN_FILES_MAX = 128

# A log of what RocksDB did is useful after a crash, a directory full of them is not.
LOG_FILES_MAX = 2
LOG_BYTES_MAX = 1024 * 1024

# Damaged stores that are kept for examination; older ones are removed.
DAMAGED_KEPT_MAX = 2

# How RocksDB says that another process, or this one, has the store open. The word alone could be of the path.
_LOCKED = ("While lock file", "lock hold by current process")

_decoder = msgspec.msgpack.Decoder(Marker)


class RocksStore:
    """
    One partition's RocksDB.

    Writes go to the write-ahead log without fsync: a killed process loses nothing, and a machine that loses power falls
    back to an earlier state with its earlier marker, from where the changelog is read again.
    """

    def __init__(self, path: Path, options: Options, *, partition: int) -> None:
        self._path = path
        self._partition = partition
        fresh = not (path / "CURRENT").exists()
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._db = Rdict(str(path), options=options)
        except Exception as error:
            raise self._mapped(error) from error
        self._get = self._db.get
        if not fresh and self.marker() is None and next(iter(self._db.keys()), None) is not None:
            self.close()
            raise StoreDamaged(f"store {path} has state but no marker", partition=partition)

    def marker(self) -> Marker | None:
        """The marker of the last `apply`; `StoreDamaged` if it can't be read."""
        raw = self.get(MARKER_KEY)
        if raw is None:
            return None
        try:
            return _decoder.decode(raw)
        except msgspec.DecodeError as error:
            raise StoreDamaged(
                f"store {self._path}: marker is unreadable: {error}", partition=self._partition
            ) from error

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        try:
            value: bytes | None = self._get(key)
        except Exception as error:
            raise self._mapped(error) from error
        return value

    def range(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key starts with the prefix, in key order."""
        read = ReadOptions()
        if (bound := _successor(prefix)) is not None:
            read.set_iterate_upper_bound(bound)
        try:
            pairs: Iterator[tuple[Any, Any]] = self._db.items(from_key=prefix or None, read_opt=read)
            for key, value in pairs:
                if key != MARKER_KEY:
                    yield key, value
        except Exception as error:
            raise self._mapped(error) from error

    def apply(self, changes: Iterable[tuple[bytes, bytes | None]], marker: Marker) -> None:
        """Write all changes and the marker atomically."""
        batch = WriteBatch(raw_mode=True)
        for key, value in changes:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(MARKER_KEY, msgspec.msgpack.encode(marker))
        try:
            self._db.write(batch)
        except Exception as error:
            raise self._mapped(error) from error

    def close(self) -> None:
        """Release files and locks."""
        try:
            self._db.close()
        except Exception as error:  # noqa: BLE001 -- everything committed is in the log already
            logger.warning("closing store %s: %s", self._path, error)

    def _mapped(self, error: Exception) -> StreamsError:
        """RocksDB tells its errors as text; this is the only place that reads it."""
        text = str(error)
        if any(words in text for words in _LOCKED):
            return StoreBusy(
                f"store {self._path} is open in another process: {text}; stop that process, or give each worker its "
                "own instance name"
            )
        if text.startswith(("Corruption", "Invalid argument", "Not implemented")) or "Corruption" in text:
            return StoreDamaged(f"store {self._path}: {text}", partition=self._partition)
        if "No such file" in text:
            return StoreDamaged(f"store {self._path} lost a file: {text}", partition=self._partition)
        return StoreFailed(
            f"store {self._path}: {text}; check free space and permissions of the data directory, then start again"
        )


class RocksStores:
    """Opens the stores of one task below a directory: `<directory>/<partition>`."""

    _shared: tuple[Cache, WriteBufferManager] | None = None

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def open(self, partition: int) -> RocksStore:
        """Open or make the partition's store."""
        return RocksStore(self._path(partition), self._options(), partition=partition)

    def discard(self, partition: int, *, keep: bool) -> None:
        """Remove the closed store; with `keep`, move it aside as `<partition>.damaged-<n>`."""
        path = self._path(partition)
        if not path.exists():
            return
        try:
            if keep:
                path.rename(self._aside(partition))
            else:
                shutil.rmtree(path)
        except OSError as error:
            raise StoreFailed(f"store {path} can't be removed: {error}; remove it by hand and start again") from error

    def _aside(self, partition: int) -> Path:
        kept = sorted(
            self._directory.glob(f"{partition}.damaged-*"), key=lambda path: int(path.name.rpartition("-")[2])
        )
        for old in kept[: max(0, len(kept) + 1 - DAMAGED_KEPT_MAX)]:
            shutil.rmtree(old)
        number = int(kept[-1].name.rpartition("-")[2]) + 1 if kept else 1
        return self._directory / f"{partition}.damaged-{number}"

    def _path(self, partition: int) -> Path:
        return self._directory / str(partition)

    @classmethod
    def _options(cls) -> Options:
        if cls._shared is None:
            buffers = WriteBufferManager(buffer_size=WRITE_BUFFERS_BYTES, allow_stall=False)
            cls._shared = (Cache(BLOCK_CACHE_BYTES), buffers)
        cache, buffers = cls._shared
        tables = BlockBasedOptions()
        tables.set_block_cache(cache)
        tables.set_bloom_filter(10, block_based=False)
        tables.set_cache_index_and_filter_blocks(True)
        tables.set_pin_l0_filter_and_index_blocks_in_cache(True)
        options = Options(raw_mode=True)
        options.create_if_missing(create_if_missing=True)
        options.set_paranoid_checks(True)
        options.set_block_based_table_factory(tables)
        options.set_write_buffer_manager(buffers)
        options.set_write_buffer_size(WRITE_BUFFER_BYTES)
        options.set_max_write_buffer_number(3)
        options.set_max_open_files(OPEN_FILES_MAX)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_keep_log_file_num(LOG_FILES_MAX)
        options.set_max_log_file_size(LOG_BYTES_MAX)
        options.set_max_background_jobs(2)
        return options


def _successor(prefix: bytes) -> bytes | None:
    """The smallest key after every key with the prefix; None if there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes((trimmed[-1] + 1,)) if trimmed else None
