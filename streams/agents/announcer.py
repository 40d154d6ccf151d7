"""Tells on topic `workers` where this worker answers, and for which partitions it has the state."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaException, Producer

from schemas import codec
from schemas.catalogue import WORKERS
from schemas.clients import producer_config
from schemas.records import WorkerAddress
from streams.runtime import TaskStatus

logger = logging.getLogger(__name__)

# The librdkafka client retries so long; then the next call tells again.
_DELIVERY_TIMEOUT_MS = 30_000
_HELD = ("running", "stopped")


class Announcer:
    """Appends a `WorkerAddress` at first and whenever the partitions change. Nothing depends on it being right: see 421."""

    def __init__(
        self,
        bootstrap: str,
        *,
        client: Mapping[str, Any],
        worker: str,
        url: Callable[[], str],
        now_ms: Callable[[], int],
    ) -> None:
        self._producer = Producer(
            producer_config(bootstrap, {**client, "message.timeout.ms": _DELIVERY_TIMEOUT_MS, "linger.ms": 0})
        )
        self._worker, self._url, self._now_ms = worker, url, now_ms
        self._told: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    def announce(self, payments: TaskStatus, customers: TaskStatus | None = None) -> bool:
        """Tell what has changed since it was last told; whether there was anything. Never blocks."""
        self._producer.poll(0)
        held = (_held(payments), () if customers is None else _held(customers))
        if held == self._told:
            return False
        address = WorkerAddress(
            worker=self._worker,
            url=self._url(),
            partitions=held[0],
            customers_partitions=held[1],
            observed_ms=self._now_ms(),
        )
        try:
            self._producer.produce(
                WORKERS.name, codec.encode(address), key=self._worker.encode(), on_delivery=self._delivered
            )
        except (BufferError, KafkaException) as error:
            logger.warning("the address was not told: %s", error)
            return False
        self._told = held
        self._producer.poll(0)
        return True

    def _delivered(self, error: Any, _message: Any) -> None:
        if error is not None:
            logger.warning("the address was not told, and will be again: %s", error)
            self._told = None


def _held(status: TaskStatus) -> tuple[int, ...]:
    return tuple(part.partition for part in status.partitions if part.phase in _HELD)
