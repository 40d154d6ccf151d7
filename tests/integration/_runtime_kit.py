"""What the runtime's integration tests share: topics of one pipeline, worker processes, committed reads."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from streams.runtime import (
    POSITIONS_KEY,
    Context,
    KafkaClients,
    Output,
    PoisonRecord,
    Record,
    RocksStores,
    SystemClock,
    Task,
    TaskConfig,
)
from tests._kafka import KafkaService

DEADLINE_S = 120.0
PARTITIONS = 4
REPOSITORY = Path(__file__).resolve().parents[2]


def wait_until(fact: Callable[[], Any], what: str, *, deadline_s: float = DEADLINE_S, pause_s: float = 0.05) -> Any:
    """The first true value of the fact; fails when the deadline passes."""
    end = time.monotonic() + deadline_s
    while not (value := fact()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {deadline_s:.0f} s in vain: {what}")
        time.sleep(pause_s)
    return value


class Pipeline:
    """Topics `<prefix>-in`, `-out`, `-count`, `-total`, `-rejected` and what is on them."""

    def __init__(self, kafka: KafkaService, directory: Path, *, partitions: int = PARTITIONS) -> None:
        self.kafka, self.directory, self.partitions = kafka, directory, partitions
        self.prefix = kafka.name("pipe")
        self.application = kafka.name("app")
        self.admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        compacted = {"cleanup.policy": "compact"}
        make_topics(
            self.admin,
            NewTopic(self.topic("in"), partitions, 1),
            NewTopic(self.topic("out"), partitions, 1),
            NewTopic(self.topic("rejected"), partitions, 1),
            NewTopic(self.topic("count"), partitions, 1, config=compacted),
            NewTopic(self.topic("total"), partitions, 1, config=compacted),
        )
        self.producer = Producer(
            {
                "bootstrap.servers": kafka.bootstrap,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 5,
                "queue.buffering.max.messages": 500_000,
            }
        )

    def topic(self, name: str) -> str:
        """Full name."""
        return f"{self.prefix}-{name}"

    def feed(self, pairs: Iterable[tuple[bytes, bytes]], *, partition: int = -1) -> None:
        """Append (key, value) pairs to the input and wait for their acknowledgements."""
        for key, value in pairs:
            self.producer.produce(self.topic("in"), value, key, partition)
        assert self.producer.flush(DEADLINE_S) == 0

    def committed(self, name: str) -> list[Message]:
        """Every committed record of a topic, partition by partition in order."""
        return committed_records(self.kafka.bootstrap, self.topic(name))

    def state(self, name: str) -> dict[bytes, bytes]:
        """Last committed value of each key of a changelog, but for the runtime's own."""
        return {
            key: value
            for key, value in ((message.key(), message.value()) for message in self.committed(name))
            if value is not None and key != POSITIONS_KEY
        }

    def lag(self, source: str, task: str) -> int:
        """Records of the source that the task's group has not committed; markers count, so 0 is reached late or never."""
        ends = end_offsets(self.admin, self.topic(source))
        done = group_offsets(self.kafka.bootstrap, f"{self.application}-{task}", self.topic(source), self.partitions)
        return sum(end - done.get(number, 0) for number, end in ends.items())


def make_topics(admin: AdminClient, *topics: NewTopic) -> None:
    """Create and wait until they are led."""
    for future in admin.create_topics(list(topics), operation_timeout=60).values():
        future.result(DEADLINE_S)

    def led(topic: NewTopic) -> bool:
        found = admin.list_topics(topic.topic, timeout=30).topics[topic.topic]
        return (
            found.error is None and sum(part.leader >= 0 for part in found.partitions.values()) == topic.num_partitions
        )

    for topic in topics:
        wait_until(lambda topic=topic: led(topic), f"{topic.topic} has leaders")


def end_offsets(admin: AdminClient, topic: str) -> dict[int, int]:
    """Uncommitted ends by partition."""
    partitions = admin.list_topics(topic, timeout=30).topics[topic].partitions
    asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in partitions}
    answers = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=30)
    return {pair.partition: future.result(60).offset for pair, future in answers.items()}


def group_offsets(bootstrap: str, group: str, topic: str, partitions: int) -> dict[int, int]:
    """The group's committed offsets; partitions without one are left out."""
    asker = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})
    try:
        answers = asker.committed([TopicPartition(topic, number) for number in range(partitions)], timeout=60)
        return {answer.partition: answer.offset for answer in answers if answer.offset >= 0}
    finally:
        asker.close()


def committed_records(bootstrap: str, topic: str, *, isolation: str = "read_committed") -> list[Message]:
    """All records up to the uncommitted end of now; waits for open transactions to end."""
    ends = {n: end for n, end in end_offsets(AdminClient({"bootstrap.servers": bootstrap}), topic).items() if end}
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "verifier",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
        }
    )
    reader.assign([TopicPartition(topic, number, 0) for number in ends])
    records: list[Message] = []
    reached = dict.fromkeys(ends, 0)
    end_s = time.monotonic() + DEADLINE_S
    while any(reached[number] < end for number, end in ends.items()):
        assert time.monotonic() < end_s, f"{topic} was not read to its end: {reached} of {ends}"
        for message in reader.consume(10_000, 0.03):
            if message.error() is None:
                records.append(message)
                reached[message.partition()] = message.offset() + 1
            elif message.error().code() == KafkaError._PARTITION_EOF:
                reached[message.partition()] = max(message.offset(), reached[message.partition()])
            else:
                raise AssertionError(message.error())
    reader.close()
    return sorted(records, key=lambda message: (message.partition(), message.offset()))


