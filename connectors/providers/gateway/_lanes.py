"""One lane per payment: its requests are settled in the order they came, different payments' side by side.

A request is answered for in one of two places: in the offset *window*, as long as its offset isn't done, or in the topic of *pending* requests, once it
is parked there. It is parked when its outcome is unknown, when it waits behind one that is parked, or when too many wait for its
provider. So nothing that takes long holds back offsets, and what is open is found again after a crash.

An operator's inquiry waits in no lane: it hurries the request that it asks about, or asks beside the lanes where that was settled already.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable

from connectors.providers.base import Outcome, OutcomeKind
from connectors.providers.gateway import _translation
from connectors.providers.gateway._items import Item, Pending, Place, Reading, done, parked, resolved, result_of
from connectors.providers.gateway._settings import PENDING_MAX, GatewaySettings
from connectors.providers.gateway._settling import Ports, Settling
from connectors.providers.gateway._translation import Asked

log = logging.getLogger("clearline.gateway")


class _Task:
    """A request in a lane."""

    __slots__ = ("asked", "fresh", "parked", "place", "reported")

    def __init__(self, asked: Asked, place: Place, *, pending: Pending | None = None) -> None:
        self.asked, self.place = asked, place
        self.parked = pending is not None
        self.reported = pending.reported if pending else False
        self.fresh = pending is None


class _Lane:
    """The requests of one payment that aren't settled, and the one task that settles them."""

    __slots__ = ("runner", "tasks")

    def __init__(self) -> None:
        self.tasks: deque[_Task] = deque()
        self.runner: asyncio.Task[None] | None = None


