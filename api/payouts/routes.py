"""The routes of payouts, settlement windows and reconciliations, on what one process has."""

from __future__ import annotations

from api.http.operations import Route
from api.payouts.lists import Lists
from api.payouts.payouts import Payouts, Sends
from api.payouts.windows import Windows
from api.reads.service import Reads


def routes(commands: Sends, reads: Reads) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`."""
    lists = Lists(reads.warehouse, reads.landed_payouts)
    return (*Payouts(commands, lists, reads.landed_payouts).routes(), *Windows(lists).routes())
