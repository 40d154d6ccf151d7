"""One record's way through an exactly-once hop on an idle engine: produced, processed in a transaction, read committed."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack

from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console

from schemas.clients import consumer_config, producer_config
from tests.bench.engines import KINDS, VALUE_BYTES, environment_of
from tests.bench.figures import Figure, compare, percentile, shown
from tests.bench.ground import PARTITIONS, QUIET, BenchError, Ground, Side

SIDES = ("ours", "bare-rocksdb")
BLOCK = 100
ANSWER_S = 60.0


class Hop:
    """Sends one record at a time and waits for it."""

    def __init__(self, ground: Ground, *, source: str, output: str) -> None:
        self._source = source
        self._producer = Producer(producer_config(ground.bootstrap, {"linger.ms": 0}), logger=QUIET)
        settings = consumer_config(ground.bootstrap, "bench-latency", {"fetch.wait.max.ms": 500})
        self._consumer = Consumer(settings, logger=QUIET)
        self._consumer.assign([TopicPartition(output, number, 0) for number in range(PARTITIONS)])
        self._sent = 0

    def ms(self) -> float:
        """One record's time there and back."""
        self._sent += 1
        value = self._sent.to_bytes(8, "big") + os.urandom(VALUE_BYTES - 8)
        begun = time.perf_counter()
        self._producer.produce(self._source, value, b"key-%d" % (self._sent % 97))
        self._producer.poll(0)
        while True:
            message = self._consumer.poll(ANSWER_S)
            if message is None:
                raise BenchError(f"no record came through {self._source} in {ANSWER_S:.0f} s")
            if message.error() is None and message.value() == value:
                return (time.perf_counter() - begun) * 1_000

    def close(self) -> None:
        """Leave."""
        self._producer.flush(ANSWER_S)
        self._consumer.close()


def measure(ground: Ground, out: Console, *, blocks: int) -> list[Figure]:
    """Both engines run; blocks of records go through one and then the other, so that noise meets both."""
    found: dict[str, list[list[float]]] = {name: [] for name in SIDES}
    with ExitStack() as stack:
        hops = {}
        for name in SIDES:
            application, source = f"bench-latency-{name}", f"bench-latency-{name}-source"
            told, output, changelog = environment_of(ground, KINDS[name], application, source=source)
            ground.topics(source, output, changelog, compacted=(changelog,))
            side = Side(
                name, KINDS[name].command(ground.path / application), environment=told, log=ground.path / f"{name}.log"
            )
            stack.enter_context(side)
            hops[name] = Hop(ground, source=source, output=output)
            for _ in range(BLOCK):  # the first ones pay for joining the group and making connections
                hops[name].ms()
        for number in range(blocks):
            for name in SIDES if number % 2 == 0 else SIDES[::-1]:
                found[name].append([hops[name].ms() for _ in range(BLOCK)])
            out.print(
                f"  block {number + 1}: "
                + ", ".join(f"{name} p50 {shown(percentile(found[name][-1], 0.5))} ms" for name in SIDES)
            )
        for hop in hops.values():
            hop.close()
    return [_figure(share, found, blocks) for share in (0.5, 0.99)]


def _figure(share: float, found: dict[str, list[list[float]]], blocks: int) -> Figure:
    label = f"p{share * 100:.0f}"
    whole = {name: percentile([value for block in values for value in block], share) for name, values in found.items()}
    by_block = {name: [percentile(block, share) for block in values] for name, values in found.items()}
    return compare(
        f"one exactly-once hop, idle, {label}",
        by_block["ours"],
        unit="ms",
        others={"bare-rocksdb": by_block["bare-rocksdb"]},
        sizes={"records": blocks * BLOCK, "bytes": VALUE_BYTES},
        details={f"{label} over all records": {name: f"{value:.2f} ms" for name, value in whole.items()}},
    )
