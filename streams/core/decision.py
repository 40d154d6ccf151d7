"""What goes into a fold and what comes out of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

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
    Record,
    Reply,
    SettlementEvent,
)
from streams.core.errors import Refused


class View(Protocol):
    """Reads the state as all earlier inputs of the partition left it."""

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""

    def range(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key starts with the prefix, in the order of their keys."""


class Input(msgspec.Struct, frozen=True, gc=False):
    """One record of an input log: what it says, where it stands, and when it is (its timestamp, ms since the epoch)."""

    message: Record
    topic: str
    partition: int
    offset: int
    time_ms: int


Addressed = tuple[int, Reply | CustomerReply]
"""A reply and the partition of payments.replies on which it is awaited."""


class Decision(msgspec.Struct, gc=False):
    """Everything that follows from one input; all of it becomes visible together, or none."""

    writes: list[tuple[bytes, bytes | None]] = msgspec.field(default_factory=list)
    """State changes in order; None deletes. No key comes twice."""
    events: list[PaymentEvent | SettlementEvent | CustomerEvent | PayoutEvent] = msgspec.field(default_factory=list)
    requests: list[ProviderRequest] = msgspec.field(default_factory=list)
    replies: list[Addressed] = msgspec.field(default_factory=list)
    movements: list[Movement] = msgspec.field(default_factory=list)
    payout_requests: list[PayoutRequest] = msgspec.field(default_factory=list)
    payout_replies: list[tuple[int, PayoutReply]] = msgspec.field(default_factory=list)
    """As `replies`."""
    wishes: list[CustomerCommand] = msgspec.field(default_factory=list)
    """What the customers' fold is asked to do: to save a payment method."""
    erasures: list[tuple[str, str, tuple[str, ...]]] = msgspec.field(default_factory=list)
    """Tenant, customer and keys (ck_...) that are to be erased with it."""
    refused: Refused | None = None
    """Set when the input breaks the contract: it belongs on records.rejected. Then there are no writes and no events."""
