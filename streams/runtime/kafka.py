"""The task's clients on librdkafka and their settings."""

from __future__ import annotations

import logging
import time
from typing import Any

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from schemas.clients import FETCH_QUEUE_BACKOFF_MS, gathering
from streams.runtime._boundary import boundary, mapped
from streams.runtime._consumer import KafkaConsumer
from streams.runtime._producer import QUEUE_MESSAGES_MAX, KafkaProducer
from streams.runtime._reader import KafkaReader
from streams.runtime.config import PREFETCH_KBYTES_MAX, TaskConfig

__all__ = [
    "KafkaClients",
    "KafkaConsumer",
    "KafkaProducer",
    "KafkaReader",
    "SystemClock",
    "boundary",
    "consumer_settings",
    "mapped",
    "producer_settings",
    "reader_settings",
]

logger = logging.getLogger(__name__)


class SystemClock:
    """The machine's clock."""

    def monotonic_ms(self) -> int:
        """Milliseconds that only grow."""
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def sleep_ms(self, duration_ms: int) -> None:
        """Wait."""
        time.sleep(duration_ms / 1_000)


class KafkaClients:
    """Makes librdkafka clients from a task's configuration."""

    def __init__(self, config: TaskConfig) -> None:
        self._config = config

    def consumer(self) -> KafkaConsumer:
        """A member of the task's group."""
        return KafkaConsumer(consumer_settings(self._config))

    def producer(self, turn: int) -> KafkaProducer:
        """The task's producer of that turn."""
        return KafkaProducer(producer_settings(self._config, turn=turn))

    def reader(self, topic: str) -> KafkaReader:
        """A reader of a changelog or table, with an admin client of its own."""
        # A shared one that had lost its broker was seen to wait for a controller for ever, in session after session.
        return KafkaReader(reader_settings(self._config), self.admin(), topic)

    def admin(self) -> AdminClient:
        """A new admin client."""
        return AdminClient(dict(_common(self._config)))


def consumer_settings(config: TaskConfig) -> dict[str, Any]:
    """
    librdkafka settings of the group member.

    Range: partition n of every source goes to one worker, which a co-partitioned task needs; the cooperative assignor
    doesn't promise it. Classic protocol: with the new one (KIP-848) the broker refuses a restarted static member until
    its dead predecessor's session expires. No reset: a committed offset that is gone means lost money, not "earliest".
    """
    return _common(config) | {
        "group.id": config.group,
        "group.instance.id": config.instance,
        "group.protocol": "classic",
        "partition.assignment.strategy": "range",
        "session.timeout.ms": config.session_timeout_ms,
        "heartbeat.interval.ms": max(100, min(3_000, config.session_timeout_ms // 6)),
        "max.poll.interval.ms": config.poll_interval_max_ms,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        **(gathering(config.gather_ms) if config.gather_ms else {"fetch.wait.max.ms": 100}),
        "fetch.queue.backoff.ms": FETCH_QUEUE_BACKOFF_MS,
        "fetch.error.backoff.ms": 50,
        "queued.max.messages.kbytes": PREFETCH_KBYTES_MAX,
        "queued.min.messages": 50_000,
    }


def producer_settings(config: TaskConfig, *, turn: int = 0) -> dict[str, Any]:
    """
    librdkafka settings of the transactional producer.

    With the default retry back-off each commit waits some 47 ms on the coordinator's CONCURRENT_TRANSACTIONS answer;
    with 1 ms it takes 4.5.
    """
    return _common(config) | {
        "transactional.id": config.transactional_id_of(turn),
        "transaction.timeout.ms": config.transaction_timeout_ms,
        "message.timeout.ms": config.transaction_timeout_ms,
        "partitioner": "murmur2_random",
        "linger.ms": 0,
        "retry.backoff.ms": 1,
        "retry.backoff.max.ms": 2,
        "queue.buffering.max.messages": QUEUE_MESSAGES_MAX,
        # Batches stay below `batch.size`, a megabyte; this only admits a single large rejection.
        "message.max.bytes": max(config.output_bytes_max, config.rejection_bytes_max),
    }


def reader_settings(config: TaskConfig) -> dict[str, Any]:
    """librdkafka settings of readers outside the group."""
    return _common(config) | {
        "group.id": f"{config.group}-reader",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 50,
        "fetch.queue.backoff.ms": FETCH_QUEUE_BACKOFF_MS,
        "queued.max.messages.kbytes": PREFETCH_KBYTES_MAX,
    }


def _common(config: TaskConfig) -> dict[str, Any]:
    return {
        "bootstrap.servers": config.bootstrap,
        "client.id": config.transactional_id,
        "allow.auto.create.topics": False,
        "topic.metadata.refresh.interval.ms": 30_000,
        "reconnect.backoff.max.ms": 1_000,
        "error_cb": _log_error,
        **config.client,
    }


def _log_error(error: KafkaError) -> None:
    if error.fatal():
        logger.error("kafka client: %s (%s)", error.str(), error.name())
    else:
        logger.info("kafka client: %s (%s)", error.str(), error.name())
