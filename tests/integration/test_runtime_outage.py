"""A broker that is killed and comes back: the task waits, then goes on, and nothing is lost or doubled."""

from __future__ import annotations

import threading

import pytest

from tests._kafka import KafkaService
from tests.integration._runtime_kit import Engine, Pipeline

pytestmark = pytest.mark.integration


def test_a_broker_that_is_killed_and_started_again_changes_nothing(kafka_broker: KafkaService, tmp_path):
    """Killed in the middle of the work: the same task, without a restart, goes on when the broker is back."""
    pipeline = Pipeline(kafka_broker, tmp_path)
    engine = Engine(pipeline, batch_records_max=50, call_timeout_ms=5_000, transaction_timeout_ms=8_000).ready()
    try:
        pipeline.feed((b"k%d" % (number % 20), b"%d" % number) for number in range(2_000))
        engine.processed(500)
        kafka_broker.broker.kill()
        back = threading.Thread(target=kafka_broker.broker.start)
        back.start()
        try:
            # The task meets the outage while the broker starts.
            engine.until(lambda: engine.task.counters.records >= 2_000, "the rest went through")
        finally:
            back.join()
        pipeline.feed([(b"k0", b"2000")])
        engine.until(lambda: len(pipeline.committed("out")) == 2_001, "the task goes on")
        passed = sorted(int(message.value().split()[0]) for message in pipeline.committed("out"))
        assert passed == list(range(2_001))
        assert sum(int(value) for value in pipeline.state("count").values()) == 2_001
    finally:
        engine.close()
