"""State of the customers' fold: customers, saved payment methods, setup intents, and answers."""

from __future__ import annotations

import msgspec

from schemas.records import SetupStatus
from streams.core.state import StoredError, register


class Sealed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One field of personal data, sealed; the core never opens it."""

    name: str
    key_id: str
    sealed: bytes


class Customer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A customer. Tenant and id are in its key."""

    created_ms: int
    sequence: int = 0
    last_event_id: str = ""
    deleted: bool = False
    """A deleted one stays, so that its id is never anybody else's; nothing else of it does."""
    personal: tuple[Sealed, ...] = ()
    """In the order of their names."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    default_method: str = ""
    methods: tuple[str, ...] = ()
    """In the order in which they were attached."""


class Method(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A saved payment method: what a provider knows a card by, and what is known of the card."""

    created_ms: int
    token: str
    """Empty once it was detached: it can't be used any more."""
    brand: str = "unknown"
    last4: str = ""
    exp_month: int = 0
    exp_year: int = 0
    fingerprint: str = ""
    funding: str = "unknown"
    country: str = ""
    sequence: int = 0
    last_event_id: str = ""
    customer: str = ""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)


class Setup(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A setup intent."""

    created_ms: int
    status: SetupStatus
    usage: str
    sequence: int = 0
    last_event_id: str = ""
    customer: str = ""
    method: str = ""
    cancellation_reason: str = ""
    error: StoredError | None = None
    """Why the last confirmation failed."""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)


class StoredAnswer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The answer to a command, kept by its idempotency key: the object as it was then, and the error if it was one."""

    fingerprint: bytes
    http_status: int
    object_id: str
    state: bytes
    error: StoredError | None = None


register(Customer, Method, Setup, StoredAnswer)
