"""The group member, on librdkafka."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.runtime import seams
from streams.runtime._boundary import INFORMATION, Message, boundary, mapped
from streams.runtime._bounded import close_bounded
from streams.runtime.errors import Fatal, Indefinite, InputLost, Retriable, StreamsError
from streams.runtime.record import Record

logger = logging.getLogger(__name__)

# Messages taken from the client's queue at a time while a batch fills, so that its byte limit is looked at in between.
CONSUME_CHUNK = 250


class KafkaConsumer:
    """A static member of the task's group; classic protocol, range assignor (see `consumer_settings`)."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        with boundary("making the consumer"):
            self._consumer = Consumer(dict(settings))
        self._positions: dict[seams.TopicPartition, int] = {}
        self._failure: StreamsError | None = None
        self._metadata: object | None = None

    def subscribe(self, topics: Sequence[str], listener: seams.RebalanceListener) -> None:
        """Join the group; the listener hears of assignments inside `poll` and `close`."""

        def assigned(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            # The group's assignment is acknowledged with nothing to fetch: the task fetches a partition only when its
            # position is known and its state restored, always from an explicit offset.
            self._forget()
            listener.on_assigned(_pairs(partitions))
            consumer.assign([])

        def revoked(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            listener.on_revoked(_pairs(partitions))
            self._forget()
            consumer.unassign()

        def lost(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            listener.on_lost(_pairs(partitions))
            self._forget()
            consumer.unassign()

        with boundary("subscribing"):
            self._consumer.subscribe(list(topics), on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def _forget(self) -> None:
        self._positions, self._metadata = {}, None

    def poll(self, *, records_max: int, bytes_max: int, timeout_ms: int) -> list[Record]:
        """
        Wait for a first record, then take what is there already.

        `Consumer.consume(n, timeout)` would wait for all n or the whole time-out, so that a lone record is late.
        """
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        with boundary("polling"):
            first = self._consumer.poll(timeout_ms / 1_000)
            if first is None:
                return []
            records: list[Record] = []
            size_bytes = self._take([first], records)
            while len(records) < records_max and size_bytes < bytes_max and self._failure is None:
                wanted = min(CONSUME_CHUNK, records_max - len(records))
                messages = self._consumer.consume(wanted, 0)
                size_bytes += self._take(messages, records)
                if len(messages) < wanted:
                    break
        return records

    def _take(self, messages: Sequence[Message], records: list[Record]) -> int:
        size_bytes = 0
        append = records.append
        for message in messages:
            if (error := message.error()) is not None:
                self._failure = self._failure or self._judged(message, error)
                continue
            value = message.value()
            headers = message.headers()
            append(
                Record(
                    message.topic(),
                    message.partition(),
                    message.offset(),
                    message.timestamp()[1],
                    message.key(),
                    value,
                    tuple(headers) if headers else (),
                )
            )
            if value is not None:
                size_bytes += len(value)
        return size_bytes

    def _judged(self, message: Message, error: KafkaError) -> StreamsError | None:
        """What an error event between the records means; None for what the client mends by itself."""
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            topic, partition = message.topic(), message.partition()
            return InputLost(f"{topic}[{partition}]: {error.str()}", topic=topic or "", partition=partition or 0)
        if error.code() in INFORMATION and not error.fatal():
            logger.info("consumer: %s", error.str())
            return None
        return mapped(error, doing="consuming")

    def assign(self, positions: Mapping[seams.TopicPartition, int]) -> None:
        """Fetch exactly these, from these offsets."""
        self._positions = dict(positions)
        with boundary("assigning"):
            self._consumer.assign([TopicPartition(topic, number, at) for (topic, number), at in positions.items()])

    def committed(
        self, partitions: Sequence[seams.TopicPartition], *, timeout_ms: int
    ) -> dict[seams.TopicPartition, int | None]:
        """
        Offsets that the group committed, None where it never did.

        The client asks for stable offsets (it reads committed), and repeats the question until they are; so a time-out
        means that some offset waits for a transaction, and each partition is asked alone.
        """
        asked = [TopicPartition(topic, number) for topic, number in partitions]
        try:
            with boundary("asking for committed offsets"):
                return _offsets(self._consumer.committed(asked, timeout_ms / 1_000))
        except (Indefinite, Retriable):
            if len(asked) == 1:
                return {}
        answers: dict[seams.TopicPartition, int | None] = {}
        for pair in partitions:
            answers |= self.committed([pair], timeout_ms=max(50, timeout_ms // len(partitions)))
        return answers

    def group_metadata(self) -> object:
        """Member and generation."""
        # Asking takes 0.7 ms and the answer only changes with an assignment. A stale one would be refused, not accepted.
        if self._metadata is None:
            with boundary("asking for the group's metadata"):
                self._metadata = self._consumer.consumer_group_metadata()
        return self._metadata

    def end_offsets(self) -> dict[seams.TopicPartition, int]:
        """Last known ends of what is fetched."""
        ends = {}
        for topic, number in self._positions:
            with contextlib.suppress(KafkaException, RuntimeError):
                _, high = self._consumer.get_watermark_offsets(TopicPartition(topic, number), cached=True)
                if high >= 0:
                    ends[topic, number] = high
        return ends

    def close(self) -> None:
        """Close; a static member doesn't leave, so its partitions wait for its return until the session ends."""
        with boundary("closing the consumer"):
            close_bounded(self._consumer.close, doing="closing the consumer")


def _pairs(partitions: Sequence[TopicPartition]) -> list[seams.TopicPartition]:
    return [(pair.topic, pair.partition) for pair in partitions]


def _offsets(answers: Sequence[TopicPartition]) -> dict[seams.TopicPartition, int | None]:
    found: dict[seams.TopicPartition, int | None] = {}
    for answer in answers:
        if answer.error is not None:
            failure = mapped(answer.error, doing=f"asking for the offset of {answer.topic}[{answer.partition}]")
            if isinstance(failure, Fatal):
                raise failure
            continue
        found[answer.topic, answer.partition] = answer.offset if answer.offset >= 0 else None
    return found
