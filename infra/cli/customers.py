"""`clearline customers`: what is known of a customer's personal data, and its erasure."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

import click

from infra import customers as acting
from infra.cli._console import console, data_option
from infra.stack import reach
from schemas import environment
from schemas.catalogue import CUSTOMERS_KEYS, INTENTS_KEPT_MS
from schemas.errors import MasterKeysUnusable
from schemas.records import Attribution, CustomerKey
from schemas.sealing import read_master_keys

_DAY_MS = 86_400_000
_NOT_FOUND_STATUS = 4


@click.group()
def customers() -> None:
    """Show or erase the personal data of a tenant's customer."""


@customers.command()
@click.argument("tenant")
@click.argument("customer")
@data_option
@click.option("--json", "as_objects", is_flag=True, help="Print one JSON object a payment.")
def show(*, tenant: str, customer: str, data: Path, as_objects: bool) -> None:
    """Open and print the personal data of CUSTOMER's payments, for support.

    A payment without a customer is its own: give its id (pi_...). Ends with status 4 where there is no such data.
    Needs the master key (CLEARLINE_MASTER_KEY).
    """
    settings = environment.read(reach(data, os.environ))
    if settings.master_key is None:
        raise MasterKeysUnusable("CLEARLINE_MASTER_KEY is not set")
    masters = read_master_keys(settings.master_key)
    keys = acting.keys_of(settings, tenant, customer)
    _expect(keys, tenant, customer)
    for one in acting.show(settings, masters, keys):
        if as_objects:
            line = {"payment": one.payment_id, "key": one.key_id, "personal": one.personal, "why": one.why}
            click.echo(json.dumps(line))
        else:
            told = one.why or " ".join(f"{name}={text!r}" for name, text in sorted(one.personal.items()))
            click.echo(f"{one.payment_id} {told}")


@customers.command()
@click.argument("tenant")
@click.argument("customer")
@data_option
@click.option("--reason", required=True, help="Why, such as the request's number; no personal data. Kept for ever.")
@click.option("--operator", required=True, help="Who does it. Kept for ever.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def erase(*, tenant: str, customer: str, data: Path, reason: str, operator: str, yes: bool) -> None:
    """Erase the keys of CUSTOMER: what they sealed can't be read any more, by anybody, wherever it is.

    This can't be undone. Payments, amounts and books stay as they are. Ends with status 4 where there is no such key.
    """
    settings = environment.read(reach(data, os.environ))
    keys = acting.keys_of(settings, tenant, customer)
    _expect(keys, tenant, customer)
    active = sum(key.status != "erased" for key in keys)
    out = console()
    if active and not yes:
        click.confirm(f"Erase {active} keys of {tenant}'s customer {customer} for ever?", abort=True)
    who = Attribution(
        actor_kind="operator",
        actor_id=operator,
        on_behalf_of=tenant,
        reason=reason,
        request_id=f"erase-{uuid.uuid4()}",
    )
    erased = acting.erase(settings, keys, attribution=who)
    out.print(f"{len(erased)} keys erased, {len(keys) - len(erased)} were erased before")
    lag_ms = int(CUSTOMERS_KEYS.config().get("max.compaction.lag.ms", 0))
    out.print(
        f"what remains for a while: upstream's own intents on payment.intents, {INTENTS_KEPT_MS // _DAY_MS} days from their "
        f"arrival; the wrapped key on {CUSTOMERS_KEYS.name} until Kafka has compacted it, due {lag_ms // 3_600_000} hours "
        "after a further key came; and every backup made before now (docs/privacy.md)"
    )


def _expect(keys: list[CustomerKey], tenant: str, customer: str) -> None:
    if not keys:
        click.echo(f"{tenant} has no customer {customer} with personal data", err=True)
        raise click.exceptions.Exit(_NOT_FOUND_STATUS)
