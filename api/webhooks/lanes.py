"""Who is called next: endpoints in turn, each with a few attempts at once, and those that fail with one.

Runs on an event loop. A lane is what waits for one endpoint. An endpoint that has failed `FAILING_AFTER` times in a row has one attempt at a
time, and all such endpoints together have at most half of the attempts: however many are dead, the others go on.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from api.webhooks.parked import Parked, Taken

FAILING_AFTER = 3
UNSETTLED_MAX = 500
"""Attempts made whose outcome is not committed yet; beyond these no further one is begun."""
LOOK_AGAIN_S = 1.0

log = logging.getLogger("clearline.webhooks")

Attempt = Callable[[str, Taken], Awaitable[bool | None]]
"""Makes an attempt and hands its outcome on. Whether the endpoint accepted; None: it was not called. Raises nothing that may happen."""


class _Lane(msgspec.Struct, kw_only=True):
    name: str
    under_way: int = 0
    failed_in_a_row: int = 0
    offered: bool = False
    """Whether it stands in a row and waits for its turn."""

    timer_ms: int = 0
    """When it is looked at again; 0: at no set time."""

    @property
    def failing(self) -> bool:
        return self.failed_in_a_row >= FAILING_AFTER


class Lanes:
    """Made and used on an event loop; only `wake` may be called through `call_soon_threadsafe`."""

    def __init__(
        self,
        parked: Parked,
        *,
        attempt: Attempt,
        unsettled: Callable[[], int],
        attempts_max: int,
        attempts_per_endpoint_max: int,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._parked, self._attempt, self._unsettled, self._failed = parked, attempt, unsettled, failed
        self._attempts_max, self._per_endpoint_max = attempts_max, attempts_per_endpoint_max
        self._lanes: dict[str, _Lane] = {}
        self._rows: dict[bool, deque[_Lane]] = {False: deque(), True: deque()}  # of the sound and of the failing
        self._timers: list[tuple[int, str]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing_under_way = 0
        self._turn = False
        self._changed = asyncio.Event()
        self.stopping = False

    @property
    def under_way(self) -> int:
        """Attempts that are being made."""
        return len(self._tasks)

    def wake(self, names: Iterable[str]) -> None:
        """Something of these lanes has come, is due at another time, or is settled."""
        for name in names:
            self._offer(name)
        self._changed.set()

    async def run(self) -> None:
        """Begin attempts as they come due, until `stopping`."""
        while not self.stopping:
            self._changed.clear()
            now_ms = _now_ms()
            while self._timers and self._timers[0][0] <= now_ms:
                at_ms, name = heapq.heappop(self._timers)
                lane = self._lanes.get(name)
                if lane is not None and lane.timer_ms == at_ms:
                    lane.timer_ms = 0
                    self._offer(name)
            self._begin_all()
            # A clock that was set forwards is noticed within a second.
            wait_s = min((self._timers[0][0] - _now_ms()) / 1000, LOOK_AGAIN_S) if self._timers else LOOK_AGAIN_S
            try:
                async with asyncio.timeout(max(wait_s, 0)):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def drain(self, *, deadline_s: float) -> None:
        """Begin nothing more, and wait for what is under way; what is not done then is cut off, and tried again by whoever comes next."""
        self.stopping = True
        self._changed.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=deadline_s)
        for task in self._tasks:
            task.cancel()

    def _offer(self, name: str) -> None:
        """Put a lane into its row if something of it is due, else set a timer for when it is."""
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane(name=name)
        if lane.offered or lane.under_way >= self._allowed(lane):
            return  # it is offered again when an attempt of it ends
        due_ms = self._parked.due_ms(name)
        if due_ms is None:
            if not lane.under_way and not self._parked.count(name):
                del self._lanes[name]
        elif due_ms > _now_ms():
            if not 0 < lane.timer_ms <= due_ms:
                lane.timer_ms = due_ms
                heapq.heappush(self._timers, (due_ms, name))
        else:
            lane.offered = True
            self._rows[lane.failing].append(lane)

    def _allowed(self, lane: _Lane) -> int:
        return 1 if lane.failing else self._per_endpoint_max

    def _begin_all(self) -> None:
        while len(self._tasks) < self._attempts_max and self._unsettled() + len(self._tasks) < UNSETTLED_MAX:
            lane = self._next()
            if lane is None:
                return
            self._begin(lane)

    def _next(self) -> _Lane | None:
        """The first of the sound and the first of the failing in turn."""
        self._turn = not self._turn
        for failing in (self._turn, not self._turn):
            full = failing and self._failing_under_way >= max(self._attempts_max // 2, 1)
            if self._rows[failing] and not full:
                return self._rows[failing].popleft()
        return None

    def _begin(self, lane: _Lane) -> None:
        lane.offered = False
        may = lane.under_way < self._allowed(lane)
        taken = self._parked.take(lane.name, now_ms=_now_ms()) if may else None
        if taken is not None:
            lane.under_way += 1
            counted = lane.failing
            self._failing_under_way += counted
            task = asyncio.create_task(self._run(lane, taken, counted=counted))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        self._offer(lane.name)

    async def _run(self, lane: _Lane, taken: Taken, *, counted: bool) -> None:
        accepted: bool | None = None
        try:
            accepted = await self._attempt(lane.name, taken)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - a fault of ours ends the process, loudly
            self._failed(error)
        finally:
            lane.under_way -= 1
            self._failing_under_way -= counted
        if accepted is not None:
            lane.failed_in_a_row = 0 if accepted else lane.failed_in_a_row + 1
        self._offer(lane.name)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Only now is there room for another one: whoever looked before would have waited in vain."""
        self._tasks.discard(task)
        self._changed.set()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
