"""
The bare loop: librdkafka's transactions by hand, with nothing that a real engine needs beside them.

No restore, no errors handled, no rebalance but the first. `BENCH_STATE=rocksdb` keeps the counts in one RocksDB a partition,
written after each commit, as our engine does; `dict` keeps them in memory only.
"""

from __future__ import annotations

import signal
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from tests.bench.sides import _told

PARTITIONS = 4


class Rocks:
    """Counts of one partition in RocksDB."""

    def __init__(self, path: Path) -> None:
        from rocksdict import Options, Rdict

        path.mkdir(parents=True)
        self._db = Rdict(str(path), options=Options(raw_mode=True))
        self.get = self._db.get

    def apply(self, changes: dict[bytes, bytes]) -> None:
        """Write a batch's changes."""
        from rocksdict import WriteBatch

        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            batch.put(key, value)
        self._db.write(batch)


class Memory:
    """Counts of one partition in a dictionary."""

    def __init__(self) -> None:
        self._counts: dict[bytes, bytes] = {}
        self.get = self._counts.get

    def apply(self, changes: dict[bytes, bytes]) -> None:
        """Take over a batch's changes."""
        self._counts.update(changes)


def clients(group: str, topic: str) -> tuple[Consumer, Producer]:
    """The same settings of the clients that our engine uses."""
    producer = Producer(
        {
            "bootstrap.servers": _told.BOOTSTRAP,
            "transactional.id": group,
            "transaction.timeout.ms": 15_000,
            "partitioner": "murmur2_random",
            "linger.ms": 0,
            "retry.backoff.ms": 1,
            "retry.backoff.max.ms": 2,
            "queue.buffering.max.messages": 200_000,
        }
    )
    producer.init_transactions()
    consumer = Consumer(
        {
            "bootstrap.servers": _told.BOOTSTRAP,
            "group.id": group,
            "group.instance.id": "bench",
            "session.timeout.ms": 10_000,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 100,
            "fetch.queue.backoff.ms": 2,
            "queued.min.messages": 50_000,
            "queued.max.messages.kbytes": 16 * 1024,
            "partition.assignment.strategy": "range",
        }
    )
    consumer.subscribe([topic])
    return consumer, producer


def main() -> None:
    """Run until SIGTERM."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    consumer, producer = clients(_told.APPLICATION, _told.SOURCE)
    data = Path(_told.DATA)
    states = [Rocks(data / str(number)) if _told.STATE == "rocksdb" else Memory() for number in range(PARTITIONS)]
    produce, output, changelog = producer.produce, _told.OUTPUT, _told.CHANGELOG
    metadata = None
    while not stopping:
        first = consumer.poll(0.2)
        if first is None:
            continue
        messages = [first, *consumer.consume(_told.BATCH - 1, 0)]
        producer.begin_transaction()
        changes: dict[int, dict[bytes, bytes]] = {}
        ends: dict[int, int] = {}
        for message in messages:
            if message.error() is not None:
                continue
            partition, key = message.partition(), message.key()
            changed = changes.get(partition)
            if changed is None:
                changed = changes[partition] = {}
            known = changed.get(key)
            if known is None:
                known = states[partition].get(key)
            changed[key] = b"1" if known is None else b"%d" % (int(known) + 1)
            produce(output, message.value(), key)
            ends[partition] = message.offset() + 1
        for partition, changed in changes.items():
            for key, value in changed.items():
                produce(changelog, value, key, partition)
        if metadata is None:
            metadata = consumer.consumer_group_metadata()
        offsets = [TopicPartition(_told.SOURCE, partition, end) for partition, end in ends.items()]
        producer.send_offsets_to_transaction(offsets, metadata)
        producer.commit_transaction()
        for partition, changed in changes.items():
            states[partition].apply(changed)
    consumer.close()


if __name__ == "__main__":
    main()
