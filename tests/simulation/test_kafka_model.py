"""The simulated Kafka keeps Kafka's rules, the awkward ones above all."""

from __future__ import annotations

import pytest

from streams.runtime.record import Output
from tests.simulation.broker import TOMBSTONES_KEPT_MS, Broker
from tests.simulation.log import PartitionLog
from tests.simulation.scheduler import Crash, Process, Random, World
from tests.simulation.transactions import Refused

LATER_MS = 10_000


@pytest.fixture
def world():
    """An empty world."""
    return World(1)


@pytest.fixture
def broker(world):
    """A broker with one topic of one partition."""
    broker = Broker(world)
    broker.create("t", 1)
    return broker


def _begin(broker, value=b"v", name="tx"):
    """A transaction with one record and one offset."""
    pid, epoch = broker.transactions.init_producer_id(name, timeout_ms=3_000)
    _write(broker, pid, epoch, value, name)
    return pid, epoch


def _write(broker, pid, epoch, value=b"v", name="tx"):
    broker.transactions.add_participants(name, pid, epoch, [("t", 0), ("group", "g")])
    broker.append_in_transaction(name, pid, epoch, [Output("t", value, b"k", 0)], 0)
    broker.groups.add_pending("g", pid, {("in", 0): 5})


def _read(broker):
    return [record.value for record in broker.topics["t"].partitions[0].read(0, broker.world.now_ms, records_max=99)[0]]


def test_a_transaction_is_visible_with_its_marker_and_not_before(world, broker):
    """Open: the stable offset stays at its first record, also for records behind it. Committed: marker first."""
    pid, epoch = _begin(broker)
    broker.append("t", b"k", b"behind")
    world.run_until(50)
    log = broker.topics["t"].partitions[0]
    assert (log.high_watermark(50), log.stable(50), _read(broker)) == (2, 0, [])
    assert broker.groups.unstable("g", ("in", 0))
    broker.transactions.end("tx", pid, epoch, commit=True)
    assert _read(broker) == []
    world.run_until(100)
    assert _read(broker) == [b"v", b"behind"]
    assert broker.groups.group("g").offsets == {("in", 0): 5}
    assert len(log.entries) == 3


def test_an_aborted_transaction_stays_in_the_log_and_is_not_read(world, broker):
    """Its offsets are passed over, its group offsets are forgotten."""
    pid, epoch = _begin(broker)
    broker.transactions.end("tx", pid, epoch, commit=False)
    broker.append("t", b"k", b"after")
    world.run_until(100)
    assert _read(broker) == [b"after"]
    assert broker.topics["t"].partitions[0].read(0, 100, records_max=99, uncommitted=True)[0][0].value == b"v"
    assert broker.groups.group("g").offsets == {}
    assert not broker.groups.unstable("g", ("in", 0))


def test_a_new_producer_fences_the_old_one_and_ends_its_transaction(world, broker):
    """InitProducerId is told to come again while the abort is under way; then the old epoch is refused everywhere."""
    pid, epoch = _begin(broker)
    with pytest.raises(Refused, match="CONCURRENT_TRANSACTIONS"):
        broker.transactions.init_producer_id("tx", timeout_ms=3_000)
    world.run_until(100)
    again, newer = broker.transactions.init_producer_id("tx", timeout_ms=3_000)
    assert again == pid
    assert newer > epoch
    for call in (
        lambda: broker.transactions.end("tx", pid, epoch, commit=True),
        lambda: broker.transactions.add_participants("tx", pid, epoch, [("t", 0)]),
        lambda: broker.append_in_transaction("tx", pid, epoch, [Output("t", b"late", b"k", 0)], 0),
    ):
        with pytest.raises(Refused, match="INVALID_PRODUCER_EPOCH"):
            call()
    assert _read(broker) == []


def test_a_late_end_commits_the_next_transaction_of_the_same_epoch(world, broker):
    """Transactions v1: the coordinator can't tell one transaction of an epoch from the next."""
    pid, epoch = _begin(broker)
    broker.transactions.end("tx", pid, epoch, commit=False)
    world.run_until(100)
    _write(broker, pid, epoch, b"half")
    broker.transactions.end("tx", pid, epoch, commit=True)
    world.run_until(200)
    assert _read(broker) == [b"half"]


