"""One task on a real broker, stepped by hand: state, restore, poison, bugs, aborts, rebalances, fencing."""

from __future__ import annotations

import logging
import shutil

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType

from streams.runtime import ConfigurationFault, Fatal, Fenced, KafkaClients, TaskConfig, check_topology, faults
from streams.runtime.table import GlobalTable
from tests._kafka import KafkaService
from tests.integration._runtime_kit import DEADLINE_S, Engine, Pipeline, committed_records, make_topics

pytestmark = pytest.mark.integration


@pytest.fixture
def pipeline(kafka: KafkaService, tmp_path):
    """A fresh pipeline; fault points are disarmed at its end."""
    yield Pipeline(kafka, tmp_path)
    faults.disarm()


@pytest.fixture
def engines():
    """Engines to close at the end, however the test ends."""
    made: list[Engine] = []
    yield made
    for engine in made:
        engine.close()


def numbers(count: int, *, keys: int = 50) -> list[tuple[bytes, bytes]]:
    """(key, number) pairs."""
    return [(b"k%d" % (number % keys), b"%d" % number) for number in range(count)]


def exactly_once(pipeline: Pipeline, count: int, *, keys: int = 50) -> None:
    """Each number is in the output once and the state counts each key's share."""
    passed = sorted(int(message.value().split()[0]) for message in pipeline.committed("out"))
    assert passed == list(range(count))
    assert sum(int(value) for value in pipeline.state("count").values()) == count
    assert len(pipeline.state("count")) == min(keys, count)


class TestRestore:
    """A store follows its changelog, and only the part it has not seen is read."""

    def test_a_restart_reads_only_the_tail(self, pipeline, engines):
        """After a clean stop nothing of the changelog is read again, and the counts go on where they were."""
        first = Engine(pipeline).ready()
        engines.append(first)
        pipeline.feed(numbers(2_000))
        first.processed(2_000)
        first.close()
        second = Engine(pipeline).ready()
        engines.append(second)
        assert second.task.counters.restored_records == 0
        pipeline.feed([(b"k1", b"2000")])
        second.processed(1)
        exactly_once(pipeline, 2_001)

    def test_a_crash_between_commit_and_apply_reads_the_tail_again(self, pipeline, engines):
        """A committed batch that the store has not seen comes back from the changelog, not from the input."""
        engine = Engine(pipeline).ready()
        engines.append(engine)
        pipeline.feed(numbers(500))
        engine.processed(500)
        faults.arm("after_commit_before_apply", "raise")
        before = engine.task.counters.aborts
        pipeline.feed([(b"k1", b"500")])
        engine.until(lambda: engine.task.counters.aborts > before, "the fault point tripped")
        engine.ready()
        assert engine.task.counters.restored_records == 2  # the count and the positions
        pipeline.feed([(b"k1", b"501")])
        engine.processed(502)
        exactly_once(pipeline, 502)

    def test_an_empty_disk_restores_everything(self, pipeline, engines, caplog):
        """A worker on a new disk has the same state, and says how far it is."""
        first = Engine(pipeline).ready()
        engines.append(first)
        pipeline.feed(numbers(3_000))
        first.processed(3_000)
        first.close()
        shutil.rmtree(first.config.state_directory)
        with caplog.at_level(logging.INFO, logger="streams.runtime"):
            second = Engine(pipeline).ready()
        engines.append(second)
        assert second.task.counters.restored_records >= 50
        assert "100%" in caplog.text
        pipeline.feed([(b"k1", b"3000")])
        second.processed(1)
        exactly_once(pipeline, 3_001)

    @pytest.mark.parametrize("damage", ["current", "manifest", "table", "marker"])
    def test_a_damaged_store_is_rebuilt(self, pipeline, engines, caplog, damage):
        """Garbage in RocksDB's files or no marker beside the state: moved aside, rebuilt from the changelog, said aloud."""
        first = Engine(pipeline).ready()
        engines.append(first)
        pipeline.feed(numbers(1_000))
        first.processed(1_000)
        first.close()
        for store in sorted(first.config.task_directory.iterdir()):
            wreck(store, damage)
        second = Engine(pipeline)
        engines.append(second)
        with caplog.at_level(logging.WARNING, logger="streams.runtime"):
            pipeline.feed([(b"k%d" % number, b"%d" % (1_000 + number)) for number in range(50)])
            second.processed(50)
        assert "store is rebuilt" in caplog.text
        assert list(first.config.task_directory.glob("*.damaged-1"))
        exactly_once(pipeline, 1_050)

    def test_a_changelog_made_anew_drops_the_store(self, pipeline, engines):
        """State of a deleted changelog is not state: the topic's id tells the incarnations apart."""
        first = Engine(pipeline).ready()
        engines.append(first)
        pipeline.feed(numbers(100))
        first.processed(100)
        first.close()
        remake(pipeline, "count")
        second = Engine(pipeline).ready()
        engines.append(second)
        pipeline.feed([(b"k1", b"100")])
        second.processed(1)
        assert pipeline.state("count") == {b"k1": b"1"}

    def test_another_state_version_rebuilds(self, pipeline, engines):
        """A store written for another state version is not read as if it were this one's."""
        first = Engine(pipeline).ready()
        engines.append(first)
        pipeline.feed(numbers(100))
        first.processed(100)
        first.close()
        second = Engine(pipeline, state_version=2).ready()
        engines.append(second)
        assert second.task.counters.restored_records >= 50


