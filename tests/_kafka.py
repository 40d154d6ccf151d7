"""What the fixtures of tests/conftest.py hand out: a Kafka and unique names on it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient, NewTopic

from infra.kafka import Broker

DEADLINE_S = 90
REQUEST_TIMEOUT_S = 30


@dataclass(frozen=True)
class KafkaService:
    """A Kafka that serves. `broker` is None where it is not ours to kill (a container)."""

    bootstrap: str
    broker: Broker | None = None

    def topic(
        self, prefix: str, *, partitions: int = 1, replication: int = 1, config: Mapping[str, str] | None = None
    ) -> str:
        """Creates a topic of a unique name that begins with `prefix`, waits until each partition has a leader."""
        name = self.name(prefix)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        new = NewTopic(name, num_partitions=partitions, replication_factor=replication, config=dict(config or {}))
        admin.create_topics([new], operation_timeout=REQUEST_TIMEOUT_S)[name].result(DEADLINE_S)
        end = time.monotonic() + DEADLINE_S
        while True:
            found = admin.list_topics(name, timeout=REQUEST_TIMEOUT_S).topics[name]
            led = [partition for partition in found.partitions.values() if partition.leader >= 0]
            if found.error is None and len(led) == partitions:
                return name
            if time.monotonic() > end:
                raise TimeoutError(f"{name} has leaders for {len(led)} of {partitions} partitions: {found.error}")
            time.sleep(0.02)

    @staticmethod
    def name(prefix: str) -> str:
        """A unique name that begins with `prefix`: for groups, transactional ids, topics made elsewhere."""
        return f"{prefix}-{uuid.uuid4().hex[:12]}"
