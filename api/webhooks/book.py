"""Tenants' endpoints as anybody may read and change them: one writer at a time for each tenant, across all processes.

A change is a transaction under an id of the tenant's own. Whoever begins one fences whoever is at it, and waits until everything that was
committed before can be read; so a decision is never made on what is no longer so. It is acknowledged once it can be read.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from confluent_kafka import KafkaException

from api.webhooks._endpoints import Endpoints
from api.webhooks._transactions import transactions
from api.webhooks.errors import TooManyChanges, WebhooksStopped
from schemas import codec
from schemas.catalogue import WEBHOOKS_DELIVERIES, WEBHOOKS_ENDPOINTS, WEBHOOKS_HEALTH
from schemas.records import WebhookDelivery, WebhookEndpoint
from schemas.stopping import Stopped
from schemas.transactions import Produce

ATTEMPTS_MAX = 7
CHANGES_AT_ONCE_MAX = 8
CHANGES_WAITING_MAX = 200
TRANSACTION_TIMEOUT_MS = 10_000
"""How long a writer that died can hold back those who read what comes after it."""
SEEN_DEADLINE_S = 30.0
_BACKOFF_S = 0.2
_BACKOFF_MAX_S = 5.0
_LOCKS = 64

log = logging.getLogger("clearline.webhooks")

_Result = TypeVar("_Result")


class Change(msgspec.Struct, Generic[_Result], frozen=True, kw_only=True):
    """What is to be written together, and what to tell whoever asked. `forgotten`: ids of which nothing is to be left."""

    result: _Result
    endpoints: tuple[WebhookEndpoint, ...] = ()
    forgotten: tuple[str, ...] = ()
    deliveries: tuple[tuple[int, WebhookDelivery], ...] = ()
    """With the partition that each goes to."""


Decide = Callable[[Mapping[str, WebhookEndpoint]], Change[_Result]]
"""Of a tenant's endpoints by id, those that were deleted too. May be asked again, with what then is so."""


class Book:
    """One for each process; any thread may use it."""

    def __init__(self, kafka: dict[str, Any]) -> None:
        self._kafka = kafka
        self._endpoints: Endpoints | None = None
        self._gate = asyncio.Semaphore(CHANGES_AT_ONCE_MAX)
        self._waiting = 0
        self._turns = [threading.Lock() for _ in range(_LOCKS)]

    def start(self) -> None:
        """Read all there is. Raises KafkaException and `WebhooksStopped`."""
        self._endpoints = Endpoints(self._kafka)
        self._endpoints.catch_up()

    def close(self) -> None:
        """Close the reader."""
        if self._endpoints is not None:
            self._endpoints.close()

    def held(self, tenant: str, endpoint_id: str) -> WebhookEndpoint | None:
        """An endpoint as this process last read it."""
        return self._read.get(tenant, endpoint_id)

    def follow(self) -> None:
        """Read what has been acknowledged by now. Raises KafkaException and `WebhooksStopped`."""
        self._read.catch_up()

    async def of(self, tenant: str) -> dict[str, WebhookEndpoint]:
        """A tenant's endpoints by id, with everything that was acknowledged before; those that were deleted too."""
        await asyncio.to_thread(self._read.catch_up)
        return self._of(tenant)

    async def change(self, tenant: str, decide: Decide[_Result]) -> _Result:
        """Decide and write. Raises what `decide` raises, `TooManyChanges` (nothing begun), and `WebhooksStopped`."""
        if self._waiting >= CHANGES_WAITING_MAX:
            raise TooManyChanges(f"{self._waiting} changes of endpoints wait; nothing was begun")
        self._waiting += 1
        try:
            async with self._gate:
                return await asyncio.to_thread(self.change_now, tenant, decide)
        finally:
            self._waiting -= 1

    def change_now(self, tenant: str, decide: Decide[_Result]) -> _Result:
        """The same, blocking."""
        with self._turns[hash(tenant) % _LOCKS]:  # within a process nobody fences anybody
            return self._change(tenant, decide)

    def _change(self, tenant: str, decide: Decide[_Result]) -> _Result:
        for attempt in range(ATTEMPTS_MAX):
            try:
                # 1. Fence whoever else changes this tenant's endpoints. 2. Read what is committed.
                writer = transactions(
                    self._kafka,
                    transactional_id=f"clearline.webhooks.endpoints.{tenant}",
                    timeout_ms=TRANSACTION_TIMEOUT_MS,
                )
                self._read.catch_up(open_too=True)
                # 3. Decide. 4. Write, all or nothing. 5. See that it can be read.
                change = decide(self._of(tenant))
                records = list(_records(tenant, change))
                if not records:
                    return change.result
                if writer.commit(records):
                    self._see(change.endpoints)
                    return change.result
            except (Stopped, KafkaException) as error:
                log.info("a change of %s's endpoints is decided again: %s", tenant, error)
            # Keeps two rivals from meeting again and again, on a machine where a change takes long too.
            time.sleep(min(_BACKOFF_S * 2**attempt, _BACKOFF_MAX_S) * (0.5 + random.random()))  # noqa: S311
        raise WebhooksStopped(f"{tenant}'s endpoints could not be changed in {ATTEMPTS_MAX} attempts")

    @property
    def _read(self) -> Endpoints:
        assert self._endpoints is not None, "start first"
        return self._endpoints

    def _of(self, tenant: str) -> dict[str, WebhookEndpoint]:
        return {one.endpoint_id: one for one in self._read.of(tenant)}

    def _see(self, written: tuple[WebhookEndpoint, ...]) -> None:
        deadline = time.monotonic() + SEEN_DEADLINE_S
        while any((self._read.get(one.tenant, one.endpoint_id) or _NONE).version < one.version for one in written):
            if time.monotonic() > deadline:
                raise WebhooksStopped(f"{WEBHOOKS_ENDPOINTS.name} can't be read up to what was just written")
            self._read.catch_up()


_NONE = WebhookEndpoint()


def _records(tenant: str, change: Change[Any]) -> list[Produce]:
    assert all(one.tenant == tenant for one in change.endpoints)
    return [
        *(
            Produce(WEBHOOKS_ENDPOINTS.name, f"{tenant}/{one.endpoint_id}".encode(), codec.encode(one), 0)
            for one in change.endpoints
        ),
        *(
            Produce(topic.name, f"{tenant}/{one}".encode(), None, 0)
            for one in change.forgotten
            for topic in (WEBHOOKS_ENDPOINTS, WEBHOOKS_HEALTH)
        ),
        *(
            Produce(WEBHOOKS_DELIVERIES.name, f"{tenant}/{one.payment_id}".encode(), codec.encode(one), partition)
            for partition, one in change.deliveries
        ),
    ]
