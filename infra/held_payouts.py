"""Payouts in doubt, held or contradicted, as the warehouse has them, for the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from api.payouts.lists import Lists
from api.reads.errors import Unavailable
from api.reads.landed import LandedPayouts
from api.reads.warehouse import Warehouse
from infra.errors import InfraError
from schemas.environment import Environment
from schemas.ids import is_payout_id

SHOWN_MAX = 100

_Found = TypeVar("_Found")


class NoSuchPayout(InfraError):
    """The tenant has no such payout, or it has not landed yet."""

    def __init__(self, tenant: str, payout: str) -> None:
        super().__init__(
            f"{tenant} has no payout {payout}",
            remedy="See those that nobody can be sure of with `clearline payouts held`; a new one lands within seconds",
        )


class NoSuchProposal(InfraError):
    """Nobody proposed that of the payout, or it has not landed yet."""

    def __init__(self, payout: str, proposal: str) -> None:
        super().__init__(
            f"There is no proposal {proposal} about {payout}",
            remedy="See what is proposed with `clearline payouts held`; a new one lands within seconds",
        )


class WarehouseAway(InfraError):
    """The warehouse did not answer."""

    def __init__(self) -> None:
        super().__init__(
            "The warehouse does not answer", remedy="Start it (`clearline up`), or set CLEARLINE_CLICKHOUSE"
        )


def held(settings: Environment, tenant: str) -> list[dict[str, Any]]:
    """Rows as `api.payouts.lists.Lists.held` has them, newest first, `SHOWN_MAX` of them. Raises `WarehouseAway`."""

    async def read(lists: Lists) -> list[dict[str, Any]]:
        return (await lists.held(tenant, {"limit": SHOWN_MAX})).rows

    return _read(settings, read)


def flow(settings: Environment, tenant: str, payout: str) -> tuple[str, str]:
    """A payout's provider and currency. Raises `NoSuchPayout`, `WarehouseAway`."""

    async def read(lists: Lists) -> dict[str, Any] | None:
        return await lists.payout(tenant, payout)

    row = _read(settings, read) if is_payout_id(payout) else None
    if row is None:
        raise NoSuchPayout(tenant, payout)
    return str(row["provider"]), str(row["currency"])


def proposer(settings: Environment, tenant: str, payout: str, proposal: str) -> str:
    """Who proposed it. Raises `NoSuchProposal`, `WarehouseAway`."""

    async def read(lists: Lists) -> str:
        return await lists.proposer(tenant, payout, proposal)

    found = _read(settings, read)
    if not found:
        raise NoSuchProposal(payout, proposal)
    return found


def _read(settings: Environment, read: Callable[[Lists], Awaitable[_Found]]) -> _Found:
    async def within() -> _Found:
        warehouse = Warehouse(settings.warehouse)
        await warehouse.start()
        try:
            return await read(Lists(warehouse, LandedPayouts(warehouse)))
        finally:
            await warehouse.close()

    try:
        return asyncio.run(within())
    except Unavailable as error:
        raise WarehouseAway from error