class Worker:
    """One `faust worker` process of the pipeline."""

    def __init__(
        self, pipeline: Pipeline, instance: str, *, app: str = "tests.integration._runtime_app", **environment: str
    ) -> None:
        self.instance, self.pipeline = instance, pipeline
        self.port = _free_port()
        self.log = pipeline.directory / f"worker-{instance}.log"
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "RUNTIME_PREFIX": pipeline.prefix,
            "RUNTIME_APPLICATION": pipeline.application,
            "RUNTIME_INSTANCE": instance,
            "CLEARLINE_KAFKA": pipeline.kafka.bootstrap,
            "CLEARLINE_DATA": str(pipeline.directory / "data"),
            "CLEARLINE_FAULT": "",
            **environment,
        }
        command = [
            sys.executable,
            "-m",
            "faust",
            "-A",
            app,
            "worker",
            "--web-port",
            str(self.port),
            "--web-host",
            "127.0.0.1",
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log, cwd=REPOSITORY)

    def health(self) -> dict[str, Any] | None:
        """The /health document, None while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            return json.load(refused)
        except OSError:
            return None

    def ready(self) -> dict[str, Any]:
        """Wait until every assigned partition is restored."""

        def fact() -> dict[str, Any] | None:
            self.assert_running()
            health = self.health()
            return health if health is not None and health["ready"] else None

        return wait_until(fact, f"worker {self.instance} is ready; its log:\n{self.tail()}")

    def task(self, name: str) -> dict[str, Any]:
        """One task's status."""
        health = self.health()
        return next((task for task in health["tasks"] if task["task"] == name), {}) if health else {}

    def assert_running(self) -> None:
        """Fails with the log if the process ended."""
        assert self.process.poll() is None, f"worker {self.instance} ended {self.process.returncode}:\n{self.tail()}"

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status."""
        return self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        """kill -9, whatever state it is in."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)


@contextmanager
def workers() -> Iterator[list[Worker]]:
    """A list; whatever is on it is killed at the end."""
    running: list[Worker] = []
    try:
        yield running
    finally:
        for worker in running:
            worker.kill()


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


class CountingProblem(PoisonRecord):
    """The value isn't a number."""


class Engine:
    """A `Task` that counts by key, stepped by the test itself: no process, no thread."""

    def __init__(self, pipeline: Pipeline, *, instance: str = "a", **limits: Any) -> None:
        self.pipeline = pipeline
        self.config = TaskConfig(
            name="count",
            application=pipeline.application,
            instance=instance,
            sources=(pipeline.topic("in"),),
            changelog=pipeline.topic("count"),
            rejected=pipeline.topic("rejected"),
            bootstrap=pipeline.kafka.bootstrap,
            state_directory=pipeline.directory / "state" / instance,
            **{"poll_timeout_ms": 50, **limits},
        )
        self.task = Task(
            self.config,
            lambda batch: batch.run(self.count),
            clients=KafkaClients(self.config),
            stores=RocksStores(self.config.task_directory),
            clock=SystemClock(),
            rejection=self.reject,
        )

    def count(self, record: Record, context: Context) -> None:
        """Count, pass on; `bug` is a bug, what isn't a number is poison found only after the effects."""
        seen = int(context.store.get(record.key) or b"0") + 1
        context.store.put(record.key, b"%d" % seen)
        context.emit(self.pipeline.topic("out"), b"%s %d" % (record.value, seen), key=record.key)
        if record.value == b"bug":
            raise ZeroDivisionError("a bug in decide")
        if not record.value.isdigit():
            raise CountingProblem("not a number")

    def reject(self, record: Record, poison: PoisonRecord) -> Output:
        """The bytes with their reason."""
        reason = f"{record.partition} {record.offset} {type(poison).__name__}"
        return Output(self.config.rejected, record.value, record.key, headers=(("reason", reason.encode()),))

    def until(self, fact: Callable[[], Any], what: str) -> Any:
        """Step until the fact is true."""

        def stepped() -> Any:
            self.task.step()
            return fact()

        return wait_until(stepped, what, pause_s=0)

    def ready(self) -> Engine:
        """Step until restored."""
        self.until(lambda: self.task.ready, "the task is ready")
        return self

    def processed(self, count: int) -> None:
        """Step until so many records were committed in this task's life."""
        self.until(lambda: self.task.counters.records >= count, f"{count} records were processed")

    def close(self) -> None:
        """Leave."""
        self.task.close()

    def crash(self) -> None:
        """
        Lose everything that a killed process would lose, as far as a process that lives on can.

        The clients are dropped without leaving the group and stores without a last word.
        """
        self.task._drop_session(abort=False)
        self.task._state = "closed"
