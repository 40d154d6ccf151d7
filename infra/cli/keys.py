"""`clearline keys`: makes, lists, revokes and rotates the keys of a tenant's API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click
from msgspec.structs import replace
from rich.table import Table

from api.http.keys import SCOPES, Kind, make
from api.identity.log import Change
from infra.cli._configuration import Opened, now_ms, opened, who
from infra.cli._console import console, data_option
from infra.errors import InfraError
from schemas.records import ApiKey, Attribution

OVERLAP_HOURS = 24
OVERLAP_HOURS_MAX = 7 * 24
_HOUR_MS = 3_600_000


class NoSuchKey(InfraError):
    """The tenant has no key of that id."""

    def __init__(self, tenant: str, key_id: str) -> None:
        super().__init__(
            f"{tenant} has no active key {key_id}", remedy=f"See its keys with `clearline keys list {tenant}`"
        )


def _key(found: Opened, tenant: str, key_id: str) -> ApiKey:
    """The tenant's active key. Raises `NoSuchKey`."""
    key = found.tables.keys.get(key_id)
    if key is None or key.tenant != tenant or key.status != "active":
        raise NoSuchKey(tenant, key_id)
    return key


def _who() -> Attribution:
    return who("clearline keys")


def _show(key: str, record: ApiKey) -> None:
    out = console(stderr=True)
    out.print(f"{record.key_id} of {record.tenant}: kept as a digest only, so this is the one time that it is shown")
    click.echo(key)


def _tenant_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument("tenant")(function)


@click.group()
def keys() -> None:
    """Make, list, revoke and rotate API keys."""


@keys.command()
@_tenant_argument
@click.option("--kind", type=click.Choice(get_args(Kind)), default="secret", show_default=True)
@click.option("--live", is_flag=True, help="A key for real money; without it, for tests.")
@click.option("--name", default="", help="What you call it.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="What a restricted key may do; repeat it."
)
@click.option("--api-version", default="", help="API version of requests that name none.")
@data_option
def create(
    *, tenant: str, kind: Kind, live: bool, name: str, scopes: tuple[str, ...], api_version: str, data: Path
) -> None:
    """Make a key for TENANT and print it, this once."""
    from api.http.errors import VersionUnknown
    from api.http.versions import chosen

    with opened(data) as found:
        if found.tenant(tenant).livemode != live:
            mode = "test" if live else "live"
            raise click.UsageError(f"{tenant} is a {mode} tenant, and so are its keys; --live is for live ones")
        try:
            chosen(api_version, key="", tenant="")
            key, record = make(
                tenant,
                now_ms=now_ms(),
                who=_who(),
                kind=kind,
                livemode=live,
                name=name,
                scopes=scopes,
                api_version=api_version,
            )
        except (ValueError, VersionUnknown) as error:
            raise click.UsageError(str(error)) from error
        found.write(lambda: Change(result=None, records=(record,)))
    _show(key, record)


@keys.command(name="list")
@_tenant_argument
@data_option
def list_(*, tenant: str, data: Path) -> None:
    """List TENANT's keys; the keys themselves are nowhere."""
    with opened(data) as found:
        found.tenant(tenant)
        keys_ = found.tables.keys.of_tenant(tenant)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("key", "kind", "mode", "ends in", "name", "status", "scopes"):
        table.add_column(column, no_wrap=True)
    now = now_ms()
    for key in keys_:
        expired = 0 < key.expires_ms <= now
        ending = key.expires_ms and not expired
        hours = (key.expires_ms - now) // _HOUR_MS
        status = "expired" if expired else f"ends in {hours} h" if ending and key.status == "active" else key.status
        mode = "live" if key.livemode else "test"
        table.add_row(key.key_id, key.kind, mode, f"…{key.hint}", key.name, status, " ".join(key.scopes))
    console().print(table)


@keys.command()
@_tenant_argument
@click.argument("key_id")
@data_option
def revoke(*, tenant: str, key_id: str, data: Path) -> None:
    """End TENANT's key KEY_ID at once."""
    with opened(data) as found:
        found.write(
            lambda: Change(
                result=None,
                records=(
                    replace(_key(found, tenant, key_id), status="revoked", updated_ms=now_ms(), attribution=_who()),
                ),
            )
        )
    console().print(f"{key_id} is revoked")


@keys.command()
@_tenant_argument
@click.argument("key_id")
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, OVERLAP_HOURS_MAX),
    default=OVERLAP_HOURS,
    show_default=True,
    help="How long the old one still works.",
)
@data_option
def rotate(*, tenant: str, key_id: str, overlap_hours: int, data: Path) -> None:
    """Make a key like TENANT's KEY_ID, which ends after the overlap."""
    with opened(data) as found:
        key = found.write(lambda: _rolled(_key(found, tenant, key_id), overlap_hours))
    _show(*key)


def _rolled(old: ApiKey, overlap_hours: int) -> Change[tuple[str, ApiKey]]:
    now, kind = now_ms(), old.kind
    if kind == "unrecognized":
        raise NoSuchKey(old.tenant, old.key_id)
    key, record = make(
        old.tenant,
        now_ms=now,
        who=_who(),
        kind=kind,
        livemode=old.livemode,
        name=old.name,
        scopes=old.scopes,
        api_version=old.api_version,
    )
    ends = now + max(overlap_hours * _HOUR_MS, 1)
    before = replace(old, expires_ms=ends, successor=record.key_id, updated_ms=now, attribution=_who())
    return Change(result=(key, record), records=(record, before))
