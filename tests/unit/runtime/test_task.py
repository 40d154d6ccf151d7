"""The engine on a Kafka model: what it does with failures, rebalances and answers that never come."""

from __future__ import annotations

import logging

import pytest

from streams.runtime import POSITIONS_KEY, Output, PoisonRecord, Record, TaskConfig, faults
from streams.runtime.errors import (
    Abortable,
    Behind,
    ConfigurationFault,
    Fatal,
    Fenced,
    Indefinite,
    InputLost,
    Retriable,
    StoreDamaged,
)
from streams.runtime.task import Task
from tests.unit.runtime._log import DictStores, Log, LogClients, StepClock


class Bench:
    """A task that counts by key on a log, with everything a test wants to touch."""

    def __init__(
        self, log: Log | None = None, stores: DictStores | None = None, *, give=(0,), handler=None, **settings
    ) -> None:
        self.log = log or Log()
        self.stores = stores or DictStores(self.log.calls)
        self.clients = LogClients(self.log)
        self.clients.at_once = give
        self.clock = StepClock()
        self.config = TaskConfig(
            **{"name": "count", "application": "test", "instance": "a", "sources": ("in",), "changelog": "state"}
            | settings
        )
        self.task = Task(
            self.config,
            lambda batch: batch.run(handler or self.handle),
            clients=self.clients,
            stores=self.stores,
            clock=self.clock,
            rejection=lambda record, poison: Output("rejected", record.value, record.key, record.partition),
        )

    def handle(self, record: Record, context) -> None:
        """Count and pass on; some values misbehave after their effects."""
        if self.config.changelog:
            context.store.put(record.key, b"%d" % (int(context.store.get(record.key) or b"0") + 1))
        context.emit("out", record.value, key=record.key, partition=record.partition)
        if record.value == b"poison":
            raise PoisonRecord("bad")
        if record.value == b"bug":
            raise KeyError("bug")

    def steps(self, count: int) -> Bench:
        """So many turns."""
        for _ in range(count):
            self.task.step()
        return self

    @property
    def consumer(self):
        """The present consumer."""
        return self.clients.consumers[-1]

    def out(self) -> list[bytes]:
        """Committed outputs."""
        return [record.value for record in self.log.committed("out")]

    def state(self, number: int = 0) -> dict[bytes, bytes]:
        """What is on the partition's disk, without the marker and the positions."""
        return {key: value for key, value in self.stores.disks[number].items() if key not in (b"", POSITIONS_KEY)}

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        """Committed records of the changelog."""
        return [(record.key, record.value) for record in self.log.committed("state")]


@pytest.fixture(autouse=True)
def no_faults():
    """No fault point stays armed."""
    yield
    faults.disarm()