def wreck(store, damage: str) -> None:
    """Damage one partition's store."""
    from rocksdict import Options, Rdict

    if damage == "marker":
        database = Rdict(str(store), Options(raw_mode=True))
        database.delete(b"")
        database.close()
        return
    pattern = {"current": "CURRENT", "manifest": "MANIFEST*", "table": "*.sst"}[damage]
    for path in store.glob(pattern):
        content = bytearray(path.read_bytes())
        content[: len(content) // 2] = b"\xa5" * (len(content) // 2)
        path.write_bytes(content)


def remake(pipeline: Pipeline, name: str) -> None:
    """Delete a topic and make it again."""
    import time

    topic = pipeline.topic(name)
    pipeline.admin.delete_topics([topic], operation_timeout=60)[topic].result(DEADLINE_S)
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            make_topics(pipeline.admin, NewTopic(topic, pipeline.partitions, 1, config={"cleanup.policy": "compact"}))
        except Exception:
            assert time.monotonic() < end
            time.sleep(0.1)
        else:
            return


class TestRecordsThatFail:
    """A bad record is set apart, a bug stops its partition, and neighbours notice neither."""

    def test_poison_is_rejected_with_its_bytes_and_leaves_no_effect(self, pipeline, engines):
        """The record's own state and outputs are undone, those of its neighbours in the same batch stay."""
        engine = Engine(pipeline).ready()
        engines.append(engine)
        pipeline.feed([(b"k", b"0"), (b"k", b"poison"), (b"k", b"1"), (b"other", b"2")])
        engine.processed(4)
        assert sorted(message.value() for message in pipeline.committed("out")) == [b"0 1", b"1 2", b"2 1"]
        (rejected,) = pipeline.committed("rejected")
        assert rejected.value() == b"poison"
        assert rejected.headers()[0][1].endswith(b"CountingProblem")
        assert pipeline.state("count") == {b"k": b"2", b"other": b"1"}

    def test_an_oversized_output_is_refused_before_it_is_produced(self, pipeline, engines):
        """The input is rejected with its typed reason; the transaction commits with everything else."""
        engine = Engine(pipeline, output_bytes_max=1_000).ready()
        engines.append(engine)
        pipeline.feed([(b"k", b"0"), (b"k", b"1" * 960), (b"k", b"2")])
        engine.task._rejection = lambda record, poison: engine.reject(record, poison).__class__(
            engine.config.rejected, b"cut", headers=(("reason", type(poison).__name__.encode()),)
        )
        engine.processed(3)
        assert [message.value() for message in pipeline.committed("out")] == [b"0 1", b"2 2"]
        assert [message.headers() for message in pipeline.committed("rejected")] == [[("reason", b"OutputOversized")]]

    def test_a_bug_stops_its_partition_and_no_other(self, pipeline, engines, caplog):
        """What came before it commits, its offset stays, other partitions go on, and a restart tries again."""
        engine = Engine(pipeline).ready()
        engines.append(engine)
        pipeline.feed([(b"a", b"0"), (b"a", b"bug"), (b"a", b"1")], partition=0)
        pipeline.feed([(b"b", b"2"), (b"b", b"3")], partition=1)
        engine.until(lambda: engine.task.counters.stops == 1, "the partition stopped")
        pipeline.feed([(b"b", b"4")], partition=1)
        pipeline.feed([(b"a", b"5")], partition=0)
        engine.processed(4)
        assert pipeline.state("count") == {b"a": b"1", b"b": b"3"}
        status = engine.task.status()
        assert not status.healthy
        assert (status.partitions[0].partition, status.partitions[0].phase) == (0, "stopped")
        assert "offset 1" in (status.partitions[0].stopped_reason or "")
        assert "partition 0 stopped at" in caplog.text
        engine.close()
        mended = Engine(pipeline)
        engines.append(mended)
        mended.count = lambda record, context: context.emit(pipeline.topic("out"), record.value, key=record.key)
        mended.processed(3)
        assert [m.value() for m in pipeline.committed("out") if m.key() == b"a"] == [b"0 1", b"bug", b"1", b"5"]


class TestTransactions:
    """What is not certain is undone and done again."""

    @pytest.mark.parametrize(
        "point", [name for name in faults.FAULT_POINTS if not name.startswith(("on_", "before_", "during_"))]
    )
    def test_a_failure_at_any_point_of_a_batch_changes_nothing(self, pipeline, engines, point):
        """Raise at each fault point, three times each: every record still counts once."""
        for nth in (1, 2, 3):
            faults.arm(point, "raise", nth=nth)
        engine = Engine(pipeline, batch_records_max=100)
        engines.append(engine)
        pipeline.feed(numbers(1_000))
        engine.processed(1_000)
        assert engine.task.counters.aborts >= 1
        exactly_once(pipeline, 1_000)

    def test_a_failed_delivery_aborts_the_transaction(self, pipeline, engines):
        """A topic that refuses one record of a batch gets none of it, until the topic is mended."""
        engine = Engine(pipeline).ready()
        engines.append(engine)
        limit(pipeline, "out", 300)
        pipeline.feed([(b"k", b"0"), (b"k", b"1" * 600), (b"k", b"2")])
        engine.until(lambda: engine.task.counters.aborts >= 2, "the batch aborted")
        assert pipeline.committed("out") == []
        assert pipeline.state("count") == {}
        limit(pipeline, "out", 1_000_000)
        engine.processed(3)
        assert [message.value().split()[1] for message in pipeline.committed("out")] == [b"1", b"2", b"3"]

    def test_a_failure_that_never_ends_ends_the_process(self, pipeline, engines):
        """Aborts in a row are bounded; the last error is in the fatal one."""
        engine = Engine(pipeline, failures_in_a_row_max=2).ready()
        engines.append(engine)
        limit(pipeline, "out", 300)
        pipeline.feed([(b"k", b"1" * 600)])
        with pytest.raises(Fatal, match="3 times in a row"):
            engine.until(lambda: False, "it gives up")
        assert engine.task.status().state == "failed"

    def test_a_second_process_of_the_same_instance_fences_the_first(self, pipeline, engines):
        """The earlier one can't commit any more and ends; the later one goes on exactly where it was."""
        first = Engine(pipeline).ready()
        engines.append(first)
        pipeline.feed(numbers(100))
        first.processed(100)
        second = Engine(pipeline)
        second.task._stores._directory = pipeline.directory / "elsewhere"
        engines.append(second)
        second.ready()
        pipeline.feed([(b"k0", b"100")])
        with pytest.raises(Fenced, match="instance"):
            first.until(lambda: False, "the first is fenced")
        second.processed(1)
        exactly_once(pipeline, 101)


def limit(pipeline: Pipeline, name: str, bytes_max: int) -> None:
    """Set a topic's max.message.bytes."""
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry

    entry = ConfigEntry("max.message.bytes", str(bytes_max), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, pipeline.topic(name), incremental_configs=[entry])
    for future in pipeline.admin.incremental_alter_configs([resource]).values():
        future.result(DEADLINE_S)


class TestRebalance:
    """Partitions move with their state."""

    def test_scaling_from_one_to_two_to_one_keeps_every_count(self, pipeline, engines):
        """The second worker takes half with their state from the changelog; when it goes, the first has all again."""
        one = Engine(pipeline, instance="one", session_timeout_ms=6_000).ready()
        engines.append(one)
        pipeline.feed(numbers(1_000))
        one.processed(1_000)
        two = Engine(pipeline, instance="two", session_timeout_ms=6_000)
        engines.append(two)

        def shared() -> bool:
            two.task.step()
            return one.task.ready and two.task.ready and len(one.task.status().partitions) == 2

        one.until(shared, "the partitions are shared")
        pipeline.feed([(b"k%d" % (number % 50), b"%d" % number) for number in range(1_000, 2_000)])

        def both() -> bool:
            two.task.step()
            return one.task.counters.records + two.task.counters.records >= 2_000

        one.until(both, "both worked")
        assert min(one.task.counters.records - 1_000, two.task.counters.records) > 0
        two.close()
        one.until(lambda: one.task.ready and len(one.task.status().partitions) == 4, "the first has all again")
        pipeline.feed([(b"k%d" % (number % 50), b"%d" % number) for number in range(2_000, 2_500)])
        already = two.task.counters.records
        one.processed(2_500 - already)
        exactly_once(pipeline, 2_500)


class TestGlobalTable:
    """Configuration is complete before the first record and follows its topic."""

    def test_a_table_is_loaded_to_its_end_and_refreshed(self, pipeline, engines):
        """The last value of each key counts, tombstones remove, and news arrive between batches."""
        topic = pipeline.kafka.topic("tenants", partitions=2, config={"cleanup.policy": "compact"})
        producer = Producer({"bootstrap.servers": pipeline.kafka.bootstrap})
        for key, value in [(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None)]:
            producer.produce(topic, value, key)
        producer.flush(DEADLINE_S)
        table = GlobalTable(topic, lambda record: int(record.value))
        engine = Engine(pipeline)
        engine.task._tables = (table,)
        engines.append(engine)
        engine.ready()
        assert dict(table.items()) == {b"a": 2}
        producer.produce(topic, b"not a number", b"a")
        producer.produce(topic, b"7", b"c")
        producer.flush(DEADLINE_S)
        engine.until(lambda: table.get(b"c") == 7 and table.undecodable == 1, "the table followed")
        assert table.get(b"a") == 2


class TestTopology:
    """Topics that are not as promised are refused before anything runs."""

    def check(self, pipeline: Pipeline, **changes) -> None:
        """Check the pipeline's topics under a changed configuration."""
        settings = {"sources": (pipeline.topic("in"),), "changelog": pipeline.topic("count")} | changes
        promised = {name: settings.pop(name) for name in ("replication_min", "insync_min") if name in settings}
        config = TaskConfig(name="t", application="a", instance="i", bootstrap=pipeline.kafka.bootstrap, **settings)
        check_topology(KafkaClients(config), config, **promised)

    def test_the_promised_topics_pass(self, pipeline):
        """Equal partitions and a compacted changelog."""
        self.check(pipeline)

    def test_every_fault_says_what_to_do(self, pipeline):
        """Missing topic, other partition count, changelog without compaction, too few replicas or in-sync replicas."""
        odd = pipeline.kafka.topic("odd", partitions=3)
        plain = pipeline.kafka.topic("plain", partitions=4)
        for changes, message in [
            ({"sources": ("nowhere",)}, "create the topics"),
            ({"sources": (pipeline.topic("in"), odd)}, "same number of partitions"),
            ({"changelog": plain}, "set cleanup.policy=compact"),
            ({"replication_min": 3}, "reassign its partitions"),
            ({"insync_min": 2}, "set min.insync.replicas=2"),
        ]:
            with pytest.raises(ConfigurationFault, match=message):
                self.check(pipeline, **changes)


def test_records_that_were_deleted_before_they_were_processed_stop_the_partition(pipeline, engines):
    """A committed offset that the log no longer has is lost input: said aloud, never skipped."""
    engine = Engine(pipeline).ready()
    engines.append(engine)
    pipeline.feed([(b"k", b"0"), (b"k", b"1")], partition=0)
    engine.processed(2)
    engine.close()
    pipeline.feed([(b"k", b"%d" % number) for number in range(2, 6)], partition=0)
    from confluent_kafka import TopicPartition

    for future in pipeline.admin.delete_records([TopicPartition(pipeline.topic("in"), 0, 4)]).values():
        future.result(DEADLINE_S)
    second = Engine(pipeline).ready()
    engines.append(second)
    second.until(lambda: second.task.counters.stops == 1, "the partition stopped")
    assert "lost input" in (second.task.status().partitions[0].stopped_reason or "")
    assert len(committed_records(pipeline.kafka.bootstrap, pipeline.topic("out"))) == 2
