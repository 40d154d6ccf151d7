"""Changes of tenants, policies, keys and people: one writer at a time over all processes, each change one transaction.

Whoever writes holds the transactional id of all configuration, and has read everything that was committed before. Whoever else takes
the id fences the one who had it, whose next commit then fails: so a decision is never made on what is no longer so. Each record goes to its
compacted topic and to `identity.history`, which keeps what was; tenants and policies also to every partition that decides by them.
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
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from api.http._tables import Tables
from api.http.errors import NoAnswer, Overloaded
from schemas import catalogue, codec
from schemas.catalogue import Topic
from schemas.clients import CLIENT_TIMEOUT_MS, transactional_config
from schemas.records import (
    ApiKey,
    Approval,
    Operator,
    OperatorSession,
    Organization,
    Record,
    RoutingPolicy,
    RoutingUpdate,
    Tenant,
)

ATTEMPTS_MAX = 8
WAITING_MAX = 100
"""Changes that wait for their turn in one process; each takes some 50 ms."""
RECORDS_MAX = 100
"""Of one change."""
_BACKOFF_S = 0.2
_TRANSACTION_TIMEOUT_MS = 20_000
_STEP_S = CLIENT_TIMEOUT_MS / 1000
_FENCED = (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED)

log = logging.getLogger("clearline.api")

# Being fenced is how two writers take turns; librdkafka's own words about it would only alarm.
_QUIET = logging.getLogger("clearline.configuration.librdkafka")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False

_Result = TypeVar("_Result")

Kept = ApiKey | Approval | Operator | OperatorSession | Organization | RoutingPolicy | Tenant

_PLACES: Mapping[type[Kept], tuple[Topic, str]] = {
    ApiKey: (catalogue.API_KEYS, "key_id"),
    Approval: (catalogue.APPROVALS, "approval_id"),
    Operator: (catalogue.OPERATORS, "operator_id"),
    OperatorSession: (catalogue.OPERATORS_SESSIONS, "session_id"),
    Organization: (catalogue.ORGANIZATIONS, "organization"),
    RoutingPolicy: (catalogue.ROUTING_POLICIES, "tenant"),
    Tenant: (catalogue.TENANTS, "tenant"),
}


class Change(msgspec.Struct, Generic[_Result], frozen=True, kw_only=True):
    """What is to be written together, and what to tell whoever asked. No records: nothing is written."""

    result: _Result
    records: tuple[Kept, ...] = ()


Decide = Callable[[], Change[_Result]]
"""Looks at the tables and says what is to be; raises `ApiError` to change nothing. May be asked again, with what then is so."""


class ConfigurationLog:
    """One for each process. What was written can be read in its tables when `write` returns."""

    def __init__(self, bootstrap: str, extra: Mapping[str, Any], tables: Tables) -> None:
        self._bootstrap, self._extra, self._tables = bootstrap, dict(extra), tables
        self._producer: Producer | None = None
        self._partitions: dict[str, int] = {}
        self._turn = threading.Lock()
        self.history_end = 0
        """Where `identity.history` ended after this process's newest change."""
        self._waiting = 0

    async def write(self, decide: Decide[_Result]) -> _Result:
        """Decide and write. Raises what `decide` raises, `Overloaded` (nothing begun), `NoAnswer`."""
        if self._waiting >= WAITING_MAX:
            raise Overloaded
        self._waiting += 1
        try:
            return await asyncio.to_thread(self.apply, decide)
        finally:
            self._waiting -= 1

    def apply(self, decide: Decide[_Result]) -> _Result:
        """The same, blocking."""
        with self._turn:
            for attempt in range(ATTEMPTS_MAX):
                try:
                    return self._once(decide)
                except KafkaException as error:
                    # Whether a commit that failed happened is seen when the tables have been read again.
                    self._producer = None
                    reason = error.args[0]
                    if reason.code() not in _FENCED:
                        log.warning("a change was not confirmed by Kafka: %s", reason.str())
                time.sleep(_BACKOFF_S * (attempt + random.random()))  # noqa: S311 - keeps two rivals from meeting again
            raise NoAnswer

    def _once(self, decide: Decide[_Result]) -> _Result:
        # 1. Hold the id: from here on nobody else's change is committed before ours without our learning it.
        producer = self._held()
        # 2. Decide by what is committed.
        change = decide()
        if not change.records:
            return change.result
        assert len(change.records) <= RECORDS_MAX, "a change is larger than changes are"
        # 3. Everything or nothing.
        ends: dict[tuple[str, int], int] = {}
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                failures.append(error)
                return
            place = (str(message.topic()), int(message.partition() or 0))
            ends[place] = max(ends.get(place, 0), int(message.offset() or 0) + 1)

        producer.begin_transaction()
        for record in change.records:
            self._produce(producer, record, delivered)
        producer.commit_transaction(_STEP_S)
        assert not failures, "a transaction was committed without all of its records"
        self.history_end = max(self.history_end, ends[catalogue.IDENTITY_HISTORY.name, 0])
        # 4. It is so when this process shows it.
        shown = {topic.name for topic, _ in _PLACES.values()}
        self._tables.catch_up({place: end for place, end in ends.items() if place[0] in shown})
        return change.result

    def _held(self) -> Producer:
        if self._producer is not None:
            return self._producer
        settings = transactional_config(
            self._bootstrap, catalogue.CONFIGURATION_ID, timeout_ms=_TRANSACTION_TIMEOUT_MS, extra=self._extra
        )
        producer = Producer(settings, logger=_QUIET)
        known = producer.list_topics(timeout=_STEP_S).topics
        self._partitions = {name: len(found.partitions) for name, found in known.items()}
        producer.init_transactions(_STEP_S)
        self._tables.catch_up()
        self._producer = producer
        return producer

    def _produce(self, producer: Producer, record: Kept, delivered: Callable[..., None]) -> None:
        topic, field = _PLACES[type(record)]
        key = str(getattr(record, field)).encode()
        for one, value in _values(topic, record):
            catalogue.check_belongs(one, value)
            for partition in range(self._partitions[one.name]):
                producer.produce(one.name, codec.encode(value), key, partition, on_delivery=delivered)


def _values(topic: Topic, record: Kept) -> list[tuple[Topic, Record]]:
    """Every topic that a record goes to, and what goes there."""
    found: list[tuple[Topic, Record]] = [(topic, record), (catalogue.IDENTITY_HISTORY, record)]
    if isinstance(record, Tenant):
        found += [(one, record) for one in catalogue.TENANT_BROADCAST]
    if isinstance(record, RoutingPolicy):
        update = RoutingUpdate(
            kind="policy",
            tenant=record.tenant,
            policy_version=record.policy_version,
            providers=record.providers,
            attribution=record.attribution,
        )
        found += [(one, update) for one in catalogue.POLICY_BROADCAST]
    return found
