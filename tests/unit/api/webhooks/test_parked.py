"""What waits on disk."""

from __future__ import annotations

import stat

import pytest

from api.webhooks.parked import Parked, Taken


@pytest.fixture
def parked(tmp_path):
    """An empty one."""
    made = Parked(tmp_path / "webhooks")
    yield made
    made.close()


def put(parked, name, *, partition=0, lane="t/we_1", due_ms=0, value=b"v", waits=True):
    """Park one."""
    parked.put(partition, name, lane, due_ms=due_ms, value=value, waits=waits)


def test_those_that_are_due_come_in_turn(parked):
    """What has been due longest comes first, what is not due yet doesn't, and what was taken is not given again."""
    put(parked, "later", due_ms=20)
    put(parked, "first", due_ms=10)
    put(parked, "second", due_ms=10)
    put(parked, "other", lane="t/we_2")
    assert parked.due_ms("t/we_1") == 10
    assert [parked.take("t/we_1", now_ms=15).delivery_id for _ in range(2)] == ["first", "second"]
    assert parked.take("t/we_1", now_ms=15) is None
    assert parked.due_ms("t/we_1") == 20
    assert (parked.count("t/we_1"), parked.count("t/we_2"), parked.total, parked.lanes) == (3, 1, 4, 2)


def test_one_that_is_put_again_waits_again(parked):
    """After an attempt a delivery waits until it is due again, with what it is then, and counts once."""
    put(parked, "one")
    assert parked.take("t/we_1", now_ms=5) == Taken(0, 0, "one", b"v")
    put(parked, "one", due_ms=30, value=b"w")
    assert parked.take("t/we_1", now_ms=29) is None
    assert parked.take("t/we_1", now_ms=30).value == b"w"
    assert parked.count("t/we_1") == 1
    parked.remove(0, "one")
    parked.remove(0, "one")
    assert (parked.total, parked.lanes, parked.due_ms("t/we_1")) == (0, 0, None)


def test_nothing_of_a_partition_is_tried_before_it_was_read_to_its_end(parked):
    """While a partition is being read, what later turns out to be over is not tried."""
    put(parked, "over", waits=False)
    put(parked, "open", waits=False)
    assert parked.take("t/we_1", now_ms=5) is None
    parked.remove(0, "over")
    assert parked.release(0) == ["t/we_1"]
    assert parked.take("t/we_1", now_ms=5).delivery_id == "open"


def test_what_was_given_up_is_gone_and_known_to_be(parked):
    """A partition that is somebody else's leaves nothing behind, and what was taken of it before has another epoch."""
    put(parked, "mine")
    put(parked, "theirs", partition=1)
    before = parked.take("t/we_1", now_ms=5)
    assert before.epoch == parked.epoch(0)
    parked.drop([0])
    assert before.epoch != parked.epoch(0)
    assert parked.count("t/we_1") == 1
    assert parked.take("t/we_1", now_ms=5).delivery_id == "theirs"


def test_its_file_is_for_its_owner_and_begins_empty(tmp_path):
    """Nothing of an earlier process is taken up, and nobody else may read the events in it."""
    first = Parked(tmp_path)
    put(first, "one")
    first.close()
    second = Parked(tmp_path)
    assert second.total == 0
    [file] = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    second.close()
