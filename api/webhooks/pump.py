"""Deliveries from the queue to disk, and outcomes of attempts to the log: each step a transaction, on a thread of its own.

Every delivery stands in `webhooks.pending` before the first attempt, and until nothing more is done about it. So a process that dies at any moment
leaves all of them there; an attempt whose outcome was not committed is made again.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from msgspec.structs import replace

from api.webhooks import _positions
from api.webhooks._settings import Settings
from api.webhooks._transactions import transactions
from api.webhooks.attempts import Outcome, lane_of
from api.webhooks.book import Book
from api.webhooks.health import Health
from api.webhooks.parked import Parked
from schemas import codec, stopping
from schemas.catalogue import WEBHOOKS_ATTEMPTS, WEBHOOKS_DELIVERIES, WEBHOOKS_PENDING
from schemas.clients import consumer_config
from schemas.errors import DecodingError
from schemas.reading import number
from schemas.records import WebhookDelivery
from schemas.transactions import CLIENT_LOG_LEVEL, Produce, Transactions

GROUP = "webhooks.attempts"
BATCH_MAX = 200
OUTCOMES_MAX = 500
COMMITTED_DEADLINE_S = 60.0
POLL_S = 0.05
FOLLOW_EVERY_S = 0.5
WAITING_FLOOR_MAX = 1_000
"""So many may wait for an endpoint however many wait for others."""

log = logging.getLogger("clearline.webhooks")


class Pump:
    """Pumps until told to stop. `run` is a thread's body and raises what ends the process."""

    def __init__(
        self,
        kafka: dict[str, Any],
        *,
        worker: str,
        settings: Settings,
        parked: Parked,
        book: Book,
        health: Health,
        wake: Callable[[set[str]], None],
        abandoned: Callable[[Outcome], None],
        ready: Callable[[], None],
    ) -> None:
        self._kafka, self._worker, self._settings = kafka, worker, settings
        self._parked, self._book, self._health = parked, book, health
        self._wake, self._abandoned, self._ready = wake, abandoned, ready
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._open: list[Outcome] = []
        self._next: dict[int, int] = {}
        self._followed = 0.0
        self._transactions: Transactions | None = None
        self._stop = threading.Event()

    @property
    def unsettled(self) -> int:
        """Outcomes that are not committed yet; from any thread."""
        return self._outcomes.qsize() + len(self._open)

    def emit(self, outcome: Outcome) -> None:
        """Take an outcome; from any thread."""
        self._outcomes.put(outcome)

    def stop(self) -> None:
        """Ask `run` to commit what it has and return."""
        self._stop.set()

    def hangs(self) -> bool:
        """Whether Kafka's client does not come back from a transaction; from any thread."""
        return self._transactions is not None and self._transactions.hangs()

    def run(self) -> None:
        """Read, park, settle, commit; until stopped. Raises `Stopped`, `TopicUnread` and `KafkaException`."""
        name = f"{GROUP}-{self._worker}"
        self._transactions = transactions(self._kafka, transactional_id=name)
        settings = {
            **self._kafka,
            "group.instance.id": name,
            "session.timeout.ms": self._settings.session_timeout_s * 1000,
            "heartbeat.interval.ms": 1_000,
            "partition.assignment.strategy": "range",
            "log_level": CLIENT_LOG_LEVEL,
        }
        self._consumer = Consumer(consumer_config(self._kafka["bootstrap.servers"], GROUP, settings))
        try:
            self._consumer.subscribe(
                [WEBHOOKS_DELIVERIES.name], on_assign=self._assigned, on_revoke=self._gone, on_lost=self._gone
            )
            while not self._stop.is_set():
                self._batch(self._some())
            while self._batch([]):
                pass
        finally:
            self._consumer.close()  # a static member keeps its place, so that it has its partitions again at once

    def _some(self) -> list[Message]:
        """The next deliveries as they are there; nothing after a moment."""
        first = self._consumer.poll(POLL_S if not self.unsettled else 0)
        return [] if first is None else [first, *self._consumer.consume(BATCH_MAX - 1, 0)]

    def _batch(self, messages: list[Message]) -> bool:
        """
        Take deliveries over and settle outcomes. False: there was nothing to do.

        1. Leave out what a rebalance within the call has taken away, or what comes again. 2. Know the endpoints that deliveries are for. 3. One
        transaction. 4. Do on disk what was committed, and wake the lanes.
        """
        reached = dict(self._next)
        taken = self._taken(messages, reached)
        if taken or time.monotonic() - self._followed > FOLLOW_EVERY_S:
            self._book.follow()
            self._followed = time.monotonic()
        self._collect()
        settled = self._open
        if not (taken or settled):
            return False
        moved = {partition: offset for partition, offset in reached.items() if offset != self._next[partition]}
        parking, dropped = self._parking(taken)
        records = [_pending(partition, one) for partition, one in parking]
        for outcome in (*settled, *dropped):
            records += self._records(outcome)
        records += [_positions.said(_positions.TAKEN, partition, offset) for partition, offset in moved.items()]
        # Also what moves no offset carries the group's metadata: that is what fences a sender that was replaced while it slept.
        offsets = [TopicPartition(WEBHOOKS_DELIVERIES.name, partition, reached[partition]) for partition in reached]
        assert self._transactions is not None
        if not self._transactions.commit(records, offsets=offsets, group=self._consumer.consumer_group_metadata()):
            for partition in moved:
                self._consumer.seek(TopicPartition(WEBHOOKS_DELIVERIES.name, partition, self._next[partition]))
            return True
        self._next = reached
        self._open = []
        self._done(parking, settled)
        return True

    def _taken(self, messages: list[Message], reached: dict[int, int]) -> list[tuple[int, WebhookDelivery]]:
        found = []
        for message in messages:
            error = message.error()
            if error is not None:
                stopping.check(error, log)
                continue
            partition, offset = number(message.partition()), number(message.offset())
            if partition not in reached or offset < reached[partition]:
                continue
            reached[partition] = offset + 1
            try:
                delivery = codec.decode(message.value(), expected=(WebhookDelivery,))
            except DecodingError as refusal:
                log.warning("%s[%d]@%d is passed over: %s", WEBHOOKS_DELIVERIES.name, partition, offset, refusal)
                continue
            assert isinstance(delivery, WebhookDelivery)
            found.append((partition, delivery))
        return found

    def _collect(self) -> None:
        """Take outcomes; those of partitions that are somebody else's by now are not ours to tell."""
        while len(self._open) < OUTCOMES_MAX:
            try:
                self._open.append(self._outcomes.get_nowait())
            except queue.Empty:
                break
        self._open = [one for one in self._open if one.epoch == self._parked.epoch(one.partition)]

    def _parking(
        self, taken: list[tuple[int, WebhookDelivery]]
    ) -> tuple[list[tuple[int, WebhookDelivery]], list[Outcome]]:
        """What is parked, and what is dropped because too many wait for its endpoint."""
        settings, parking, dropped = self._settings, [], []
        for partition, delivery in taken:
            share = settings.waiting_max // max(self._parked.lanes, 1)
            most = min(settings.waiting_per_endpoint_max, max(share, WAITING_FLOOR_MAX))
            if self._parked.count(lane_of(delivery)) < most:
                parking.append((partition, replace(delivery, state="queued")))
            else:
                log.warning("%s is dropped: %d wait for %s", delivery.delivery_id, most, delivery.endpoint_id)
                failure = f"{most} deliveries wait for the endpoint already"
                dropped.append(Outcome(partition, None, replace(delivery, state="dropped", failure=failure)))
        return parking, dropped

    def _records(self, outcome: Outcome) -> list[Produce]:
        """An outcome in the log of attempts, and what becomes of the delivery; if it was accepted, that the endpoint lives."""
        partition, _, delivery = outcome
        key = f"{delivery.tenant}/{delivery.payment_id}".encode()
        records = [Produce(WEBHOOKS_ATTEMPTS.name, key, codec.encode(replace(delivery, event=b"")), partition)]
        if outcome.epoch is not None:
            waiting = None if outcome.over else codec.encode(delivery)
            records.append(Produce(WEBHOOKS_PENDING.name, delivery.delivery_id.encode(), waiting, partition))
        if delivery.state == "accepted":
            said = self._health.accepted(lane_of(delivery), at_ms=delivery.attempted_ms)
            records += [] if said is None else [said]
        return records

    def _done(self, parking: list[tuple[int, WebhookDelivery]], settled: list[Outcome]) -> None:
        lanes = set()
        for partition, one in parking:
            self._parked.put(partition, one.delivery_id, lane_of(one), due_ms=one.queued_ms, value=codec.encode(one))
            lanes.add(lane_of(one))
        for outcome in settled:
            partition, _, one = outcome
            if outcome.over:
                self._parked.remove(partition, one.delivery_id)
            else:
                self._parked.put(
                    partition, one.delivery_id, lane_of(one), due_ms=one.next_attempt_ms, value=codec.encode(one)
                )
            if one.state == "abandoned":
                self._abandoned(outcome)
            lanes.add(lane_of(one))
        self._wake(lanes)

    # -- assignment -----------------------------------------------------------------------------------------------------------

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take over: committed offsets first (after which no predecessor can commit any more), then what is parked, and the position there."""
        committed = consumer.committed(partitions, timeout=COMMITTED_DEADLINE_S)
        recorded = _positions.read(
            self._kafka, {_positions.TAKEN}, {where.partition for where in committed}, waiting=self._restore
        )
        starts: list[TopicPartition] = []
        lanes: set[str] = set()
        for where in committed:
            if where.error is not None:
                raise KafkaException(where.error)
            offset = max(where.offset, recorded.get((_positions.TAKEN, where.partition), -1))
            if offset < 0:
                offset = consumer.get_watermark_offsets(where, timeout=COMMITTED_DEADLINE_S)[0]
            self._next[where.partition] = offset
            starts.append(TopicPartition(where.topic, where.partition, offset))
            lanes.update(self._parked.release(where.partition))
        self._book.follow()
        consumer.assign(starts)
        log.info(
            "assigned %d partitions of %s; %d deliveries wait",
            len(starts),
            WEBHOOKS_DELIVERIES.name,
            self._parked.total,
        )
        self._wake(lanes)
        self._ready()

    def _restore(self, partition: int, key: bytes, value: bytes | None) -> None:
        delivery_id = key.decode(errors="replace")
        if value is None:
            self._parked.remove(partition, delivery_id)
            return
        try:
            one = codec.decode(value, expected=(WebhookDelivery,))
        except DecodingError as refusal:
            log.warning("%s[%d] %s is passed over: %s", WEBHOOKS_PENDING.name, partition, delivery_id, refusal)
            return
        assert isinstance(one, WebhookDelivery)
        due_ms = one.next_attempt_ms or one.queued_ms
        self._parked.put(partition, delivery_id, lane_of(one), due_ms=due_ms, value=value, waits=False)

    def _gone(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Partitions are given up or lost. Between two batches nothing of them is open in a transaction."""
        for where in partitions:
            self._next.pop(where.partition, None)
        self._parked.drop(where.partition for where in partitions)
        consumer.unassign()


def _pending(partition: int, delivery: WebhookDelivery) -> Produce:
    return Produce(WEBHOOKS_PENDING.name, delivery.delivery_id.encode(), codec.encode(delivery), partition)
