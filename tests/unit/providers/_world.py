"""Simulated providers inside the test's own process, over real HTTP, and operations to ask of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from connectors.providers.base import Operation, OperationKind
from connectors.providers.simulated import SimulatedProvider
from connectors.providers.simulator._books import Books
from connectors.providers.simulator.server import Simulator

PROVIDERS = frozenset({"northpay", "southpay"})


class World:
    """A running simulator: its address, its books, its clock and what it failed with."""

    def __init__(self, base_url: str, books: Books, failures: list[BaseException], clock: Clock) -> None:
        self.base_url, self.books, self.failures, self.clock = base_url, books, failures, clock

    def url(self, provider: str = "northpay") -> str:
        return f"{self.base_url}/{provider}/v1"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@asynccontextmanager
async def simulated_world(
    directory: Path, *, seed: int = 0, refused_currencies: frozenset[tuple[str, str]] = frozenset()
) -> AsyncIterator[World]:
    failures: list[BaseException] = []
    clock = Clock()
    books = Books(directory / "books.sqlite", refused_currencies=refused_currencies, now_ms=clock)
    simulator = Simulator(books, providers=PROVIDERS, seed=seed, fail=failures.append)
    async with served(simulator.handle) as base_url:
        yield World(base_url, books, failures, clock)
    books.close_file()


@asynccontextmanager
async def served(handle: Callable) -> AsyncIterator[str]:
    """Serve HTTP with `handle` on a free port; gives the base URL."""
    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client_of(url: str, *, name: str = "northpay") -> AsyncIterator[SimulatedProvider]:
    provider = SimulatedProvider(name, url=url)
    try:
        yield provider
    finally:
        await provider.aclose()


@asynccontextmanager
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def authorize(key: str = "key-1", **changes: object) -> Operation:
    fields: dict = {
        "kind": OperationKind.AUTHORIZE,
        "idempotency_key": key,
        "payment_reference": "acme/pi_1",
        "amount_minor": 1_999,
        "currency": "USD",
        "payment_method": "pm_card_visa",
        "capture": True,
    }
    return Operation(**{**fields, **changes})


def follow_up(
    kind: OperationKind, charge: str | None, key: str, *, amount_minor: int = 1_999, currency: str = "USD"
) -> Operation:
    return Operation(
        kind=kind,
        idempotency_key=key,
        payment_reference="acme/pi_1",
        amount_minor=amount_minor,
        currency=currency,
        charge_reference=charge,
    )
