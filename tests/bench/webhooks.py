"""Deliveries of webhooks per second: our sender from the event on its topic to the receiver's 200, beside a loop that posts the same bodies."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console

from api.http import versions
from api.webhooks import signing, types
from tests.bench.figures import Figure, compare, rate
from tests.bench.ground import BenchError, Side, python, watch
from tests.integration._webhooks_house import Ground, Tenant

SENDER_DEADLINE_S = 60.0


@dataclass(frozen=True)
class Sizes:
    """How much is sent."""

    events: int = 1_000
    endpoints: int = 8
    rounds: int = 5
    per_endpoint: int = 8
    """Attempts at once to each endpoint, which is what is usual; the loop makes as many in all."""
    warmed: bool = True

    @property
    def total(self) -> int:
        """Deliveries of one round."""
        return self.events * self.endpoints


QUICK = Sizes(events=250, rounds=2)


def measure(directory: Path, sizes: Sizes, out: Console) -> list[Figure]:
    """Rounds of both, in turn, to receivers of their own."""
    ground = Ground(directory)
    ours: list[float] = []
    bare: list[float] = []
    used: list[float] = []
    try:
        ground.start()
        for number in range(-1 if sizes.warmed else 0, sizes.rounds):
            told = sizes if number >= 0 else Sizes(events=20, endpoints=sizes.endpoints)
            mine, cpu_us = _ours(ground, told)
            other = _bare(directory, told)
            if number >= 0:
                ours.append(mine)
                bare.append(other)
                used.append(cpu_us)
                out.print(f"  round {number + 1}: ours {mine:,.0f}/s, bare {other:,.0f}/s")
    finally:
        ground.close()
    return [
        compare(
            "webhooks delivered",
            ours,
            unit="deliveries/s",
            others={"bare": bare},
            sizes={
                "events": sizes.events,
                "endpoints": sizes.endpoints,
                "at once": sizes.per_endpoint * sizes.endpoints,
            },
            details={"us of the sender's CPU per delivery": round(sorted(used)[len(used) // 2])},
        )
    ]


def _ours(ground: Ground, sizes: Sizes) -> tuple[float, float]:
    """Events are there, then a sender starts: deliveries per second from the first that is accepted on, and CPU of each in us."""
    tenant = Tenant(ground)
    with _receiver(ground.directory / "receiver-ours.log") as (receiver, port):
        for number in range(sizes.endpoints):
            tenant.endpoint(f"we_{number}", f"http://127.0.0.1:{port}/{number}")
        tenant.events(sizes.events)
        sender = ground.sender(attempts_per_endpoint_max=sizes.per_endpoint, attempts_max=128)
        try:
            process = psutil.Process(sender.process.pid)
            watched = watch(lambda: _told(port, "distinct"), total=sizes.total, sides=[receiver])
            _settled(tenant)
            times = process.cpu_times()
            if _told(port, "count") != sizes.total:
                raise BenchError("something was sent twice, though nobody died")
        finally:
            sender.terminate()
    return rate(watched.samples, total=sizes.total), float(times.user + times.system) * 1e6 / sizes.total


def _settled(tenant: Tenant) -> None:
    """Wait until nothing of it waits any more: what is counted is done to its end. Raises `BenchError`."""
    end_s = time.monotonic() + SENDER_DEADLINE_S
    while tenant.pending():
        if time.monotonic() > end_s:
            raise BenchError("what was accepted still waits")


def _bare(directory: Path, sizes: Sizes) -> float:
    """The same bodies, written before."""
    bodies = directory / "bodies"
    events = [Tenant.event("bare", number, 1) for number in range(sizes.events)]
    lines = [types.body(one, event_type=one.type, api_version=versions.NEWEST, livemode=False) for one in events]
    bodies.write_bytes(b"\n".join(lines))
    with _receiver(directory / "receiver-bare.log") as (receiver, port):
        urls = [f"http://127.0.0.1:{port}/{number}" for number in range(sizes.endpoints)]
        command = python(
            "tests.bench.sides.webhooks_bare", str(bodies), str(sizes.per_endpoint * sizes.endpoints), *urls
        )
        log = directory / "bare.log"
        with Side("bare", command, environment={"BENCH_SECRET": signing.new_secret()}, log=log):
            watched = watch(lambda: _told(port, "distinct"), total=sizes.total, sides=[receiver])
    return rate(watched.samples, total=sizes.total)


@contextmanager
def _receiver(log: Path) -> Iterator[tuple[Side, int]]:
    """A receiver as a process, and its port."""
    with Side("receiver", python("tests.bench.sides.receiver"), environment={}, log=log) as side:
        end_s = time.monotonic() + SENDER_DEADLINE_S
        while (found := re.search(r"port (\d+)", log.read_text(encoding="utf-8"))) is None:
            side.check()
            if time.monotonic() > end_s:
                raise BenchError("the receiver does not start")
            time.sleep(0.02)
        yield side, int(found[1])


def _told(port: int, what: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/told")
        return int(json.loads(connection.getresponse().read())[what])
    finally:
        connection.close()
