"""The transactional producer: a queue that a background thread ships, and calls to the coordinators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from streams.runtime.errors import Abortable, Fatal, Indefinite, StreamsError
from streams.runtime.record import Output
from tests.simulation.log import TopicPartition
from tests.simulation.network import mapped
from tests.simulation.scheduler import Crash
from tests.simulation.transactions import Refused

if TYPE_CHECKING:
    from tests.simulation.clients import SimClients

# The background thread takes what is queued within this time.
SHIP_MS_MAX = 4
SHIP_RETRY_MS = 20


class SimProducer:
    """One client of a transactional id."""

    def __init__(self, clients: SimClients, turn: int) -> None:
        config = clients.config
        self._clients, self._network, self._process = clients, clients.network, clients.process
        self._broker, self._world = clients.broker, clients.broker.world
        self._transactions = self._broker.transactions
        self._group = config.group
        self._timeout_ms = config.transaction_timeout_ms
        self.name = clients.name
        self.transactional_id = config.transactional_id_of(turn)
        self.pid, self.epoch = -1, -1
        self.in_transaction = False
        self._begun = 0
        self._participants: set[tuple[str, int | str]] = set()
        self._queue: list[tuple[TopicPartition, Output, bool]] = []
        self._delivered: dict[TopicPartition, int] = {}
        self._acknowledged_ms = 0
        self._failed: StreamsError | None = None
        self._shipping = False
        self._closed = False
        self._process.on_death.append(self._die)

    def _call(self, doing: str, act: Callable[[], None], *, timeout_ms: int) -> None:
        self._network.call(
            self._process,
            f"{doing} as {self.name}",
            act,
            timeout_ms=timeout_ms,
            coordinator=True,
            transactional_id=self.transactional_id,
        )

    @property
    def transaction(self) -> str:
        """The transaction's name, for the history."""
        return f"{self.name}:{self._begun}"

    def init_transactions(self, *, timeout_ms: int) -> None:
        """Fence and take an epoch."""
        answer: list[tuple[int, int]] = []
        name, limit_ms = self.transactional_id, self._timeout_ms

        def act() -> None:
            answer.append(self._transactions.init_producer_id(name, timeout_ms=limit_ms))

        self._call("init", act, timeout_ms=timeout_ms)
        self.pid, self.epoch = answer[-1]

    def begin(self) -> None:
        """Start a transaction; the broker hears of it with the first record."""
        self._expect_alive()
        if self._failed is not None:
            raise self._failed
        if self.in_transaction:
            raise Fatal("begin: a transaction is open already")
        self.in_transaction = True
        self._begun += 1
        self._participants, self._delivered = set(), {}
        self._clients.recorder.began(self.name, self.transaction)

    def produce(self, outputs: Sequence[Output], *, track_last: bool = False) -> None:
        """Queue records."""
        self._expect_alive()
        last = len(outputs) - 1 if track_last else -1
        where = self._broker.partition_for
        self._queue.extend(
            ((output.topic, where(output)), output, index == last) for index, output in enumerate(outputs)
        )
        self._clients.recorder.sent(self.name, self.transaction, outputs, self._broker)
        self._ship_soon()
        self._world.sleep(self._world.random.randrange(2))

    def _expect_alive(self) -> None:
        if not self._process.alive:
            raise Crash

    def _ship_soon(self, delay_ms: int = 0) -> None:
        if not self._shipping and self._queue:
            self._shipping = True
            self._world.after(delay_ms or 1 + self._world.random.randrange(SHIP_MS_MAX), self._in_background)

    def _in_background(self) -> None:
        self._shipping = False
        if not self._process.alive or self._closed or self._failed is not None:
            return
        if self._process.paused_until_ms > self._world.now_ms:
            self._ship_soon(self._process.paused_until_ms - self._world.now_ms)
            return
        before = len(self._queue)
        self._ship(1 + self._world.random.randrange(before) if before else 0)
        self._ship_soon(SHIP_RETRY_MS if len(self._queue) == before else 0)

    def _ship(self, count: int) -> bool:
        """Send the first records of the queue; whether it is empty now."""
        if self._failed is not None or not self._queue:
            return not self._queue
        if not self._network.reached(self._process, coordinator=True):
            return False
        random, profile = self._world.random, self._network.profile
        if not self._network.healed and random.random() < profile.trouble_share / 4:
            self._broker.counted("delivery fails")
            self._failed = Abortable("producing: a record was not delivered in time")
            return False
        parts: dict[TopicPartition, list[tuple[Output, bool]]] = {}
        for pair, output, tracked in self._queue[:count]:
            parts.setdefault(pair, []).append((output, tracked))
        name, pid, epoch = self.transactional_id, self.pid, self.epoch
        try:
            new = [pair for pair in parts if pair not in self._participants]
            if new:
                self._transactions.add_participants(name, pid, epoch, new)
                self._participants.update(new)
            for pair, items in parts.items():
                entries = self._broker.append_in_transaction(name, pid, epoch, [output for output, _ in items], pair[1])
                self._acknowledged_ms = max(self._acknowledged_ms, entries[-1].visible_ms)
                if items[-1][1]:
                    self._delivered[pair] = entries[-1].offset
        except Refused as refused:
            if refused.code != "CONCURRENT_TRANSACTIONS":
                self._failed = mapped(refused, "producing")
            return False
        del self._queue[:count]
        return not self._queue

    def _die(self) -> None:
        """What the socket held when the process died arrives, or it doesn't."""
        if self._queue and self._world.random.random() < 0.5:
            self._world.after(self._world.random.randrange(10), lambda: self._ship(len(self._queue)) and None)

    def delivered_offset(self, topic: str, partition: int) -> int:
        """Offset of the last tracked record."""
        return self._delivered[topic, partition]

    def send_offsets(self, offsets: Mapping[TopicPartition, int], group_metadata: object, *, timeout_ms: int) -> None:
        """Flush, AddOffsetsToTxn, then TxnOffsetCommit."""
        self._flush(timeout_ms)
        name, pid, epoch, group = self.transactional_id, self.pid, self.epoch, self._group
        participant = ("group", group)
        if self._failed is not None:
            raise self._failed
        sent = dict(offsets)
        self._call(
            "add offsets",
            lambda: self._transactions.add_participants(name, pid, epoch, [participant]),
            timeout_ms=timeout_ms,
        )
        self._participants.add(participant)

        def act() -> None:
            self._check_member(group_metadata)
            self._transactions.verify(name, pid, epoch, participant)
            self._broker.groups.add_pending(group, pid, sent)

        self._call("offsets", act, timeout_ms=timeout_ms)

    def _check_member(self, group_metadata: object) -> None:
        assert isinstance(group_metadata, tuple)
        self._broker.groups.check(self._group, group_metadata)

    def commit(self, *, timeout_ms: int) -> None:
        """Flush, then EndTxn."""
        recorder = self._clients.recorder
        invoked = recorder.now()
        try:
            self._flush(timeout_ms)
            if self._participants:
                self._end(timeout_ms=timeout_ms, commit=True)
        except BaseException:
            recorder.ended(self.name, self.transaction, "commit", "unknown", invoked)
            raise
        self.in_transaction = False
        recorder.ended(self.name, self.transaction, "commit", "ok", invoked)

    def _flush(self, timeout_ms: int) -> None:
        deadline_ms = self._world.now_ms + timeout_ms
        self._expect_alive()
        while not self._ship(len(self._queue)):
            if self._failed is not None:
                raise self._failed
            if self._world.now_ms >= deadline_ms:
                raise Indefinite("records are not acknowledged")
            self._world.sleep(SHIP_RETRY_MS)
            self._expect_alive()
        if self._failed is not None:
            raise self._failed
        self._world.sleep(max(0, self._acknowledged_ms - self._world.now_ms))
        self._expect_alive()

    def _end(self, *, timeout_ms: int, commit: bool) -> None:
        name, pid, epoch = self.transactional_id, self.pid, self.epoch
        self._call(
            "commit" if commit else "abort",
            lambda: self._transactions.end(name, pid, epoch, commit=commit),
            timeout_ms=timeout_ms,
        )

    def abort(self, *, timeout_ms: int) -> None:
        """Purge, then EndTxn."""
        self._expect_alive()
        self._queue.clear()
        if self._participants:
            self._end(timeout_ms=timeout_ms, commit=False)
        self._failed = None
        self.in_transaction = False

    def close(self) -> None:
        """Drop the client without waiting for anything."""
        self._closed = True
        if self._process.alive and self._queue:
            self._die()