class Lanes:
    """All lanes of this process. Lives on the event loop; `emit` takes what is to be committed and may be called from it only.

    `fail` is called with an error that no request can be blamed for.
    """

    def __init__(
        self,
        ports: dict[str, Ports],
        settings: GatewaySettings,
        *,
        emit: Callable[[Item], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._ports, self._settings, self._emit, self._fail = ports, settings, emit, fail
        self._lanes: dict[tuple[Place, bytes], _Lane] = {}
        self._follow_ups: dict[asyncio.Task[None], Place] = {}
        self._asking: dict[asyncio.Task[None], _Task] = {}
        self._settlings: dict[tuple[Place, str], Settling] = {}
        self.pending = 0
        self.stopping = False

    def accept(self, readings: Iterable[Reading]) -> None:
        """Put newly read requests into their lanes."""
        for reading in readings:
            self._add(_Task(reading.asked, reading.place.at(reading.offset)))

    def restore(self, pendings: Iterable[Pending]) -> None:
        """Put requests parked before a restart into their lanes, in the order of their offsets."""
        for pending in sorted(pendings, key=lambda one: one.offset):
            self.pending += 1
            self._add(_Task(pending.asked, pending.place.at(pending.offset), pending=pending))

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget partitions that another gateway answers for now. Calls on their way are abandoned; it repeats them under the same keys."""
        gone = set(partitions)
        for name, lane in list(self._lanes.items()):
            if name[0].partition in gone:
                self.pending -= sum(task.parked for task in lane.tasks)
                if lane.runner is not None:
                    lane.runner.cancel()
                del self._lanes[name]
        for follow_up, place in list(self._follow_ups.items()):
            if place.partition in gone:
                self.pending -= 1
                follow_up.cancel()
        for asking, task in list(self._asking.items()):
            if task.place.partition in gone:
                self.pending -= task.parked
                asking.cancel()
        for of in [of for of in self._settlings if of[0].partition in gone]:
            del self._settlings[of]

    @property
    def calling(self) -> int:
        """How many lanes are at a request that isn't parked, which is worth waiting for at the end."""
        lanes = self._lanes.values()
        return sum(
            not (lane.tasks[0].parked or lane.runner is None or lane.runner.done()) for lane in lanes if lane.tasks
        )

    async def aclose(self) -> None:
        """Abandon everything."""
        runners = [lane.runner for lane in self._lanes.values() if lane.runner]
        runners += [*self._follow_ups, *self._asking]
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)

    def _add(self, task: _Task) -> None:
        if task.asked.about is not None:
            self._inquire(task, task.asked.about.request_id)
            return
        name = (task.place.of_partition, task.asked.key)
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane()
        elif lane.tasks and lane.tasks[0].parked and not task.parked:
            self._park(task)
        lane.tasks.append(task)
        if not task.parked and self._is_stalled(task):
            self._park(task)
        if lane.runner is None:
            lane.runner = asyncio.create_task(self._run(name, lane))

    def _inquire(self, task: _Task, about: str) -> None:
        """Hurry the request that an inquiry asks about, or what that waits behind; ask beside the lanes where it was settled."""
        place = task.place.of_partition
        lane = self._lanes.get((place, task.asked.key))
        requests = [one.asked.request.request_id for one in lane.tasks] if lane is not None else []
        settling = self._settlings.get((place, requests[0] if about in requests else about))
        if settling is not None:
            settling.hurry()
        if settling is not None or about in requests:  # one that has only just come is settled at once anyway
            self._emit(done(task.asked, task.place, parked=task.parked))
            return
        asking = asyncio.create_task(self._ask_again(task))
        self._asking[asking] = task
        asking.add_done_callback(self._asking.pop)

    async def _ask_again(self, task: _Task) -> None:
        ports = self._ports.get(task.asked.request.provider)
        settlement = None
        try:
            if ports is not None:
                settling = Settling(
                    ports,
                    task.asked.operation,
                    settings=self._settings,
                    may_send=lambda: False,
                    report=lambda _: None if task.parked else self._park(task),
                )
                settlement = await settling.again()
        except Exception as error:  # noqa: BLE001 - a bug ends the process, loudly
            self._fail(error)
            return
        if settlement is not None:
            self._resolve(task, settlement.outcome, settlement.inquiries)
            return
        log.warning("%s: %s knows of no such request", task.asked.request.request_id, task.asked.request.provider)
        self.pending -= task.parked
        self._emit(done(task.asked, task.place, parked=task.parked))

    def _is_stalled(self, task: _Task) -> bool:
        ports = self._ports.get(task.asked.request.provider)
        return ports is not None and ports.stalled() and self.pending < PENDING_MAX

    async def _run(self, name: tuple[Place, bytes], lane: _Lane) -> None:
        try:
            while lane.tasks and not self.stopping:
                await self._settle(lane, lane.tasks[0])
                lane.tasks.popleft()
            if not self.stopping:
                del self._lanes[name]
        except Exception as error:  # noqa: BLE001 - a bug ends the process, loudly
            self._fail(error)

    async def _settle(self, lane: _Lane, task: _Task) -> None:
        request = task.asked.request
        ports = self._ports.get(request.provider)
        if ports is None:
            await self._wait_for_configuration(lane, task)
            return
        settling = Settling(
            ports,
            task.asked.operation,
            settings=self._settings,
            may_send=lambda: _translation.now_ms() < task.asked.made_ms + self._settings.deadline_s * 1000,
            report=lambda outcome: self._report(lane, task, outcome),
        )
        self._settlings[task.place.of_partition, request.request_id] = settling
        settlement = await settling.outcome(fresh=task.fresh)
        if settlement.outcome.settled:
            self._resolve(task, settlement.outcome, settlement.inquiries)
            return
        # A refund, a challenge or a payout; later requests needn't wait for its last word.
        self._report(lane, task, settlement.outcome)
        follow_up = asyncio.create_task(self._follow_up(task, settling))
        self._follow_ups[follow_up] = task.place
        follow_up.add_done_callback(self._follow_ups.pop)

    async def _follow_up(self, task: _Task, settling: Settling) -> None:
        try:
            settlement = await settling.last_word()
            self._resolve(task, settlement.outcome, settlement.inquiries)
        except Exception as error:  # noqa: BLE001 - a bug ends the process, loudly
            self._fail(error)

    async def _wait_for_configuration(self, lane: _Lane, task: _Task) -> None:
        """A provider that isn't configured here may have been asked when it was: unknown until a gateway that knows it starts."""
        provider = task.asked.request.provider
        message = f"Provider {provider!r} isn't configured in this gateway; add it to CLEARLINE_PROVIDERS and restart."
        self._report(lane, task, Outcome(kind=OutcomeKind.UNKNOWN, code="provider_not_configured", message=message))
        await asyncio.Event().wait()

    def _report(self, lane: _Lane, task: _Task, outcome: Outcome) -> None:
        """Tell a provisional outcome once, and park the request and those behind it."""
        if task.reported and outcome.kind is OutcomeKind.UNKNOWN:
            return
        request = task.asked.request
        log.warning(
            "%s %s at %s: %s (%s)",
            task.asked.operation.kind.value,
            request.request_id,
            request.provider,
            outcome.kind.value,
            outcome.code,
        )
        first = not task.parked
        task.reported = True
        self._emit(
            parked(task.asked, task.place, reported=True, in_window=first, result=result_of(task.asked, outcome, 0))
        )
        if first:
            task.parked = True
            self.pending += 1
            for behind in lane.tasks:
                if not behind.parked:
                    self._park(behind)

    def _park(self, task: _Task) -> None:
        task.parked = True
        self.pending += 1
        self._emit(parked(task.asked, task.place, reported=task.reported, in_window=True, result=None))

    def _resolve(self, task: _Task, outcome: Outcome, inquiries: int) -> None:
        self.pending -= task.parked
        self._settlings.pop((task.place.of_partition, task.asked.request.request_id), None)
        if task.reported:
            request = task.asked.request
            log.info(
                "%s %s at %s: %s after %d inquiries",
                task.asked.operation.kind.value,
                request.request_id,
                request.provider,
                outcome.kind,
                inquiries,
            )
        self._emit(
            resolved(task.asked, task.place, parked=task.parked, result=result_of(task.asked, outcome, inquiries))
        )
