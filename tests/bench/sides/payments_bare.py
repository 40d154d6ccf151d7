"""
The bare loop of payments: reads the same records, writes the same number of records of the same size, and decides nothing.

Two loops in threads of one process, as the worker's lifecycle and settlement are; each with transactions, changelog and
RocksDB of its own. What a record is answered with comes from a script made beforehand (`tests.bench.script`).
"""

from __future__ import annotations

import os
import signal
import threading
from itertools import cycle
from pathlib import Path

import msgspec
from confluent_kafka import TopicPartition

from tests.bench.script import Line, Script
from tests.bench.sides import _told
from tests.bench.sides.bare import Rocks, clients

BATCH = 1_000


def _made(length: int, number: int, key: bytes, offset: int) -> bytes:
    """A state key of a length, of this record alone."""
    return (b"%d/%d/%s" % (number, offset, key)).ljust(length, b".")[:length]


def loop(
    stopping: threading.Event,
    *,
    name: str,
    source: str,
    changelog: str,
    topics: dict[str, str],
    lines: dict[bytes, list[Line]],
) -> None:
    """One task: what a record begins with says which lines answer it, in turn."""
    consumer, producer = clients(f"{_told.APPLICATION}-{name}", source)
    states: dict[int, Rocks] = {}
    produce = producer.produce
    turns = {kind: cycle(answers) for kind, answers in lines.items()}
    metadata = None
    while not stopping.is_set():
        first = consumer.poll(0.2)
        if first is None:
            continue
        messages = [first, *consumer.consume(BATCH - 1, 0)]
        producer.begin_transaction()
        changes: dict[int, dict[bytes, bytes]] = {}
        ends: dict[int, int] = {}
        for message in messages:
            if message.error() is not None:
                continue
            partition, key = message.partition(), message.key()
            ends[partition] = message.offset() + 1
            if partition not in states:
                states[partition] = Rocks(Path(_told.DATA) / f"{name}-{partition}")
            answers = turns.get(message.value()[:5])
            if answers is None:  # configuration
                continue
            line = next(answers)
            changed = changes.setdefault(partition, {})
            for number, (state_key, value) in enumerate(line.writes):
                used = _made(state_key, number, key, message.offset()) if isinstance(state_key, int) else state_key
                if used not in changed:
                    states[partition].get(used)
                changed[used] = value
            for topic, output_key, value in line.outputs:
                produce(topics[topic], value, output_key or key)
        for partition, changed in changes.items():
            for key, value in changed.items():
                produce(changelog, value, key, partition)
        if metadata is None:
            metadata = consumer.consumer_group_metadata()
        offsets = [TopicPartition(source, partition, end) for partition, end in ends.items()]
        producer.send_offsets_to_transaction(offsets, metadata)
        producer.commit_transaction()
        for partition, changed in changes.items():
            states[partition].apply(changed)
    consumer.close()


def main() -> None:
    """Run until SIGTERM."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    script = msgspec.msgpack.decode(Path(os.environ["BENCH_SCRIPT"]).read_bytes(), type=Script)
    prefix = os.environ["BENCH_PREFIX"]
    topics = {name: prefix + name for name in script.topics}
    threads = [
        threading.Thread(
            target=loop,
            args=(stopping,),
            kwargs={
                "name": task.name,
                "source": prefix + task.source,
                "changelog": prefix + task.changelog,
                "topics": topics,
                "lines": task.lines,
            },
        )
        for task in script.tasks
    ]
    for thread in threads:
        thread.start()
    while not stopping.is_set() and all(thread.is_alive() for thread in threads):
        stopping.wait(0.5)
    alive = all(thread.is_alive() for thread in threads)
    stopping.set()
    for thread in threads:
        thread.join()
    if not alive:
        raise SystemExit("a loop ended by itself; its traceback is above")


if __name__ == "__main__":
    main()
