"""`clearline organizations` and `clearline operators`: the first organisation, its tenants, its key and its admins; the API does the rest."""

from __future__ import annotations

import secrets
from pathlib import Path

import click
from msgspec.structs import replace
from rich.table import Table

from api.http.errors import ApiError
from api.http.keys import make
from api.identity.log import Change
from api.identity.operators import check_addable, checked_email, ended_sessions
from api.identity.roles import ROLES
from infra.cli._configuration import Opened, now_ms, opened, who
from infra.cli._console import console, data_option
from infra.errors import InfraError
from schemas.records import Operator, Organization

_ID_BYTES = 12


class NoSuchOrganization(InfraError):
    """There is no such organisation."""

    def __init__(self, organization: str) -> None:
        super().__init__(
            f"There is no organisation {organization}", remedy="See them with `clearline organizations list`"
        )


class NotAllowed(InfraError):
    """The change was refused."""

    def __init__(self, error: ApiError) -> None:
        super().__init__("It was not changed", remedy=error.message)


def _organization(found: Opened, organization: str) -> Organization:
    known = found.tables.organizations.get(organization)
    if known is None:
        raise NoSuchOrganization(organization)
    return known


@click.group()
def organizations() -> None:
    """Make organisations, and say which tenants are whose."""


@organizations.command(name="create")
@click.argument("name")
@data_option
def create_organization(*, name: str, data: Path) -> None:
    """Make an organisation called NAME and print its id."""
    made = Organization(
        organization=f"org_{secrets.token_hex(_ID_BYTES)}",
        name=name,
        version=1,
        created_ms=now_ms(),
        attribution=who("clearline organizations"),
    )
    with opened(data) as found:
        found.write(lambda: Change(result=None, records=(made,)))
    click.echo(made.organization)


@organizations.command(name="list")
@data_option
def list_organizations(*, data: Path) -> None:
    """List organisations with their tenants."""
    with opened(data) as found:
        known = sorted(found.tables.organizations.values(), key=lambda one: one.name)
        tenants = list(found.tables.tenants.values())
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("organisation", "name", "tenants"):
        table.add_column(column, no_wrap=True)
    for one in known:
        own = sorted(tenant.tenant for tenant in tenants if tenant.organization == one.organization)
        table.add_row(one.organization, one.name, " ".join(own))
    console().print(table)


@organizations.command()
@click.argument("organization")
@click.argument("tenant")
@data_option
def take(*, organization: str, tenant: str, data: Path) -> None:
    """Make TENANT one of ORGANIZATION's."""
    with opened(data) as found:
        _organization(found, organization)

        def decide() -> Change[None]:
            before = found.tenant(tenant)
            after = replace(
                before,
                organization=organization,
                version=before.version + 1,
                attribution=who("clearline organizations"),
            )
            return Change(result=None, records=() if before.organization == organization else (after,))

        found.write(decide)
    console().print(f"{tenant} is of {organization}")


@organizations.command()
@click.argument("organization")
@data_option
def key(*, organization: str, data: Path) -> None:
    """Make a key of ORGANIZATION and print it, this once: it makes tenants and acts for them (Stripe-Context)."""
    with opened(data) as found:
        _organization(found, organization)
        secret, record = make(
            "", organization=organization, now_ms=now_ms(), who=who("clearline organizations"), name="organisation"
        )
        found.write(lambda: Change(result=None, records=(record,)))
    click.echo(secret)


@click.group()
def operators() -> None:
    """Add people, who sign in at the issuer, and take them out."""


@operators.command()
@click.argument("organization")
@click.argument("email")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(ROLES), help="Repeat it for several.")
@click.option("--name", default="", help="For people.")
@data_option
def add(*, organization: str, email: str, roles: tuple[str, ...], name: str, data: Path) -> None:
    """Add the person with this EMAIL to ORGANIZATION and print their id."""
    with opened(data) as found:
        _organization(found, organization)
        try:
            made = Operator(
                operator_id=f"op_{secrets.token_hex(_ID_BYTES)}",
                organization=organization,
                name=name,
                email=checked_email(email),
                roles=tuple(sorted(set(roles))),
                status="active",
                version=1,
                created_ms=now_ms(),
                attribution=who("clearline operators"),
            )

            def decide() -> Change[None]:
                check_addable(found.tables, made)
                return Change(result=None, records=(made,))

            found.write(decide)
        except ApiError as error:
            raise NotAllowed(error) from error
    click.echo(made.operator_id)


@operators.command(name="list")
@data_option
def list_operators(*, data: Path) -> None:
    """List everybody's people."""
    with opened(data) as found:
        people = sorted(found.tables.operators.values(), key=lambda one: (one.organization, one.email))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("operator", "organisation", "e-mail", "roles", "tenants", "status"):
        table.add_column(column, no_wrap=True)
    for one in people:
        table.add_row(
            one.operator_id,
            one.organization,
            one.email,
            " ".join(one.roles),
            " ".join(one.tenants) or "all",
            one.status,
        )
    console().print(table)


@operators.command()
@click.argument("operator")
@data_option
def disable(*, operator: str, data: Path) -> None:
    """Take OPERATOR (op_…) out at once; their sessions end."""
    with opened(data) as found:

        def decide() -> Change[bool]:
            before = found.tables.operators.get(operator)
            if before is None:
                return Change(result=False)
            after = replace(
                before, status="disabled", version=before.version + 1, attribution=who("clearline operators")
            )
            return Change(result=True, records=(after, *ended_sessions(found.tables, after)))

        if not found.write(decide):
            raise click.UsageError(f"there is no operator {operator}; see `clearline operators list`")
    console().print(f"{operator} is disabled")