class TestTransaction:
    """One batch, one transaction."""

    def test_outputs_changelog_and_offsets_commit_together_and_the_store_follows(self):
        """The order of calls is begin, produce, offsets, commit, apply; the changelog has one record a key, and the positions."""
        bench = Bench()
        bench.log.append("in", (b"k", b"1"), (b"k", b"2"), (b"l", b"3"))
        bench.steps(1)
        bench.log.calls.clear()
        bench.steps(1)
        calls = [call for call in bench.log.calls if call != "poll"]
        assert calls == ["begin", "produce", "produce", "send_offsets", "commit", "apply"]
        assert bench.out() == [b"1", b"2", b"3"]
        assert bench.changes() == [(b"k", b"2"), (b"l", b"1"), (POSITIONS_KEY, b'{"in":3}')]
        assert bench.log.offsets == {("in", 0): 3}
        assert bench.state() == {b"k": b"2", b"l": b"1"}

    def test_outputs_carry_the_time_of_their_input(self):
        """Without a timestamp of its own an output has that of the record that caused it."""
        bench = Bench()
        bench.log.append("in", (b"k", b"1"), (b"k", b"2"))
        bench.steps(3)
        assert [record.timestamp_ms for record in bench.log.committed("out")] == [1_000, 1_001]

    def test_a_retriable_failure_repeats_the_call_with_growing_waits(self):
        """Nothing happened, so nothing is rewound."""
        bench = Bench()
        bench.log.append("in", (b"k", b"1"))
        bench.steps(1)
        bench.log.fail("send_offsets", Retriable("loading"), Retriable("loading"))
        bench.steps(1)
        assert bench.out() == [b"1"]
        assert bench.task.counters.aborts == 0
        assert bench.clock.slept_ms == [20, 40]

    def test_retries_are_bounded(self):
        """A call that stays retriable becomes an abort, and the record is done again."""
        bench = Bench()
        bench.log.append("in", (b"k", b"1"))
        bench.log.fail("send_offsets", *[Retriable("loading")] * 6)
        bench.steps(8)
        assert bench.task.counters.aborts == 1
        assert bench.out() == [b"1"]

    @pytest.mark.parametrize("operation", ["begin", "produce", "send_offsets", "commit"])
    @pytest.mark.parametrize("took_effect", [False, True])
    @pytest.mark.parametrize("error", [Abortable, Indefinite])
    def test_a_lost_answer_is_never_assumed(self, operation, took_effect, error):
        """Whether the call took effect or not, the record counts once: new clients, positions as committed."""
        bench = Bench()
        bench.log.append("in", (b"k", b"1"))
        bench.steps(1)
        bench.log.fail(operation, error("no answer"), after=took_effect)
        bench.log.append("in", (b"k", b"2"))
        bench.steps(6)
        assert bench.out() == [b"1", b"2"]
        assert bench.state() == {b"k": b"2"}
        assert len(bench.clients.consumers) == 2
        assert bench.clients.consumers[0].closed

    def test_an_abort_drops_the_overlay(self):
        """State that was not committed is neither in the store nor in the next batch's view."""
        bench = Bench()
        bench.log.append("in", (b"k", b"1"))
        bench.log.fail("commit", Abortable("no"), Abortable("no"), Abortable("no"))
        bench.steps(14)
        assert bench.state() == {b"k": b"1"}
        assert bench.changes() == [(b"k", b"1"), (POSITIONS_KEY, b'{"in":1}')]

    def test_failures_in_a_row_end_the_process(self):
        """The last failure is named; the back-off grows to its limit."""
        bench = Bench(failures_in_a_row_max=10)
        bench.log.append("in", (b"k", b"1"))
        bench.log.fail("commit", *[Abortable("refused for ever")] * 100)
        with pytest.raises(Fatal, match="11 times in a row, at last: refused for ever"):
            bench.steps(100)
        assert max(bench.clock.slept_ms) == 5_000
        assert bench.task.status().state == "failed"

    def test_a_fenced_producer_ends_the_process_and_applies_nothing(self):
        """Somebody else owns the partitions now."""
        bench = Bench()
        bench.log.append("in", (b"k", b"1"))
        bench.steps(1)
        bench.log.epochs[0] += 1
        with pytest.raises(Fenced):
            bench.steps(1)
        bench.task.close()
        assert bench.state() == {}
        assert bench.stores.all_closed

    def test_the_second_producer_is_fenced_at_the_start_too(self):
        """Whoever held the instance's place before can commit with neither of its producers."""
        old, new = Bench(), Bench()
        new.log = new.clients.log = old.log
        old.log.append("in", (b"k", b"1"))
        old.steps(2)
        new.steps(1)
        old.log.append("in", (b"k", b"2"))
        assert old.task._session.producer._turn == 1
        with pytest.raises(Fenced):
            old.steps(1)
        assert old.out() == [b"1"]

    def test_questions_are_answered_when_a_marker_came_behind_the_next_transaction(self):
        """Two producers take turns, so a marker may lie behind the next one's records; the state follows to the end all the same."""
        bench = Bench()
        bench.log.markers_late = True
        for number in range(4):
            bench.log.append("in", (b"k", b"v"))
            bench.steps(2)
            assert bench.out() == [b"v"] * (number + 1)
            end = len(bench.log.entries["state", 0])
            assert bench.task.read(0, lambda get: get(b"k"), end=end) == b"%d" % (number + 1)
        bench.log.append("state", (b"k", b"another worker's"))
        with pytest.raises(Behind):
            bench.task.read(0, lambda get: get(b"k"), end=len(bench.log.entries["state", 0]) + len(bench.log.late))

    def test_a_stale_generation_cannot_commit(self):
        """KIP-447: offsets of an earlier generation are refused, and the batch is done again by whoever may."""
        bench = Bench()
        bench.log.append("in", (b"k", b"1"))
        bench.steps(1)
        generation = bench.log.generation
        bench.consumer.group_metadata = lambda: generation
        bench.log.generation += 1
        bench.steps(1)
        assert bench.out() == []
        assert bench.task.counters.aborts == 1

    def test_a_batch_with_too_many_outputs_is_split(self, monkeypatch):
        """The records left over make the next transaction; their order stays."""
        monkeypatch.setattr("streams.runtime.batch.BATCH_OUTPUTS_MAX", 2)
        bench = Bench()
        bench.log.append("in", *[(b"k", b"%d" % number) for number in range(5)])
        bench.steps(5)
        assert bench.task.counters.batches == 3
        assert bench.out() == [b"0", b"1", b"2", b"3", b"4"]

    def test_a_processor_that_does_not_run_the_batch_fails_it(self):
        """Silence isn't success."""
        bench = Bench(failures_in_a_row_max=1)
        bench.task._processor = lambda batch: None
        bench.log.append("in", (b"k", b"1"))
        with pytest.raises(Fatal, match="without running the batch"):
            bench.steps(20)
        assert bench.log.offsets == {}


