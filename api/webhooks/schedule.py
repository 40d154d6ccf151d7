"""When a delivery is tried again, and when nothing more can be hoped for."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

import msgspec

DAY_S = 86_400
_DOUBLINGS_MAX = 40  # beyond these, the longest pause is reached with any settings

_Seconds = Annotated[float, msgspec.Meta(gt=0, le=30 * DAY_S)]


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Pauses between attempts: `first_s`, then twice as long each time up to `longest_s`, each shortened by up to `jitter` of itself.

    A delivery is tried for `promised_s` after it was queued: three days. By default that is 24 to 29 attempts. An endpoint that accepted
    nothing for as long is disabled.
    """

    first_s: _Seconds = 10.0
    longest_s: _Seconds = 6 * 3600.0
    promised_s: _Seconds = 3.0 * DAY_S
    jitter: Annotated[float, msgspec.Meta(ge=0, le=0.9)] = 0.25

    def next_attempt_ms(self, *, delivery_id: str, attempt: int, queued_ms: int, now_ms: int) -> int | None:
        """
        When the next attempt is due after `attempt` of them, ms since the epoch; None: the promise has been kept.

        The jitter is a hash of delivery and attempt, so that whoever takes a delivery over comes to the same time, while the deliveries
        of an endpoint that was away don't come back all at once. The last attempt is made when the promise ends, not before.
        """
        ends_ms = queued_ms + int(self.promised_s * 1000)
        if now_ms >= ends_ms:
            return None
        pause_s = min(self.first_s * 2 ** min(max(attempt, 1) - 1, _DOUBLINGS_MAX), self.longest_s)
        shortened_s = pause_s * (1 - self.jitter * _share(f"{delivery_id}/{attempt}"))
        return min(now_ms + max(int(shortened_s * 1000), 1), ends_ms)

    def is_dead(self, *, accepted_ms: int, failing_since_ms: int, now_ms: int) -> bool:
        """
        Whether an endpoint is to be disabled: its attempts have failed for `promised_s`, and nothing was accepted within that time.

        `failing_since_ms`: when the oldest delivery that it has not accepted was queued. `accepted_ms`: when it last accepted one, 0 for
        never. An endpoint that hears of little is not dead because nobody called it.
        """
        return min(now_ms - accepted_ms, now_ms - failing_since_ms) >= self.promised_s * 1000


def _share(text: str) -> float:
    """A number from 0 up to 1 that the text decides."""
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big") / 2**64
