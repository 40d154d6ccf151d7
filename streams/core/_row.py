"""The shape of a row of the payment's transition table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from schemas.records import PaymentStatus
from streams.core._effects import nothing
from streams.core._step import Step

Guard = Callable[[Step], bool]
Effect = Callable[[Step], None]
Answer = Literal["", "now", "later", "failed"]
"""What the waiting caller gets: nothing yet; the payment; a promise (this command begins to wait); the error."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One transition. `to` None: the status stays. `event` empty: no news, nothing changes."""

    sources: tuple[PaymentStatus, ...]
    trigger: str
    guard: Guard | None = None
    requires: Effect | None = None
    to: PaymentStatus | None = None
    event: str = ""
    effect: Effect = nothing
    answer: Answer = ""
    error: str = ""
    """Code of the answer's error; empty: the payment's own."""
    then: str = ""
    """Trigger that follows at once."""
