"""The engine of one data directory: chDB opened once, a connection of its own for every request, a watchdog over what runs."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from connectors.clickhouse.embedded import errors, limits
from connectors.clickhouse.embedded.policy import MARK_SETTING

_log = logging.getLogger(__name__)

_WATCH_INTERVAL_S: Final = 0.2
_DRAIN_ATTEMPTS: Final = 5
_GLOB_CHARACTERS: Final = frozenset("*?{}[]")  # the engine would expand them in a path


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What one statement gave: the bytes of its output and the engine's counts."""

    body: bytes = b""
    rows_read: int = 0
    bytes_read: int = 0
    rows_written: int = 0
    bytes_written: int = 0
    result_rows: int = 0


@dataclass(kw_only=True, slots=True)
class Running:
    """A query under watch: when it must have ended, the file it writes, and why it was killed if it was."""

    mark: str
    deadline: float
    path: Path | None = None
    killed: errors.QueryError | None = field(default=None)


class Connection:
    """One connection of the engine; used by one thread at a time, and by one request only unless it carries a session.

    chDB puts the partial output of a query that failed in front of the next answer on the same connection. So a connection
    is closed after its request; a session's is drained after every error, or given up.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def run(
        self, sql: str | bytes, *, fmt: str = "TabSeparated", parameters: Mapping[str, str] | None = None
    ) -> Answer:
        """Run one statement to its end, its whole output in memory. Raises QueryError."""
        result = _translated(lambda: self._raw.query(sql, fmt, params=dict(parameters or {})))
        return Answer(
            body=result.bytes() or b"",
            rows_read=result.storage_rows_read(),
            bytes_read=result.storage_bytes_read(),
            rows_written=result.rows_written(),
            bytes_written=result.bytes_written(),
            result_rows=result.rows_read(),
        )

    def stream(self, sql: str, *, fmt: str, parameters: Mapping[str, str]) -> Iterator[bytes]:
        """Run one SELECT and yield its blocks, each a document of `fmt`. Closing the iterator cancels the query. Raises QueryError."""
        handle = _translated(lambda: self._raw.send_query(sql, fmt, params=dict(parameters)))
        finished = False
        try:
            while True:
                chunk = _translated(lambda: self._raw.streaming_fetch_result(handle))
                if chunk is None or chunk.rows_read() == 0:
                    finished = True
                    return
                yield chunk.bytes()
        except errors.QueryError:
            finished = True
            raise
        finally:
            if not finished:
                with contextlib.suppress(RuntimeError):
                    self._raw.streaming_cancel_query(handle)

    def insert(self, sql: str, *, fmt: str, data: Iterable[bytes]) -> Answer:
        """Insert rows: `sql` is INSERT INTO … without FORMAT, `data` its bytes in `fmt`. Raises QueryError."""
        handle = _translated(lambda: self._raw.send_insert(sql, fmt))
        done = False
        try:
            for chunk in data:
                _translated(lambda chunk=chunk: self._raw.insert_append(handle, chunk))
            done = True
            result = _translated(lambda: self._raw.insert_done(handle))
        finally:
            if not done:
                with contextlib.suppress(RuntimeError):
                    self._raw.insert_cancel(handle)
        return Answer(rows_written=result.rows_written(), bytes_written=result.bytes_written())

    def reads_only(self, sql: str) -> bool:
        """Whether the engine's parser takes this for one statement that changes nothing."""
        judged = self._raw.classify_query(sql)
        return bool(judged["query_class"].name == "READ_ONLY" and judged["statement_count"] == 1)

    def drained(self) -> bool:
        """After an error: throw away what it left behind; False when the connection can't be trusted again."""
        for attempt in range(_DRAIN_ATTEMPTS):
            expected = f"clean-{time.monotonic_ns()}-{attempt}"
            with contextlib.suppress(errors.QueryError):
                if self.run(f"SELECT '{expected}'").body == expected.encode() + b"\n":
                    return True
        return False

    def close(self) -> None:
        """Close it; nothing runs on it any more."""
        self._raw.close()


