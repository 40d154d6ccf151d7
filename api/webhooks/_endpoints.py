"""All tenants' endpoints as their topic has them, read to its end whenever somebody needs to be sure."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from api.webhooks.errors import WebhooksStopped
from schemas import codec
from schemas.catalogue import WEBHOOKS_ENDPOINTS
from schemas.clients import consumer_config
from schemas.errors import DecodingError
from schemas.records import WebhookEndpoint

CATCH_UP_DEADLINE_S = 60.0
WATERMARK_DEADLINE_S = 30.0
_BATCH = 500

log = logging.getLogger("clearline.webhooks")


class Endpoints:
    """The newest record of each endpoint. For one thread, which calls `catch_up` before it relies on what it sees."""

    def __init__(self, kafka: dict[str, Any]) -> None:
        settings = {**kafka, "enable.partition.eof": True}
        self._consumer = Consumer(consumer_config(kafka["bootstrap.servers"], "webhooks.endpoints", settings))
        self._where = TopicPartition(WEBHOOKS_ENDPOINTS.name, 0, 0)
        self._consumer.assign([self._where])
        self._read_to = 0
        self._tenants: dict[str, dict[str, WebhookEndpoint]] = {}

    def of(self, tenant: str) -> Iterable[WebhookEndpoint]:
        """A tenant's endpoints, those that are disabled or deleted too."""
        return self._tenants.get(tenant, {}).values()

    def catch_up(self) -> None:
        """Read all that was there when this was called. Raises `WebhooksStopped` when that takes too long."""
        _, end = self._consumer.get_watermark_offsets(self._where, timeout=WATERMARK_DEADLINE_S)
        deadline = time.monotonic() + CATCH_UP_DEADLINE_S
        while self._read_to < end:
            if time.monotonic() > deadline:
                message = (
                    f"{WEBHOOKS_ENDPOINTS.name} could not be read to offset {end}; check the broker, then start again"
                )
                raise WebhooksStopped(message)
            for record in self._consumer.consume(_BATCH, 1.0):
                self._take(record)

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()

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
