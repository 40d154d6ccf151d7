"""
What clients of a log did, one operation after another.

A history is a list in the order in which operations ended. `began` and `ended` come from one counter (or clock) that all
processes share, so that "before" means something: an operation happened before another if it ended before that one began.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

Kind = Literal["assign", "poll", "send", "begin", "commit", "abort", "end"]
Outcome = Literal["ok", "failed", "unknown"]


class Operation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    One operation of one client.

    - `assign`: the process reads this partition from `offset` on; continuity of its polls begins anew.
    - `poll`: it received `value` at `offset`. It reads committed, unless `isolation` says otherwise.
    - `send`: it sent `value`, in `transaction` or (empty) in none; `offset` is -1 where it was not told.
    - `begin`, `commit`, `abort`: of `transaction`. A commit that was not answered is `unknown`.
    - `end`: it has polled everything that the partition will ever hold.

    `value` has to be unique among all that was sent on purpose: meeting it twice is a duplicate.
    """

    process: str
    kind: Kind
    topic: str = ""
    partition: int = -1
    offset: int = -1
    value: bytes | str = b""
    transaction: str = ""
    outcome: Outcome = "ok"
    began: int = 0
    ended: int = 0


class Polled(Protocol):
    """A record as a consumer gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class Produced(Protocol):
    """A record as a producer takes it."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None


class Partitioner(Protocol):
    """Knows where a record goes."""

    def partition_for(self, output: Produced) -> int:
        """The partition."""


def identity(key: bytes | None, value: bytes | None) -> bytes:
    """What stands for a record's content in a history."""
    return (key or b"") + b"\x00" + (value or b"")


class Recorder:
    """Collects a history in one process; give it the topics whose records are unique by their content."""

    def __init__(self, topics: Collection[str]) -> None:
        self.history: list[Operation] = []
        self._topics = frozenset(topics)
        self._count = 0

    def now(self) -> int:
        """The counter, one further."""
        self._count += 1
        return self._count

    def assigned(self, process: str, positions: Mapping[tuple[str, int], int]) -> None:
        """A consumer goes on from these positions."""
        now = self.now()
        for (topic, partition), offset in positions.items():
            if topic in self._topics:
                self.history.append(
                    Operation(
                        process=process,
                        kind="assign",
                        topic=topic,
                        partition=partition,
                        offset=offset,
                        began=now,
                        ended=now,
                    )
                )

    def polled(self, process: str, records: Sequence[Polled]) -> None:
        """A consumer received records."""
        now = self.now()
        for record in records:
            if record.topic in self._topics:
                self.history.append(
                    Operation(
                        process=process,
                        kind="poll",
                        topic=record.topic,
                        partition=record.partition,
                        offset=record.offset,
                        value=identity(record.key, record.value),
                        began=now,
                        ended=now,
                    )
                )

    def sent(
        self, process: str, transaction: str, outputs: Sequence[Produced], partitioner: Partitioner, *, offset: int = -1
    ) -> None:
        """A producer handed records over, in a transaction or (empty) outside any."""
        for output in outputs:
            if output.topic in self._topics:
                now = self.now()
                self.history.append(
                    Operation(
                        process=process,
                        kind="send",
                        topic=output.topic,
                        partition=partitioner.partition_for(output),
                        offset=offset,
                        value=identity(output.key, output.value),
                        transaction=transaction,
                        began=now,
                        ended=now,
                    )
                )

    def began(self, process: str, transaction: str) -> None:
        """A transaction began."""
        now = self.now()
        self.history.append(Operation(process=process, kind="begin", transaction=transaction, began=now, ended=now))

    def ended(
        self, process: str, transaction: str, kind: Literal["commit", "abort"], outcome: Outcome, began: int
    ) -> None:
        """A transaction's end was answered, or will never be."""
        self.history.append(
            Operation(
                process=process, kind=kind, transaction=transaction, outcome=outcome, began=began, ended=self.now()
            )
        )

    def read_to_the_end(self, process: str, topic: str, partition: int) -> None:
        """A consumer has polled all that there will be."""
        now = self.now()
        self.history.append(
            Operation(process=process, kind="end", topic=topic, partition=partition, began=now, ended=now)
        )