def test_a_repeated_end_is_answered_alike_and_a_contrary_one_is_refused(world, broker):
    """As the coordinator's table of states says."""
    pid, epoch = _begin(broker)
    broker.transactions.end("tx", pid, epoch, commit=True)
    world.run_until(100)
    broker.transactions.end("tx", pid, epoch, commit=True)
    with pytest.raises(Refused, match="INVALID_TXN_STATE"):
        broker.transactions.end("tx", pid, epoch, commit=False)


def test_a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced(world, broker):
    """Nobody needs to come back for it."""
    pid, epoch = _begin(broker)
    world.run_until(LATER_MS)
    assert not broker.transactions.dangling
    with pytest.raises(Refused, match="INVALID_PRODUCER_EPOCH"):
        broker.transactions.end("tx", pid, epoch, commit=True)
    assert _read(broker) == []


def test_a_write_outside_its_transaction_is_refused(broker):
    """A record that arrives when its transaction is over can't hang on the partition for ever (KIP-890)."""
    pid, epoch = broker.transactions.init_producer_id("tx", timeout_ms=3_000)
    with pytest.raises(Refused, match="INVALID_TXN_STATE"):
        broker.append_in_transaction("tx", pid, epoch, [Output("t", b"v", b"k", 0)], 0)


def test_offsets_need_a_member_of_the_generation(broker):
    """KIP-447: unknown members, members that were replaced by their own instance, and old generations are refused."""

    class Client:
        session_timeout_ms = 1_000

        def heartbeats(self):
            return True

        def notify(self):
            pass

    groups = broker.groups
    with pytest.raises(Refused, match="UNKNOWN_MEMBER_ID"):
        groups.check("g", ("a", "a-1", 0))
    member = groups.join("g", "a", Client(), ("t",))
    broker.world.run_until(100)
    groups.check("g", ("a", member, 1))
    with pytest.raises(Refused, match="ILLEGAL_GENERATION"):
        groups.check("g", ("a", member, 0))
    again = groups.join("g", "a", Client(), ("t",))
    assert groups.group("g").generation == 1, "a static member that comes back moves nothing"
    groups.check("g", ("a", again, 1))
    with pytest.raises(Refused, match="FENCED_INSTANCE_ID"):
        groups.check("g", ("a", member, 1))


def test_compaction_keeps_the_last_of_each_key_and_every_offset():
    """Replaced, aborted and, after their time, deleted keys go; what is not stable stays; offsets don't move."""
    log = PartitionLog("t", 0, Random(1))
    for key, value in ((b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None), (b"c", b"1")):
        log.append(0, key=key, value=value, timestamp_ms=0)
    log.append(0, key=b"a", value=b"open", timestamp_ms=0, pid=7)
    log.append(0, key=b"c", value=b"behind", timestamp_ms=0)
    log.compact(10, tombstones_kept_ms=TOMBSTONES_KEPT_MS, wall_ms=10)
    assert [(r.offset, r.key, r.value) for r in log.read(0, 10, records_max=9)[0]] == [
        (2, b"a", b"2"), (3, b"b", None), (4, b"c", b"1"),
    ]  # fmt: skip
    log.compact(10, tombstones_kept_ms=TOMBSTONES_KEPT_MS, wall_ms=TOMBSTONES_KEPT_MS + 10)
    assert [record.offset for record in log.read(0, 10, records_max=9)[0]] == [2, 4]


def test_a_crash_stops_every_line_of_a_process_where_it_stands(world):
    """Also the one that asks for it; others go on; what a dead line still calls has no effect."""
    process, other = Process(world, "p"), Process(world, "q")
    seen = []

    def wait(name, owner):
        try:
            while True:
                world.sleep(10)
                seen.append(name)
        except Crash:
            seen.append(f"{name} died")
            world.sleep(1_000)
            raise

    world.spawn(process, "one", lambda: wait("one", process))
    world.spawn(other, "two", lambda: wait("two", other))
    world.spawn(process, "killer", lambda: (world.sleep(25), process.kill()))
    world.run_until(60)
    assert seen.count("one") == 2
    assert seen.count("one died") == 1
    assert seen.count("two") >= 4


def test_a_paused_process_does_nothing_until_it_wakes(world):
    """Time goes on without it; then it goes on where it was."""
    process = Process(world, "p")
    times = []

    def run():
        while True:
            world.sleep(10)
            times.append(world.now_ms)

    world.spawn(process, "line", run)
    world.at(15, lambda: setattr(process, "paused_until_ms", 100))
    world.run_until(130)
    assert not [time for time in times if 25 < time < 100]
    assert [time for time in times if time >= 100]
