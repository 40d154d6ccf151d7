"""Deliveries that wait for their next attempt: on disk beside the process, so that no endpoint's absence fills its memory.

Nothing here is the truth: `webhooks.pending` is, and from there a partition is read again whenever it is assigned.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_FILE = "parked.sqlite"
_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
CREATE TABLE parked
(
    partition INTEGER NOT NULL, delivery_id TEXT NOT NULL, lane TEXT NOT NULL, due_ms INTEGER NOT NULL, waits INTEGER NOT NULL,
    value BLOB NOT NULL, PRIMARY KEY (partition, delivery_id)
);
CREATE INDEX due ON parked (lane, waits, due_ms);
"""


class Taken(NamedTuple):
    """A delivery for which an attempt may be made. `epoch`: which assignment of its partition it belongs to."""

    partition: int
    epoch: int
    delivery_id: str
    value: bytes


class Parked:
    """Any thread may use it. A lane is what is for one endpoint: `tenant/we_...`."""

    def __init__(self, directory: Path) -> None:
        """What an earlier process left is removed. Raises `OSError` and `sqlite3.Error`."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / _FILE
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.executescript(_SCHEMA)
        self._counts: Counter[str] = Counter()
        self._total = 0
        self._epochs: Counter[int] = Counter()

    def close(self) -> None:
        """Close the file; it is of no use any more."""
        with self._lock:
            self._database.close()

    @property
    def total(self) -> int:
        """How many there are of all lanes."""
        return self._total

    @property
    def lanes(self) -> int:
        """How many lanes have any."""
        return len(self._counts)

    def count(self, lane: str) -> int:
        """How many a lane has, under way or waiting."""
        return self._counts.get(lane, 0)

    def epoch(self, partition: int) -> int:
        """Counts the times that a partition was given up."""
        return self._epochs[partition]

    def put(
        self, partition: int, delivery_id: str, lane: str, *, due_ms: int, value: bytes, waits: bool = True
    ) -> None:
        """Park one, or say when it is due again. Without `waits`, no attempt is made until `release`."""
        with self._lock:
            known = self._database.execute(
                "UPDATE parked SET due_ms = ?, value = ?, waits = ? WHERE partition = ? AND delivery_id = ?",
                (due_ms, value, waits, partition, delivery_id),
            )
            if known.rowcount == 0:
                self._database.execute(
                    "INSERT INTO parked (partition, delivery_id, lane, due_ms, waits, value) VALUES (?, ?, ?, ?, ?, ?)",
                    (partition, delivery_id, lane, due_ms, waits, value),
                )
                self._counts[lane] += 1
                self._total += 1

    def remove(self, partition: int, delivery_id: str) -> None:
        """Forget one; one that is not there is no error."""
        with self._lock:
            found = self._database.execute(
                "DELETE FROM parked WHERE partition = ? AND delivery_id = ? RETURNING lane", (partition, delivery_id)
            ).fetchall()
            for (lane,) in found:
                self._fewer(lane, 1)

    def take(self, lane: str, *, now_ms: int) -> Taken | None:
        """The one of the lane that has been due longest; it waits no more. None: none is due."""
        with self._lock:
            found = self._database.execute(
                "SELECT partition, delivery_id, value FROM parked WHERE lane = ? AND waits AND due_ms <= ? "
                "ORDER BY due_ms, rowid LIMIT 1",
                (lane, now_ms),
            ).fetchone()
            if found is None:
                return None
            partition, delivery_id, value = found
            self._database.execute(
                "UPDATE parked SET waits = 0 WHERE partition = ? AND delivery_id = ?", (partition, delivery_id)
            )
            return Taken(partition, self._epochs[partition], delivery_id, value)

    def due_ms(self, lane: str) -> int | None:
        """When the lane's next one is due; None when none waits."""
        with self._lock:
            (due_ms,) = self._database.execute(
                "SELECT min(due_ms) FROM parked WHERE lane = ? AND waits", (lane,)
            ).fetchone()
        return None if due_ms is None else int(due_ms)

    def release(self, partition: int) -> list[str]:
        """A partition has been read to its end: all of it waits from now on. The lanes that it has."""
        with self._lock:
            self._database.execute("UPDATE parked SET waits = 1 WHERE partition = ?", (partition,))
            found = self._database.execute("SELECT DISTINCT lane FROM parked WHERE partition = ?", (partition,))
            return [lane for (lane,) in found]

    def drop(self, partitions: Iterable[int]) -> None:
        """Partitions are somebody else's now; what was taken of them belongs to no one."""
        with self._lock:
            for partition in partitions:
                self._epochs[partition] += 1
                counts = self._database.execute(
                    "SELECT lane, count(*) FROM parked WHERE partition = ? GROUP BY lane", (partition,)
                ).fetchall()
                self._database.execute("DELETE FROM parked WHERE partition = ?", (partition,))
                for lane, count in counts:
                    self._fewer(lane, count)

    def _fewer(self, lane: str, count: int) -> None:
        self._counts[lane] -= count
        self._total -= count
        if self._counts[lane] <= 0:
            del self._counts[lane]
