"""The load's payouts: it asks for what is settled, now and then for more, and calls some off; each command where it belongs."""

from __future__ import annotations

from collections import Counter

from schemas import codec
from schemas.records import PayoutCommand, PayoutEvent, PayoutTransaction, SettlementEvent, WindowTotals
from streams.core.payout_commands import _check
from tests.chaos.paying import DESTINATIONS, Paying


class _Settled:
    """A consumer of settlement events that gives what a test puts there."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def consume(self, count: int, timeout_s: float) -> list[_Settled._Message]:
        given, self.events = self.events, []
        return [self._Message(event) for event in given]

    class _Message:
        def __init__(self, event: object) -> None:
            self._event = event

        def error(self) -> None:
            return None

        def value(self) -> bytes:
            return codec.encode(self._event)


def _asked(payouts: int) -> list[tuple[str, str, PayoutCommand]]:
    settled, sent = _Settled(), []
    closed = SettlementEvent(
        type="settlement_window.closed",
        tenant="acme",
        provider="northpay",
        currency="EUR",
        totals=WindowTotals(net_minor=1_000),
    )
    settled.events.append(closed)
    paying = Paying(settled, lambda *record: sent.append(record), seed=3, reply_partitions=4)
    while paying.asked < payouts:
        paying._next = 0.0
        paying.work(more=True)
    return [(topic, key, codec.decode(value)) for topic, key, value in sent]


def test_commands_are_what_the_fold_takes():
    """Each keeps its contract: the key of its flow, the id of its key, a place for the answer."""
    kinds: Counter[str] = Counter()
    destinations = set()
    for topic, key, command in _asked(300):
        _check(command)
        assert topic == "settlement.inputs"
        assert key == ("acme//" if command.kind == "claim" else "acme/northpay/EUR")
        assert 0 <= command.reply_partition < 4
        kinds[command.kind] += 1
        destinations.add(command.destination)
    assert kinds["claim"] == 300
    assert min(kinds[kind] for kind in ("create", "cancel", "update")) > 20
    assert destinations == set(DESTINATIONS)


def test_it_asks_for_what_is_left():
    """Most payouts are of at most what is settled, some of more; nothing settled, nothing asked."""
    amounts = [command.amount_minor for _, _, command in _asked(200) if command.kind == "claim"]
    assert sum(minor <= 1_000 for minor in amounts) > 150
    assert any(minor > 1_000 for minor in amounts)
    settled = _Settled()
    settled.events.append(
        PayoutEvent(tenant="acme", provider="p", currency="EUR", transaction=PayoutTransaction(amount_minor=-9))
    )
    paying = Paying(settled, lambda *record: None, seed=3, reply_partitions=4)
    paying.work(more=True)
    assert paying.asked == 0
