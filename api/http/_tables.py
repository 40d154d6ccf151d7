"""Keys, tenants and people in memory, as their compacted topics tell them: read to the end before anything is served, then followed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka.admin import AdminClient

from api.http._follower import Follower
from api.http.keys import KeyTable
from schemas import codec
from schemas.catalogue import (
    API_KEYS,
    API_KEYS_USES,
    APPROVALS,
    OPERATORS,
    OPERATORS_SESSIONS,
    ORGANIZATIONS,
    ROUTING_POLICIES,
    TENANTS,
    Topic,
)
from schemas.clients import CLIENT_TIMEOUT_MS, client_config
from schemas.errors import DecodingError
from schemas.records import (
    ApiKey,
    ApiKeyUse,
    Approval,
    Operator,
    OperatorSession,
    Organization,
    Record,
    RoutingPolicy,
    Tenant,
)

READ_DEADLINE_S = 60.0
_PAUSE_S = 0.005
_REQUEST_TIMEOUT_S = CLIENT_TIMEOUT_MS / 1000

log = logging.getLogger("clearline.api")


class TablesNotRead(Exception):
    """The topics of keys and tenants could not be read to their ends, or are not there."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}. See whether the broker answers, and make the topics with `clearline topics --create`")


class Tables:
    """What is known of keys, tenants, policies and people. Written by the thread that reads, read by any."""

    def __init__(self, bootstrap: str, extra: Mapping[str, Any], *, failed: Callable[[BaseException], None]) -> None:
        self.keys = KeyTable()
        self.tenants: dict[str, Tenant] = {}
        self.policies: dict[str, RoutingPolicy] = {}
        self.organizations: dict[str, Organization] = {}
        self.operators: dict[str, Operator] = {}
        self.sessions: dict[bytes, OperatorSession] = {}
        """By the digest of the cookie's value."""
        self.approvals: dict[str, Approval] = {}
        self.uses: dict[str, ApiKeyUse] = {}
        """By the key's id: when it was last used, to the hour (`api.http.limits.Uses`)."""
        self._tables: dict[str, tuple[Topic, dict[str, Any] | None]] = {
            API_KEYS.name: (API_KEYS, None),
            API_KEYS_USES.name: (API_KEYS_USES, self.uses),
            TENANTS.name: (TENANTS, self.tenants),
            ROUTING_POLICIES.name: (ROUTING_POLICIES, self.policies),
            ORGANIZATIONS.name: (ORGANIZATIONS, self.organizations),
            OPERATORS.name: (OPERATORS, self.operators),
            OPERATORS_SESSIONS.name: (OPERATORS_SESSIONS, None),
            APPROVALS.name: (APPROVALS, self.approvals),
        }
        self._bootstrap, self._extra = bootstrap, extra
        self._follower = Follower(bootstrap, extra, on_message=self._on_message, failed=failed)

    async def start(self) -> None:
        """Read all to their ends. Raises `TablesNotRead`, KafkaException."""
        await asyncio.to_thread(self.read)

    def read(self) -> None:
        """The same, blocking."""
        admin = AdminClient(client_config(self._bootstrap, dict(self._extra)))
        known = admin.list_topics(timeout=_REQUEST_TIMEOUT_S).topics
        partitions = []
        for name in self._tables:
            if name not in known:
                raise TablesNotRead(f"There is no topic {name}")
            partitions += [(name, number) for number in known[name].partitions]
        self._follower.start(partitions, from_end=False)
        if not self._follower.caught_up.wait(READ_DEADLINE_S):
            raise TablesNotRead(f"Keys and tenants were not read within {READ_DEADLINE_S:.0f} s")

    def close(self) -> None:
        """End the reader."""
        self._follower.close()

    def catch_up(self, places: Mapping[tuple[str, int], int] | None = None) -> None:
        """Block until all that is committed now is in the tables, or all before these offsets. Raises KafkaException."""
        wanted = self._follower.ends() if places is None else places
        end_s = time.monotonic() + READ_DEADLINE_S
        while any(self._follower.position(*place) < offset for place, offset in wanted.items()):
            if time.monotonic() >= end_s:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the tables did not follow"))
            time.sleep(_PAUSE_S)

    def used_ms(self, key_id: str) -> int:
        """When a key was last used, ms since the epoch, to the hour; 0: it never was, so far as is known."""
        use = self.uses.get(key_id)
        return 0 if use is None else use.used_ms

    def _on_message(self, message: Message) -> None:
        key, value = message.key(), message.value()
        topic, table = self._tables[str(message.topic())]
        if not isinstance(key, bytes):
            return
        try:
            record = None if value is None else codec.decode(value, expected=topic.records)
        except DecodingError as error:
            log.error("%s offset %s can't be read: %s", message.topic(), message.offset(), error)  # noqa: TRY400
            return
        self._put(topic, table, key.decode("utf-8", "replace"), record)

    def _put(self, topic: Topic, table: dict[str, Any] | None, name: str, record: Record | None) -> None:
        if topic is API_KEYS:
            self.keys.put(name, cast("ApiKey | None", record))
        elif isinstance(record, OperatorSession):
            if record.status == "ended":
                self.sessions.pop(record.digest, None)
            else:
                self.sessions[record.digest] = record
        elif table is not None and record is None:
            table.pop(name, None)
        elif table is not None:
            table[name] = record
