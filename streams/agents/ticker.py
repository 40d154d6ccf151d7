"""The ticker: tells each input partition of this worker what time it is, as an input like any other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaException, Producer

from schemas import codec
from schemas.clients import producer_config
from schemas.records import ClockTick
from streams.runtime import TaskStatus

logger = logging.getLogger(__name__)

# A tick that could not be delivered by then is worth nothing: the next one says more.
_DELIVERY_TIMEOUT_MS = 10_000
_QUEUED_MAX = 10_000


class Ticker:
    """Appends a `ClockTick` to every running partition of some topics.

    Ticks need no transaction: a lost one is made good by the next, a repeated or a zombie's late one changes nothing, since
    the folds take the greatest time that they have seen.
    """

    def __init__(self, bootstrap: str, *, client: Mapping[str, Any], source: str, now_ms: Callable[[], int]) -> None:
        limits = {"message.timeout.ms": _DELIVERY_TIMEOUT_MS, "queue.buffering.max.messages": _QUEUED_MAX}
        self._producer = Producer(producer_config(bootstrap, {**client, **limits}))
        self._source = source
        self._now_ms = now_ms

    def tick(self, statuses: Mapping[str, TaskStatus]) -> int:
        """One tick for each running partition, by topic; returns how many were handed over. Never blocks."""
        self._producer.poll(0)
        now_ms = self._now_ms()
        value = codec.encode(ClockTick(time_ms=now_ms, source=self._source))
        handed = 0
        for topic, status in statuses.items():
            for partition in status.partitions:
                if partition.phase != "running":
                    continue
                try:
                    self._producer.produce(topic, value, key=b"tick", partition=partition.partition, timestamp=now_ms)
                except (BufferError, KafkaException) as error:
                    logger.warning("no tick for %s [%d]: %s", topic, partition.partition, error)
                    return handed
                handed += 1
        self._producer.poll(0)
        return handed
