"""Reads changelogs and tables outside any group, on librdkafka."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, KafkaError, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin import OffsetSpec as _OffsetSpec  # type: ignore[attr-defined]

from streams.runtime._boundary import INFORMATION, Message, boundary, mapped, result_of
from streams.runtime._bounded import close_bounded
from streams.runtime.errors import InputLost
from streams.runtime.record import Record

_LATEST: Any = _OffsetSpec.latest()  # type: ignore[no-untyped-call]

DESCRIBE_TIMEOUT_S = 10


class KafkaReader:
    """Reads one topic outside any group."""

    def __init__(self, settings: Mapping[str, Any], admin: AdminClient, topic: str) -> None:
        self._settings, self._admin, self._topic = settings, admin, topic
        self._consumer: Consumer | None = None
        self._reached: dict[int, int] = {}
        self._described: tuple[str, tuple[int, ...]] | None = None

    def topic_id(self) -> str:
        """Id of the topic's incarnation."""
        return self._description()[0]

    def partitions(self) -> tuple[int, ...]:
        """The topic's partitions."""
        return self._description()[1]

    def _description(self) -> tuple[str, tuple[int, ...]]:
        if self._described is None:
            with boundary(f"describing {self._topic}"):
                future = self._admin.describe_topics(
                    TopicCollection([self._topic]), request_timeout=DESCRIBE_TIMEOUT_S
                )[self._topic]
                described = result_of(future)
            self._described = str(described.topic_id), tuple(sorted(part.id for part in described.partitions))
        return self._described

    def end_offsets(self, partitions: Sequence[int], *, timeout_ms: int) -> dict[int, int]:
        """Offsets after the last record, committed or not."""
        asked = {TopicPartition(self._topic, number): _LATEST for number in partitions}
        with boundary(f"asking for the ends of {self._topic}"):
            futures = self._admin.list_offsets(
                asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=timeout_ms / 1_000
            )
            return {pair.partition: result_of(future).offset for pair, future in futures.items()}

    def assign(self, positions: Mapping[int, int]) -> None:
        """Start reading."""
        assert self._consumer is None, "a reader is assigned once: what an earlier assignment fetched may still arrive"
        self._reached = dict(positions)
        with boundary(f"reading {self._topic}"):
            self._consumer = Consumer(dict(self._settings))
            self._consumer.assign([TopicPartition(self._topic, number, at) for number, at in positions.items()])

    def read(self, *, records_max: int, timeout_ms: int) -> list[Record]:
        """Records that are there, waiting for a first one."""
        assert self._consumer is not None, "assign before read"
        with boundary(f"reading {self._topic}"):
            first = self._consumer.poll(timeout_ms / 1_000)
            if first is None:
                return []
            messages: list[Message] = [first, *self._consumer.consume(records_max - 1, 0)]
        records = []
        for message in messages:
            number = message.partition()
            if (error := message.error()) is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    # Only this event passes over markers and aborted records at the end.
                    self._reached[number] = max(self._reached[number], message.offset())
                elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                    raise InputLost(f"{self._topic}[{number}]: {error.str()}", topic=self._topic, partition=number)
                elif error.code() not in INFORMATION or error.fatal():
                    raise mapped(error, doing=f"reading {self._topic}")
                continue
            offset = message.offset()
            if offset < self._reached[number]:
                continue
            self._reached[number] = offset + 1
            headers = message.headers()
            records.append(
                Record(
                    self._topic, number, offset, message.timestamp()[1], message.key(), message.value(),
                    tuple(headers) if headers else (),
                )
            )  # fmt: skip
        return records

    def position(self, partition: int) -> int:
        """Offset up to which everything was returned."""
        return self._reached[partition]

    def close(self) -> None:
        """Drop the client."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            with boundary(f"closing the reader of {self._topic}"):
                close_bounded(consumer.close, doing=f"closing the reader of {self._topic}")
