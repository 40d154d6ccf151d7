"""`clearline tenants`: who is served, and what each pays. Other terms are changed by the API or from a file."""

from __future__ import annotations

from pathlib import Path

import click
from msgspec.structs import replace
from rich.table import Table

from api.http.errors import ApiError
from api.http.parameters import Spec, check
from api.http.wire import Tree
from api.identity._terms import SETTINGS, changed
from api.identity.log import Change
from infra.cli._configuration import opened, who
from infra.cli._console import console, data_option
from schemas.records import FeeRule


@click.group()
def tenants() -> None:
    """Show tenants, and set what they pay."""


@tenants.command(name="list")
@data_option
def list_(*, data: Path) -> None:
    """List tenants with whose they are."""
    with opened(data) as found:
        known = [found.tables.tenants[name] for name in sorted(found.tables.tenants)]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("tenant", "name", "organisation", "mode", "status", "version"):
        table.add_column(column, no_wrap=True)
    for one in known:
        mode = "live" if one.livemode else "test"
        table.add_row(one.tenant, one.name, one.organization, mode, one.status, str(one.version))
    console().print(table)


@tenants.command()
@click.argument("tenant")
@click.argument("rules", nargs=-1)
@click.option("--none", "clear", is_flag=True, help="No rules: the tenant pays the providers' own fees, as they are.")
@data_option
def fees(*, tenant: str, rules: tuple[str, ...], clear: bool, data: Path) -> None:
    """Show what TENANT pays, or have it pay by these RULES from now on; the first that fits a payment counts.

    A RULE is text such as basis_points=290,fixed=30,dispute=1500,currency=eur,payment_method=pm_card; what it leaves
    out is 0, or any. Amounts are in the smallest unit.
    """
    if rules and clear:
        raise click.UsageError("give rules, or --none")
    with opened(data) as found:
        found.tenant(tenant)
        if rules or clear:
            try:
                given = check(Spec(fields={"fees": SETTINGS["fees"]}), {"fees": [_rule(text) for text in rules]})

                def decide() -> Change[None]:
                    before = found.tenant(tenant)
                    after = changed(before, given)
                    if after == before:
                        return Change(result=None)
                    after = replace(after, version=before.version + 1, attribution=who("clearline tenants"))
                    return Change(result=None, records=(after,))

                found.write(decide)
            except ApiError as error:
                raise click.UsageError(error.message) from error
        now = found.tenant(tenant)
    if not now.fees:
        console().print(f"{tenant} pays the providers' own fees, as they are")
    for one in now.fees:
        click.echo(_said(one))


def _rule(text: str) -> dict[str, Tree]:
    found: dict[str, Tree] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or name in found:
            raise click.UsageError(f"{text!r} is no rule; one is basis_points=290,fixed=30,currency=eur")
        found[name.strip()] = value.strip()
    return found


def _said(rule: FeeRule) -> str:
    parts = {
        "basis_points": rule.basis_points,
        "fixed": rule.fixed_minor,
        "dispute": rule.dispute_minor,
        "currency": rule.currency.lower(),
        "payment_method": rule.payment_method,
    }
    return ",".join(f"{name}={value}" for name, value in parts.items() if value) or "basis_points=0"
