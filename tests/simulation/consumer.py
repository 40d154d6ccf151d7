"""A group member: the classic protocol with static membership, as librdkafka shows it to the runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from streams.runtime.errors import Fenced, Indefinite, Retriable
from streams.runtime.record import Record
from streams.runtime.seams import BEGINNING, RebalanceListener
from tests.simulation.log import REPLICATION_MS_MAX, TopicPartition
from tests.simulation.scheduler import Actor, Crash
from tests.simulation.transactions import Refused

if TYPE_CHECKING:
    from tests.simulation.clients import SimClients

# A share of the polls in which a rebalance strikes after records were taken from the queue, as `consume` allows.
LATE_CALLBACK_SHARE = 0.1

# Asking again for offsets that wait for a transaction.
STABLE_RETRY_MS = 20


class SimConsumer:
    """Reads committed records of what it was told to fetch."""

    uncommitted = False

    def __init__(self, clients: SimClients) -> None:
        config = clients.config
        self._clients, self._network, self._process = clients, clients.network, clients.process
        self._broker, self._world = clients.broker, clients.broker.world
        self._group, self._instance = config.group, config.instance
        self._poll_interval_max_ms = config.poll_interval_max_ms
        self.session_timeout_ms = config.session_timeout_ms
        self.name = clients.name
        self.member_id = ""
        self.generation = -1
        self._listener: RebalanceListener | None = None
        self._topics: tuple[str, ...] = ()
        self.assigned: list[TopicPartition] = []
        self._positions: dict[TopicPartition, int] = {}
        self._polled_ms = self._world.now_ms
        self._waiting: Actor | None = None
        self._last: list[Record] = []
        self.closed = False

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """Join the group at the next poll."""
        self._topics, self._listener = tuple(topics), listener

    # What the coordinator sees of it

    def heartbeats(self) -> bool:
        """Whether its heartbeats arrive: they come from a thread of its own, until polls have stopped for too long."""
        return (
            not self.closed
            and self._process.responsive()
            and self._world.now_ms - self._polled_ms <= self._poll_interval_max_ms
        )

    def notify(self) -> None:
        """Something may be there for it."""
        if self._waiting is not None:
            actor, self._waiting = self._waiting, None
            self._world.wake(actor, delay_ms=REPLICATION_MS_MAX + self._world.random.randrange(3))

    # Polling

    def poll(self, *, records_max: int, bytes_max: int, timeout_ms: int) -> list[Record]:
        """Serve the group, then wait for a first record and take what is there already."""
        world, random = self._world, self._world.random
        world.sleep(random.randrange(2))
        self._expect_alive()
        deadline_ms = world.now_ms + timeout_ms
        trouble = self._network.profile
        if not self._network.healed and random.random() < trouble.trouble_share / 10:
            self._broker.counted("poll fails")
            raise Retriable("consuming: a transient error")
        while True:
            if self._membership():
                return []
            records = self._fetch(min(records_max, 1 + random.randrange(records_max)))
            if records and random.random() < LATE_CALLBACK_SHARE:
                self._membership()
            if records or world.now_ms >= deadline_ms:
                return self._told(records)
            self._wait(deadline_ms - world.now_ms)

    def _told(self, records: list[Record]) -> list[Record]:
        again: list[Record] = []
        if self._last and not self._network.healed and self._world.random.random() < self._network.profile.again_share:
            # librdkafka #2256: what was delivered before comes again. The history leaves that out: it is the client's.
            self._broker.counted("delivered again")
            self._world.note(f"{self.name} delivers {len(self._last)} records again")
            again = self._last
        if records:
            self._last = records
            self._clients.recorder.polled(self.name, records)
        return [*again, *records] if again else records

    def _expect_alive(self) -> None:
        if not self._process.alive:
            raise Crash

    def _wait(self, duration_ms: int) -> None:
        self._waiting = self._world.actor()
        for topic, number in self._positions:
            waiting = self._broker.topics[topic].partitions[number].waiting
            if self.notify not in waiting:
                waiting.append(self.notify)
        self._world.sleep(duration_ms)
        self._waiting = None
        self._expect_alive()

    def _fetch(self, records_max: int) -> list[Record]:
        records: list[Record] = []
        if not self._positions or not self._network.reached(self._process, coordinator=False):
            return records
        pairs = list(self._positions)
        first = self._world.random.randrange(len(pairs))
        for topic, number in pairs[first:] + pairs[:first]:
            if len(records) >= records_max:
                break
            log = self._broker.topics[topic].partitions[number]
            taken, self._positions[topic, number] = log.read(
                max(0, self._positions[topic, number]),
                self._world.now_ms,
                records_max=records_max - len(records),
                uncommitted=self.uncommitted,
            )
            records.extend(taken)
        return records

    # The group

    def _membership(self) -> bool:
        """What librdkafka does inside a poll; whether the listener was called."""
        world, groups = self._world, self._broker.groups
        listener = self._listener
        assert listener is not None, "subscribe before poll"
        called = False
        while self._network.reached(self._process, coordinator=True):
            if world.now_ms - self._polled_ms > self._poll_interval_max_ms:
                self._lose("polls too late")
                called = True
            self._polled_ms = world.now_ms
            if not self.member_id:
                world.sleep(1 + world.random.randrange(3))
                self._expect_alive()
                self.member_id = groups.join(self._group, self._instance, self, self._topics)
                continue
            try:
                member = groups.standing(self._group, self._instance, self.member_id)
            except Refused as refused:
                if refused.code == "FENCED_INSTANCE_ID":
                    raise Fenced("consuming: FENCED_INSTANCE_ID") from refused
                self._lose("is no member any more")
                called = True
                continue
            group = groups.group(self._group)
            if group.rebalancing and not member.joined:
                self._give_up()
                called = True
                self._expect_alive()
                try:
                    groups.rejoin(self._group, self._instance, self.member_id)
                except Refused:
                    continue
            elif not group.rebalancing and self.generation != group.generation:
                self.generation = group.generation
                self.assigned = list(member.assignment)
                self._positions, self._last = {}, []
                world.note(f"{self.name} is given {[number for _, number in self.assigned]}")
                listener.on_assigned(self.assigned)
                called = True
            else:
                break
        self._polled_ms = world.now_ms
        return called

    def _give_up(self) -> None:
        assert self._listener is not None
        pairs, self.assigned = self.assigned, []
        if pairs:
            self._listener.on_revoked(pairs)
        self._positions = {}
        self.generation = -1

    def _lose(self, why: str) -> None:
        assert self._listener is not None
        self._world.note(f"{self.name} {why}")
        pairs, self.assigned = self.assigned, []
        self.member_id, self.generation = "", -1
        if pairs:
            self._listener.on_lost(pairs)
        self._positions = {}
        self._polled_ms = self._world.now_ms

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Fetch exactly these."""
        self._positions = {pair: 0 if at == BEGINNING else at for pair, at in positions.items()}
        self._clients.recorder.assigned(self.name, self._positions)

    def committed(self, partitions: Sequence[TopicPartition], *, timeout_ms: int) -> dict[TopicPartition, int | None]:
        """Stable offsets of the group."""
        deadline_ms = self._world.now_ms + timeout_ms
        answers: dict[TopicPartition, int | None] = {}
        while True:
            try:
                answers = self._network.call(
                    self._process,
                    "asking for committed offsets",
                    lambda: self._offsets(partitions),
                    timeout_ms=timeout_ms,
                    coordinator=True,
                )
            except (Indefinite, Retriable):
                return {}
            if len(answers) == len(partitions) or self._world.now_ms >= deadline_ms:
                return answers
            self._world.sleep(STABLE_RETRY_MS)

    def _offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        groups = self._broker.groups
        known = groups.group(self._group).offsets
        if self._broker.forgetful_until_ms > self._world.now_ms:
            random = self._world.random
            return {
                pair: random.randrange(known[pair] + 1) if pair in known and random.random() < 0.5 else None
                for pair in partitions
            }
        return {pair: known.get(pair) for pair in partitions if not groups.unstable(self._group, pair)}

    def group_metadata(self) -> object:
        """Instance, member and generation."""
        return self._instance, self.member_id, self.generation

    def end_offsets(self) -> dict[TopicPartition, int]:
        """Last known ends."""
        now_ms = self._world.now_ms
        return {
            (topic, number): self._broker.topics[topic].partitions[number].stable(now_ms)
            for topic, number in self._positions
        }

    def close(self) -> None:
        """Go; a static member doesn't leave."""
        self.closed = True
        if self._process.alive and self.assigned:
            self._give_up()
