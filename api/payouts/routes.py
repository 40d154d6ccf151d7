"""The routes of payouts, settlement windows and reconciliations, on what one process has."""

from __future__ import annotations

from collections.abc import Mapping

from api.http._tables import Tables
from api.http.operations import Route
from api.payouts.held import Held
from api.payouts.lists import Lists
from api.payouts.payouts import Payouts, Sends
from api.payouts.windows import Windows
from api.reads.service import Reads
from schemas.records import Tenant


def routes(commands: Sends, reads: Reads, tenants: Mapping[str, Tenant]) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`. `tenants`: by id, as they are configured."""
    lists = Lists(reads.warehouse, reads.landed_payouts)
    return (*Payouts(commands, lists, reads, tenants).routes(), *Windows(lists).routes())


def operators(commands: Sends, reads: Reads, tables: Tables) -> tuple[Route, ...]:
    """What people ask of payouts that nobody can be sure of."""
    return Held(commands, Lists(reads.warehouse, reads.landed_payouts), reads, tables).routes()
