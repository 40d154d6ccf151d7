"""
Goal: whatever fails at a named point, every input takes effect once. Method: a process per point and action, and a successor.

The tests are made from the list of points, so that a new point has its tests: one that mere work passes needs nothing
more; any other says here what provokes it. Sleeping past the session time-out is SIGSTOP, as for a machine that sleeps:
a thread that hangs keeps its session, since librdkafka's own threads go on.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.runtime import RocksStores
from streams.runtime.faults import FAULT_POINTS
from tests._kafka import KafkaService
from tests.integration._fault_worker import EXIT_FAILED
from tests.integration._runtime_kit import REPOSITORY, Engine, Pipeline, make_topics, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ACTIONS = ("raise", "fatal", "kill", "stop")
PARTITIONS = 2
KEYS = 20
FIRST, LATER = 300, 60
BATCH = 20
SESSION_MS, TRANSACTION_MS = 3_000, 6_000
LIMITS = {
    "batch_records_max": BATCH,
    "session_timeout_ms": SESSION_MS,
    "transaction_timeout_ms": TRANSACTION_MS,
    "call_timeout_ms": TRANSACTION_MS - 1_000,
}
# Processes that are started before their test's turn comes, so that starts and session time-outs pass side by side.
AHEAD = 5
LOOK_S = 0.2

# What has to happen for a point to be passed; "work" where nothing is said.
PROVOKED_BY = {
    "during_restore": "restore",
    "on_revoke_before_close": "rebalance",
    "on_lost_before_close": "sleep",
    "before_leave": "sigterm",
}


class Lane(Pipeline):
    """Topics, numbers and processes of one test."""

    def __init__(self, kafka: KafkaService, directory: Path, point: str, action: str) -> None:
        self.kafka, self.directory, self.partitions = kafka, directory, PARTITIONS
        self.point, self.action, self.provoked_by = point, action, PROVOKED_BY.get(point, "work")
        self.prefix, self.application = kafka.name("fault"), kafka.name("app")
        self.admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
        make_topics(
            self.admin,
            NewTopic(self.topic("in"), PARTITIONS, 1),
            NewTopic(self.topic("out"), PARTITIONS, 1),
            NewTopic(self.topic("count"), PARTITIONS, 1, config={"cleanup.policy": "compact"}),
        )
        self.producer = Producer(
            {
                "bootstrap.servers": kafka.bootstrap,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "log_level": 0,  # the broker ends before the clients do
            }
        )
        self.fed = 0
        self._looked_s = 0.0
        self._log = directory / "worker.log"
        self._engines: list[Engine] = []
        self.more(FIRST)
        if self.provoked_by == "restore":
            self._earlier_life()
        self.process = self._start()

    def more(self, count: int) -> None:
        """Feed the next numbers."""
        self.feed((b"key-%d" % (number % KEYS), b"%d" % number) for number in range(self.fed, self.fed + count))
        self.fed += count

    def _earlier_life(self) -> None:
        """The same instance worked before, on a disk that is gone."""
        engine = self.engine("a")
        engine.until(lambda: engine.task.counters.records >= FIRST // 2, "an earlier life")
        self.close(engine)
        shutil.rmtree(self.directory / "state")

    def engine(self, instance: str) -> Engine:
        """A task in this process: the successor, or the one who takes over."""
        engine = Engine(self, instance=instance, **LIMITS)
        self._engines.append(engine)
        return engine

    def close(self, engine: Engine) -> None:
        """Leave in order."""
        self._engines.remove(engine)
        engine.close()

    def _start(self) -> subprocess.Popen[bytes]:
        environ = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "RUNTIME_PREFIX": self.prefix,
            "RUNTIME_APPLICATION": self.application,
            "RUNTIME_INSTANCE": "a",
            "RUNTIME_BATCH": str(BATCH),
            "RUNTIME_SESSION_MS": str(SESSION_MS),
            "RUNTIME_TRANSACTION_MS": str(TRANSACTION_MS),
            "CLEARLINE_KAFKA": self.kafka.bootstrap,
            "CLEARLINE_DATA": str(self.directory / "state"),
            "CLEARLINE_FAULT": f"{self.point}:{self.action}:{3 if self._is_passed_often else 1}",
        }
        command = [sys.executable, "-m", "tests.integration._fault_worker"]
        with self._log.open("wb") as log:
            return subprocess.Popen(command, env=environ, stdout=log, stderr=log, cwd=REPOSITORY)

    @property
    def _is_passed_often(self) -> bool:
        return self.provoked_by == "work" and self.point not in ("after_assign", "after_restore")

    def said(self, text: str) -> bool:
        """Whether the process's log holds a text."""
        return text in self._log.read_text(errors="replace")

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-30:])

    @property
    def tripped(self) -> bool:
        """Whether the point was passed and did what was armed."""
        return self.said(f"fault point {self.point} trips")

    def done(self) -> bool:
        """Whether the group has committed every input; looked at a few times a second."""
        if time.monotonic() - self._looked_s < LOOK_S:
            return False
        self._looked_s = time.monotonic()
        group = f"{self.application}-count"
        places = [TopicPartition(self.topic("in"), number) for number in range(PARTITIONS)]
        asked = [ConsumerGroupTopicPartitions(group, places)]
        answer = self.admin.list_consumer_group_offsets(asked, request_timeout=30)[group].result(60)
        return sum(max(0, pair.offset) for pair in answer.topic_partitions) == self.fed

    def end(self) -> None:
        """End everything; the process in order if it still can."""
        for engine in list(self._engines):
            self.close(engine)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(120)

    def drop(self) -> None:
        """End everything, whatever state it is in."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(120)


class Ahead:
    """Makes the lanes of the tests to come, some ahead of their turn."""

    def __init__(self, kafka: KafkaService, directory: Path, order: list[tuple[str, str]]) -> None:
        self._kafka, self._directory, self._order = kafka, directory, order
        self._lanes: dict[tuple[str, str], Lane] = {}

    def lane(self, point: str, action: str) -> Lane:
        """The test's lane."""
        at = self._order.index((point, action))
        for pair in self._order[at : at + AHEAD]:
            if pair not in self._lanes:
                directory = self._directory / "-".join(pair)
                directory.mkdir()
                self._lanes[pair] = Lane(self._kafka, directory, *pair)
        return self._lanes[point, action]

    def drop(self) -> None:
        """End what is left."""
        for lane in self._lanes.values():
            lane.drop()


