"""The committed log of a stack, as a verifier reads it: from a broker, or held in memory for tests of the verifier."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.clients import client_config, consumer_config
from streams.runtime import Record

Place = tuple[str, int]

PATIENCE_S = 120.0
REQUEST_S = 60.0
READ_AT_ONCE = 2_000
READ_WAIT_S = 0.02  # `consume` waits for all of them or this long, however many are there


class Ends(NamedTuple):
    """Where a partition ends: for readers of committed records, and for everybody."""

    stable: int
    high: int


class Log(Protocol):
    """What the verifier asks. Records come committed only, in the order of their offsets."""

    def partitions(self, topic: str) -> list[int]:
        """The partitions of a topic."""

    def records(self, topic: str, partition: int, *, start: int = 0) -> Iterator[Record]:
        """Every committed record of a partition, from an offset on."""

    def ends(self) -> Mapping[Place, Ends]:
        """Both ends of every partition, Kafka's own topics included."""

    def committed(self, group: str, topic: str) -> Mapping[int, int]:
        """The group's next offset by partition; those without one are left out."""


class KafkaLog:
    """The log on a broker. It must be quiet: each method asks anew."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._admin = AdminClient(client_config(bootstrap, {"log_level": 0}))
        self._partitions: dict[str, list[int]] = {}

    def partitions(self, topic: str) -> list[int]:
        """As the broker says, asked once a topic."""
        if topic not in self._partitions:
            self._partitions[topic] = sorted(self._admin.list_topics(topic, timeout=REQUEST_S).topics[topic].partitions)
        return self._partitions[topic]

    def records(self, topic: str, partition: int, *, start: int = 0) -> Iterator[Record]:
        """Read to the committed end."""
        settings = consumer_config(self._bootstrap, f"chaos-verifier-{uuid.uuid4().hex}")
        consumer = Consumer(settings | {"enable.partition.eof": True, "fetch.wait.max.ms": 10})
        try:
            consumer.assign([TopicPartition(topic, partition, start)])
            patience = time.monotonic() + PATIENCE_S
            while True:
                for message in consumer.consume(READ_AT_ONCE, READ_WAIT_S):
                    patience = time.monotonic() + PATIENCE_S
                    if (error := message.error()) is None:
                        yield Record(
                            topic,
                            partition,
                            message.offset(),
                            message.timestamp()[1],
                            message.key(),
                            message.value(),
                        )
                    elif error.code() == KafkaError._PARTITION_EOF:
                        return
                if time.monotonic() > patience:
                    raise TimeoutError(f"{topic}[{partition}] gave nothing for {PATIENCE_S:.0f} s")
        finally:
            consumer.close()

    def ends(self) -> Mapping[Place, Ends]:
        """As the broker says now."""
        topics = self._admin.list_topics(timeout=REQUEST_S).topics
        asked = {
            TopicPartition(name, number): OffsetSpec.latest()
            for name, topic in topics.items()
            for number in topic.partitions
        }
        stable, high = (
            {
                (pair.topic, pair.partition): future.result(REQUEST_S).offset
                for pair, future in self._admin.list_offsets(
                    asked, isolation_level=level, request_timeout=REQUEST_S
                ).items()
            }
            for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
        )
        return {place: Ends(stable[place], high[place]) for place in high}

    def committed(self, group: str, topic: str) -> Mapping[int, int]:
        """As the group's coordinator says."""
        asked = ConsumerGroupTopicPartitions(
            group, [TopicPartition(topic, number) for number in self.partitions(topic)]
        )
        answer = self._admin.list_consumer_group_offsets([asked], request_timeout=REQUEST_S)[group].result(REQUEST_S)
        return {pair.partition: pair.offset for pair in answer.topic_partitions if pair.offset >= 0}


@dataclass
class MemoryLog:
    """A log in memory; tests write into it what a broken stack would have."""

    topics: dict[str, dict[int, list[Record]]] = field(default_factory=dict)
    groups: dict[tuple[str, str], dict[int, int]] = field(default_factory=dict)
    open_from: dict[Place, int] = field(default_factory=dict)

    def partitions(self, topic: str) -> list[int]:
        """Those that were made."""
        return sorted(self.topics.get(topic, {}))

    def records(self, topic: str, partition: int, *, start: int = 0) -> Iterator[Record]:
        """As they lie there."""
        return iter([record for record in self.topics[topic][partition] if record.offset >= start])

    def ends(self) -> Mapping[Place, Ends]:
        """Equal, unless a test left a transaction open from some offset."""
        found = {}
        for name, partitions in self.topics.items():
            for number, records in partitions.items():
                high = records[-1].offset + 1 if records else 0
                found[name, number] = Ends(self.open_from.get((name, number), high), high)
        return found

    def committed(self, group: str, topic: str) -> Mapping[int, int]:
        """As set."""
        return self.groups.get((group, topic), {})

    def append(
        self, topic: str, partition: int, value: bytes | None, *, key: bytes | None, timestamp_ms: int
    ) -> Record:
        """One more record, at the next offset."""
        there = self.topics.setdefault(topic, {}).setdefault(partition, [])
        offset = there[-1].offset + 1 if there else 0
        record = Record(topic, partition, offset, timestamp_ms, key, value)
        there.append(record)
        return record
