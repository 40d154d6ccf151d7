"""When deliveries are tried again."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.webhooks.schedule import DAY_S, Schedule

PROMISED_MS = 3 * DAY_S * 1000


def attempts(schedule: Schedule, delivery_id: str) -> list[int]:
    """The times of all attempts at a delivery that is queued at 0 and answered at once by an endpoint that never accepts."""
    times, now_ms = [0], 0
    while (
        due := schedule.next_attempt_ms(delivery_id=delivery_id, attempt=len(times), queued_ms=0, now_ms=now_ms)
    ) is not None:
        assert due > now_ms
        times.append(due)
        now_ms = due
    return times  # fmt: skip


@given(delivery_id=st.text(max_size=40))
def test_three_days(delivery_id):
    """By default a delivery is tried 24 to 29 times, the last time when the three days end, and never with more than six hours between."""
    times = attempts(Schedule(), delivery_id)
    assert 24 <= len(times) <= 29
    assert times[-1] == PROMISED_MS
    assert max(later - before for before, later in pairwise(times)) <= 6 * 3600 * 1000


def test_pauses_double():
    """Without jitter the pauses are the first one, doubled, up to the longest."""
    schedule = Schedule(first_s=1, longest_s=5, promised_s=20, jitter=0)
    assert attempts(schedule, "wd_1") == [0, 1_000, 3_000, 7_000, 12_000, 17_000, 20_000]


def test_jitter_is_decided_by_the_delivery():
    """The same delivery is always tried at the same times; different ones are spread over the whole range of the jitter."""
    schedule = Schedule(first_s=1_000, jitter=0.5)
    first = [
        schedule.next_attempt_ms(delivery_id=f"wd_{number}", attempt=1, queued_ms=0, now_ms=0) for number in range(200)
    ]
    again = [
        schedule.next_attempt_ms(delivery_id=f"wd_{number}", attempt=1, queued_ms=0, now_ms=0) for number in range(200)
    ]
    assert first == again
    assert min(first) < 550_000
    assert 950_000 < max(first) <= 1_000_000


@given(st.integers(1, 10**9), st.integers(0, 10**13), st.integers(0, 10**10))
def test_always_later_and_within_the_promise(attempt, queued_ms, elapsed_ms):
    """Whatever the attempt and the time, the next is later and not beyond the promise; beyond it there is none."""
    now_ms = queued_ms + elapsed_ms
    due = Schedule().next_attempt_ms(delivery_id="wd_1", attempt=attempt, queued_ms=queued_ms, now_ms=now_ms)
    if elapsed_ms >= PROMISED_MS:
        assert due is None
    else:
        assert due is not None
        assert now_ms < due <= queued_ms + PROMISED_MS


@pytest.mark.parametrize(
    ("accepted_ms", "failing_since_ms", "dead"),
    [
        (0, 1_000, True),  # never accepted anything, and has failed for three days
        (1_000 + 1, 1_000, False),  # accepted something within three days
        (1_000, 1_000, True),
        (0, 1_001, False),  # has heard of nothing for long enough
    ],
)
def test_dead(accepted_ms, failing_since_ms, dead):
    """An endpoint is dead when for three days something waited for it and it accepted nothing."""
    now_ms = 1_000 + PROMISED_MS
    assert Schedule().is_dead(accepted_ms=accepted_ms, failing_since_ms=failing_since_ms, now_ms=now_ms) is dead


@pytest.mark.parametrize("text", ['{"first_s": 0}', '{"jitter": 1}', '{"promised_s": 1e9}', '{"first": 1}'])
def test_settings_out_of_range(text):
    """Settings that are out of range or unknown are refused where they are read."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Schedule)
