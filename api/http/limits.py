"""How often a key may ask: a bucket of tokens for each key in each process, and when keys were last used.

Limits are per process: whoever runs several has as many times the rate. They keep one key's loop from taking what is
there for all; what the machine can do at all is guarded by `commands.IN_FLIGHT_MAX`.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from api.http.errors import RateLimited
from api.http.keys import Identity


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Requests a second in the long run, and how many may come at once after a rest."""

    per_s: float
    burst: int


LIVE = Rate(per_s=1_000, burst=2_000)
TEST = Rate(per_s=500, burst=1_000)
BUCKETS_MAX = 10_000
"""Keys whose buckets are remembered; of more, the one that rested longest is forgotten, which gives it a full one."""
USE_TOLD_EVERY_MS = 3_600_000
"""How often a process tells that a key is in use: last-used times are as coarse as that."""


class Limits:
    """The buckets. For one thread."""

    def __init__(
        self,
        *,
        live: Rate = LIVE,
        test: Rate = TEST,
        clock: Callable[[], float] = time.monotonic,
        buckets_max: int = BUCKETS_MAX,
    ) -> None:
        self._live, self._test, self._clock, self._buckets_max = live, test, clock, buckets_max
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By key: tokens, and when that was so."""

    def take(self, who: Identity) -> None:
        """One token. Raises `RateLimited`, which says when there is one again; nothing is taken then."""
        rate, now_s = self._live if who.livemode else self._test, self._clock()
        tokens, at_s = self._buckets.pop(who.key_id, (float(rate.burst), now_s))
        tokens = min(float(rate.burst), tokens + (now_s - at_s) * rate.per_s)
        enough = tokens >= 1
        self._buckets[who.key_id] = (tokens - 1 if enough else tokens, now_s)
        if len(self._buckets) > self._buckets_max:
            self._buckets.popitem(last=False)
        if not enough:
            raise RateLimited(retry_after_s=max(1, math.ceil((1 - tokens) / rate.per_s)), per_s=rate.per_s)


class Uses:
    """Which keys were used, so far as it was not told within the hour; bounded by the keys that there are."""

    def __init__(self, tell: Callable[[str, str, int], None], *, known_ms: Callable[[str], int]) -> None:
        self._tell = tell
        """Of key's id, tenant and time; must not block and must not raise."""
        self._known_ms = known_ms
        """When a key was last used so far as anybody has told; 0: never."""
        self._told_ms: dict[str, int] = {}

    def note(self, who: Identity, *, now_ms: int) -> None:
        """A valid key was used. People, who sign in, are none."""
        if who.kind == "operator":
            return
        told_ms = self._told_ms.get(who.key_id)
        if told_ms is None:
            told_ms = self._known_ms(who.key_id)
        if now_ms - told_ms >= USE_TOLD_EVERY_MS:
            self._tell(who.key_id, who.tenant, now_ms)
            told_ms = now_ms
        self._told_ms[who.key_id] = told_ms
