"""The way between a client and the broker: requests and answers that are slow, lost, refused for now, or far too late."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from streams.runtime.errors import Abortable, Fatal, Fenced, Indefinite, Retriable, StreamsError
from tests.simulation.broker import Broker
from tests.simulation.scheduler import Crash, Process, World
from tests.simulation.transactions import Refused

T = TypeVar("T")

# One way takes up to this, normally.
TRAVEL_MS_MAX = 3

# A request that was given up arrives up to this much later.
LATE_MS_MAX = 9_000
SOON_MS_MAX = 250
SHORTLY_MS_MAX = 15

# A call is repeated after this, and then after twice as long, up to a bound.
RETRY_MS = 3
RETRY_MS_MAX = 60

TROUBLES = ("request lost", "answer lost", "request late", "refused for now", "slow")

# Error codes of the broker as the boundary to librdkafka maps them (streams/runtime/_boundary.py).
_FENCED = {"INVALID_PRODUCER_EPOCH", "FENCED_INSTANCE_ID"}
_ABORTABLE = {"ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "INVALID_PRODUCER_ID_MAPPING", "REBALANCE_IN_PROGRESS"}


def mapped(refused: Refused, doing: str) -> StreamsError:
    """The runtime's error for an error code."""
    text = f"{doing}: {refused.code}"
    if refused.code in _FENCED:
        return Fenced(text)
    if refused.code in _ABORTABLE:
        return Abortable(text)
    if refused.code == "CONCURRENT_TRANSACTIONS":
        return Retriable(text)
    return Fatal(f"{text}; start the process again")


class Profile(msgspec.Struct):
    """What goes wrong in a run, and how often: each run draws its own (swarm testing)."""

    trouble_share: float = 0.0
    troubles: tuple[str, ...] = ()
    slow_marker_share: float = 0.0
    # The topic (or "group") whose markers are late; empty for all.
    slow_marker_topic: str = ""
    point_share: float = 0.0
    point_actions: tuple[str, ...] = ()
    again_share: float = 0.0
    nemesis: tuple[str, ...] = ()
    nemesis_every_ms: int = 4_000


class Network:
    """Carries requests, with this run's troubles while they last."""

    def __init__(self, world: World, broker: Broker, profile: Profile) -> None:
        self.world, self.broker, self.profile = world, broker, profile
        self.healed = False
        # Requests on their way that wait for the next transaction of their transactional id.
        self._held: dict[str, list[Callable[[], None]]] = {}
        broker.on_began.append(self._release)

    def call(
        self,
        process: Process,
        doing: str,
        act: Callable[[], T],
        *,
        timeout_ms: int,
        coordinator: bool,
        transactional_id: str = "",
    ) -> T:
        """
        One request that the client repeats by itself while it is told to.

        Raises `Indefinite` when there is no answer in time, and what an error code means otherwise.
        """
        world, random = self.world, self.world.random
        if not process.alive:
            raise Crash
        deadline_ms = world.now_ms + timeout_ms
        trouble = self._trouble(doing)
        if trouble == "refused for now":
            world.sleep(1 + random.randrange(TRAVEL_MS_MAX))
            raise Retriable(f"{doing}: NOT_COORDINATOR")
        if trouble in ("request lost", "request late"):
            if trouble == "request late":
                self._late(doing, act, timeout_ms, transactional_id)
            world.sleep(timeout_ms)
            raise Indefinite(f"{doing}: no answer in {timeout_ms} ms")
        travel_ms = random.randrange(timeout_ms) if trouble == "slow" else 1 + random.randrange(TRAVEL_MS_MAX)
        answer = self._until_answered(
            process, doing, act, travel_ms=travel_ms, deadline_ms=deadline_ms, coordinator=coordinator
        )
        if trouble == "answer lost":
            world.sleep(max(1, deadline_ms - world.now_ms))
            raise Indefinite(f"{doing}: no answer in {timeout_ms} ms")
        world.sleep(random.randrange(TRAVEL_MS_MAX))
        return answer

    def _until_answered(
        self,
        process: Process,
        doing: str,
        act: Callable[[], T],
        *,
        travel_ms: int,
        deadline_ms: int,
        coordinator: bool,
    ) -> T:
        """Send the request, and again while it can't be sent or is to be repeated."""
        world = self.world
        retry_ms = RETRY_MS
        while True:
            self._travel(process, doing, act, travel_ms)
            travel_ms = retry_ms = min(RETRY_MS_MAX, 2 * retry_ms)
            if self.reached(process, coordinator=coordinator):
                try:
                    return act()
                except Refused as refused:
                    if refused.code != "CONCURRENT_TRANSACTIONS":
                        world.note(f"{process.name} {doing}: {refused.code}")
                        raise mapped(refused, doing) from refused
            if world.now_ms >= deadline_ms:
                raise Indefinite(f"{doing}: not done in time")

    def _travel(self, process: Process, doing: str, act: Callable[[], T], travel_ms: int) -> None:
        """The request is under way; when its process dies meanwhile, it arrives all the same, or it doesn't."""
        sent_ms = self.world.now_ms
        try:
            self.world.sleep(travel_ms)
        except Crash:
            if self.world.random.random() < 0.5:
                self._later(doing, act, sent_ms + travel_ms)
            raise
        if not process.alive:
            raise Crash

    def _late(self, doing: str, act: Callable[[], T], timeout_ms: int, transactional_id: str) -> None:
        """Arrive at some time; often just when the client has given up and begun anew, which is when it hurts most."""
        random = self.world.random
        arrive = self._arrival(doing, act)
        if transactional_id and random.random() < 0.5:
            self._held.setdefault(transactional_id, []).append(arrive)
        elif random.random() < 0.5:
            self.world.after(timeout_ms + random.randrange(SOON_MS_MAX), arrive)
        else:
            self.world.after(random.randrange(timeout_ms + LATE_MS_MAX), arrive)

    def _release(self, transactional_id: str) -> None:
        """The next transaction has begun: what was held back is there within moments."""
        for arrive in self._held.pop(transactional_id, ()):
            self.world.after(1 + self.world.random.randrange(SHORTLY_MS_MAX), arrive)

    def reached(self, process: Process, *, coordinator: bool) -> bool:
        """Whether requests of this process are answered now."""
        broker = self.broker
        return not broker.down() and self.world.now_ms >= process.cut_until_ms and not (coordinator and broker.moving())

    def _trouble(self, doing: str) -> str:
        profile, random = self.profile, self.world.random
        if self.healed or not profile.troubles or random.random() >= profile.trouble_share:
            return ""
        trouble = random.choice(profile.troubles)
        self.broker.counted(f"{trouble}")
        self.world.note(f"{doing}: {trouble}")
        return trouble

    def _later(self, doing: str, act: Callable[[], T], time_ms: int) -> None:
        self.world.at(time_ms, self._arrival(doing, act))

    def _arrival(self, doing: str, act: Callable[[], T]) -> Callable[[], None]:
        """A request that nobody waits for any more arrives."""

        def arrive() -> None:
            if self.broker.down():
                return
            try:
                act()
            except Refused as refused:
                self.world.note(f"late {doing}: {refused.code}")
            else:
                self.world.note(f"late {doing}: done")

        return arrive
