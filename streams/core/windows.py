"""Which settlement window a moment falls into: business days in a tenant's time zone, or intervals aligned to the epoch.

A business day ends at the cut-off by the clock on the wall. A cut-off that the clocks skip (in spring) is the moment at
which they jump; one that they show twice (in autumn) is the first. So days are 23 to 25 hours long and never overlap.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

INTERVAL_MS_MIN = 1_000
INTERVAL_MS_MAX = 31 * 86_400_000
GRACE_MS_MAX = 7 * 86_400_000

_CUTOFF = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_ZONE = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_DAY = timedelta(days=1)
TIME_MS_MIN = 2 * 86_400_000  # so that the window before it starts after the epoch
TIME_MS_MAX = 253_370_764_800_000  # the year 9999: beyond it there is no calendar
_ZONES_CACHED = 1024
_CUTOFFS_CACHED = 16_384


def fault(*, timezone: str, cutoff: str, interval_ms: int, grace_ms: int) -> tuple[str, str] | None:
    """Field and message of what is wrong with a schedule; None when it can be worked with."""
    if not _CUTOFF.fullmatch(cutoff):
        return "settlement_cutoff", "settlement_cutoff must be HH:MM, from 00:00 to 23:59."
    try:
        known = bool(_ZONE.fullmatch(timezone)) and _zone(timezone) is not None
    except (LookupError, ValueError, OSError):
        known = False
    if not known:
        return "timezone", "timezone must be a name of the IANA database, such as Europe/Berlin."
    if interval_ms and not INTERVAL_MS_MIN <= interval_ms <= INTERVAL_MS_MAX:
        return "settlement_interval_ms", f"settlement_interval_ms must be 0 or {INTERVAL_MS_MIN} to {INTERVAL_MS_MAX}."
    if not 0 <= grace_ms <= GRACE_MS_MAX:
        return "settlement_grace_ms", f"settlement_grace_ms must be 0 to {GRACE_MS_MAX}."
    return None


def bounds(time_ms: int, *, timezone: str, cutoff: str, interval_ms: int) -> tuple[int, int]:
    """First instant of the window that holds `time_ms`, and the first instant after it, in ms since the epoch."""
    if interval_ms:
        opens_ms = time_ms - time_ms % interval_ms
        return opens_ms, opens_ms + interval_ms
    return _business_day(time_ms, timezone, cutoff)


@lru_cache(maxsize=_ZONES_CACHED)
def _zone(timezone: str) -> ZoneInfo:
    return ZoneInfo(timezone)


def _business_day(time_ms: int, timezone: str, cutoff: str) -> tuple[int, int]:
    zone = _zone(timezone)
    day = (_EPOCH + time_ms * _MS).astimezone(zone).date()
    closes_ms = _cutoff_ms(day, timezone, cutoff)
    if time_ms >= closes_ms:
        return closes_ms, _cutoff_ms(day + _DAY, timezone, cutoff)
    return _cutoff_ms(day - _DAY, timezone, cutoff), closes_ms


@lru_cache(maxsize=_CUTOFFS_CACHED)
def _cutoff_ms(day: date, timezone: str, cutoff: str) -> int:
    """When the wall clock of the zone first shows the cut-off, or has just passed it, on that day."""
    zone = _zone(timezone)
    wall = datetime(day.year, day.month, day.day, int(cutoff[:2]), int(cutoff[3:]), tzinfo=zone)
    if wall.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall.replace(tzinfo=None):
        # The clocks skip this time. With the offset from before the gap, `fold=0` lands after it by what is skipped;
        # the jump itself is the last instant at which the old offset holds.
        wall = _jump(wall, zone)
    return (wall - _EPOCH) // _MS


def _jump(skipped: datetime, zone: ZoneInfo) -> datetime:
    """The instant at which the clocks jump over the skipped wall time."""
    before = skipped.replace(fold=0).utcoffset()
    after = skipped.replace(fold=1).utcoffset()
    assert before is not None
    assert after is not None
    # Both readings of the skipped time bracket the jump; search it to the second, which is how fine zones are.
    low = int((skipped.replace(tzinfo=UTC) - max(before, after) - _EPOCH).total_seconds())
    high = int((skipped.replace(tzinfo=UTC) - min(before, after) - _EPOCH).total_seconds())
    old = (_EPOCH + timedelta(seconds=low)).astimezone(zone).utcoffset()
    while low < high:
        middle = (low + high) // 2
        if (_EPOCH + timedelta(seconds=middle)).astimezone(zone).utcoffset() == old:
            low = middle + 1
        else:
            high = middle
    return _EPOCH + timedelta(seconds=low)
