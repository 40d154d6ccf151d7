"""When to ask again: quickly at first, then less and less often, for ever; spread by a jitter that a request's own id decides."""

from __future__ import annotations

import hashlib

FIRST_DELAY_S = 0.1
GROWTH = 2
DELAY_MAX_S = 60.0
_GROWS_AT_MOST = 16  # further doublings are beyond the maximum anyway


def delay_s(request_id: str, number: int, *, first_s: float = FIRST_DELAY_S, longest_s: float = DELAY_MAX_S) -> float:
    """Seconds before inquiry `number` (from 0): between a half and the whole of the back-off, the same on every run."""
    whole_s: float = min(longest_s, first_s * GROWTH ** min(number, _GROWS_AT_MOST))
    digest = hashlib.blake2b(f"{request_id}|{number}".encode(), digest_size=4).digest()
    return whole_s * (0.5 + int.from_bytes(digest) / 2**33)
