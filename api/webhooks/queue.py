"""Payments' events into the queue of deliveries, each exactly once: what is read and what is queued become true in one transaction.

How far each partition has been queued is said in `webhooks.pending` too (key `POSITION_KEY`), in the same transaction: a group's coordinator may
know no offset or an old one for some seconds after a broker was killed (docs/decisions/0003), and is not believed then.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from api.webhooks import _positions, types
from api.webhooks._endpoints import Endpoints
from api.webhooks.errors import Fenced, WebhooksStopped
from schemas import codec
from schemas.catalogue import DELIVERY_BYTES_MAX, PAYMENTS_EVENTS, WEBHOOKS_DELIVERIES
from schemas.clients import consumer_config, transactional_config
from schemas.errors import DecodingError
from schemas.records import PaymentEvent, WebhookDelivery

GROUP = "webhooks"
BATCH_MAX = 500
TRANSACTION_TIMEOUT_MS = 15_000
STEP_DEADLINE_S = 15.0
COMMITTED_DEADLINE_S = 60.0
ABORTS_IN_A_ROW_MAX = 10
POLL_S = 0.1
CLIENT_LOG_LEVEL = 2
PRODUCE_BYTES_MAX = DELIVERY_BYTES_MAX + 16_000  # with key and headers

_PAUSE_S = 0.05
_FENCED = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.PRODUCER_FENCED,
    }
)

log = logging.getLogger("clearline.webhooks")


class Queue:
    """Queues until told to stop. `run` is a thread's body and raises what ends the process."""

    def __init__(
        self, kafka: dict[str, Any], *, worker: str, session_timeout_s: int = 15, ready: Callable[[], None]
    ) -> None:
        self._kafka, self._worker, self._session_timeout_s, self._ready = kafka, worker, session_timeout_s, ready
        self._next: dict[int, int] = {}
        self._aborts_in_a_row = 0
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ask `run` to return after the batch that it is at."""
        self._stop.set()

    def run(self) -> None:
        """Read, queue, commit; until stopped. Raises `WebhooksStopped` and `KafkaException`."""
        name = f"{GROUP}-{self._worker}"
        self._producer = Producer(
            transactional_config(
                self._kafka["bootstrap.servers"],
                name,
                timeout_ms=TRANSACTION_TIMEOUT_MS,
                extra={**self._kafka, "message.max.bytes": PRODUCE_BYTES_MAX, "log_level": CLIENT_LOG_LEVEL},
            )
        )
        _step(self._producer.init_transactions, STEP_DEADLINE_S)
        self._endpoints = Endpoints(self._kafka)
        settings = {
            **self._kafka,
            "group.instance.id": name,
            "session.timeout.ms": self._session_timeout_s * 1000,
            "heartbeat.interval.ms": 1_000,
            "partition.assignment.strategy": "range",
            "log_level": CLIENT_LOG_LEVEL,
        }
        self._consumer = Consumer(consumer_config(self._kafka["bootstrap.servers"], GROUP, settings))
        try:
            self._consumer.subscribe(
                [PAYMENTS_EVENTS.name], on_assign=self._assigned, on_revoke=self._gone, on_lost=self._gone
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
                _check(error)
                continue
            partition, offset = _number(message.partition()), _number(message.offset())
            if partition in reached and offset >= reached[partition]:
                reached[partition] = offset + 1
                taken.append(message)
        if not taken:
            return
        self._endpoints.catch_up()
        queued = [(message, self._deliveries(message)) for message in taken]
        moved = {partition: offset for partition, offset in reached.items() if offset != self._next[partition]}
        if self._commit([(_number(at.partition()), at.key(), one) for at, some in queued for one in some], moved):
            self._next = reached
        else:
            for partition in moved:
                self._consumer.seek(TopicPartition(PAYMENTS_EVENTS.name, partition, self._next[partition]))

    def _deliveries(self, message: Message) -> list[WebhookDelivery]:
        topic, partition, offset = PAYMENTS_EVENTS.name, _number(message.partition()), _number(message.offset())
        raw = message.value() or b""
        try:
            event = codec.decode(raw)
        except DecodingError as refusal:
            log.warning("%s[%d]@%d is not told to anybody: %s", topic, partition, offset, refusal)
            return []
        if not isinstance(event, PaymentEvent):
            log.warning("%s[%d]@%d is not told to anybody: it is no event", topic, partition, offset)
            return []
        now_ms = time.time_ns() // 1_000_000
        endpoints = self._endpoints.of(event.tenant)
        return types.deliveries(event, raw, place=(topic, partition, offset), endpoints=endpoints, queued_ms=now_ms)

    def _commit(self, deliveries: list[tuple[int, bytes | None, WebhookDelivery]], moved: dict[int, int]) -> bool:
        """Deliveries, positions and offsets, all or nothing. False: aborted, read again from where it was."""
        offsets = [TopicPartition(PAYMENTS_EVENTS.name, partition, offset) for partition, offset in moved.items()]
        try:
            _step(self._producer.begin_transaction)
            for partition, key, delivery in deliveries:
                self._produce(WEBHOOKS_DELIVERIES.name, key, codec.encode(delivery), partition)
            for partition, offset in moved.items():
                self._produce(*_positions.said(offset), partition)
            group = self._consumer.consumer_group_metadata()
            _step(self._producer.send_offsets_to_transaction, offsets, group, STEP_DEADLINE_S)
            _step(self._producer.commit_transaction, STEP_DEADLINE_S)
        except _Aborted as cause:
            self._aborts_in_a_row += 1
            if self._aborts_in_a_row > ABORTS_IN_A_ROW_MAX:
                message = f"{self._aborts_in_a_row} transactions in a row were aborted, the last one because of {cause}"
                raise WebhooksStopped(message) from cause
            _step(self._producer.abort_transaction, STEP_DEADLINE_S)
            time.sleep(_PAUSE_S * self._aborts_in_a_row)
            return False
        self._aborts_in_a_row = 0
        return True

    def _produce(self, topic: str, key: bytes | None, value: bytes, partition: int) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, partition=partition)
            except BufferError:  # the client's queue is full
                self._producer.poll(_PAUSE_S)
            else:
                return

    # -- assignment -----------------------------------------------------------------------------------------------------------

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take over: committed offsets first (after which no predecessor can commit any more), then positions; the later of the two counts."""
        committed = consumer.committed(partitions, timeout=COMMITTED_DEADLINE_S)
        recorded = _positions.read(self._kafka, [where.partition for where in committed])
        starts: list[TopicPartition] = []
        for where in committed:
            if where.error is not None:
                raise KafkaException(where.error)
            offset = max(where.offset, recorded.get(where.partition, -1))
            if offset < 0:
                offset = consumer.get_watermark_offsets(where, timeout=COMMITTED_DEADLINE_S)[0]
            self._next[where.partition] = offset
            starts.append(TopicPartition(where.topic, where.partition, offset))
        consumer.assign(starts)
        log.info("assigned %d partitions of %s", len(starts), PAYMENTS_EVENTS.name)
        self._ready()

    def _gone(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Partitions are given up or lost. Between two batches nothing of them is open."""
        for where in partitions:
            self._next.pop(where.partition, None)
        consumer.unassign()


class _Aborted(Exception):
    """The transaction can't be committed; it is aborted and its events are read again."""


def _step(call: Callable[..., object], *arguments: Any) -> None:
    """One call of the transactional producer, its errors mapped to ours. Only what is sure to have done nothing is an abort."""
    try:
        call(*arguments)
    except KafkaException as exception:
        error = exception.args[0]
        if error.code() in _FENCED:
            raise Fenced(f"another process took over: {error.str()}") from exception
        if error.txn_requires_abort() and not error.fatal():
            raise _Aborted(error.str()) from exception
        raise WebhooksStopped(f"Kafka: {error.str()}; check the broker, then start again") from exception


def _check(error: KafkaError) -> None:
    if error.code() == KafkaError.FENCED_INSTANCE_ID:
        raise Fenced(f"another process with this CLEARLINE_WORKER runs: {error.str()}")
    if error.fatal() or error.code() in (KafkaError._FATAL, KafkaError.UNKNOWN_TOPIC_OR_PART):
        raise WebhooksStopped(f"Kafka: {error.str()}; make the topics of the catalogue, then start again")
    log.warning("Kafka: %s", error.str())


def _number(given: int | None) -> int:
    """A partition or offset, which a consumed message always has."""
    assert given is not None
    return given
