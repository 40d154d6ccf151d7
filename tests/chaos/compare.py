"""Expected and found records side by side: in order where one fold writes a partition, by content where several do."""

from __future__ import annotations

from collections import Counter

from schemas.records import Record as Message
from streams.runtime import Output, Record
from tests.chaos.books import Books
from tests.chaos.checks import Check, any_of, fingerprint, short
from tests.chaos.log import Log

LOOKED_AHEAD = 1_000


class Pair:
    """One partition of a topic that exactly one fold writes: both sides are walked together."""

    def __init__(
        self,
        log: Log,
        topic: str,
        partition: int,
        check: Check,
        books: Books,
        *,
        others: tuple[type[Message], ...] = (),
    ) -> None:
        """`others`: what another fold writes there; it is compared elsewhere."""
        self._place = f"{topic}[{partition}]"
        found = log.records(topic, partition)
        self._found = (one for one in found if not isinstance(any_of(one), others)) if others else found
        self._check, self._books = check, books
        self._seen: set[bytes] = set()
        self._broken = False

    def expect(self, output: Output) -> None:
        """The next record of the partition has to be this one; after the first difference the rest proves nothing."""
        self._check.count += 1
        if self._broken:
            return
        record = next(self._found, None)
        if record is None:
            self._break(f"{self._place} ends where {short(output.value)} of {output.key!r} should follow: lost")
            return
        if (record.key, record.value, record.timestamp_ms) == (output.key, output.value, output.timestamp_ms):
            self._take(record)
        else:
            self._break(f"{self._place} offset {record.offset}: {self._difference(record, output)}")

    def finish(self) -> None:
        """Nothing may follow."""
        if not self._broken and (record := next(self._found, None)) is not None:
            what = "twice" if fingerprint(record.key, record.value) in self._seen else "out of nothing"
            self._break(f"{self._place} offset {record.offset}: {what}: {short(record.value)} of {record.key!r}")

    def _take(self, record: Record) -> None:
        self._seen.add(fingerprint(record.key, record.value))
        self._books.take(record)

    def _difference(self, record: Record, output: Output) -> str:
        if fingerprint(record.key, record.value) in self._seen:
            return f"twice: {short(record.value)} of {record.key!r}"
        if record.value == output.value:
            return f"key {record.key!r} at {record.timestamp_ms}, not {output.key!r} at {output.timestamp_ms}"
        for _, later in zip(range(LOOKED_AHEAD), self._found, strict=False):
            if later.value == output.value:
                return f"out of nothing: {short(record.value)} of {record.key!r}"
        return f"lost or changed: {short(output.value)} of {output.key!r}; there is {short(record.value)}"

    def _break(self, problem: str) -> None:
        self._broken = True
        self._check.fault(problem)


class Scattered:
    """Outputs that several partitions' folds send to one: each once, and each source's in its order."""

    def __init__(self) -> None:
        self._expected: dict[tuple[int, bytes], tuple[int, tuple[int, int]]] = {}
        self._met: dict[tuple[int, int], tuple[int, int]] = {}
        self._gone: set[tuple[int, bytes]] = set()

    def expect(self, target: int, output: Output, source: int, order: tuple[int, int]) -> None:
        """An output of a source's record has to lie on the target."""
        self._expected[target, fingerprint(output.key, output.value)] = (source, order)

    def meet(self, record: Record, check: Check) -> None:
        """A record that lies there."""
        what = (record.partition, fingerprint(record.key, record.value))
        found = self._expected.pop(what, None)
        place = f"{record.topic}[{record.partition}] offset {record.offset}"
        if found is None:
            check.fault(f"{place}: {'twice' if what in self._gone else 'out of nothing'}: {short(record.value)}")
            return
        self._gone.add(what)
        source, order = found
        if self._met.get((source, record.partition), (-1, -1)) >= order:
            check.fault(f"{place}: overtaken by a later one of partition {source}")
        self._met[source, record.partition] = order

    def left(self) -> list[tuple[int, tuple[int, int]]]:
        """Those that nobody met: source partition, and (offset, number)."""
        return sorted(self._expected.values())


def compare_counts(
    check: Check, expected: Counter[bytes], found: Counter[bytes], what: str, *, counted: bool = True
) -> None:
    """Each as often as expected."""
    if counted:
        check.count += expected.total()
    for key, times in (expected - found).items():
        check.fault(f"a {what} is there {found[key]} times instead of {times + found[key]}: lost ({key.hex()})")
    for key, times in (found - expected).items():
        check.fault(f"a {what} is there {times + expected[key]} times instead of {expected[key]}: twice ({key.hex()})")