@pytest.fixture(scope="module")
def ahead(kafka: KafkaService, tmp_path_factory, request) -> Iterator[Ahead]:
    """Lanes for the tests that were chosen, in their order."""
    params = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    order = [(each["point"], each["action"]) for each in params if {"point", "action"} <= each.keys()]
    made = Ahead(kafka, tmp_path_factory.mktemp("faults"), order)
    try:
        yield made
    finally:
        made.drop()


def provoke(lane: Lane) -> Engine | None:
    """Make the process pass its point; the engine that helped, if one did."""
    if lane.provoked_by in ("work", "restore"):
        return None
    wait_until(lambda: lane.said("ready: partitions"), f"the worker is ready:\n{lane.tail()}")
    if lane.provoked_by == "sigterm":
        lane.process.send_signal(signal.SIGTERM)
        return None
    if lane.provoked_by == "rebalance":
        helper = lane.engine("b")
        helper.until(lambda: lane.tripped, f"partitions are revoked:\n{lane.tail()}")
        return helper
    lane.process.send_signal(signal.SIGSTOP)
    helper = lane.engine("b")
    helper.until(lambda: len(helper.task.status().partitions) == PARTITIONS, "the sleeper's partitions are taken over")
    lane.process.send_signal(signal.SIGCONT)
    helper.until(lambda: lane.tripped, f"the sleeper hears of its loss:\n{lane.tail()}")
    return helper


def check(lane: Lane) -> None:
    """Every input once, counts without a gap, changelog and stores exact."""
    fed = [(b"key-%d" % (number % KEYS), number) for number in range(lane.fed)]
    passed = [(message.key(), *map(int, message.value().split())) for message in lane.committed("out")]
    copies = Counter((key, number) for key, number, _ in passed)
    assert [pair for pair in fed if copies[pair] == 0] == [], "lost"
    assert {pair: times for pair, times in copies.items() if times > 1} == {}, "twice"
    assert len(passed) == lane.fed
    for wanted in {key for key, _ in fed}:
        counts = [seen for key, _, seen in passed if key == wanted]
        assert counts == list(range(1, len(counts) + 1)), wanted
    assert lane.state("count") == {key: b"%d" % count for key, count in Counter(key for key, _ in fed).items()}
    changes = lane.committed("count")
    for disk in (lane.directory / "state").iterdir():
        stores = RocksStores(disk / "count")
        for number in range(PARTITIONS):
            if not any((disk / "count").glob(f"{number}*")):
                continue
            store = stores.open(number)
            try:
                marker = store.marker()
                upto = marker.offset if marker is not None else 0
                known = {
                    message.key(): message.value()
                    for message in changes
                    if message.partition() == number and message.offset() < upto
                }
                assert dict(store.range(b"")) == known, f"{disk.name}[{number}] at {upto}"
            finally:
                store.close()


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("point", FAULT_POINTS)
def test_a_failure_at_a_named_point_changes_no_result(ahead, point, action):
    """Raise, end, `kill -9` or sleep past the session time-out at this point: each input takes effect exactly once."""
    lane = ahead.lane(point, action)
    engine = provoke(lane)
    wait_until(
        lambda: lane.tripped, f"{point} is passed; if mere work can't, say in PROVOKED_BY what does:\n{lane.tail()}"
    )
    if action == "kill":
        assert lane.process.wait(120) == -signal.SIGKILL
    elif point == "before_leave" and action != "stop":
        assert lane.process.wait(120) == 0
    elif action == "fatal":
        assert lane.process.wait(120) == EXIT_FAILED
    elif action == "stop":
        sleeper = psutil.Process(lane.process.pid)
        wait_until(lambda: sleeper.status() == psutil.STATUS_STOPPED, "the worker has stopped itself")
    if engine is None:
        # Who was killed or ended comes back as itself; who sleeps is replaced by another.
        engine = lane.engine("a" if lane.process.poll() is not None else "b")
    engine.until(lane.done, f"the rest is done:\n{lane.tail()}")
    if lane.process.poll() is None:
        lane.process.send_signal(signal.SIGCONT)
    lane.more(LATER)
    engine.until(lane.done, f"what came later is done:\n{lane.tail()}")
    lane.end()
    check(lane)
