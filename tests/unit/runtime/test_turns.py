"""Turns: two producers that appear as one."""

from __future__ import annotations

import pytest

from schemas.clients import TURNS
from streams.runtime import TaskConfig
from streams.runtime.errors import Abortable, Indefinite
from streams.runtime.kafka import producer_settings
from streams.runtime.record import Output
from streams.runtime.turns import Turns
from tests.unit.runtime._log import Log, LogClients, LogProducer


class Clients(LogClients):
    """Keeps the producers that it made."""

    def __init__(self, log: Log, *, fails_at: int | None = None) -> None:
        super().__init__(log)
        self.made: list[LogProducer] = []
        self.fails_at = fails_at

    def producer(self, turn: int) -> LogProducer:
        """One of that turn."""
        if turn == self.fails_at:
            raise Indefinite("no broker")
        self.made.append(super().producer(turn))
        return self.made[-1]


def transact(turns: Turns, value: bytes) -> int:
    """A transaction of one record; its offset."""
    turns.begin()
    turns.produce([Output("t", value, b"k", 0, (), 1)], track_last=True)
    turns.send_offsets({("in", 0): 1}, 0, timeout_ms=1)
    turns.commit(timeout_ms=1)
    return turns.delivered_offset("t", 0)


@pytest.fixture
def clients():
    """Of an empty log."""
    return Clients(Log())


@pytest.fixture
def turns(clients):
    """Two producers, ready."""
    made = Turns(clients)
    made.init_transactions(timeout_ms=1)
    return made


def test_all_producers_fence_their_predecessors_before_the_first_transaction(turns, clients):
    """One that isn't fenced could still commit what its process left open."""
    assert [producer.turn for producer in clients.made] == list(range(TURNS))
    assert clients.log.calls == ["init"] * TURNS
    assert dict(clients.log.epochs) == dict.fromkeys(range(TURNS), 1)


def test_a_commit_passes_the_turn_and_the_offset_is_of_what_was_committed(turns, clients):
    """Each has every other transaction; offsets are the log's, markers counted."""
    assert [transact(turns, b"%d" % number) for number in range(4)] == [0, 2, 4, 6]
    assert [sorted(producer.delivered.values()) for producer in clients.made] == [[4], [6]]
    assert [record.value for record in clients.log.committed("t")] == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize("error", [Indefinite("lost"), Abortable("refused")])
def test_a_commit_that_is_not_known_keeps_the_turn(turns, clients, error):
    """The other producer begins nothing while this one's transaction may still be open."""
    clients.log.fail("commit", error)
    with pytest.raises(type(error)):
        transact(turns, b"1")
    turns.abort(timeout_ms=1)
    assert clients.log.committed("t") == []
    transact(turns, b"2")
    assert [record.value for record in clients.log.committed("t")] == [b"2"]
    assert clients.made[1].delivered == {}


def test_closing_closes_all_and_so_does_a_failure_to_make_one():
    """No client is left behind."""
    whole = Clients(Log())
    Turns(whole).close()
    assert whole.log.calls == ["close_producer"] * TURNS
    half = Clients(Log(), fails_at=1)
    with pytest.raises(Indefinite):
        Turns(half)
    assert half.log.calls == ["close_producer"]


def test_transactional_ids_are_told_apart_and_the_first_is_the_plain_one():
    """A worker that takes turns fences one of before that did not; no other instance's id can be the second's."""
    config = TaskConfig(name="count", application="test", instance="a", sources=("in",))
    ids = [producer_settings(config, turn=turn)["transactional.id"] for turn in range(TURNS)]
    assert ids == ["test-count-a", "test-count-a:1"]
