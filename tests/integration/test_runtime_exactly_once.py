"""The claim itself, on a real broker: worker processes are killed, stopped and replaced, and nothing is lost or doubled."""

from __future__ import annotations

import collections
import random
import signal
import time

import pytest

from tests._kafka import KafkaService
from tests.integration._runtime_kit import Pipeline, Worker, wait_until, workers

pytestmark = pytest.mark.integration

KEYS = 500
WAVES = 8
WAVE_RECORDS = 7_000
SEED = 20261126


@pytest.fixture
def pipeline(kafka: KafkaService, tmp_path):
    """A fresh pipeline."""
    return Pipeline(kafka, tmp_path)


def numbers(count: int, start: int = 0) -> list[tuple[bytes, bytes]]:
    """(key, number) pairs; every number is unique."""
    return [(b"key-%d" % (number % KEYS), b"%d" % number) for number in range(start, start + count)]


def wait_for_outputs(pipeline: Pipeline, count: int, running: list[Worker]) -> None:
    """Wait until the last agent has seen everything."""

    def settled() -> bool:
        for worker in running:
            if worker.process.poll() is None:
                worker.assert_running()
        return sum(int(value) for value in pipeline.state("total").values()) >= sum(range(count))

    wait_until(settled, f"{count} records went through; {running[-1].tail()}", pause_s=0.5)


def verify(pipeline: Pipeline, count: int) -> None:
    """Every number passed once, every key's count has no gap, both states are the exact sums."""
    fed = numbers(count)
    passed = [message.value().split() for message in pipeline.committed("out")]
    copies = collections.Counter(value for value, _ in passed)
    lost = [value for _, value in fed if copies[value] == 0]
    doubled = {value: times for value, times in copies.items() if times > 1}
    assert (lost, doubled) == ([], {})
    assert len(passed) == count
    seen: dict[bytes, list[int]] = collections.defaultdict(list)
    for message in pipeline.committed("out"):
        seen[message.key()].append(int(message.value().split()[1]))
    for key, counts in seen.items():
        assert counts == list(range(1, len(counts) + 1)), key
    sums = collections.Counter()
    for key, value in fed:
        sums[key] += int(value)
    assert {key: b"%d" % len(counts) for key, counts in seen.items()} == pipeline.state("count")
    assert {key: b"%d" % total for key, total in sums.items()} == pipeline.state("total")


def test_kill_9_at_random_loses_and_doubles_nothing(pipeline):
    """Two workers of two chained agents, killed at random moments and at fault points, pass 56,000 records once each."""
    chance = random.Random(SEED)
    points = ["after_commit_before_apply", "after_offsets_before_commit", "after_produce_before_offsets", "after_apply"]
    with workers() as running:
        for instance in "ab":
            running.append(Worker(pipeline, instance, RUNTIME_BATCH="200"))
        for worker in running:
            worker.ready()
        for wave in range(WAVES):
            pipeline.feed(numbers(WAVE_RECORDS, wave * WAVE_RECORDS))
            victim = wave % 2
            if running[victim].process.poll() is None:
                time.sleep(chance.random() * 0.5)  # the moment of the kill, not a synchronisation
                running[victim].kill()
            else:
                assert running[victim].process.returncode == -signal.SIGKILL, running[victim].tail()
            fault = f"{chance.choice(points)}:kill:{chance.randrange(3, 12)}" if wave < WAVES - 2 else ""
            instance = "ab"[victim]
            running[victim] = Worker(pipeline, instance, RUNTIME_BATCH="200", CLEARLINE_FAULT=fault)
        for index, worker in enumerate(running):
            if worker.process.poll() is not None:
                running[index] = Worker(pipeline, worker.instance, RUNTIME_BATCH="200")
        wait_for_outputs(pipeline, WAVES * WAVE_RECORDS, running)
        verify(pipeline, WAVES * WAVE_RECORDS)
        for worker in running:
            worker.signal(signal.SIGTERM)
        assert [worker.wait() for worker in running] == [0, 0]
