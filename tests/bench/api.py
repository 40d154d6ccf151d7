"""
Payments over HTTP: how many a second are confirmed, how long an answer takes at half that load, and reads by id.

The whole stack runs, the simulator without delay. Beside it, in the same rounds and asked by the same client, stripe-mock answers the
same requests: it does nothing but answer, so it is the floor. Without it (`STRIPE_MOCK`, or `stripe-mock` on the path) it is left out.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
from rich.console import Console

from infra.stack import reach
from infra.supervisor import free_ports
from tests.bench.figures import Figure, Spread, compare, percentile, shown
from tests.bench.ground import BenchError
from tests.bench.landing import _cpu_s, running

AIM_P50_MS, AIM_P99_MS = 25.0, 100.0
KEYS = 8
"""Each may ask 500 times a second; so many that this is no limit here."""
AT_ONCE = 64
ANSWER_S = 60.0
STARTS_S = 30.0

Ask = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured in a round, after a warm-up.

    The broker's Java compiles itself for a minute and more under load, which takes a third of a core and more, and needs half the
    processor time a transaction afterwards.
    """

    warm_up: int = 25_000
    payments: int = 3_000
    reads: int = 6_000
    rounds: int = 4


QUICK = Sizes(warm_up=200, payments=400, reads=800, rounds=1)


class Side:
    """One server and the connection to it."""

    def __init__(self, url: str, keys: Sequence[str]) -> None:
        self.url, self.made = url, list[str]()
        self._headers = [{"Authorization": f"Bearer {key}"} for key in keys]
        self._session: aiohttp.ClientSession | None = None
        self._names = itertools.count()

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def pay(self, number: int) -> None:
        """Create and confirm a payment; it must have succeeded (with stripe-mock: be a payment)."""
        form = {
            "amount": str(1_000 + number % 500),
            "currency": "eur",
            "payment_method": "pm_card_visa",
            "confirm": "true",
            "metadata[order]": str(number),
        }
        headers = {**self._of(number), "Idempotency-Key": f"bench-{os.getpid()}-{next(self._names)}"}
        assert self._session is not None
        async with self._session.post(f"{self.url}/v1/payment_intents", data=form, headers=headers) as answer:
            body = await answer.json()
        if answer.status != 200:
            raise BenchError(f"{self.url} answered {answer.status}: {str(body)[:500]}")
        self.settled(body)
        self.made.append(body["id"])

    def settled(self, body: dict[str, Any]) -> None:
        """Fails where a payment did not succeed."""
        if body["status"] != "succeeded":
            raise BenchError(f"a payment is {body['status']}, not succeeded")

    async def read(self, number: int) -> None:
        """One payment by its id."""
        assert self._session is not None
        wanted = self.made[number % len(self.made)]
        async with self._session.get(f"{self.url}/v1/payment_intents/{wanted}", headers=self._of(number)) as answer:
            body = await answer.json()
        if answer.status != 200 or body["object"] != "payment_intent":
            raise BenchError(f"{self.url} answered {answer.status}: {str(body)[:500]}")

    def _of(self, number: int) -> dict[str, str]:
        return self._headers[number % len(self._headers)]


class Mock(Side):
    """stripe-mock, whose payments are always the same one."""

    def settled(self, body: dict[str, Any]) -> None:
        """Its answer is a fixture: whatever its status is, it is an answer."""


async def per_second(ask: Ask, count: int) -> float:
    """Answers a second with `AT_ONCE` requests always under way."""
    numbers = iter(range(count))

    async def one() -> None:
        for number in numbers:
            await ask(number)

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - begun)


