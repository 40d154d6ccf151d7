"""Which worker holds which payments, as workers tell it on topic `workers`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka.admin import AdminClient

from api.http._follower import Follower
from schemas import codec
from schemas.catalogue import PAYMENTS_INPUTS, WORKERS
from schemas.clients import CLIENT_TIMEOUT_MS, client_config
from schemas.errors import DecodingError
from schemas.partitioner import partition_of
from schemas.records import WorkerAddress

WORKERS_MAX = 10_000
"""Names that are remembered; a fleet of more would have names that change at every start, which they must not."""

log = logging.getLogger("clearline.api")


class Owners:
    """
    The newest address of each worker. Filled by a thread that follows the topic, read by anybody.

    It may be out of date: a worker that has died stays in it until its name is taken again. So it only says whom to ask
    first, and never who is right.
    """

    def __init__(self, bootstrap: str, extra: Mapping[str, Any], *, failed: Callable[[BaseException], None]) -> None:
        self._bootstrap, self._extra, self._failed = bootstrap, extra, failed
        self._addresses: dict[str, WorkerAddress] = {}
        self._follower: Follower | None = None
        self.partitions = 0
        """Of payments.inputs; known once started."""

    async def start(self) -> None:
        """Learn the partitions and read the topic to its end. Raises KafkaException."""
        await asyncio.to_thread(self._start)

    def _start(self) -> None:
        admin = AdminClient(client_config(self._bootstrap, dict(self._extra)))
        found = admin.list_topics(PAYMENTS_INPUTS.name, timeout=CLIENT_TIMEOUT_MS / 1000)
        self.partitions = len(found.topics[PAYMENTS_INPUTS.name].partitions)
        if not self.partitions:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_TOPIC, f"there is no topic {PAYMENTS_INPUTS.name}"))
        self._follower = Follower(self._bootstrap, self._extra, on_message=self._on_message, failed=self._failed)
        self._follower.start([(WORKERS.name, 0)], from_end=False)
        if not self._follower.caught_up.wait(CLIENT_TIMEOUT_MS / 1000):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"topic {WORKERS.name} was not read to its end"))

    async def close(self) -> None:
        """End the thread."""
        if self._follower is not None:
            await asyncio.to_thread(self._follower.close)

    def _on_message(self, message: Message) -> None:
        value = message.value()
        try:
            if value is not None:
                address = codec.decode(value, expected=(WorkerAddress,))
                assert isinstance(address, WorkerAddress)
                self.put(address)
        except DecodingError as error:
            log.error("an address at offset %s can't be read: %s", message.offset(), error)  # noqa: TRY400 - its text says it

    def put(self, address: WorkerAddress) -> None:
        """Take what a worker says."""
        if address.worker in self._addresses or len(self._addresses) < WORKERS_MAX:
            self._addresses[address.worker] = address

    def partition(self, tenant: str, payment_id: str) -> int:
        """The partition of a payment."""
        return partition_of(f"{tenant}/{payment_id}".encode(), self.partitions)

    def partition_of_customers(self, tenant: str) -> int:
        """The partition of a tenant's customers; their topic has as many as that of payments."""
        return partition_of(tenant.encode(), self.partitions)

    def candidates(self, partition: int) -> list[str]:
        """Base URLs of the workers that say they hold these payments, the one that said so last first."""
        return _newest_first([one for one in list(self._addresses.values()) if partition in one.partitions])

    def candidates_for_customers(self, partition: int) -> list[str]:
        """The same for customers."""
        return _newest_first([one for one in list(self._addresses.values()) if partition in one.customers_partitions])


def _newest_first(known: list[WorkerAddress]) -> list[str]:
    return [address.url.rstrip("/") for address in sorted(known, key=lambda one: one.observed_ms, reverse=True)]
