"""`clearline keys`: makes, lists, revokes and rotates the keys of a tenant's API."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import click
from confluent_kafka import KafkaException, Producer
from msgspec.structs import replace
from rich.table import Table

from api.http._tables import Tables
from api.http.keys import SCOPES, Kind, make
from infra.cli._console import console, data_option
from infra.errors import InfraError, KafkaRefused, KafkaUnreachable
from infra.stack import reach
from schemas import codec, environment
from schemas.catalogue import API_KEYS
from schemas.clients import producer_config
from schemas.records import ApiKey, Attribution

OVERLAP_HOURS = 24
OVERLAP_HOURS_MAX = 7 * 24
_DELIVERY_S = 30.0
_HOUR_MS = 3_600_000


class NoSuchTenant(InfraError):
    """A key is of a tenant that was configured."""

    def __init__(self, tenant: str, known: list[str]) -> None:
        super().__init__(
            f"There is no tenant {tenant}; there are {', '.join(known) or 'none'}",
            remedy="Configure it with `clearline configure FILE`",
        )


class NoSuchKey(InfraError):
    """The tenant has no key of that id."""

    def __init__(self, tenant: str, key_id: str) -> None:
        super().__init__(
            f"{tenant} has no active key {key_id}", remedy=f"See its keys with `clearline keys list {tenant}`"
        )


class _Keys:
    """The keys' topic, read to its end, and a way to append to it."""

    def __init__(self, settings: environment.Environment, tables: Tables) -> None:
        self._settings, self.tables = settings, tables

    def tenant(self, tenant: str) -> None:
        """Raises `NoSuchTenant`."""
        if tenant not in self.tables.tenants:
            raise NoSuchTenant(tenant, sorted(self.tables.tenants))

    def key(self, tenant: str, key_id: str) -> ApiKey:
        """The tenant's active key. Raises `NoSuchKey`."""
        found = self.tables.keys.get(key_id)
        if found is None or found.tenant != tenant or found.status != "active":
            raise NoSuchKey(tenant, key_id)
        return found

    def append(self, *records: ApiKey) -> None:
        """Write records, and wait until Kafka has them all. Raises `KafkaRefused`."""
        producer = Producer(producer_config(self._settings.kafka, dict(self._settings.kafka_config)))
        problems: list[str] = []
        for record in records:
            producer.produce(
                API_KEYS.name,
                codec.encode(record),
                record.key_id.encode(),
                on_delivery=lambda error, _: problems.append(error.str()) if error is not None else None,
            )
        if producer.flush(_DELIVERY_S):
            problems.append(f"not written within {_DELIVERY_S:.0f} s")
        if problems:
            raise KafkaRefused("write a key", problems[0])


@contextmanager
def _opened(data: Path) -> Iterator[_Keys]:
    settings = environment.read(reach(data, os.environ))
    tables = Tables(settings.kafka, dict(settings.kafka_config), failed=lambda _error: None)
    try:
        tables.read()
        yield _Keys(settings, tables)
    except KafkaException as error:
        raise KafkaUnreachable(settings.kafka, error.args[0].str()) from error
    finally:
        tables.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _who() -> Attribution:
    return Attribution(actor_kind="operator", actor_id=getpass.getuser(), reason="clearline keys")


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

    with _opened(data) as opened:
        opened.tenant(tenant)
        try:
            chosen(api_version, key="", tenant="")
            key, record = make(
                tenant,
                now_ms=_now_ms(),
                who=_who(),
                kind=kind,
                livemode=live,
                name=name,
                scopes=scopes,
                api_version=api_version,
            )
        except (ValueError, VersionUnknown) as error:
            raise click.UsageError(str(error)) from error
        opened.append(record)
    _show(key, record)


@keys.command(name="list")
@_tenant_argument
@data_option
def list_(*, tenant: str, data: Path) -> None:
    """List TENANT's keys; the keys themselves are nowhere."""
    with _opened(data) as opened:
        opened.tenant(tenant)
        found = opened.tables.keys.of_tenant(tenant)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("key", "kind", "mode", "ends in", "name", "status", "scopes"):
        table.add_column(column, no_wrap=True)
    now = _now_ms()
    for key in found:
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
    with _opened(data) as opened:
        opened.append(replace(opened.key(tenant, key_id), status="revoked", attribution=_who()))
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
    with _opened(data) as opened:
        old = opened.key(tenant, key_id)
        now = _now_ms()
        kind = old.kind
        if kind == "unrecognized":
            raise NoSuchKey(tenant, key_id)
        key, record = make(
            tenant,
            now_ms=now,
            who=_who(),
            kind=kind,
            livemode=old.livemode,
            name=old.name,
            scopes=old.scopes,
            api_version=old.api_version,
        )
        ends = now + max(overlap_hours * _HOUR_MS, 1)
        opened.append(record, replace(old, expires_ms=ends, attribution=_who()))
    _show(key, record)
