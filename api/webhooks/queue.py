"""Events into the queue of deliveries, each exactly once: what is read and what is queued become true in one transaction.

How far each partition has been queued is said in `webhooks.pending` too (see `_positions`), in the same transaction: a group's coordinator may
know no offset or an old one for some seconds after a broker was killed (docs/decisions/0003), and is not believed then.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from api.webhooks import _positions, types
from api.webhooks._endpoints import Endpoints
from api.webhooks._transactions import transactions
from schemas import codec, stopping
from schemas.catalogue import CUSTOMERS_EVENTS, PAYMENTS_EVENTS, SETTLEMENT_EVENTS, WEBHOOKS_DELIVERIES
from schemas.clients import consumer_config, gathering
from schemas.errors import DecodingError
from schemas.reading import number
from schemas.records import WebhookDelivery
from schemas.transactions import CLIENT_LOG_LEVEL, Produce, Transactions

GROUP = "webhooks"
BATCH_MAX = 500
COMMITTED_DEADLINE_S = 60.0
POLL_S = 0.1

SOURCES = (PAYMENTS_EVENTS, SETTLEMENT_EVENTS, CUSTOMERS_EVENTS)
_CARRIED = tuple(record for topic in SOURCES for record in topic.records)

Place = tuple[str, int]
"""Topic and partition."""

log = logging.getLogger("clearline.webhooks")


class Queue:
    """Queues until told to stop. `run` is a thread's body and raises what ends the process."""

    def __init__(
        self, kafka: dict[str, Any], *, worker: str, session_timeout_s: int = 15, ready: Callable[[], None]
    ) -> None:
        self._kafka, self._worker, self._session_timeout_s, self._ready = kafka, worker, session_timeout_s, ready
        self._next: dict[Place, int] = {}
        self._transactions: Transactions | None = None
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ask `run` to return after the batch that it is at."""
        self._stop.set()

    def hangs(self) -> bool:
        """Whether Kafka's client does not come back from a transaction; from any thread."""
        return self._transactions is not None and self._transactions.hangs()

    def run(self) -> None:
        """Read, queue, commit; until stopped. Raises `Stopped`, `TopicUnread` and `KafkaException`."""
        name = f"{GROUP}-{self._worker}"
        self._transactions = transactions(self._kafka, transactional_id=name)
        self._endpoints = Endpoints(self._kafka)
        settings = {
            **self._kafka,
            "group.instance.id": name,
            "session.timeout.ms": self._session_timeout_s * 1000,
            "heartbeat.interval.ms": 1_000,
            "partition.assignment.strategy": "range",
            "log_level": CLIENT_LOG_LEVEL,
            **gathering(int(POLL_S * 1_000)),
        }
        self._consumer = Consumer(consumer_config(self._kafka["bootstrap.servers"], GROUP, settings))
        try:
            self._consumer.subscribe(
                [topic.name for topic in SOURCES], on_assign=self._assigned, on_revoke=self._gone, on_lost=self._gone
            )
            while not self._stop.is_set():
                self._batch(self._consumer.consume(BATCH_MAX, POLL_S))
        finally:
            self._consumer.close()  # a static member keeps its place, so that it has its partitions again at once
            self._endpoints.close()

    def _batch(self, messages: list[Message]) -> None:
        """
        Queue a batch.

        1. Leave out what a rebalance within the call has taken away, or what comes again. 2. Read the endpoints' topic to its end: whatever
        was acknowledged before an event of the batch happened is known now. 3. Make deliveries. 4. One transaction.
        """
        reached = dict(self._next)
        taken: list[Message] = []
        for message in messages:
            error = message.error()
            if error is not None:
                stopping.check(error, log)
                continue
            place, offset = (str(message.topic()), number(message.partition())), number(message.offset())
            if place in reached and offset >= reached[place]:
                reached[place] = offset + 1
                taken.append(message)
        if not taken:
            return
        self._endpoints.catch_up()
        queued = [(message, self._deliveries(message)) for message in taken]
        moved = {place: offset for place, offset in reached.items() if offset != self._next[place]}
        if self._commit([(number(at.partition()), at.key(), one) for at, some in queued for one in some], moved):
            self._next = reached
        else:
            for place in moved:
                self._consumer.seek(TopicPartition(*place, self._next[place]))

    def _deliveries(self, message: Message) -> list[WebhookDelivery]:
        topic, partition, offset = str(message.topic()), number(message.partition()), number(message.offset())
        raw = message.value() or b""
        try:
            event = codec.decode(raw, expected=_CARRIED)
        except DecodingError as refusal:
            log.warning("%s[%d]@%d is not told to anybody: %s", topic, partition, offset, refusal)
            return []
        if not isinstance(event, types.TOLD):
            return []  # such as what happens to settlement windows
        now_ms = time.time_ns() // 1_000_000
        endpoints = self._endpoints.of(event.tenant)
        return types.deliveries(event, raw, place=(topic, partition, offset), endpoints=endpoints, queued_ms=now_ms)

    def _commit(self, deliveries: list[tuple[int, bytes | None, WebhookDelivery]], moved: dict[Place, int]) -> bool:
        """Deliveries, positions and offsets, all or nothing. False: aborted, read again from where it was."""
        records = [
            Produce(WEBHOOKS_DELIVERIES.name, key, codec.encode(delivery), partition)
            for partition, key, delivery in deliveries
        ]
        records += [
            _positions.said(_positions.queued(topic), partition, offset) for (topic, partition), offset in moved.items()
        ]
        offsets = [TopicPartition(*place, offset) for place, offset in moved.items()]
        assert self._transactions is not None
        return self._transactions.commit(records, offsets=offsets, group=self._consumer.consumer_group_metadata())

    # -- assignment -----------------------------------------------------------------------------------------------------------

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take over: committed offsets first (after which no predecessor can commit any more), then positions; the later of the two counts."""
        committed = consumer.committed(partitions, timeout=COMMITTED_DEADLINE_S)
        keys = {_positions.queued(where.topic) for where in committed}
        recorded = _positions.read(self._kafka, keys, {where.partition for where in committed})
        starts: list[TopicPartition] = []
        for where in committed:
            if where.error is not None:
                raise KafkaException(where.error)
            offset = max(where.offset, recorded.get((_positions.queued(where.topic), where.partition), -1))
            if offset < 0:
                offset = consumer.get_watermark_offsets(where, timeout=COMMITTED_DEADLINE_S)[0]
            self._next[where.topic, where.partition] = offset
            starts.append(TopicPartition(where.topic, where.partition, offset))
        consumer.assign(starts)
        log.info("assigned %d partitions of events", len(starts))
        self._ready()

    def _gone(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Partitions are given up or lost. Between two batches nothing of them is open."""
        for where in partitions:
            self._next.pop((where.topic, where.partition), None)
        consumer.unassign()
