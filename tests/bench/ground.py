"""What every measurement stands on: a broker of its own, topics, preloaded records, processes, and their progress."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from infra.kafka import Broker
from schemas.clients import client_config, consumer_config, producer_config

PARTITIONS = 4
REQUEST_S = 60.0
DONE_DEADLINE_S = 300.0
STOP_DEADLINE_S = 30.0
SAMPLED_EVERY_S = 0.01
READ_CHUNK = 10_000


# The broker's end is known to whoever asks; librdkafka's own words on standard error would only repeat it.
QUIET = logging.getLogger("clearline.bench.librdkafka")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False


class BenchError(Exception):
    """The measurement can't go on; the message says what was seen."""


@contextlib.contextmanager
def ground(*, directory: Path | None = None) -> Iterator[Ground]:
    """A broker on a directory that is removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="clearline-bench-", dir=directory))
    try:
        with Broker(path / "kafka") as broker:
            yield Ground(broker, path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


@dataclass
class Ground:
    """The broker and what is done to it."""

    broker: Broker
    path: Path
    admin: AdminClient = field(init=False)

    def __post_init__(self) -> None:
        self.admin = AdminClient(client_config(self.bootstrap), logger=QUIET)

    @property
    def bootstrap(self) -> str:
        """`bootstrap.servers`."""
        return self.broker.bootstrap

    def topics(self, *names: str, compacted: Sequence[str] = ()) -> None:
        """Make topics of `PARTITIONS` partitions and wait for their leaders."""
        new = [
            NewTopic(name, PARTITIONS, 1, config={"cleanup.policy": "compact" if name in compacted else "delete"})
            for name in names
        ]
        for future in self.admin.create_topics(new).values():
            future.result(REQUEST_S)
        deadline = time.monotonic() + REQUEST_S
        for name in names:
            while sum(part.leader >= 0 for part in self._found(name)) < PARTITIONS:
                if time.monotonic() > deadline:
                    raise BenchError(f"topic {name} has no leaders after {REQUEST_S:.0f} s")
                time.sleep(0.02)

    def _found(self, name: str) -> list[Any]:
        topic = self.admin.list_topics(name, timeout=REQUEST_S).topics[name]
        return [] if topic.error is not None else list(topic.partitions.values())

    def drop(self, *names: str) -> None:
        """Delete topics."""
        for future in self.admin.delete_topics(list(names)).values():
            with contextlib.suppress(Exception):
                future.result(REQUEST_S)

    def preload(self, topic: str, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Append (key, value) records."""
        settings = producer_config(self.bootstrap, {"linger.ms": 20, "queue.buffering.max.messages": 500_000})
        producer = Producer(settings, logger=QUIET)
        for key, value in records:
            while True:
                try:
                    producer.produce(topic, value, key)
                except BufferError:
                    producer.poll(0.1)
                else:
                    break
        if producer.flush(REQUEST_S):
            raise BenchError(f"the broker did not take all records for {topic} in {REQUEST_S:.0f} s")

    def ends(self, topic: str) -> dict[int, int]:
        """Read-committed end offset of each partition."""
        asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(PARTITIONS)}
        answers = self.admin.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED)
        return {pair.partition: future.result(REQUEST_S).offset for pair, future in answers.items()}

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """The group's committed offset of each partition; 0 where it has none."""
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, number) for number in range(PARTITIONS)])
        found = self.admin.list_consumer_group_offsets([asked])[group].result(REQUEST_S).topic_partitions
        return {pair.partition: max(0, pair.offset) for pair in found}

    def read(self, topic: str) -> Iterator[Any]:
        """Every committed record up to the present end, in no order between partitions."""
        ends = {number: end for number, end in self.ends(topic).items() if end}
        settings = consumer_config(self.bootstrap, "bench-reader", {"enable.partition.eof": True})
        consumer = Consumer(settings, logger=QUIET)
        consumer.assign([TopicPartition(topic, number, 0) for number in ends])
        deadline = time.monotonic() + DONE_DEADLINE_S
        left = set(ends)
        while left:
            if time.monotonic() > deadline:
                raise BenchError(f"{topic} could not be read to its end in {DONE_DEADLINE_S:.0f} s")
            for message in consumer.consume(READ_CHUNK, 0.5):
                if message.error() is None:
                    yield message
                else:  # the end of a partition
                    left.discard(message.partition())
        consumer.close()


class Side:
    """A measured process; it is ended with the `with` block."""

    def __init__(self, name: str, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> None:
        self.name, self.log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        # `PYTHONPATH`: a side may run in another environment, where the project isn't installed.
        told = {**os.environ, "PYTHONPATH": str(Path.cwd()), "PYTHONUNBUFFERED": "1", **environment}
        with log.open("wb") as out:
            self._process = subprocess.Popen(list(command), stdout=out, stderr=subprocess.STDOUT, env=told)
        self._seen = psutil.Process(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_DEADLINE_S)

    def check(self) -> None:
        """Raises `BenchError` with the end of its log when it has ended by itself."""
        if self._process.poll() is not None:
            text = self.log.read_text(encoding="utf-8", errors="replace")[-3_000:]
            raise BenchError(f"{self.name} ended with {self._process.returncode}:\n{text}")

    def cpu_s(self) -> float:
        """Processor time, user and system, that all its threads have used so far."""
        times = self._seen.cpu_times()
        return float(times.user + times.system)


def python(module: str, *arguments: str, interpreter: str = sys.executable) -> list[str]:
    """The command that runs a module."""
    return [interpreter, "-m", module, *arguments]


def faust(module: str, datadir: Path) -> list[str]:
    """The command that runs a Faust worker as the stack does, on a free port."""
    from infra.supervisor import free_ports

    port = str(free_ports(1)[0])
    worker = ["worker", "--loglevel", "info", "--web-bind", "127.0.0.1", "--web-host", "127.0.0.1", "--web-port", port]
    return python("faust", "--datadir", str(datadir), "-A", module, *worker)


@dataclass(frozen=True)
class Watched:
    """Samples (seconds, done), and the processor time in seconds that each side took from the first progress to the end."""

    samples: list[tuple[float, int]]
    cpu_s: dict[str, float]
    counted: int

    def cpu_us(self, name: str) -> float:
        """Processor time of a side for each item, in microseconds."""
        return round(self.cpu_s[name] * 1e6 / self.counted, 1)


def watch(
    done: Callable[[], int], *, total: int, sides: Sequence[Side], deadline_s: float = DONE_DEADLINE_S
) -> Watched:
    """Follow `done` until it says `total`. Raises `BenchError` when a side ends or the deadline passes."""
    begun = time.perf_counter()
    samples: list[tuple[float, int]] = []
    at_first: dict[str, float] = {}
    first = 0
    while True:
        count = done()
        now = time.perf_counter() - begun
        if not samples or samples[-1][1] != count:
            samples.append((now, count))
        if count and not at_first:
            first, at_first = count, {side.name: side.cpu_s() for side in sides}
        if count >= total:
            used = {side.name: side.cpu_s() - at_first[side.name] for side in sides}
            return Watched(samples, used, max(1, count - first))
        for side in sides:
            side.check()
        if now > deadline_s:
            names = ", ".join(side.name for side in sides)
            raise BenchError(f"{names}: {count:,} of {total:,} done after {deadline_s:.0f} s")
        time.sleep(SAMPLED_EVERY_S)
