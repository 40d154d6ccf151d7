"""One recorded stream beside what the fold says: equal, or what is missing, unexpected, doubled, changed, reordered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from schemas import codec
from schemas.errors import DecodingError
from schemas.records import (
    CustomerCommand,
    CustomerEvent,
    CustomerReply,
    Movement,
    PaymentEvent,
    PayoutEvent,
    PayoutReply,
    PayoutRequest,
    ProviderRequest,
    Rejection,
    Reply,
    SettlementEvent,
)
from streams.replay.difference import Difference, Kind, Place, between, of_record
from streams.runtime import Output, Record

LOOKAHEAD = 256
"""How far either side is searched for the other's record before two at one place count as one that was changed."""

_UNKNOWN = object()
_TELLING = PaymentEvent | SettlementEvent | PayoutEvent | CustomerEvent | Reply | PayoutReply | CustomerReply
"""What tells its cause."""


class _Item:
    """A record of either side; decoded only when something differs."""

    __slots__ = ("_cause", "_identity", "cause", "record")

    def __init__(self, record: Record | Output, cause: int) -> None:
        self.record = record
        self.cause = cause
        """Folded: the input's offset. Recorded: -1, see `told_cause`."""
        self._identity: Any = _UNKNOWN
        self._cause: int | None = None

    @property
    def identity(self) -> Any:
        """What names the record whatever else it says; None for what isn't one of ours."""
        if self._identity is _UNKNOWN:
            self._identity, self._cause = identify(self.record.value)
        return self._identity

    @property
    def told_cause(self) -> int | None:
        """The input's offset as the record itself tells it, where it does."""
        return self._cause if self.identity is not None else None


def identify(value: bytes | None) -> tuple[Any, int | None]:
    """A name of the record and the offset of its cause, each None where the record tells none."""
    try:
        message = codec.decode(value)
    except DecodingError:
        return None, None
    if isinstance(message, _TELLING):
        offset = message.cause_offset
        return (message.cause_topic, message.cause_partition, offset, message.ordinal), offset
    if isinstance(message, Rejection):
        return (message.source_topic, message.source_partition, message.source_offset), message.source_offset
    if isinstance(message, ProviderRequest | PayoutRequest):
        return message.request_id, None
    if isinstance(message, Movement):
        return message.movement_id, None
    if isinstance(message, CustomerCommand):
        return (message.payment_id, message.object_id), None
    return value, None


