"""The group coordinator: classic protocol, static members, generations, and offsets that wait for transactions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.simulation.log import TopicPartition
from tests.simulation.transactions import Refused

if TYPE_CHECKING:
    from tests.simulation.broker import Broker
    from tests.simulation.clients import SimConsumer

# How long a group waits for others before its first generation.
INITIAL_DELAY_MS = 50


class Member:
    """A static member: its instance stays, its member id changes with every client."""

    def __init__(self, instance: str, member_id: str, client: SimConsumer, now_ms: int) -> None:
        self.instance, self.member_id, self.client = instance, member_id, client
        self.heard_ms = now_ms
        self.joined = True
        self.assignment: list[TopicPartition] = []


class Group:
    """One consumer group."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[str, Member] = {}
        self.generation = 0
        self.rebalancing = False
        self.deadline_ms = 0
        self.offsets: dict[TopicPartition, int] = {}
        # Offsets of open transactions, by producer id, each with its place in the coordinator's log.
        self.pending: dict[int, dict[TopicPartition, tuple[int, int]]] = {}
        # Place of the record that an offset comes from; a marker that is late brings back nothing older.
        self.places: dict[TopicPartition, int] = {}
        self.topics: tuple[str, ...] = ()


class GroupCoordinator:
    """All groups."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._world = broker.world
        self.groups: dict[str, Group] = {}
        self._member_ids = 0
        self._records = 0

    def group(self, name: str) -> Group:
        """The group, made when it is first asked for."""
        if name not in self.groups:
            self.groups[name] = Group(name)
        return self.groups[name]

    # Membership

    def join(self, name: str, instance: str, client: SimConsumer, topics: tuple[str, ...]) -> str:
        """Join, or come back as a static member: then the place and its assignment are still there."""
        group = self.group(name)
        group.topics = topics
        self._member_ids += 1
        member_id = f"{instance}-{self._member_ids}"
        known = group.members.get(instance)
        now_ms = self._world.now_ms
        if known is not None:
            known.member_id, known.client, known.heard_ms, known.joined = member_id, client, now_ms, True
            if group.rebalancing:
                self._complete_if_all(group)
            return member_id
        self._rebalance(group)
        group.members[instance] = Member(instance, member_id, client, now_ms)
        return member_id

    def rejoin(self, name: str, instance: str, member_id: str) -> None:
        """A known member takes part in the rebalance, having given up its partitions."""
        group, member = self._member(name, instance, member_id)
        member.joined = True
        if group.rebalancing:
            self._complete_if_all(group)

    def standing(self, name: str, instance: str, member_id: str) -> Member:
        """What a heartbeat learns. Raises UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID."""
        return self._member(name, instance, member_id)[1]

    def _member(self, name: str, instance: str, member_id: str) -> tuple[Group, Member]:
        group = self.group(name)
        member = group.members.get(instance)
        if member is None:
            raise Refused("UNKNOWN_MEMBER_ID")
        if member.member_id != member_id:
            raise Refused("FENCED_INSTANCE_ID")
        return group, member

    def _rebalance(self, group: Group) -> None:
        if not group.rebalancing:
            group.rebalancing = True
            group.deadline_ms = self._world.now_ms + self._broker.rebalance_timeout_ms
            for member in group.members.values():
                member.joined = False
            self._world.note(f"{group.name} rebalances")
            self._broker.counted("rebalance")
        self._world.after(INITIAL_DELAY_MS, lambda: self._complete_if_all(group))

    def _complete_if_all(self, group: Group) -> None:
        if group.rebalancing and group.members and all(member.joined for member in group.members.values()):
            self._complete(group)

    def _complete(self, group: Group) -> None:
        group.rebalancing = False
        group.generation += 1
        members = sorted(group.members.values(), key=lambda member: member.instance)
        for member in members:
            member.assignment = []
        for topic in group.topics:
            count = len(self._broker.topics[topic].partitions)
            for index, member in enumerate(members):
                first, last = count * index // len(members), count * (index + 1) // len(members)
                member.assignment.extend((topic, number) for number in range(first, last))
        shown = {member.instance: [number for _, number in member.assignment] for member in members}
        self._world.note(f"{group.name} generation {group.generation}: {shown}")
        for member in members:
            member.client.notify()

    def tick(self) -> None:
        """Heartbeats arrive, sessions expire, rebalances end without those who don't join."""
        now_ms = self._world.now_ms
        for group in self.groups.values():
            for member in list(group.members.values()):
                if member.client.heartbeats():
                    member.heard_ms = now_ms
                elif now_ms - member.heard_ms > member.client.session_timeout_ms:
                    self._world.note(f"{group.name} expires {member.instance}")
                    self._broker.counted("session time-out")
                    del group.members[member.instance]
                    self._rebalance(group)
            if group.rebalancing and now_ms > group.deadline_ms:
                for member in list(group.members.values()):
                    if not member.joined:
                        del group.members[member.instance]
                self._complete(group)
            if group.rebalancing:
                for member in group.members.values():
                    member.client.notify()

    # Offsets

    def check(self, name: str, metadata: tuple[str, str, int]) -> None:
        """KIP-447: only a member of the present generation commits. Raises what the broker answers."""
        instance, member_id, generation = metadata
        group, _ = self._member(name, instance, member_id)
        if generation != group.generation:
            raise Refused("ILLEGAL_GENERATION")

    def add_pending(self, name: str, pid: int, offsets: Mapping[TopicPartition, int]) -> None:
        """TxnOffsetCommit: visible once the transaction's marker is here."""
        self._records += 1
        placed = {pair: (offset, self._records) for pair, offset in offsets.items()}
        self.group(name).pending.setdefault(pid, {}).update(placed)

    def mark(self, name: str, pid: int, *, commit: bool) -> None:
        """A transaction's marker on the group's offsets."""
        group = self.group(name)
        placed = group.pending.pop(pid, {})
        newer = {pair: at for pair, (at, place) in placed.items() if place > group.places.get(pair, 0)}
        if commit and newer:
            group.places.update({pair: placed[pair][1] for pair in newer})
            self.commit(name, newer)

    def commit(self, name: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Make offsets the group's."""
        group = self.group(name)
        for pair, offset in sorted(offsets.items()):
            self._broker.offset_committed(name, pair, group.offsets.get(pair), offset)
        group.offsets.update(offsets)
        self._world.note(f"{name} committed {sorted(offsets.items())}")

    def unstable(self, name: str, pair: TopicPartition) -> bool:
        """Whether an open transaction may still change this offset (`require_stable`)."""
        return any(pair in offsets for offsets in self.group(name).pending.values())
