"""Keys and tenants in memory, as their compacted topics tell them: read to the end before anything is served, then followed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Message
from confluent_kafka.admin import AdminClient

from api.http._follower import Follower
from api.http.keys import KeyTable
from schemas import codec
from schemas.catalogue import API_KEYS, TENANTS
from schemas.clients import CLIENT_TIMEOUT_MS, client_config
from schemas.errors import DecodingError
from schemas.records import ApiKey, Tenant

READ_DEADLINE_S = 60.0
_REQUEST_TIMEOUT_S = CLIENT_TIMEOUT_MS / 1000

log = logging.getLogger("clearline.api")


class TablesNotRead(Exception):
    """The topics of keys and tenants could not be read to their ends, or are not there."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}. See whether the broker answers, and make the topics with `clearline topics --create`")


class Tables:
    """What is known of keys and tenants."""

    def __init__(self, bootstrap: str, extra: Mapping[str, Any], *, failed: Callable[[BaseException], None]) -> None:
        self.keys = KeyTable()
        self.tenants: dict[str, Tenant] = {}
        self._bootstrap, self._extra = bootstrap, extra
        self._follower = Follower(bootstrap, extra, on_message=self._on_message, failed=failed)

    async def start(self) -> None:
        """Read both to their ends. Raises `TablesNotRead`, KafkaException."""
        await asyncio.to_thread(self.read)

    def read(self) -> None:
        """The same, blocking."""
        admin = AdminClient(client_config(self._bootstrap, dict(self._extra)))
        known = admin.list_topics(timeout=_REQUEST_TIMEOUT_S).topics
        partitions = []
        for topic in (API_KEYS, TENANTS):
            if topic.name not in known:
                raise TablesNotRead(f"There is no topic {topic.name}")
            partitions += [(topic.name, number) for number in known[topic.name].partitions]
        self._follower.start(partitions, from_end=False)
        if not self._follower.caught_up.wait(READ_DEADLINE_S):
            raise TablesNotRead(f"Keys and tenants were not read within {READ_DEADLINE_S:.0f} s")

    def close(self) -> None:
        """End the reader."""
        self._follower.close()

    def _on_message(self, message: Message) -> None:
        key, value = message.key(), message.value()
        if not isinstance(key, bytes):
            return
        name = key.decode("utf-8", "replace")
        try:
            record = None if value is None else codec.decode(value, expected=(ApiKey, Tenant))
        except DecodingError as error:
            log.error("%s offset %s can't be read: %s", message.topic(), message.offset(), error)  # noqa: TRY400
            return
        if message.topic() == API_KEYS.name and not isinstance(record, Tenant):
            assert record is None or isinstance(record, ApiKey)
            self.keys.put(name, record)
        elif isinstance(record, Tenant):
            self.tenants[record.tenant] = record
