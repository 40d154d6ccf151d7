"""Which offsets of one partition are done, as something that fits beside a committed offset.

Requests are done out of order, while Kafka commits one position per partition. What is done beyond that position travels as the commit's
metadata: a bitmap, base64, committed in the same transaction. So a slow request holds back neither the results behind it nor, after a
crash, makes any of them happen twice.
"""

from __future__ import annotations

import base64
from collections import deque

from connectors.providers.errors import WindowFull

VERSION = "1"
SPAN_MAX = 16_384
"""Offsets beyond the position that the bitmap may reach: 2,731 characters of base64, below the broker's default
offset.metadata.max.bytes of 4,096."""


class Window:
    """The offsets of one partition from the first that isn't done. Offsets may have gaps (transaction markers)."""

    def __init__(self, *, position: int, metadata: str = "") -> None:
        self._next = position
        self._outstanding: deque[int] = deque()
        self._done: set[int] = set()
        self._done_before = decode(position, metadata)

    def __len__(self) -> int:
        """How many received offsets aren't done."""
        return len(self._outstanding) - len(self._done)

    @property
    def position(self) -> int:
        """The offset to commit: all before it are done."""
        return self._outstanding[0] if self._outstanding else self._next

    @property
    def span(self) -> int:
        """How far the received offsets reach beyond the position."""
        return self._next - self.position

    def receive(self, offset: int) -> bool:
        """Note a received offset; whether it is still to be done (one that was done before the last restart is not)."""
        if offset < self._next:
            return False  # delivered again after a pause or a seek
        self._next = offset + 1
        self._outstanding.append(offset)
        if offset in self._done_before:
            self._done_before.discard(offset)
            self._mark(offset)
            return False
        return True

    def can_mark(self, offset: int) -> bool:
        """Whether the bitmap reaches this offset now; if not, its result waits until the position has moved on."""
        return offset - self.position < SPAN_MAX

    def mark(self, offset: int) -> None:
        """Note that an offset is done. Raises `WindowFull` beyond the bitmap's reach."""
        if not self.can_mark(offset):
            message = f"offset {offset} is {offset - self.position} beyond the position, at most {SPAN_MAX} can be kept"
            raise WindowFull(message)
        self._mark(offset)

    def _mark(self, offset: int) -> None:
        self._done.add(offset)
        while self._outstanding and self._outstanding[0] in self._done:
            self._done.discard(self._outstanding.popleft())

    def metadata(self) -> str:
        """What is done beyond the position, to be committed with it."""
        return encode(self.position, self._done | self._done_before)


def encode(position: int, done: set[int]) -> str:
    """The offsets at or beyond `position` as text; empty when there are none."""
    if not done:
        return ""
    bits = bytearray((max(done) - position) // 8 + 1)
    for offset in done:
        bits[(offset - position) // 8] |= 1 << (offset - position) % 8
    return f"{VERSION}:{base64.b64encode(bits).decode()}"


def decode(position: int, metadata: str) -> set[int]:
    """The offsets that `encode` wrote. Text of another origin (an operator's, by a Kafka tool) means none."""
    version, _, text = metadata.partition(":")
    if version != VERSION:
        return set()
    try:
        bits = base64.b64decode(text, validate=True)
    except ValueError:
        return set()
    return {position + 8 * index + bit for index, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1}
