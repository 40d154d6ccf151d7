"""How often a key may ask, and how often its use is told."""

from __future__ import annotations

import pytest

from api.http.errors import RateLimited
from api.http.keys import Identity
from api.http.limits import USE_TOLD_EVERY_MS, Limits, Rate, Uses


def key(key_id: str = "key_1", *, livemode: bool = False, kind: str = "secret") -> Identity:
    """Somebody with this key."""
    return Identity(tenant="acme", key_id=key_id, kind=kind, livemode=livemode, scopes=(), api_version="")


class Clock:
    """A clock that is set by hand."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_and_then_the_rate() -> None:
    """After a rest a burst is let in; then as many as the rate; whoever is refused is told when to come back, and other keys are not."""
    clock = Clock()
    limits = Limits(test=Rate(per_s=2, burst=3), live=Rate(per_s=0.1, burst=1), clock=clock)
    for _ in range(3):
        limits.take(key())
    with pytest.raises(RateLimited) as refused:
        limits.take(key())
    assert (refused.value.status, refused.value.code, refused.value.retry_after_s) == (429, "rate_limit", 1)
    assert refused.value.should_retry is True
    limits.take(key("key_2"))
    clock.now_s += 0.5
    limits.take(key())
    with pytest.raises(RateLimited):
        limits.take(key())
    limits.take(key("key_3", livemode=True))
    with pytest.raises(RateLimited) as slow:
        limits.take(key("key_3", livemode=True))
    assert slow.value.retry_after_s == 10


def test_a_refusal_takes_nothing_and_rest_gives_no_more_than_a_burst() -> None:
    """Asking while refused does not make it longer; a long rest is worth one burst."""
    clock = Clock()
    limits = Limits(test=Rate(per_s=1, burst=2), clock=clock)
    for _ in range(2):
        limits.take(key())
    for _ in range(50):
        with pytest.raises(RateLimited):
            limits.take(key())
    clock.now_s += 1
    limits.take(key())
    clock.now_s += 1_000
    for _ in range(2):
        limits.take(key())
    with pytest.raises(RateLimited):
        limits.take(key())


def test_so_many_keys_are_remembered_and_no_more() -> None:
    """Of more keys than are remembered, the one that rested longest begins anew."""
    limits = Limits(test=Rate(per_s=0.001, burst=1), clock=Clock(), buckets_max=2)
    for name in ("a", "b", "c"):
        limits.take(key(name))
    with pytest.raises(RateLimited):
        limits.take(key("c"))
    limits.take(key("a"))


def test_use_is_told_once_an_hour() -> None:
    """The first use is told, then one an hour; what another process told counts; people are no keys."""
    told: list[tuple[str, str, int]] = []
    uses = Uses(lambda *use: told.append(use), known_ms=lambda name: 10 if name == "key_2" else 0)
    at = USE_TOLD_EVERY_MS
    for now_ms in (at, at + 1, 2 * at - 1, 2 * at):
        uses.note(key(), now_ms=now_ms)
    assert told == [("key_1", "acme", at), ("key_1", "acme", 2 * at)]
    uses.note(key("key_2"), now_ms=at)
    assert len(told) == 2
    uses.note(key("key_2"), now_ms=at + 10)
    uses.note(key("op_1", kind="operator"), now_ms=at)
    assert told[2:] == [("key_2", "acme", at + 10)]
