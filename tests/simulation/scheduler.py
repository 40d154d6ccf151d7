"""
One thread, one clock that only we move, one order of events that a seed decides.

An actor is a greenlet that runs real code and comes back here whenever it waits. An event is a function that is called at
its time. Two things due at the same time come in the order in which they were asked for; the delays are what is drawn.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from random import Random

from greenlet import getcurrent, greenlet

# Wall time at the virtual clock's zero: business times of payments must be of this age.
EPOCH_MS = 1_767_225_600_000

# A run that needs more events than this does not end.
EVENTS_MAX = 400_000

# Lines of the trace that a failure shows.
TRACE_LINES_KEPT = 60


class Crash(BaseException):
    """The process of this actor is dead: unwind and never come back."""


class Stuck(AssertionError):
    """Something that has to end does not."""


class Process:
    """What lives and dies together: its actors, their clients, the machine's clock."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.alive = True
        self.paused_until_ms = 0
        self.cut_until_ms = 0
        self.actors: list[Actor] = []
        self.on_death: list[Callable[[], None]] = []

    def responsive(self) -> bool:
        """Whether its heartbeats arrive."""
        now_ms = self.world.now_ms
        return self.alive and self.paused_until_ms <= now_ms and self.cut_until_ms <= now_ms

    def kill(self) -> None:
        """kill -9; raises `Crash` when the caller is one of its actors."""
        if not self.alive:
            return
        self.alive = False
        self.world.note(f"{self.name} dies")
        me = getcurrent()
        for actor in self.actors:
            if actor.let is not me:
                actor.unwind()
        for call in self.on_death:
            call()
        if any(actor.let is me for actor in self.actors):
            raise Crash


class Actor:
    """A line of real code inside a process."""

    __slots__ = ("let", "name", "process", "ticket")

    def __init__(self, process: Process, name: str, body: Callable[[], None]) -> None:
        self.process, self.name = process, name
        self.ticket = 0
        self.let = greenlet(lambda: self._run(body), parent=process.world.hub)
        process.actors.append(self)

    def _run(self, body: Callable[[], None]) -> None:
        try:
            body()
        except Crash:
            pass
        except BaseException as error:  # whatever it is, the run ends with it
            self.process.world.failure = self.process.world.failure or error

    def unwind(self) -> None:
        """Let its code leave: nothing that it still calls has an effect, because its process is dead."""
        if self.let:
            world = self.process.world
            before, world.current = world.current, self
            self.let.parent = getcurrent()
            self.let.throw(Crash)
            world.current = before


class World:
    """The scheduler."""

    def __init__(self, seed: int, *, trace: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.now_ms = 0
        self.hub = getcurrent()
        self.failure: BaseException | None = None
        self.events = 0
        self.lines: deque[str] = deque(maxlen=TRACE_LINES_KEPT)
        self._trace = trace
        self._digest = blake2b(digest_size=16)
        self._heap: list[tuple[int, int, Actor | None, object]] = []
        self._count = 0
        self._end_ms = 0
        self.current: Actor | None = None

    # What happened

    def note(self, line: str) -> None:
        """Put a line into the trace; the digest of all lines is what two runs of a seed have in common."""
        text = f"{self.now_ms} {line}"
        self._digest.update(text.encode())
        self.lines.append(text)
        if self._trace is not None:
            self._trace(text)

    @property
    def digest(self) -> str:
        """Digest of the trace so far."""
        return self._digest.copy().hexdigest()

    @property
    def wall_ms(self) -> int:
        """Milliseconds since the epoch."""
        return EPOCH_MS + self.now_ms

    # What is to happen

    def at(self, time_ms: int, call: Callable[[], None]) -> None:
        """Call a function then."""
        self._count += 1
        heapq.heappush(self._heap, (max(time_ms, self.now_ms), self._count, None, call))

    def after(self, delay_ms: int, call: Callable[[], None]) -> None:
        """Call a function after a while."""
        self.at(self.now_ms + delay_ms, call)

    def spawn(self, process: Process, name: str, body: Callable[[], None]) -> Actor:
        """Start an actor soon."""
        actor = Actor(process, name, body)
        self.wake(actor, delay_ms=self.random.randrange(3))
        return actor

    def wake(self, actor: Actor, *, delay_ms: int) -> None:
        """Let a waiting actor go on earlier than it asked for."""
        actor.ticket += 1
        self._count += 1
        heapq.heappush(self._heap, (self.now_ms + delay_ms, self._count, actor, actor.ticket))

    def actor(self) -> Actor:
        """The actor that runs now."""
        assert self.current is not None, "only an actor can wait"
        return self.current

    def sleep(self, duration_ms: int) -> None:
        """Wait, as an actor; other things happen meanwhile."""
        actor = self.actor()
        process = actor.process
        if not process.alive:
            return
        until_ms = self.now_ms + duration_ms
        heap = self._heap
        if until_ms < self._end_ms and process.paused_until_ms <= until_ms and (not heap or until_ms < heap[0][0]):
            self._counted()
            self.now_ms = until_ms
            return
        self.wake(actor, delay_ms=duration_ms)
        self.hub.switch()

    def _counted(self) -> None:
        self.events += 1
        if self.events > EVENTS_MAX:
            raise Stuck(f"{self.events} events without an end")

    def run_until(self, end_ms: int, *, until: Callable[[], bool] | None = None) -> bool:
        """Let things happen up to a time, or until a condition holds; whether it held."""
        self._end_ms = end_ms
        heap = self._heap
        while heap and heap[0][0] < end_ms and self.failure is None:
            time_ms, _, actor, what = heapq.heappop(heap)
            self._counted()
            if actor is None:
                self.now_ms = time_ms
                what()  # type: ignore[operator]
            elif what == actor.ticket and actor.process.alive and not actor.let.dead:
                process = actor.process
                if process.paused_until_ms > time_ms:
                    actor.ticket += 1
                    self._count += 1
                    heapq.heappush(heap, (process.paused_until_ms, self._count, actor, actor.ticket))
                    continue
                self.now_ms = time_ms
                self.current = actor
                actor.let.switch()
                self.current = None
            if until is not None and until():
                return True
        if self.failure is not None:
            raise self.failure
        self.now_ms = max(self.now_ms, end_ms)
        return until is not None and until()


class SimClock:
    """The clock that every process reads."""

    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic_ms(self) -> int:
        """Milliseconds that only grow."""
        return self._world.now_ms

    def wall_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self._world.wall_ms

    def sleep_ms(self, duration_ms: int) -> None:
        """Wait."""
        self._world.sleep(duration_ms)
