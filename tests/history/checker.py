"""
Finds what must never be in a history of a transactional log.

Follows Jepsen's Kafka workload (jepsen.tests.kafka): versions are offsets, values are unique, and what a transaction of
unknown outcome did is known as soon as anybody polled one of its values.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from tests.history.operations import Operation

ANOMALIES: dict[str, str] = {
    "aborted-read": "G1a: a value was polled whose transaction was aborted, or whose send failed",
    "precommitted-read": "a value was polled before its transaction's commit was asked for",
    "lost-write": "a committed value was never polled although a later one of its partition was",
    "torn-transaction": "some values of a transaction were polled, others of it never although later ones were",
    "unseen": "a committed value was never polled although its partition was read to the end",
    "duplicate": "a value stands at more than one offset",
    "inconsistent-offset": "an offset holds different values for different readers or writers",
    "nonmonotonic-poll": "a process polled an offset that is not after the one before it",
    "skipped-poll": "a process polled past a committed value that it never received",
    "unsent": "a value was polled that nobody sent",
}

Partition = tuple[str, int]


class Anomaly(msgspec.Struct, frozen=True):
    """One violation: its kind (a key of `ANOMALIES`) and what shows it."""

    kind: str
    message: str


class _Transaction:
    __slots__ = ("aborted", "commit_began", "committed", "seen")

    def __init__(self) -> None:
        self.committed = self.aborted = self.seen = False
        self.commit_began: int | None = None


class _Index:
    """
    The history by what is asked of it.

    A value may be sent several times, because what was aborted is done again; it is to be there once.
    """

    def __init__(self, history: Sequence[Operation]) -> None:
        self.transactions: dict[str, _Transaction] = defaultdict(_Transaction)
        self.sends: dict[Partition, dict[bytes | str, list[Operation]]] = defaultdict(lambda: defaultdict(list))
        self.polled: dict[Partition, dict[int, bytes | str]] = defaultdict(dict)
        self.offsets: dict[Partition, dict[bytes | str, int]] = defaultdict(dict)
        self.complete: set[Partition] = set()
        self.conflicts: list[Anomaly] = []
        for operation in history:
            pair = operation.topic, operation.partition
            if operation.kind == "send":
                self.sends[pair][operation.value].append(operation)
                if operation.offset >= 0:
                    self._place(pair, operation)
            elif operation.kind == "poll":
                self.polled[pair].setdefault(operation.offset, operation.value)
                self._place(pair, operation)
            elif operation.kind == "end":
                self.complete.add(pair)
            elif operation.kind in ("commit", "abort"):
                self._ended(self.transactions[operation.transaction], operation)
        for pair, values in self.polled.items():
            for value in values.values():
                possible = [send for send in self.sends[pair].get(value, ()) if self._possible(send)]
                if len(possible) == 1 and possible[0].transaction:
                    self.transactions[possible[0].transaction].seen = True

    def _possible(self, send: Operation) -> bool:
        """Whether it may be this send that was polled."""
        if not send.transaction:
            return send.outcome != "failed"
        transaction = self.transactions[send.transaction]
        return transaction.committed or (transaction.commit_began is not None and not transaction.aborted)

    @staticmethod
    def _ended(transaction: _Transaction, operation: Operation) -> None:
        if operation.kind == "commit":
            if transaction.commit_began is None:
                transaction.commit_began = operation.began
            transaction.committed |= operation.outcome == "ok"
            # A commit that certainly failed leaves nothing behind.
            transaction.aborted |= operation.outcome == "failed"
        elif operation.outcome == "ok":
            transaction.aborted = True

    def _place(self, pair: Partition, operation: Operation) -> None:
        """Note that a value stands at an offset; two places for it, or two values for the place, are anomalies."""
        known = self.offsets[pair].setdefault(operation.value, operation.offset)
        if known != operation.offset:
            self._found("duplicate", f"{_where(pair)}: {_shown(operation.value)} at {known} and {operation.offset}")
        other = self.polled[pair].get(operation.offset, operation.value)
        if other != operation.value:
            self._found(
                "inconsistent-offset",
                f"{_where(pair)} offset {operation.offset}: {_shown(other)} and {_shown(operation.value)}",
            )

    def _found(self, kind: str, message: str) -> None:
        self.conflicts.append(Anomaly(kind, message))

    def committed(self, send: Operation) -> bool:
        """Whether what was sent is certainly there: answered so, or its transaction was seen."""
        if not send.transaction:
            return send.outcome == "ok"
        transaction = self.transactions[send.transaction]
        return transaction.committed or (transaction.seen and not transaction.aborted)


def check(history: Sequence[Operation]) -> list[Anomaly]:
    """Every anomaly of the history, each once; an empty list for a clean one."""
    index = _Index(history)
    found = [
        *index.conflicts,
        *_reads(index, history),
        *_writes(index),
        *_order(index, history),
    ]
    return list(dict.fromkeys(found))


def _reads(index: _Index, history: Iterable[Operation]) -> Iterator[Anomaly]:
    for operation in history:
        if operation.kind != "poll":
            continue
        pair = operation.topic, operation.partition
        sends = index.sends[pair].get(operation.value, [])
        where = f"{_where(pair)} offset {operation.offset}: {_shown(operation.value)}"
        if not sends:
            yield Anomaly("unsent", f"{where} was polled by {operation.process}, and sent by nobody")
            continue
        verdicts = [_read(index, operation, send) for send in sends]
        if None not in verdicts:
            # The last one that was sent is the likeliest to be the one that was polled.
            kind, why = verdicts[-1] or ("", "")
            yield Anomaly(kind, f"{where} was polled {why}")


def _read(index: _Index, poll: Operation, send: Operation) -> tuple[str, str] | None:
    """Why this poll could not see this send; None if it could."""
    if not send.transaction:
        return ("aborted-read", "although its send had failed") if send.outcome == "failed" else None
    transaction = index.transactions[send.transaction]
    if transaction.aborted and not transaction.committed:
        return "aborted-read", f"although {send.transaction} was aborted"
    if transaction.commit_began is None or poll.ended < transaction.commit_began:
        return "precommitted-read", f"before {send.transaction} was to commit"
    return None


def _writes(index: _Index) -> Iterator[Anomaly]:
    for pair, by_value in index.sends.items():
        values = set(index.polled[pair].values())
        last = max(index.polled[pair], default=-1)
        # Where offsets are not known, order is that of one transaction or sender: what it sent later lies behind.
        later_seen: set[str] = set()
        sends = sorted((send for sends in by_value.values() for send in sends), key=lambda send: -send.ended)
        for send in sends:
            if send.value in values:
                if index.committed(send):
                    later_seen.add(send.process)
                continue
            if not index.committed(send):
                continue
            passed = send.offset < last if send.offset >= 0 else send.process in later_seen
            transaction = index.transactions[send.transaction] if send.transaction else None
            what = f"{_where(pair)}: {_shown(send.value)} of {send.transaction or send.process}"
            if transaction is not None and not transaction.committed:
                if passed or pair in index.complete:
                    yield Anomaly("torn-transaction", f"{what} was never polled, other parts of it were")
            elif passed:
                yield Anomaly("lost-write", f"{what} was never polled, later ones were")
            elif pair in index.complete:
                yield Anomaly("unseen", f"{what} was never polled")


def _order(index: _Index, history: Iterable[Operation]) -> Iterator[Anomaly]:
    next_offset: dict[tuple[str, Partition], int] = {}
    # The offsets that hold something committed, by partition, in order.
    known: dict[Partition, list[int]] = {pair: sorted(offsets) for pair, offsets in index.polled.items()}
    for operation in history:
        pair = operation.topic, operation.partition
        reader = operation.process, pair
        if operation.kind == "assign":
            next_offset[reader] = operation.offset
        elif operation.kind == "poll":
            expected = next_offset.get(reader)
            if expected is not None and operation.offset < expected:
                yield Anomaly(
                    "nonmonotonic-poll",
                    f"{operation.process} polled {_where(pair)} offset {operation.offset} after {expected - 1}",
                )
            elif expected is not None:
                skipped = _between(known[pair], expected, operation.offset)
                if skipped:
                    yield Anomaly(
                        "skipped-poll",
                        f"{operation.process} polled {_where(pair)} offset {operation.offset} without {skipped[:5]}",
                    )
            next_offset[reader] = operation.offset + 1


def _between(offsets: list[int], first: int, end: int) -> list[int]:
    if first >= end:
        return []
    return offsets[bisect_left(offsets, first) : bisect_left(offsets, end)]


def _where(pair: Partition) -> str:
    return f"{pair[0]}[{pair[1]}]"


def _shown(value: bytes | str) -> str:
    return f"{value[:24]!r}…({len(value)})" if len(value) > 24 else repr(value)
