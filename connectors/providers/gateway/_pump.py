"""The thread that speaks to Kafka: reads requests, hands them to the event loop, and commits what comes back.

All consumer and producer calls, and the windows of offsets, belong to this thread. The loop gives it items through a queue; it gives
the loop requests through `call_soon_threadsafe`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.providers.errors import UntranslatableRequest
from connectors.providers.gateway import _pending, _translation
from connectors.providers.gateway._items import Item, Pending, Place, Reading, positioned
from connectors.providers.gateway._settings import (
    BATCH_MAX,
    IN_FLIGHT_MAX,
    PENDING_MAX,
    SPAN_PAUSED_AT,
    GatewaySettings,
)
from connectors.providers.gateway._window import Window
from schemas import stopping, unkept
from schemas.catalogue import PROVIDER_REQUESTS, RECORDS_REJECTED, REJECTION_BYTES_MAX
from schemas.clients import TURNS, consumer_config
from schemas.errors import DecodingError
from schemas.transactions import CLIENT_LOG_LEVEL, Produce, Transactions

COMMITTED_DEADLINE_S = 60.0
IDLE_POLL_S = 0.05
BUSY_WAIT_S = 0.002
FULL_BEFORE_PAUSE_S = 1.0
"""How long reading just stops when everything is full, before partitions are paused; pausing throws prefetched records away."""

ERROR_LOGGED_EVERY_S = 10.0

log = logging.getLogger("clearline.gateway")


class Handler(Protocol):
    """What the pump needs of the event loop's side; every method may be called from the pump's thread."""

    def accept(self, readings: list[Reading]) -> None:
        """Take newly read requests."""

    def restore(self, pendings: list[Pending]) -> None:
        """Take requests that were pending before this assignment."""

    def drop(self, partitions: list[int]) -> None:
        """Forget these partitions."""

    def pending(self) -> int:
        """How many requests are parked."""


class Pump:
    """Reads and commits until told to stop. `run` is the thread's body and raises what ends the process."""

    def __init__(
        self,
        kafka: dict[str, Any],
        *,
        settings: GatewaySettings,
        worker: str,
        handler: Handler,
        ready: Callable[[], None],
    ) -> None:
        self._kafka, self._settings, self._worker, self._handler, self._ready = kafka, settings, worker, handler, ready
        self._group = settings.group
        self._windows: dict[int, Window] = {}
        self._places: dict[int, Place] = {}
        self._assignments = 0
        self._transactions: Transactions | None = None
        self._incoming: deque[Item] = deque()
        self._items: list[Item] = []
        self._paused: set[int] = set()
        self._full_since: float | None = None
        self._error_logged = -ERROR_LOGGED_EVERY_S
        self._wake = threading.Event()
        self._stop = threading.Event()

    def emit(self, item: Item) -> None:
        """Queue an item for the next transaction; from any thread."""
        self._incoming.append(item)
        self._wake.set()

    @property
    def has_first_partition(self) -> bool:
        """Whether this process answers for partition 0, and so for what exactly one gateway has to do."""
        return 0 in self._windows

    def stop(self) -> None:
        """Ask `run` to commit what was emitted so far, and return."""
        self._stop.set()
        self._wake.set()

    def hangs(self) -> bool:
        """Whether Kafka's client doesn't come back from a call; from any thread."""
        return self._transactions is not None and self._transactions.hangs()

    def run(self) -> None:
        """Read, hand on, commit; until stopped."""
        self._transactions = transactions = Transactions(
            self._kafka,
            transactional_id=f"{self._group}-{self._worker}",
            record_bytes_max=REJECTION_BYTES_MAX,
            turns=TURNS,
        )
        self._consumer = Consumer(self._consumer_settings())
        try:
            self._consumer.subscribe(
                [PROVIDER_REQUESTS.name], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
            while not self._stop.is_set():
                self._read()
                self._commit(transactions)
            self._commit(transactions)
        finally:
            self._consumer.close()  # a static member keeps its place, so that it has its partitions again at once

    def _consumer_settings(self) -> dict[str, Any]:
        settings = {
            **self._kafka,
            "group.instance.id": f"{self._group}-{self._worker}",
            "session.timeout.ms": self._settings.session_timeout_s * 1000,
            "heartbeat.interval.ms": 1_000,
            "partition.assignment.strategy": "range",
            "fetch.wait.max.ms": 10,
            "error_cb": self._client_error,
            "log_level": CLIENT_LOG_LEVEL,
        }
        return consumer_config(self._kafka["bootstrap.servers"], self._group, settings)

    def _client_error(self, error: KafkaError) -> None:
        """Say once in a while what the client meets; while a broker is down it meets the same 20 times a second."""
        now = time.monotonic()
        if now - self._error_logged > ERROR_LOGGED_EVERY_S:
            self._error_logged = now
            log.warning("Kafka: %s", error.str())

    # -- reading --------------------------------------------------------------------------------------------------------------

    def _in_flight(self) -> int:
        return sum(map(len, self._windows.values()))

    def _read(self) -> None:
        room = IN_FLIGHT_MAX - self._in_flight()
        if self._handler.pending() >= PENDING_MAX:
            room = 0
        if room <= 0:
            self._wait_for_room()
            return
        self._full_since = None
        self._pause_where_needed(everywhere=False)
        busy = room < IN_FLIGHT_MAX
        if busy:
            self._wake.wait(BUSY_WAIT_S)
        self._wake.clear()
        first = self._consumer.poll(0 if busy or self._incoming else IDLE_POLL_S)
        if first is None:
            return
        self._hand_on([first, *self._consumer.consume(min(BATCH_MAX, room) - 1, 0)] if room > 1 else [first])

    def _wait_for_room(self) -> None:
        """Read nothing; when that lasts, pause, so that polling (for rebalances, and to stay a member) returns no records."""
        now = time.monotonic()
        self._full_since = self._full_since or now
        if now - self._full_since > FULL_BEFORE_PAUSE_S:
            self._pause_where_needed(everywhere=True)
            late = self._consumer.poll(0)
            if late is not None:
                self._hand_on([late])
        self._wake.wait(BUSY_WAIT_S)
        self._wake.clear()

    def _pause_where_needed(self, *, everywhere: bool) -> None:
        wanted = {number for number, window in self._windows.items() if everywhere or window.span >= SPAN_PAUSED_AT}
        if wanted == self._paused:
            return
        topic = PROVIDER_REQUESTS.name
        self._consumer.pause([TopicPartition(topic, number) for number in wanted - self._paused])
        self._consumer.resume([TopicPartition(topic, number) for number in self._paused - wanted])
        self._paused = wanted

    def _hand_on(self, messages: list[Message]) -> None:
        readings: list[Reading] = []
        for message in messages:
            error = message.error()
            if error is not None:
                stopping.check(error, log)
                continue
            partition, offset = cast("int", message.partition()), cast("int", message.offset())
            window = self._windows.get(partition)
            if window is None or not window.receive(offset):
                continue
            place = self._places[partition].at(offset)
            try:
                asked = _translation.read(key=message.key(), value=message.value(), timestamp_ms=message.timestamp()[1])
            except (DecodingError, UntranslatableRequest) as refusal:
                self.emit(_rejected(message, place, refusal))
            else:
                readings.append(Reading(asked=asked, place=place, offset=offset))
        if readings:
            self._handler.accept(readings)

    # -- committing -----------------------------------------------------------------------------------------------------------

    def _commit(self, transactions: Transactions) -> None:
        """Commit what was emitted, together with the offsets it leads to.

        Offsets are marked before the commit. That is sound because the items of an aborted transaction stay at the head of `_items` and are in
        the next one, and because nothing of a window outlives this process or this assignment.
        """
        while self._incoming:
            self._items.append(self._incoming.popleft())
        self._items = [item for item in self._items if self._still_ours(item.place)]
        if not self._items:
            return
        batch, later = committable(self._items, self._windows)
        if not batch:
            return
        for item in batch:
            if item.marks_done:
                self._windows[item.place.partition].mark(item.place.offset)
        touched = sorted({item.place.partition for item in batch})
        offsets = self._offsets(touched)
        said = [
            positioned(self._places[at.partition], position=at.offset, metadata=at.metadata or "") for at in offsets
        ]
        records = (record for item in (*batch, *said) for record in item.records)
        if transactions.commit(records, offsets=offsets, group=self._consumer.consumer_group_metadata()):
            self._items = later
        else:
            # Marked already, and so not to be marked again.
            self._items = [Item(item.place, item.records, marks_done=False) for item in batch] + later

    def _still_ours(self, place: Place) -> bool:
        current = self._places.get(place.partition)
        return current is not None and current.assignment == place.assignment

    def _offsets(self, partitions: list[int]) -> list[TopicPartition]:
        topic = PROVIDER_REQUESTS.name
        windows = ((number, self._windows[number]) for number in partitions)
        return [TopicPartition(topic, number, window.position, window.metadata()) for number, window in windows]

    # -- assignment -----------------------------------------------------------------------------------------------------------

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take over partitions.

        1. The committed offsets, read so that the broker first resolves any transaction of a predecessor that holds some: after that, a
           predecessor can commit nothing more. 2. The pending requests, and how far the pending topic says that each partition is done: it is
           believed rather than a group's coordinator that knows none of its offsets or old ones, as one may that has just been started
           and has not read its log (Kafka 4.2, seen after a broker's `kill -9`). 3. Only then requests.
        """
        self._assignments += 1
        committed = consumer.committed(partitions, timeout=COMMITTED_DEADLINE_S)
        for where in committed:
            if where.error is not None:
                raise KafkaException(where.error)
            self._places[where.partition] = Place(where.partition, self._assignments)
        places = [self._places[where.partition] for where in committed]
        pendings, positions = _pending.restore(self._kafka, places) if places else ([], {})
        starts: list[TopicPartition] = []
        for where in committed:
            offset, metadata = _believed(where, positions.get(where.partition))
            if offset < 0:
                offset = consumer.get_watermark_offsets(where, timeout=30.0)[0]
            self._windows[where.partition] = Window(position=offset, metadata=metadata)
            starts.append(TopicPartition(where.topic, where.partition, offset))
        consumer.assign(starts)
        self._handler.restore(pendings)
        log.info("assigned %d partitions with %d pending requests", len(starts), len(pendings))
        self._ready()

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Give partitions up: commit what is complete while this is still allowed, then forget the rest."""
        assert self._transactions is not None
        self._commit(self._transactions)
        self._forget(partitions)
        consumer.unassign()

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Partitions are somebody else's already: commit nothing."""
        self._forget(partitions)
        consumer.unassign()

    def _forget(self, partitions: list[TopicPartition]) -> None:
        numbers = [where.partition for where in partitions]
        for number in numbers:
            self._windows.pop(number, None)
            self._places.pop(number, None)
            self._paused.discard(number)
        self._handler.drop(numbers)


def _believed(said: TopicPartition, recorded: tuple[int, str] | None) -> tuple[int, str]:
    """Position and metadata to go on from: those of the pending topic, unless somebody set the group's offset beyond them by hand."""
    if recorded is None or said.offset > recorded[0]:
        return said.offset, said.metadata or ""
    if said.offset < recorded[0]:
        log.warning(
            "%s[%d]: Kafka says offset %d, the pending topic %d: going on from there",
            said.topic, said.partition, said.offset, recorded[0],
        )  # fmt: skip
    return recorded


def committable(items: list[Item], windows: Mapping[int, Window]) -> tuple[list[Item], list[Item]]:
    """The items that can be committed now, and those that must wait until their offset is within the window's reach.

    Both keep their order. What follows a waiting item in its partition, at its offset or beyond, waits with it: a request's result must not
    overtake its own parking. The oldest open request of a partition is always within reach, so that waiting ends.
    """
    batch: list[Item] = []
    later: list[Item] = []
    waiting_from: dict[int, int] = {}
    for item in items:
        partition, offset = item.place.partition, item.place.offset
        reachable = not item.marks_done or windows[partition].can_mark(offset)
        if reachable and offset < waiting_from.get(partition, offset + 1):
            batch.append(item)
        else:
            later.append(item)
            waiting_from[partition] = min(offset, waiting_from.get(partition, offset))
    return batch, later


def _rejected(message: Message, place: Place, refusal: DecodingError | UntranslatableRequest) -> Item:
    log.warning("%s[%d]@%d rejected: %s", PROVIDER_REQUESTS.name, place.partition, place.offset, refusal)
    value = _translation.rejection(
        refusal,
        topic=PROVIDER_REQUESTS.name,
        partition=place.partition,
        offset=place.offset,
        timestamp_ms=message.timestamp()[1],
        key=message.key(),
        value=message.value(),
    )
    key = None if unkept.holds(message.key()) else message.key()
    return Item(place, (Produce(RECORDS_REJECTED.name, key, value),), marks_done=True)