class Engine:
    """The open data directory. Thread-safe."""

    def __init__(self, directory: Path, *, database: str) -> None:
        if _GLOB_CHARACTERS & set(str(directory)):
            raise errors.StartError(f"the data directory {directory} has one of * ? {{ }} [ ] in its path; use another")
        self.database = database
        self._lock = _locked(directory)
        self._store = str(directory / "store")
        self.spool = directory / "spool"
        shutil.rmtree(self.spool, ignore_errors=True)  # what a killed process left
        self.spool.mkdir()
        self._marks = itertools.count(1)
        self._running: dict[str, Running] = {}
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self._stopping = False
        self._root = self._open_root()
        facts = self._root.run("SELECT version(), timezone(), displayName()").body.decode().rstrip("\n").split("\t")
        self.version, self.timezone, self.host = facts
        self.table_functions = self._names("SELECT name FROM system.table_functions")
        self.functions = self._names("SELECT name FROM system.functions")
        self._watchdog = threading.Thread(target=self._watch, name="warehouse-watchdog", daemon=True)
        self._watchdog.start()

    def _open_root(self) -> Connection:
        try:
            raw = _raw_connection(self._store)
        except RuntimeError as error:
            raise errors.StartError(f"the engine can't open {self._store}: {error}") from None
        root = Connection(raw)
        root.run(f"CREATE DATABASE IF NOT EXISTS {quoted_name(self.database)} ENGINE = Atomic")
        return root

    def _names(self, sql: str) -> list[str]:
        return self._root.run(sql).body.decode().split()

    def connect(self) -> Connection:
        """Open a connection of its own, in the warehouse's database. About 0.3 ms."""
        connection = Connection(_translated(lambda: _raw_connection(self._store)))
        connection.run(f"USE {quoted_name(self.database)}")
        return connection

    @contextlib.contextmanager
    def watched(self, *, seconds: float, path: Path | None = None) -> Iterator[Running]:
        """Give a mark for a query, and kill what runs under it after `seconds`, or when its file grows too large."""
        running = Running(mark=f"q{next(self._marks)}", deadline=time.monotonic() + seconds, path=path)
        with self._guard:
            if self._stopping:
                raise _shutting_down()
            self._running[running.mark] = running
        try:
            yield running
        finally:
            with self._guard:
                del self._running[running.mark]

    def kill(self, running: Running, *, reason: errors.QueryError) -> None:
        """Stop a query; its thread then gets the engine's error, and `killed` says why."""
        running.killed = running.killed or reason
        with self._guard:
            if running.mark not in self._running:
                return
        connection = self.connect()
        try:
            connection.run(f"KILL QUERY WHERE Settings['{MARK_SETTING}'] = '{running.mark}' ASYNC")
        except errors.QueryError as error:
            _log.warning("a query could not be stopped: %s", error)
        finally:
            connection.close()

    def kill_all(self) -> None:
        """Stop whatever runs, and let nothing more begin."""
        with self._guard:
            self._stopping = True
            everything = list(self._running.values())
        for running in everything:
            self.kill(running, reason=_shutting_down())

    def _watch(self) -> None:
        while not self._closing.wait(_WATCH_INTERVAL_S):
            now = time.monotonic()
            with self._guard:
                everything = list(self._running.values())
            for running in everything:
                if running.killed is not None:  # it had not begun when it was killed first
                    self.kill(running, reason=running.killed)
                elif now > running.deadline:
                    self.kill(running, reason=errors.QueryError(errors.TIMEOUT_EXCEEDED, "Timeout exceeded"))
                elif running.path is not None and _size(running.path) > limits.DOCUMENT_BYTES_MAX:
                    self.kill(running, reason=too_large())

    def close(self) -> None:
        """Close the engine and give the directory up. No connection of it may be in use."""
        self._closing.set()
        self._watchdog.join()
        self._root.close()
        shutil.rmtree(self.spool, ignore_errors=True)
        self._lock.close()


def too_large() -> errors.QueryError:
    """Make the error of an answer that is too large for a format which can't be cut into blocks."""
    return errors.QueryError(
        errors.TOO_MANY_ROWS_OR_BYTES,
        f"The answer is larger than {limits.DOCUMENT_BYTES_MAX} bytes, the limit for formats that are one document;"
        " ask for Native, RowBinary, JSONEachRow, TabSeparated or CSV, which are streamed",
    )


def _shutting_down() -> errors.QueryError:
    return errors.QueryError(errors.QUERY_WAS_CANCELLED, "The server is shutting down")


def quoted_name(name: str) -> str:
    """Quote an identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def quoted_text(text: str) -> str:
    """Quote a string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _raw_connection(path: str) -> Any:
    # Imported late: the import starts an engine in memory, which takes a second.
    from chdb import _chdb

    raw: Any = _chdb
    return raw.connect(path)


def _translated(call: Any) -> Any:
    try:
        return call()
    except RuntimeError as error:
        raise errors.from_engine(str(error)) from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _locked(directory: Path) -> IO[str]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / "lock").open("a+")
    except OSError as error:
        raise errors.StartError(f"the data directory {directory} can't be used: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise errors.StartError(
            f"the data directory {directory} is in use by process {owner}; stop that process, or give another --data"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
