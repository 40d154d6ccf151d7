"""What a reader saw while everything was being killed, held against what is committed in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from streams.runtime import Record
from tests import history
from tests.chaos.checks import Check, fingerprint
from tests.chaos.log import Log

READER = "live reader"


class Live:
    """A consumer that notes every record it hands out; everything else goes to the consumer it wraps."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.operations: list[history.Operation] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def assign(self, places: list[TopicPartition]) -> None:
        """Read these, from their offsets."""
        for place in places:
            self._note("assign", place.topic, place.partition, place.offset, b"")
        self._consumer.assign(places)

    def consume(self, count: int, timeout_s: float) -> list[Any]:
        """Records and errors, as they come."""
        messages = self._consumer.consume(count, timeout_s)
        for message in messages:
            if message.error() is None:
                value = fingerprint(message.key(), message.value())
                self._note("poll", message.topic(), message.partition(), message.offset(), value)
        return list(messages)

    def _note(self, kind: history.operations.Kind, topic: str, partition: int, offset: int, value: bytes) -> None:
        now = len(self.operations) + 1
        self.operations.append(
            history.Operation(
                process=READER,
                kind=kind,
                topic=topic,
                partition=partition,
                offset=offset,
                value=value,
                began=now,
                ended=now,
            )
        )


def check_live(log: Log, topic: str, seen: Sequence[history.Operation]) -> Check:
    """
    Every record that the reader was given is committed in the end at that offset, once; none between them is missing.

    So it read nothing of a transaction that was aborted, nothing before its commit that then failed, nothing twice.
    """
    check = Check("a reader that read all the while saw what is committed, all of it, in order")
    operations = [_sent(record) for number in log.partitions(topic) for record in log.records(topic, number)]
    check.count = sum(operation.kind == "poll" for operation in seen)
    for anomaly in history.check([*operations, *seen]):
        check.fault(f"{anomaly.kind}: {anomaly.message}")
    return check


def _sent(record: Record) -> history.Operation:
    return history.Operation(
        process="committed",
        kind="send",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        value=fingerprint(record.key, record.value),
    )
