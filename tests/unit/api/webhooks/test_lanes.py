"""Turns between endpoints, with attempts that last as long as a test says."""

from __future__ import annotations

import asyncio
import time

import pytest

from api.webhooks import lanes
from api.webhooks.lanes import FAILING_AFTER, UNSETTLED_MAX, Lanes
from api.webhooks.parked import Parked

DEADLINE_S = 60.0


class World:
    """Lanes over a real store; attempts wait until the test lets them end."""

    def __init__(self, directory, *, attempts_max=4, per_endpoint_max=2):
        self.parked = Parked(directory)
        self.under_way: list[tuple[str, str, asyncio.Future]] = []
        self.begun: list[str] = []
        self.peaks: dict[str, int] = {}
        self.unsettled = 0
        self.errors: list[BaseException] = []
        self.lanes = Lanes(
            self.parked,
            attempt=self._attempt,
            unsettled=lambda: self.unsettled,
            attempts_max=attempts_max,
            attempts_per_endpoint_max=per_endpoint_max,
            failed=self.errors.append,
        )
        self._running = asyncio.create_task(self.lanes.run())

    async def _attempt(self, lane, taken):
        ends = asyncio.get_running_loop().create_future()
        mine = (lane, taken.delivery_id, ends)
        self.under_way.append(mine)
        self.begun.append(lane)
        self.peaks[lane] = max(self.peaks.get(lane, 0), sum(one[0] == lane for one in self.under_way))
        try:
            accepted = await ends
        finally:
            self.under_way.remove(mine)
        if accepted:
            self.parked.remove(taken.partition, taken.delivery_id)
        else:
            self.parked.put(taken.partition, taken.delivery_id, lane, due_ms=0, value=b"")
        return accepted

    def park(self, lane, count, *, due_ms=0):
        """Deliveries for an endpoint."""
        for number in range(count):
            self.parked.put(0, f"{lane}-{number}-{due_ms}", lane, due_ms=due_ms, value=b"")
        self.lanes.wake([lane])

    async def until(self, fact):
        """Wait for it."""
        deadline = time.monotonic() + DEADLINE_S
        while not fact():
            assert time.monotonic() < deadline, self.under_way
            assert not self.errors
            await asyncio.sleep(0)

    def end(self, lane, *, accepted):
        """End what is under way for an endpoint."""
        for name, _, ends in list(self.under_way):
            if name == lane and not ends.done():
                ends.set_result(accepted)

    async def close(self):
        """Stop."""
        await self.lanes.drain(deadline_s=0.1)
        await self._running
        self.parked.close()


@pytest.fixture
async def world(tmp_path, monkeypatch):
    """Four attempts at once, two for each endpoint. Whatever should wake the lanes has to: they don't look by themselves."""
    monkeypatch.setattr(lanes, "LOOK_AGAIN_S", 2 * DEADLINE_S)
    made = World(tmp_path)
    yield made
    await made.close()


async def test_endpoints_come_in_turn(world):
    """An endpoint with much to hear leaves room: of four attempts it has two, and others get theirs."""
    world.park("t/many", 100)
    world.park("t/few", 1)
    world.park("t/one", 1)
    await world.until(lambda: len(world.under_way) == 4)
    assert sorted(one[0] for one in world.under_way) == ["t/few", "t/many", "t/many", "t/one"]


async def test_an_endpoint_that_fails_has_one_attempt(world):
    """After failures in a row an endpoint has one attempt at a time, and as many as others once it has accepted something."""
    world.park("t/bad", 10)
    tried = 0
    while tried < FAILING_AFTER + 1:
        await world.until(lambda: world.under_way)
        tried += len(world.under_way)
        world.end("t/bad", accepted=False)
        await world.until(lambda: not any(ends.done() for _, _, ends in world.under_way))
    world.peaks.clear()
    for _ in range(5):
        await world.until(lambda: world.under_way)
        world.end("t/bad", accepted=False)
        await world.until(lambda: not any(ends.done() for _, _, ends in world.under_way))
    assert world.peaks["t/bad"] == 1
    await world.until(lambda: world.under_way)
    world.end("t/bad", accepted=True)
    await world.until(lambda: len(world.under_way) == 2)


async def test_however_many_are_dead_others_go_on(world):
    """Endpoints that fail have at most half of all attempts together, so another one is called at once."""
    for number in range(8):
        world.park(f"t/dead{number}", 5)
    dead = [f"t/dead{number}" for number in range(8)]
    rounds = dict.fromkeys(dead, 0)
    while min(rounds.values()) < FAILING_AFTER + 2:
        await world.until(lambda: world.under_way)
        for name, _, ends in list(world.under_way):
            if not ends.done():
                rounds[name] += 1
                ends.set_result(False)
        await world.until(lambda: not any(ends.done() for _, _, ends in world.under_way))
    await world.until(lambda: len(world.under_way) == 2)  # half of four, each of them hanging
    world.park("t/good", 50)
    await world.until(lambda: sum(one[0] == "t/good" for one in world.under_way) == 2)
    begun = len(world.begun)
    for _ in range(20):
        world.end("t/good", accepted=True)
        await world.until(lambda: sum(one[0] == "t/good" and not one[2].done() for one in world.under_way) == 2)
    assert set(world.begun[begun:]) == {"t/good"}


async def test_what_is_due_later_waits(world):
    """A delivery is tried when it is due, and not before."""
    due_ms = time.time_ns() // 1_000_000 + 300
    world.park("t/one", 1, due_ms=due_ms)
    await world.until(lambda: world.under_way)
    assert time.time_ns() // 1_000_000 >= due_ms


async def test_without_commits_no_more_is_begun(world):
    """While outcomes can't be committed, attempts don't go on: what they came to would pile up."""
    world.unsettled = UNSETTLED_MAX
    world.park("t/one", 3)
    for _ in range(100):
        await asyncio.sleep(0)
    assert world.under_way == []
    world.unsettled = 0
    world.lanes.wake(["t/one"])
    await world.until(lambda: len(world.under_way) == 2)


async def test_a_fault_is_told(world):
    """A fault of ours is told to whoever ends the process, and does not vanish."""
    world.park("t/one", 1)
    await world.until(lambda: world.under_way)
    world.under_way[0][2].set_exception(ZeroDivisionError())
    with pytest.raises(AssertionError):
        await world.until(lambda: False)
    assert isinstance(world.errors[0], ZeroDivisionError)
