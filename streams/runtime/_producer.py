"""The transactional producer, on librdkafka."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from streams.runtime import seams
from streams.runtime._boundary import Message, boundary
from streams.runtime._bounded import BoundedCalls
from streams.runtime.errors import Abortable
from streams.runtime.record import Output

# librdkafka's local queue; above what a batch may emit with its changelog, so that produce never waits in practice.
QUEUE_MESSAGES_MAX = 200_000
QUEUE_FULL_WAIT_S = 0.05


class KafkaProducer:
    """The transactional producer."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        with boundary("making the producer"):
            self._producer = Producer(dict(settings))
        self._calls = BoundedCalls("producer-calls")
        self._delivered: dict[seams.TopicPartition, int] = {}

    def init_transactions(self, *, timeout_ms: int) -> None:
        """Fence any earlier producer of this id."""
        self._bounded("fencing earlier producers", self._producer.init_transactions, timeout_ms)

    def begin(self) -> None:
        """Start a transaction."""
        self._delivered.clear()
        with boundary("beginning a transaction"):
            self._producer.begin_transaction()

    def produce(self, outputs: Sequence[Output], *, track_last: bool = False) -> None:
        """
        Hand records over.

        Only a tracked record has a delivery callback, which would double the cost of each; the failed delivery of any
        record fails the commit.
        """
        produce = self._producer.produce
        last = len(outputs) - 1 if track_last else -1
        with boundary("producing"):
            for index, output in enumerate(outputs):
                partition = -1 if output.partition is None else output.partition
                callback = self._track if index == last else None
                while True:
                    try:
                        if output.headers:
                            produce(
                                output.topic, output.value, output.key, partition, callback, None,
                                output.timestamp_ms, list(output.headers),
                            )  # fmt: skip
                        else:
                            produce(
                                output.topic, output.value, output.key, partition, callback, None, output.timestamp_ms
                            )
                    except BufferError:
                        self._producer.poll(QUEUE_FULL_WAIT_S)
                    else:
                        break

    def _track(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._delivered[message.topic(), message.partition()] = message.offset()

    def delivered_offset(self, topic: str, partition: int) -> int:
        """Offset of the last tracked record of this partition."""
        offset = self._delivered.get((topic, partition), -1)
        assert offset >= 0, f"{topic}[{partition}] was acknowledged without an offset"
        return offset

    def send_offsets(
        self, offsets: Mapping[seams.TopicPartition, int], group_metadata: object, *, timeout_ms: int
    ) -> None:
        """
        Add the group's next offsets to the transaction, once each of its records is in the log.

        So whoever takes the partitions over finds the whole of an open transaction below the changelog's end, and waits for it,
        even if the group's coordinator has forgotten that these offsets are pending.
        """
        self._bounded("waiting for records to be taken", self._flush, timeout_ms)
        positions = [TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()]
        send = partial(self._producer.send_offsets_to_transaction, positions, group_metadata)
        self._bounded("adding offsets to the transaction", send, timeout_ms)

    def _flush(self, timeout_s: float) -> None:
        try:
            left = self._producer.flush(timeout_s)
        except SystemError as error:
            # A delivery callback of ours ran while the client's own exception, such as that it is fenced, was set already.
            raise error.__cause__ or error from None
        if left:
            raise Abortable(f"{left} records were not taken in {timeout_s:.0f} s")

    def commit(self, *, timeout_ms: int) -> None:
        """Commit."""
        self._bounded("committing", self._producer.commit_transaction, timeout_ms)

    def abort(self, *, timeout_ms: int) -> None:
        """Abort."""
        self._bounded("aborting", self._producer.abort_transaction, timeout_ms)

    def _bounded(self, doing: str, call: Callable[[float], None], timeout_ms: int) -> None:
        timeout_s = timeout_ms / 1_000
        with boundary(doing):
            self._calls.run(lambda: call(timeout_s), timeout_s=timeout_s, doing=doing)

    def close(self) -> None:
        """
        Drop the client.

        `Producer.close` would abort and flush, and wait for a broker that may be gone; purging lets the client be
        destroyed at once. Its open transaction, if any, is ended by the next `init_transactions` or by the broker.
        """
        with contextlib.suppress(KafkaException, RuntimeError):
            self._producer.purge(blocking=False)
            self._producer.poll(0)
        self._calls.close()
        del self._producer