class TestPoisonAndBugs:
    """One record's failure is its own."""

    def test_poison_leaves_only_its_rejection(self):
        """Its state and outputs are undone, the rejection takes their place in the order."""
        bench = Bench()
        bench.log.append("in", (b"k", b"1"), (b"k", b"poison"), (b"k", b"2"))
        bench.steps(3)
        assert bench.out() == [b"1", b"2"]
        assert [record.value for record in bench.log.committed("rejected")] == [b"poison"]
        assert bench.state() == {b"k": b"2"}
        assert bench.task.counters.rejected == 1

    def test_a_rejection_that_fails_stops_the_partition(self):
        """A record that can be neither processed nor rejected isn't skipped."""
        bench = Bench()
        bench.task._rejection = lambda record, poison: 1 / 0
        bench.log.append("in", (b"k", b"1"), (b"k", b"poison"), (b"k", b"2"))
        bench.steps(4)
        assert bench.out() == [b"1"]
        assert bench.log.offsets == {("in", 0): 1}
        assert bench.task.status().state == "stopped"

    def test_a_bug_stops_its_partition_at_its_record(self, caplog):
        """What came before commits, what comes after waits, another partition goes on."""
        bench = Bench(give=(0, 1))
        bench.log.append("in", (b"k", b"1"), (b"k", b"bug"), (b"k", b"2"))
        bench.log.append("in", (b"l", b"3"), partition=1)
        bench.steps(3)
        bench.log.append("in", (b"l", b"4"), partition=1)
        bench.steps(2)
        assert bench.out() == [b"1", b"3", b"4"]
        assert bench.log.offsets == {("in", 0): 1, ("in", 1): 2}
        assert set(bench.consumer.positions) == {("in", 1)}
        assert "in[0] offset 1" in caplog.text

    def test_input_that_is_gone_stops_the_partition(self):
        """A committed offset before the log's start is never turned into "earliest"."""
        bench = Bench(give=(0, 1)).steps(2)
        bench.log.fail("poll", InputLost("offset out of range", topic="in", partition=0))
        bench.log.append("in", (b"l", b"1"), partition=1)
        bench.steps(2)
        assert [part.phase for part in bench.task.status().partitions] == ["stopped", "running"]
        assert bench.out() == [b"1"]


