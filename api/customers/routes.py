"""The routes of customers, payment methods and setup intents, on what one process has."""

from __future__ import annotations

from api.customers.customers import Customers
from api.customers.desk import Desk, Sends
from api.customers.keyring import Keyring
from api.customers.lists import Saved
from api.customers.methods import Methods
from api.customers.setups import Setups
from api.http.operations import Route
from api.reads.service import Reads


def routes(commands: Sends, reads: Reads, keyring: Keyring) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`."""
    landed = reads.landed_customers
    saved = Saved(reads.warehouse, landed)
    desk = Desk(commands=commands, customers=reads.customers, keyring=keyring, landed=landed)
    reads.saved = desk.fetch
    return (*Customers(desk, saved).routes(), *Methods(desk).routes(), *Setups(desk, saved).routes())
