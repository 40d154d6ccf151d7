"""When to ask again."""

from __future__ import annotations

from connectors.providers.gateway._schedule import DELAY_MAX_S, FIRST_DELAY_S, delay_s


def test_delays_are_the_same_on_every_run_and_differ_between_requests():
    """Jitter comes from the request's id, not from chance."""
    assert delay_s("rq_1", 3) == delay_s("rq_1", 3)
    assert len({delay_s(f"rq_{number}", 3) for number in range(100)}) == 100


def test_delays_grow_from_the_first_to_the_longest_and_stay():
    """Between a half and the whole of a doubling back-off, for ever bounded."""
    for number in range(200):
        whole_s = min(DELAY_MAX_S, FIRST_DELAY_S * 2**number)
        assert whole_s / 2 <= delay_s("rq_1", number) <= whole_s
    assert delay_s("rq_1", 10**9) <= DELAY_MAX_S