class Stream:
    """
    Compares in one pass: `expect` each folded record in order, then `finish`.

    Inputs from `cut` on may not be recorded yet: what they lead to is compared where it is there, and its absence is no
    difference. `trimmed`: the topic's first records are gone by retention; what came before the first one left isn't
    compared but counted.
    """

    def __init__(
        self,
        topic: str,
        inputs: tuple[str, int],
        recorded: Iterator[Record],
        *,
        cut: int,
        trimmed: bool,
        report: Callable[[int, Difference], None],
    ) -> None:
        self.topic = topic
        self.equal = 0
        self.not_comparable = 0
        self._inputs, self._recorded, self._cut, self._report = inputs, recorded, cut, report
        self._trimmed = trimmed
        self._folded: deque[_Item] = deque()
        self._ahead: deque[_Item] = deque()
        self._recent: deque[bytes | None] = deque(maxlen=LOOKAHEAD)
        self._reached = -1

    def expect(self, cause: int, output: Output) -> None:
        """The next record that the fold makes."""
        if not self._folded and not self._trimmed:
            record = self._ahead.popleft().record if self._ahead else next(self._recorded, None)
            if record is not None:
                if _same(output, record):
                    self._matched(record, cause)
                    return
                self._ahead.appendleft(_Item(record, -1))
        self._folded.append(_Item(output, cause))
        if self._trimmed:
            self._skip_removed()
        self._settle(finished=False)

    def finish(self) -> None:
        """Nothing more is folded: settle what is left on both sides."""
        self._settle(finished=True)
        while self._fill(1):
            self._unexpected(self._ahead.popleft())

    def abandon(self) -> None:
        """The fold could not go on: read the rest, judging nothing."""
        self._folded.clear()
        self._ahead.clear()
        for _ in self._recorded:
            pass

    def _skip_removed(self) -> None:
        """Pass over what retention has removed: everything before the first recorded one."""
        if not self._fill(1):
            self.not_comparable += 1
            self._folded.popleft()
            return
        first, folded = self._ahead[0], self._folded[0]
        told = first.told_cause
        removed = not _same(folded.record, first.record) and (
            told is None
            or folded.cause < told
            # Of several records of one input, the first ones may be gone.
            or (folded.cause == told and folded.identity != first.identity)
        )
        if removed:
            self.not_comparable += 1
            self._folded.popleft()
        else:
            self._trimmed = False

    def _fill(self, count: int) -> bool:
        """Whether that many recorded ones lie ahead."""
        while len(self._ahead) < count:
            record = next(self._recorded, None)
            if record is None:
                return False
            self._ahead.append(_Item(record, -1))
        return True

    def _settle(self, *, finished: bool) -> None:
        folded, ahead = self._folded, self._ahead
        while folded:
            if not self._fill(1):
                self._missing(folded.popleft())
            elif _same(folded[0].record, ahead[0].record):
                self._matched(ahead.popleft().record, folded.popleft().cause)
            elif finished or len(folded) > LOOKAHEAD:
                self._fill(LOOKAHEAD)
                self._judge()
            else:
                return

    def _judge(self) -> None:
        """The first of either side are not the same; decide which of them is to blame."""
        left, right = self._folded[0], self._ahead[0]
        later = _place(self._ahead, left)
        sooner = _place(self._folded, right)
        if left.identity == right.identity:
            self._differ("changed", self._folded.popleft(), self._ahead.popleft())
        elif later and sooner:
            found = self._ahead[later]
            del self._ahead[later]
            self._differ("reordered", self._folded.popleft(), found)
        elif later:
            self._unexpected(self._ahead.popleft())
        elif sooner:
            self._missing(self._folded.popleft())
        elif right.told_cause is None or right.told_cause == left.cause or self._next_are_same():
            self._differ("changed", self._folded.popleft(), self._ahead.popleft())
        elif right.told_cause < left.cause:
            self._unexpected(self._ahead.popleft())
        else:
            self._missing(self._folded.popleft())

    def _next_are_same(self) -> bool:
        """Whether what comes behind the first two is equal, so that these two are one that was changed."""
        if len(self._folded) == 1 or len(self._ahead) == 1:
            return len(self._folded) == len(self._ahead)
        return _same(self._folded[1].record, self._ahead[1].record)

    def _matched(self, record: Record | Output, cause: int) -> None:
        self.equal += 1
        self._reached = cause
        self._recent.append(record.value)

    def _missing(self, item: _Item) -> None:
        if item.cause < self._cut:
            self._differ("missing", item, None)

    def _unexpected(self, item: _Item) -> None:
        if item.identity is None:
            kind: Kind = "unreadable"
        else:
            kind = "doubled" if item.record.value in self._recent else "unexpected"
        self._differ(kind, None, item)

    def _differ(self, kind: Kind, folded: _Item | None, recorded: _Item | None) -> None:
        cause = self._reached
        if folded is not None:
            cause = self._reached = folded.cause
        elif recorded is not None and recorded.told_cause is not None and kind != "doubled":
            cause = recorded.told_cause
        if kind == "changed" and recorded is not None:
            self._recent.append(recorded.record.value)
        self._report(cause, self._described(kind, folded, recorded, cause))

    def _described(self, kind: Kind, folded: _Item | None, recorded: _Item | None, cause: int) -> Difference:
        sides: list[dict[str, Any] | None] = []
        for item in (folded, recorded):
            record = None if item is None else item.record
            sides.append(
                None
                if record is None
                else of_record(record.value, key=record.key, timestamp_ms=record.timestamp_ms, headers=record.headers)
            )
        place = None
        if recorded is not None:
            assert isinstance(recorded.record, Record)
            place = Place(recorded.record.topic, recorded.record.partition, recorded.record.offset)
        if folded is not None and recorded is not None and isinstance(recorded.record, Record):
            wanted = getattr(folded.record, "partition", None)
            if wanted is not None and wanted != recorded.record.partition:
                for side, number in zip(sides, (wanted, recorded.record.partition), strict=True):
                    assert side is not None
                    side["(partition)"] = number
        named = recorded if folded is None else folded
        assert named is not None
        return Difference(
            kind=kind,
            topic=self.topic,
            what=_name(named.record),
            cause=Place(*self._inputs, cause) if cause >= 0 else None,
            recorded=place,
            fields=between(*sides),
        )


def _same(folded: Record | Output, recorded: Record | Output) -> bool:
    """Byte for byte, key, time and headers too; the partition where the fold names one."""
    return (
        folded.value == recorded.value
        and folded.key == recorded.key
        # A producer is never told time 0: it would put its own.
        and (folded.timestamp_ms == recorded.timestamp_ms or folded.timestamp_ms <= 0)
        and tuple(folded.headers) == tuple(recorded.headers)
        and (folded.partition is None or folded.partition == recorded.partition)
    )


def _place(items: deque[_Item], wanted: _Item) -> int:
    """Where the wanted one lies behind the first, 0 for nowhere."""
    identity = wanted.identity
    if identity is None:
        return 0
    return next((number for number, item in enumerate(items) if number and item.identity == identity), 0)


def _name(record: Record | Output) -> str:
    """Type and id of the record, for people."""
    try:
        message: Any = codec.decode(record.value)
    except DecodingError:
        return f"a record of {len(record.value or b'')} bytes"
    kind = type(message).__name__
    names = ("movement_id", "event_id", "request_id", "correlation_id", "source_offset")
    identity = next((getattr(message, name) for name in names if hasattr(message, name)), "")
    detail = getattr(message, "type", "") or getattr(message, "kind", "") or getattr(message, "operation", "")
    return " ".join(str(part) for part in (kind, detail, identity) if part != "")
