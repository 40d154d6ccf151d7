"""All tenants' endpoints as their topic has them, read to its end whenever somebody needs to be sure."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from api.webhooks.errors import WebhooksStopped
from schemas import codec, reading
from schemas.catalogue import WEBHOOKS_ENDPOINTS
from schemas.clients import consumer_config
from schemas.errors import DecodingError
from schemas.records import WebhookEndpoint

CATCH_UP_DEADLINE_S = 60.0
WATERMARK_DEADLINE_S = 30.0
_BATCH = 500
_PAUSE_S = 0.1

log = logging.getLogger("clearline.webhooks")


class Endpoints:
    """The newest record of each endpoint. Whoever relies on what it sees calls `catch_up` before."""

    def __init__(self, kafka: dict[str, Any]) -> None:
        settings = {**kafka, "enable.partition.eof": True}
        self._consumer = Consumer(consumer_config(kafka["bootstrap.servers"], "webhooks.endpoints", settings))
        self._where = TopicPartition(WEBHOOKS_ENDPOINTS.name, 0, 0)
        self._consumer.assign([self._where])
        # Where the topic ends is asked by a client that reads nothing: an answer to one that reads comes after the broker's own to its
        # fetch, which takes half a second when there is nothing new.
        self._asking = Consumer(consumer_config(kafka["bootstrap.servers"], "webhooks.endpoints", kafka))
        self._kafka = kafka
        self._read_to = 0
        self._reading = threading.Lock()
        self._tenants: dict[str, dict[str, WebhookEndpoint]] = {}

    def of(self, tenant: str) -> Iterable[WebhookEndpoint]:
        """A tenant's endpoints, those that are disabled or deleted too."""
        return list(self._tenants.get(tenant, {}).values())

    def get(self, tenant: str, endpoint_id: str) -> WebhookEndpoint | None:
        """One endpoint; None where the tenant has none of that id."""
        return self._tenants.get(tenant, {}).get(endpoint_id)

    def catch_up(self, *, open_too: bool = False) -> None:
        """
        Read all that was acknowledged when this was called. Raises `WebhooksStopped` when that takes too long.

        An endpoint is acknowledged once it can be read. `open_too`: also what is committed behind somebody's open transaction, and
        nobody can read yet; that waits until that one has ended.
        """
        with self._reading:
            end = self._end() if open_too else self._readable_end()
            deadline = time.monotonic() + CATCH_UP_DEADLINE_S
            while self._read_to < end:
                if time.monotonic() > deadline:
                    message = f"{WEBHOOKS_ENDPOINTS.name} could not be read to offset {end}; check the broker, then start again"
                    raise WebhooksStopped(message)
                # The first is waited for, the others are taken as they are there.
                first = self._consumer.poll(1.0)
                if first is not None:
                    for record in (first, *self._consumer.consume(_BATCH, 0)):
                        self._take(record)

    def close(self) -> None:
        """Close the clients."""
        self._consumer.close()
        self._asking.close()

    def _end(self) -> int:
        """The topic's end, open transactions included."""
        where = (self._where.topic, self._where.partition)
        return reading.ends(self._kafka, {where})[where]

    def _readable_end(self) -> int:
        deadline = time.monotonic() + WATERMARK_DEADLINE_S
        while True:
            try:
                return int(self._asking.get_watermark_offsets(self._where, timeout=WATERMARK_DEADLINE_S)[1])
            except KafkaException as error:
                # Such as a leader that has just been elected, and does not know of it yet.
                if error.args[0].fatal() or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)

    def _take(self, message: Any) -> None:
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            if error.retriable():
                return
            raise KafkaException(error)
        if error is not None:
            self._read_to = max(self._read_to, message.offset())
            return
        self._read_to = message.offset() + 1
        tenant, _, endpoint_id = (message.key() or b"").decode(errors="replace").partition("/")
        if message.value() is None:
            self._tenants.get(tenant, {}).pop(endpoint_id, None)
            return
        try:
            found = codec.decode(message.value())
        except DecodingError as refusal:
            log.warning("%s@%d is passed over: %s", WEBHOOKS_ENDPOINTS.name, message.offset(), refusal)
            return
        # A record under another's key would give one tenant's events to another.
        if not isinstance(found, WebhookEndpoint) or (found.tenant, found.endpoint_id) != (tenant, endpoint_id):
            log.warning("%s@%d is passed over: it is not what its key says", WEBHOOKS_ENDPOINTS.name, message.offset())
            return
        self._tenants.setdefault(tenant, {})[endpoint_id] = found
