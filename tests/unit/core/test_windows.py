from datetime import datetime

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from streams.core import windows

HOUR_MS = 3_600_000


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def _bounds(moment: str, *, zone: str = "Europe/Berlin", cutoff: str = "18:00"):
    return windows.bounds(_ms(moment), timezone=zone, cutoff=cutoff, interval_ms=0)


def test_a_business_day_ends_at_the_cut_off_in_the_tenants_zone():
    """One instant before the cut-off is that day's, the cut-off itself is the next day's."""
    assert _bounds("2026-01-15T17:59:59.999+01:00") == (_ms("2026-01-14T18:00+01:00"), _ms("2026-01-15T18:00+01:00"))
    assert _bounds("2026-01-15T18:00+01:00") == (_ms("2026-01-15T18:00+01:00"), _ms("2026-01-16T18:00+01:00"))


@pytest.mark.parametrize(
    ("moment", "hours"),
    [("2026-03-29T12:00+02:00", 23), ("2026-10-25T12:00+01:00", 25), ("2026-06-01T12:00+02:00", 24)],
)
def test_days_on_which_the_clocks_change_are_shorter_or_longer(moment, hours):
    """Berlin: 23 hours in spring, 25 in autumn, both ends at 18:00 on the wall."""
    opens, closes = _bounds(moment)
    assert closes - opens == hours * HOUR_MS


def test_a_cut_off_that_the_clocks_skip_is_the_moment_they_jump():
    """Berlin has no 02:30 on 2026-03-29: the day ends at 01:00 UTC, when the clocks go from 2 to 3."""
    jump = _ms("2026-03-29T01:00+00:00")
    assert _bounds("2026-03-29T00:59:59.999+00:00", cutoff="02:30")[1] == jump
    assert _bounds("2026-03-29T01:00+00:00", cutoff="02:30")[0] == jump


def test_a_cut_off_that_is_shown_twice_is_the_first():
    """Berlin has 02:30 twice on 2026-10-25; the day ends at the summer one."""
    assert _bounds("2026-10-25T00:29+00:00", cutoff="02:30")[1] == _ms("2026-10-25T02:30+02:00")


def test_intervals_are_aligned_to_the_epoch():
    """Windows of 5 s start at multiples of 5 s, whatever the zone."""
    assert windows.bounds(12_345_678, timezone="Asia/Tokyo", cutoff="07:00", interval_ms=5_000) == (
        12_345_000,
        12_350_000,
    )


@settings(derandomize=True, deadline=None, max_examples=300, database=None)
@given(
    time_ms=st.integers(windows.TIME_MS_MIN, _ms("2060-01-01T00:00+00:00")),
    zone=st.sampled_from(
        (
            "UTC",
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
            "Pacific/Apia",
            "Africa/Casablanca",
        )
    ),
    cutoff=st.sampled_from(("00:00", "02:30", "03:00", "18:00", "23:59")),
    interval_ms=st.sampled_from((0, 0, 0, 1_000, 86_400_000)),
)
def test_windows_tile_time(time_ms, zone, cutoff, interval_ms):
    """Every moment is in its window, and the windows before and after touch it without gap or overlap."""
    schedule = {"timezone": zone, "cutoff": cutoff, "interval_ms": interval_ms}
    opens, closes = windows.bounds(time_ms, **schedule)
    assert opens <= time_ms < closes
    assert windows.bounds(opens, **schedule) == (opens, closes)
    assert windows.bounds(closes - 1, **schedule) == (opens, closes)
    assert windows.bounds(closes, **schedule)[0] == closes
    assert windows.bounds(opens - 1, **schedule)[1] == opens


@pytest.mark.parametrize(
    ("field", "schedule"),
    [
        ("timezone", {"timezone": "Mars/Base"}),
        ("timezone", {"timezone": "../etc/passwd"}),
        ("timezone", {"timezone": ""}),
        ("settlement_cutoff", {"cutoff": "24:00"}),
        ("settlement_cutoff", {"cutoff": "7:00"}),
        ("settlement_interval_ms", {"interval_ms": 10}),
        ("settlement_interval_ms", {"interval_ms": -1}),
        ("settlement_grace_ms", {"grace_ms": -1}),
    ],
)
def test_a_schedule_that_cannot_be_worked_with_is_named(field, schedule):
    """Unknown zone, impossible cut-off, interval or grace out of bounds: the field is named."""
    good = {"timezone": "UTC", "cutoff": "00:00", "interval_ms": 0, "grace_ms": 0}
    assert windows.fault(**good) is None
    assert windows.fault(**{**good, **schedule})[0] == field


@pytest.mark.parametrize("time_ms", [windows.TIME_MS_MIN, windows.TIME_MS_MAX])
def test_the_first_and_the_last_time_have_windows(time_ms):
    """Both ends of what is accepted can be computed with, in the zones farthest east and west, and keys hold the result."""
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        opens, closes = windows.bounds(time_ms, timezone=zone, cutoff="23:59", interval_ms=0)
        assert 0 <= opens <= time_ms < closes
