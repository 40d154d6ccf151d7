"""A thread that follows partitions of a topic and hands on what it reads, for as long as the process lives."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas import reading
from schemas.clients import CLIENT_TIMEOUT_MS, client_config, consumer_config

_POLL_S = 0.2
_REQUEST_TIMEOUT_S = CLIENT_TIMEOUT_MS / 1000


class Follower:
    """Follows from the beginning, or from what is the end now. `failed` is called once if it can't go on."""

    def __init__(
        self,
        bootstrap: str,
        extra: Mapping[str, Any],
        *,
        on_message: Callable[[Message], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._bootstrap, self._extra = bootstrap, extra
        settings = {"enable.partition.eof": True, **extra}
        # Partitions are assigned by hand and nothing is committed: the group is a name that nobody shares.
        self._consumer = Consumer(consumer_config(bootstrap, f"clearline.api.{uuid.uuid4().hex}", settings))
        self._on_message, self._failed = on_message, failed
        self._unread: set[tuple[str, int]] = set()
        self._positions: dict[tuple[str, int], int] = {}
        self.caught_up = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self, partitions: list[tuple[str, int]], *, from_end: bool) -> None:
        """Take the partitions and begin. From the end: what is written after this call is read. Blocks; raises KafkaException."""
        begin = []
        for topic, partition in partitions:
            place = TopicPartition(topic, partition, 0)
            if from_end:
                _, place.offset = self._consumer.get_watermark_offsets(place, timeout=_REQUEST_TIMEOUT_S)
            begin.append(place)
        self._unread = set(partitions)
        self._positions = {(place.topic, place.partition): place.offset for place in begin}
        self._consumer.assign(begin)
        self._thread.start()

    def position(self, topic: str, partition: int) -> int:
        """The offset before which everything of a partition was handed on."""
        return self._positions.get((topic, partition), 0)

    def ends(self) -> dict[tuple[str, int], int]:
        """Where the partitions end now, as far as it is committed. Blocks; raises KafkaException."""
        # By a client of its own: the consumer answers nobody else while its thread polls it.
        kafka = client_config(self._bootstrap, dict(self._extra))
        return reading.ends(kafka, self._positions.keys(), open_too=False)

    def close(self) -> None:
        """End the thread and the client."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(_REQUEST_TIMEOUT_S)
        self._consumer.close()

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                message = self._consumer.poll(_POLL_S)
                if message is not None:
                    self._take(message)
        except Exception as error:  # noqa: BLE001 - whatever it is, a process that no longer hears must not go on
            self._failed(error)

    def _take(self, message: Message) -> None:
        error = message.error()
        place = (str(message.topic()), int(message.partition() or 0))
        offset = int(message.offset() or 0)
        if error is None:
            self._on_message(message)
            self._positions[place] = offset + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            # Behind the last record there may be marks of transactions, which nobody is handed.
            self._positions[place] = max(offset, self._positions.get(place, 0))
            self._unread.discard(place)
            if not self._unread:
                self.caught_up.set()
        elif error.fatal() or not (error.retriable() or error.code() == KafkaError._ALL_BROKERS_DOWN):
            raise KafkaException(error)
