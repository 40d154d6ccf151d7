"""Reads topics anew, for checking: committed records of many partitions from given offsets, landing's own code apart."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.clickhouse.errors import RecordsMissing, TopicMissing
from schemas import catalogue, clients

READ_AT_ONCE = 5_000
POLL_S = 0.5
PATIENCE_S = 60.0
METADATA_TIMEOUT_S = 10.0

Place = tuple[str, int]


class Reader:
    """Reads committed records of many partitions from given offsets."""

    def __init__(self, bootstrap: str, kafka_config: Mapping[str, Any] | None) -> None:
        settings = clients.consumer_config(bootstrap, f"clearline.verify.{uuid.uuid4().hex}", dict(kafka_config or {}))
        self._consumer = Consumer(settings | {"enable.partition.eof": True, "fetch.wait.max.ms": 10})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def partitions(self, topics: tuple[catalogue.Topic, ...]) -> list[Place]:
        """All partitions of these topics."""
        found = self._consumer.list_topics(timeout=METADATA_TIMEOUT_S).topics
        for topic in topics:
            if topic.name not in found:
                raise TopicMissing(f"topic {topic.name} does not exist")
        return [(topic.name, number) for topic in topics for number in found[topic.name].partitions]

    def read(self, starts: Mapping[Place, int | None], *, until: Mapping[Place, int] | None) -> Iterator[Message]:
        """From these offsets (None: the first) to the end, or to before `until`, which names an offset behind a record."""
        firsts = {}
        for place, start in starts.items():
            low, _ = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=METADATA_TIMEOUT_S)
            firsts[place] = low if start is None else start
        self._consumer.assign([TopicPartition(*place, first) for place, first in firsts.items()])
        left = set(starts)
        patience = time.monotonic() + PATIENCE_S
        while left:
            for message in self._some():
                patience = time.monotonic() + PATIENCE_S
                place = (str(message.topic()), message.partition() or 0)
                error = message.error()
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    if until is not None and place in left:
                        raise RecordsMissing(
                            f"{place[0]}/{place[1]} ends before {until[place]}, up to which it is landed"
                        )
                    left.discard(place)
                    continue
                offset = int(message.offset() or 0)
                if until is None or offset < until[place]:
                    yield message
                if until is not None and offset >= until[place] - 1:
                    left.discard(place)
            if time.monotonic() > patience:
                raise RecordsMissing(f"no record came for {PATIENCE_S:.0f} s; not read to the end: {sorted(left)}")

    def _some(self) -> list[Message]:
        """What is there, waiting for the first only: `consume` by itself waits for all or for the whole time."""
        first = self._consumer.poll(POLL_S)
        return [] if first is None else [first, *self._consumer.consume(READ_AT_ONCE, 0)]