class TestOrder:
    """Only what is next is processed."""

    def test_records_behind_the_position_are_dropped(self):
        """A client that delivers again what was processed (librdkafka #2256) changes nothing."""
        bench = Bench()
        bench.log.append("in", (b"k", b"1"), (b"k", b"2"))
        bench.steps(3)
        bench.consumer.extra = bench.log.committed("in")
        bench.steps(1)
        assert bench.out() == [b"1", b"2"]
        assert bench.task.counters.stale_records == 2

    def test_records_of_partitions_that_do_not_run_are_dropped(self):
        """What arrives for a partition that was revoked in the same poll belongs to its next owner."""
        bench = Bench(give=(0, 1))
        bench.steps(2)
        bench.log.append("in", (b"k", b"1"))
        bench.consumer.extra = bench.log.committed("in")
        bench.consumer.take(0)
        bench.steps(2)
        assert bench.out() == []

    def test_gaps_forwards_are_normal(self):
        """Transaction markers and compaction leave offsets without records."""
        bench = Bench()
        bench.log.append("in", (b"k", b"1"))
        bench.log.mark("in")
        bench.log.append("in", (b"k", b"2"))
        bench.steps(4)
        assert bench.out() == [b"1", b"2"]
        assert bench.log.offsets == {("in", 0): 3}


class TestRebalance:
    """Partitions come with their state and go without a trace."""

    def test_nothing_is_fetched_before_its_state_is_restored(self):
        """While the changelog holds more than a slice, the consumer has no position of the partition."""
        log = Log()
        log.append("state", *[(b"k%d" % number, b"1") for number in range(12_000)])
        log.append("in", (b"k1", b"1"))
        log.offsets["in", 0] = 0
        bench = Bench(log).steps(2)
        assert bench.consumer.positions == {}
        assert bench.task.status().state == "restoring"
        assert 0 < bench.task.status().partitions[0].restored_fraction < 1
        bench.steps(4)
        assert bench.state()[b"k1"] == b"2"

    def test_partitions_go_on_while_another_restores(self):
        """A long restore holds up nobody else."""
        log = Log()
        log.append("state", *[(b"k%d" % number, b"1") for number in range(20_000)], partition=1)
        bench = Bench(log).steps(2)
        bench.consumer.take(0)
        bench.consumer.give(0, 1)
        bench.steps(1)
        log.append("in", (b"a", b"1"), partition=0)
        bench.log.unstable.clear()
        bench.steps(8)
        assert bench.out() == [b"1"]

    def test_an_unstable_offset_waits_for_its_transaction(self):
        """An earlier owner's open transaction may still commit: neither position nor changelog end is asked before."""
        log = Log()
        log.unstable = {("in", 0)}
        bench = Bench(log).steps(3)
        assert "end_offsets" not in log.calls
        assert bench.task.status().partitions[0].phase == "resolving"
        log.append("state", (b"k", b"7"))
        log.append("in", (b"k", b"1"), (b"k", b"2"))
        log.offsets[("in", 0)] = 1
        log.unstable = set()
        bench.steps(3)
        assert log.calls.index("committed") < log.calls.index("end_offsets")
        assert bench.out() == [b"2"]
        assert bench.state() == {b"k": b"8"}

    def test_a_changelog_without_a_leader_is_asked_again(self):
        """A retriable answer costs a turn, not the session."""
        log = Log()
        log.fail("end_offsets", Retriable("not leader"), Retriable("not leader"))
        log.append("in", (b"k", b"1"))
        bench = Bench(log).steps(5)
        assert bench.out() == [b"1"]
        assert bench.task.counters.aborts == 0

    def test_a_restore_waits_for_late_markers(self):
        """The target is the uncommitted end (KAFKA-10167): records whose marker is late are not missed."""
        log = Log()
        log.append("state", (b"k", b"1"))
        late = log.entries["state", 0][0]
        late.state = "open"
        log.offsets["in", 0] = 0
        bench = Bench(log).steps(4)
        assert bench.task.status().partitions[0].phase == "restoring"
        late.state = "committed"
        log.append("in", (b"k", b"1"))
        bench.steps(3)
        assert bench.state() == {b"k": b"2"}

    @pytest.mark.parametrize("lost", [False, True])
    def test_stores_close_when_partitions_go(self, lost):
        """Revoked or lost: the store is closed within the callback, and its records are forgotten."""
        bench = Bench(give=(0, 1)).steps(3)
        bench.consumer.take(0, 1, lost=lost)
        bench.steps(1)
        assert bench.stores.all_closed
        assert bench.task.status().partitions == ()

    def test_sources_without_their_partner_are_a_configuration_fault(self):
        """Co-partitioned topics with different partition counts can't share state."""
        bench = Bench(give=(), sources=("in", "more"))
        bench.steps(1)
        bench.consumer.give(0, topics=["in"])
        with pytest.raises(ConfigurationFault, match="same number of partitions"):
            bench.steps(2)

    def test_ready_is_said_once_everything_is_restored(self, caplog):
        """The log line that supervisors wait for; a worker without partitions is ready too."""
        with caplog.at_level(logging.INFO, logger="streams.runtime"):
            Bench(give=(0, 1)).steps(4)
        assert [line for line in caplog.messages if "ready" in line] == ["task count ready: partitions [0, 1]"]

    def test_closing_closes_everything(self):
        """Stores, consumer and producer; a second close does nothing."""
        bench = Bench().steps(3)
        bench.task.close()
        bench.task.close()
        assert bench.stores.all_closed
        assert bench.consumer.closed
        assert bench.task.status().state == "closed"