async def times_ms(ask: Ask, count: int, *, per_s: float) -> list[float]:
    """Time from when each request was due to its answer, requests being due at even intervals: a late start counts."""
    loop = asyncio.get_running_loop()
    found: list[float] = []

    async def one(number: int, due: float) -> None:
        await ask(number)
        found.append((loop.time() - due) * 1_000)

    begun = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            due = begun + number / per_s
            await asyncio.sleep(max(0.0, due - loop.time()))
            group.create_task(one(number, due))
    return found


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one round found of one side."""

    per_s: float
    pays_ms: list[float]
    reads_per_s: float
    reads_ms: list[float]


async def _round(side: Side, sizes: Sizes, *, pays_at: float | None, reads_at: float | None) -> Round:
    """Rates first; latencies at half of them, or at what is given, so that both sides are asked as often."""
    rate = await per_second(side.pay, sizes.payments)
    pays = await times_ms(side.pay, sizes.payments // 2, per_s=pays_at or rate / 2)
    reads = await per_second(side.read, sizes.reads)
    seen = await times_ms(side.read, sizes.reads // 2, per_s=reads_at or reads / 2)
    return Round(per_s=rate, pays_ms=pays, reads_per_s=reads, reads_ms=seen)


async def _measure(
    ours: Side, mock: Side | None, sizes: Sizes, out: Console, *, warm: Callable[[], None]
) -> dict[str, list[Round]]:
    found: dict[str, list[Round]] = {"ours": [], "stripe-mock": []}
    async with ours:
        out.print(f"  warming up with {sizes.warm_up:,} payments")
        await per_second(ours.pay, sizes.warm_up)
        warm()
        if mock is not None:
            await mock.__aenter__()
        for number in range(sizes.rounds):
            mine = await _round(ours, sizes, pays_at=None, reads_at=None)
            found["ours"].append(mine)
            if mock is not None:
                pays_at, reads_at = mine.per_s / 2, mine.reads_per_s / 2
                found["stripe-mock"].append(await _round(mock, sizes, pays_at=pays_at, reads_at=reads_at))
            out.print(
                f"  round {number + 1}: {shown(mine.per_s)} payments/s, p50 {shown(percentile(mine.pays_ms, 0.5))} ms, "
                f"p99 {shown(percentile(mine.pays_ms, 0.99))} ms; {shown(mine.reads_per_s)} reads/s"
            )
        if mock is not None:
            await mock.__aexit__()
    return found


def measure(directory: Path, sizes: Sizes, out: Console) -> list[Figure]:
    """Rounds on one stack."""
    data = directory / "stack"
    with running(data) as (stack, _read, _warehouse), stripe_mock(out) as mock_url:
        keys = [_key(data) for _ in range(KEYS)]
        port = next(one.ports["http"] for one in stack.status().processes if one.name == "api")
        ours = Side(f"http://127.0.0.1:{port}", keys)
        mock = Mock(mock_url, ["sk_test_123"]) if mock_url else None
        before: dict[str, float] = {}
        found = asyncio.run(_measure(ours, mock, sizes, out, warm=lambda: before.update(_cpu_s(stack))))
        used = {name: spent - before.get(name, 0.0) for name, spent in _cpu_s(stack).items()}
    return _figures(found, sizes, used, len(ours.made) - sizes.warm_up)


def _key(data: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CLEARLINE_")}
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", "keys", "create", "acme"],
        env=reach(data, clean),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"no key could be made: {done.stderr[-500:]}")
    return done.stdout.strip()


@contextmanager
def stripe_mock(out: Console) -> Iterator[str]:
    """Where stripe-mock answers; empty, with a word about it, where there is none."""
    program = os.environ.get("STRIPE_MOCK") or shutil.which("stripe-mock")
    if not program:
        out.print("  no stripe-mock: set STRIPE_MOCK to it, or `go install github.com/stripe/stripe-mock@v0.203.0`")
        yield ""
        return
    port, other = free_ports(2)
    command = [program, "-http-port", str(port), "-https-port", str(other)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        asyncio.run(_answers(f"http://127.0.0.1:{port}/v1/balance"))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(STARTS_S)


async def _answers(url: str) -> None:
    end = time.monotonic() + STARTS_S
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer sk_test_123"}) as session:
        while True:
            try:
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            if time.monotonic() > end:
                raise BenchError(f"stripe-mock did not answer within {STARTS_S:.0f} s")
            await asyncio.sleep(0.05)


def _figures(found: dict[str, list[Round]], sizes: Sizes, used_s: dict[str, float], made: int) -> list[Figure]:
    ours, mock = found["ours"], found["stripe-mock"]
    told = {"payments": sizes.payments, "at once": AT_ONCE}

    def beside(of: Callable[[Round], float]) -> dict[str, list[float]]:
        return {"stripe-mock": [of(one) for one in mock]} if mock else {}

    figures = [
        compare(
            "confirmed payments over the API",
            [one.per_s for one in ours],
            unit="payments/s",
            others=beside(lambda one: one.per_s),
            sizes=told,
            details={
                "us of CPU per payment, reads included": {
                    name: round(spent * 1e6 / made) for name, spent in sorted(used_s.items())
                }
            },
        )
    ]
    for share, most in ((0.5, AIM_P50_MS), (0.99, AIM_P99_MS)):

        def pays(one: Round, share: float = share) -> float:
            return percentile(one.pays_ms, share)

        def reads(one: Round, share: float = share) -> float:
            return percentile(one.reads_ms, share)

        label = f"p{share * 100:.0f}"
        figures.append(
            compare(
                f"from the request to the succeeded answer at half that load, {label}",
                list(map(pays, ours)),
                unit="ms",
                others=beside(pays),
                sizes={"payments": sizes.payments // 2},
                most=most,
            )
        )
        figures.append(
            compare(
                f"a payment read by its id at half the reads' load, {label}",
                list(map(reads, ours)),
                unit="ms",
                others=beside(reads),
                sizes={"reads": sizes.reads // 2},
            )
        )
    figures.append(
        compare(
            "payments read by id",
            [one.reads_per_s for one in ours],
            unit="reads/s",
            others=beside(lambda one: one.reads_per_s),
            sizes={"reads": sizes.reads, "at once": AT_ONCE},
            details={"spread of ours": str(Spread.of([one.reads_per_s for one in ours]))},
        )
    )
    return figures
