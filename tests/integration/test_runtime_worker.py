"""The runtime under `faust worker`: signals, exit statuses, last words, zombies, agents that fail."""

from __future__ import annotations

import signal

import psutil
import pytest

from tests._kafka import KafkaService
from tests.integration._runtime_kit import Pipeline, Worker, wait_until, workers

pytestmark = pytest.mark.integration

SESSION_MS = 6_000


@pytest.fixture
def pipeline(kafka: KafkaService, tmp_path):
    """A fresh pipeline."""
    return Pipeline(kafka, tmp_path)


@pytest.fixture
def running():
    """Workers that are killed at the end."""
    with workers() as made:
        yield made


def start(running: list[Worker], pipeline: Pipeline, instance: str = "a", **environment: str) -> Worker:
    """Start a worker that is killed at the end."""
    running.append(Worker(pipeline, instance, **environment))
    return running[-1]


def totals(pipeline: Pipeline) -> int:
    """Sum over all keys, as committed."""
    return sum(int(value) for value in pipeline.state("total").values())


@pytest.mark.parametrize("point", ["after_process_before_begin", "after_offsets_before_commit"])
def test_a_zombie_is_fenced(pipeline, running, point):
    """
    A worker stopped in the middle of a batch, past its session time-out, commits nothing of it when it wakes.

    Stopped before its transaction, the group's generation refuses its offsets; stopped before the commit, the broker has
    aborted it. A second worker has processed the same records meanwhile. The zombie rejoins or ends, cleanly.
    """
    short = {"RUNTIME_SESSION_MS": str(SESSION_MS), "RUNTIME_TRANSACTION_MS": str(SESSION_MS)}
    stopped = start(running, pipeline, "a", RUNTIME_BATCH="50", CLEARLINE_FAULT=f"{point}:stop:5", **short)
    stopped.ready()
    pipeline.feed((b"k%d" % (number % 20), b"%d" % number) for number in range(2_000))
    sleeper = psutil.Process(stopped.process.pid)
    wait_until(lambda: sleeper.status() == psutil.STATUS_STOPPED, "the worker has stopped itself")
    other = start(running, pipeline, "b", **short)

    def taken_over() -> bool:
        other.assert_running()
        return totals(pipeline) == sum(range(2_000))

    wait_until(taken_over, f"the second worker took over:\n{other.tail()}", pause_s=0.3)
    stopped.signal(signal.SIGCONT)
    pipeline.feed((b"k%d" % (number % 20), b"%d" % number) for number in range(2_000, 3_000))

    def settled() -> bool:
        partitions = [] if stopped.process.poll() is not None else stopped.task("count").get("partitions", [])
        gone_or_back = stopped.process.poll() is not None or len(partitions) == 2
        return gone_or_back and totals(pipeline) >= sum(range(3_000))

    wait_until(settled, f"the zombie ended or rejoined:\n{stopped.tail()}", pause_s=0.3)
    assert sorted(int(message.value().split()[0]) for message in pipeline.committed("out")) == list(range(3_000))
    assert totals(pipeline) == sum(range(3_000))
    if (status := stopped.process.poll()) is not None:
        assert status == 70
        assert "instance" in stopped.tail(1)


def test_sigterm_finishes_the_batch_and_ends_with_0(pipeline, running):
    """After a clean stop under load, what was decided is committed and the next worker goes on without a gap."""
    first = start(running, pipeline)
    first.ready()
    pipeline.feed((b"k%d" % (number % 20), b"%d" % number) for number in range(20_000))
    wait_until(lambda: pipeline.committed("out"), "the worker is busy", pause_s=0)
    first.signal(signal.SIGTERM)
    assert first.wait() == 0, first.tail()
    start(running, pipeline)
    wait_until(lambda: totals(pipeline) >= sum(range(20_000)), "the rest went through", pause_s=0.3)
    assert sorted(int(message.value().split()[0]) for message in pipeline.committed("out")) == list(range(20_000))


def test_a_fatal_error_ends_the_process_and_says_what_to_do(pipeline, running):
    """Status 70 and a last line for the supervisor's log."""
    worker = start(running, pipeline, CLEARLINE_FAULT="after_poll:fatal")
    worker.ready()
    pipeline.feed([(b"k", b"1")])
    assert worker.wait() == 70
    assert worker.tail(1).startswith("worker ends: ")
    assert "start the process again" in worker.tail(1)


def test_missing_topics_end_the_process_and_say_what_to_do(pipeline, running):
    """A configuration fault at the start is fatal before the group is joined."""
    pipeline.prefix = pipeline.kafka.name("nothing")
    worker = start(running, pipeline)
    assert worker.wait() == 70
    assert "create the topics" in worker.tail(1)


def test_a_stopped_partition_shows_in_health(pipeline, running):
    """A bug stops one partition: 503, the offset is named, the other partitions go on."""
    worker = start(running, pipeline)
    worker.ready()
    pipeline.feed([(b"a", b"1"), (b"a", b"bug")], partition=0)
    pipeline.feed([(b"b", b"2")], partition=1)
    wait_until(lambda: totals(pipeline) == 3, "the neighbours went through", pause_s=0.1)

    def stopped() -> bool:
        health = worker.health()
        return health is not None and not health["healthy"]

    wait_until(stopped, "the stop shows")
    phases = {part["partition"]: part for part in worker.task("count")["partitions"]}
    assert phases[0]["phase"] == "stopped"
    assert "offset 1" in phases[0]["stopped_reason"]
    assert {phases[number]["phase"] for number in (1, 2, 3)} == {"running"}


@pytest.mark.parametrize("behaviour", ["raises", "skips", "cancelled"])
def test_an_agent_that_fails_outside_its_handler_fails_the_batch(pipeline, running, behaviour):
    """An agent that raises, goes on without running its batch, or is cancelled: the batch is done again, never hangs."""
    worker = start(running, pipeline, app="tests.integration._runtime_agents", RUNTIME_BEHAVIOUR=behaviour)
    worker.ready()
    pipeline.feed([(b"k", b"1"), (b"k", b"2")])
    wait_until(lambda: len(pipeline.committed("out")) == 2, f"the batch was done again:\n{worker.tail()}", pause_s=0.2)
    assert worker.task("pass")["counters"]["aborts"] >= 1
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_an_agent_that_hangs_ends_the_process(pipeline, running):
    """A batch has a deadline; nothing of it was committed, so the next process does it again."""
    worker = start(running, pipeline, app="tests.integration._runtime_agents", RUNTIME_BEHAVIOUR="hangs")
    worker.ready()
    pipeline.feed([(b"k", b"1")])
    assert worker.wait() == 70
    assert "did not finish a batch" in worker.tail(1)
    assert pipeline.committed("out") == []


def test_two_agents_on_one_source_are_refused(pipeline, running):
    """Both would get every batch; the worker says so and ends."""
    worker = start(running, pipeline, app="tests.integration._runtime_agents", RUNTIME_BEHAVIOUR="twins")
    worker.ready()
    pipeline.feed([(b"k", b"1")])
    assert worker.wait() == 70
    assert "feeds one agent" in worker.tail(1)