class TestStore:
    """The store is a follower of the changelog and nothing else."""

    def run(self, *values: bytes) -> Bench:
        """A bench that has processed records and was closed."""
        bench = Bench()
        bench.log.append("in", *[(b"k", value) for value in values])
        bench.steps(3)
        bench.task.close()
        return bench

    def again(self, bench: Bench, **settings) -> Bench:
        """A new task on the same log and disks."""
        second = Bench(bench.log, bench.stores, **settings)
        second.clock.now_ms = bench.clock.now_ms
        return second.steps(4)

    def test_a_restart_reads_nothing_that_it_has(self):
        """The marker lies behind the last applied record."""
        second = self.again(self.run(b"1", b"2"))
        assert second.task.counters.restored_records == 0
        assert second.state() == {b"k": b"2"}

    @pytest.mark.parametrize(("said", "shown"), [(None, "no offset"), (1, "offset 1"), (0, "offset 0")])
    def test_a_coordinator_that_has_not_read_its_log_is_not_believed(self, caplog, said, shown):
        """Kafka says none of the group's offsets or an old one: the state knows which inputs are in it, and goes on there."""
        bench = self.run(b"1", b"2")
        bench.log.offsets.clear()
        if said is not None:
            bench.log.offsets["in", 0] = said
        second = self.again(bench)
        assert f"Kafka says {shown}, the state ends at 2: going on from there" in caplog.text
        second.log.append("in", (b"k", b"3"))
        second.steps(2)
        assert second.out() == [b"1", b"2", b"3"]
        assert second.state() == {b"k": b"3"}
        assert second.log.offsets == {("in", 0): 3}

    def test_an_offset_beyond_the_state_was_set_by_hand(self, caplog):
        """What a person skipped stays skipped, and is said."""
        bench = self.run(b"1", b"2")
        bench.log.append("in", (b"k", b"3"), (b"k", b"4"))
        bench.log.offsets["in", 0] = 3
        second = self.again(bench)
        assert "offset 3 is beyond the state, which ends at 2: set by hand?" in caplog.text
        assert second.out() == [b"1", b"2", b"4"]

    def test_a_task_that_keeps_nothing_else_still_keeps_its_positions(self):
        """A handler without state, with a changelog: nothing is done twice when the coordinator forgets."""
        bench = Bench(handler=lambda record, context: context.emit("out", record.value, key=record.key))
        bench.log.append("in", (b"k", b"1"), (b"k", b"2"))
        bench.steps(3)
        bench.task.close()
        bench.log.offsets.clear()
        second = self.again(bench)
        assert second.out() == [b"1", b"2"]
        assert second.task.status().partitions[0].phase == "running"

    def test_offsets_that_kafka_forgot_stop_a_partition_that_has_none_of_its_own(self):
        """State of an earlier version without a committed offset is never taken for a beginning: nothing is done twice."""
        bench = self.run(b"1", b"2")
        bench.log.offsets.clear()
        del bench.stores.disks[0][POSITIONS_KEY]
        second = self.again(bench)
        (part,) = second.task.status().partitions
        assert part.phase == "stopped"
        assert "group test-count" in part.stopped_reason
        assert second.out() == [b"1", b"2"]

    def test_a_crash_after_the_commit_reads_the_tail_again(self):
        """The store never runs ahead, and what it missed comes from the changelog."""
        bench = Bench()
        bench.log.append("in", (b"k", b"1"))
        bench.steps(1)

        class Killed(BaseException):
            """As if the process were gone."""

        def die() -> None:
            raise Killed

        faults.arm("after_commit_before_apply", die)
        with pytest.raises(Killed):
            bench.steps(1)
        assert bench.state() == {}
        bench.stores.opened[0].close()
        second = self.again(bench)
        assert second.task.counters.restored_records == 2  # the count and the positions
        assert second.state() == {b"k": b"1"}
        assert second.out() == [b"1"]

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda bench: bench.log.topic_ids.__setitem__("state", "incarnation-2"), "made anew"),
            (lambda bench: bench.log.entries.__setitem__(("state", 0), []), "beyond the changelog's end"),
        ],
    )
    def test_a_store_of_another_changelog_is_dropped(self, caplog, change, reason):
        """Recreated or cut: the store has no claim, the changelog has."""
        bench = self.run(b"1")
        change(bench)
        second = self.again(bench)
        assert reason in caplog.text
        assert second.stores.discarded == [(0, False)]

    def test_a_store_older_than_tombstones_are_kept_is_dropped(self, caplog):
        """Compaction may have removed deletions that it has not seen."""
        bench = self.run(b"1")
        bench.log.append("state", (b"l", b"1"))
        bench.clock.now_ms += 24 * 3600 * 1000
        second = self.again(bench)
        assert "compaction may have removed deletions" in caplog.text
        assert second.state() == {b"k": b"1", b"l": b"1"}

    def test_a_store_that_had_nothing_to_do_is_not_old(self):
        """A revoke or a clean stop notes that the store was current that day."""
        bench = Bench()
        bench.log.append("in", (b"k", b"1"))
        bench.steps(3)
        bench.clock.now_ms += 24 * 3600 * 1000
        bench.steps(1)
        bench.task.close()
        second = self.again(bench)
        assert second.stores.discarded == []

    def test_damage_found_while_running_rebuilds_the_store(self, caplog):
        """A checksum error in a read: the batch is void, the store is moved aside, the changelog restores it."""
        bench = Bench()
        bench.log.append("in", (b"k", b"1"))
        bench.steps(3)
        bench.stores.opened[0].damaged = True
        bench.log.append("in", (b"unseen", b"2"))
        bench.steps(5)
        assert bench.stores.discarded == [(0, True)]
        assert bench.state() == {b"k": b"1", b"unseen": b"1"}
        assert bench.out() == [b"1", b"2"]

    def test_a_store_that_is_damaged_again_and_again_gives_up(self):
        """Twice in a row at opening is the disk's fault, not the store's."""
        bench = Bench(failures_in_a_row_max=2)

        def damaged(partition: int):
            raise StoreDamaged("garbage", partition=partition)

        bench.stores.open = damaged
        with pytest.raises(Fatal, match="a store made anew is damaged as well"):
            bench.steps(10)

    def test_a_task_without_a_changelog_has_no_state(self):
        """Handlers that use it are told so, as a fault of configuration."""
        bench = Bench(changelog=None)
        bench.log.append("in", (b"k", b"1"))
        bench.steps(3)
        assert bench.out() == [b"1"]
        bench.task._processor = lambda batch: batch.run(lambda record, context: context.store.put(b"k", b"v"))
        bench.log.append("in", (b"k", b"2"))
        with pytest.raises(ConfigurationFault, match="give its TaskConfig a changelog"):
            bench.steps(2)
