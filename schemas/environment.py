"""The CLEARLINE_* variables, read once by each process's entry point into one typed, frozen value."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

KAFKA = "CLEARLINE_KAFKA"
KAFKA_CONFIG = "CLEARLINE_KAFKA_CONFIG"
CLICKHOUSE = "CLEARLINE_CLICKHOUSE"
DATA = "CLEARLINE_DATA"
PARTITIONS = "CLEARLINE_PARTITIONS"
REPLICATION = "CLEARLINE_REPLICATION"
WORKER = "CLEARLINE_WORKER"
TICK_MS = "CLEARLINE_TICK_MS"
MASTER_KEY = "CLEARLINE_MASTER_KEY"
INTERNAL_TOKEN = "CLEARLINE_INTERNAL_TOKEN"  # noqa: S105 - its name
"""What the API shows to workers when it asks for a payment of any tenant; without it they answer nobody."""

OIDC_ISSUER = "CLEARLINE_OIDC_ISSUER"
"""URL of the issuer at which operators sign in; without one nobody can."""
OIDC_CLIENT_ID = "CLEARLINE_OIDC_CLIENT_ID"

DEFAULT_KAFKA = "127.0.0.1:9092"
DEFAULT_CLICKHOUSE = "http://clearline@127.0.0.1:8123/clearline"
DEFAULT_DATA = ".clearline"
DEFAULT_PARTITIONS = 8
DEFAULT_REPLICATION = 1
DEFAULT_WORKER = "worker-0"
DEFAULT_TICK_MS = 10_000  # a settlement window closes, and a stored reply ends, at most this long after it is due

PARTITIONS_MAX = 1024  # a topic of ours with more would need a broker sized for it; a typing error is likelier
REPLICATION_MAX = 9
TICK_MS_MAX = 3_600_000  # with longer ones, a window would stay open for hours after its cut-off
SHOWN_VALUE_CHARS = 80  # how much of a refused value an error repeats

_SCHEME_PORTS = {"http": 8123, "https": 8443}  # ClickHouse's own HTTP and HTTPS ports


class VariableError(ValueError):
    """A CLEARLINE_* variable can't be used: `variable` names it, `value` is what it held (secrets masked), `remedy` what to do."""

    def __init__(self, *, variable: str, value: str, reason: str, remedy: str) -> None:
        value = masked(value)
        shown = value if len(value) <= SHOWN_VALUE_CHARS else value[:SHOWN_VALUE_CHARS] + "…"
        super().__init__(f"{variable}={shown!r}: {reason}")
        self.variable = variable
        self.value = shown
        self.remedy = remedy


def masked(value: str) -> str:
    """A value without what an address may hold in secret: user and password before `@`, and a query, well-formed or not."""
    head, at, host = value.rpartition("@")
    scheme = head.partition("://")[0] + "://" if "://" in head else ""
    shown = f"{scheme}…@{host}" if at else value
    address, question, _ = shown.partition("?")
    return f"{address}?…" if question else shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Warehouse:
    """Where ClickHouse's HTTP interface listens, from CLEARLINE_CLICKHOUSE. The password is left out of the repr."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    secure: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """What a process of the stack is told from outside. Secrets are left out of the repr, so that it may be logged."""

    kafka: str
    kafka_config: Mapping[str, str | int | float | bool] = field(repr=False)
    warehouse: Warehouse
    data: Path
    partitions: int
    replication: int
    worker: str
    tick_ms: int
    internal_token: str = field(default="", repr=False)
    master_key: Path | None = None
    """The file of master keys (see schemas.sealing); None: personal data and secrets can't be taken."""

    def kafka_client(self) -> dict[str, str | int | float | bool]:
        """Return the settings every librdkafka client starts from: the extra ones (TLS, SASL), then the bootstrap servers."""
        return {**self.kafka_config, "bootstrap.servers": self.kafka}


def read(environ: Mapping[str, str] | None = None) -> Environment:
    """Read and check every CLEARLINE_* variable; an empty one counts as not set. Raises VariableError."""
    given = {name: value for name, value in (os.environ if environ is None else environ).items() if value.strip()}
    return Environment(
        kafka=_bootstrap(given.get(KAFKA, DEFAULT_KAFKA)),
        kafka_config=_kafka_config(given.get(KAFKA_CONFIG, "{}")),
        warehouse=warehouse(given.get(CLICKHOUSE, DEFAULT_CLICKHOUSE)),
        data=Path(given.get(DATA, DEFAULT_DATA)).expanduser().absolute(),
        partitions=_count(PARTITIONS, given.get(PARTITIONS, str(DEFAULT_PARTITIONS)), highest=PARTITIONS_MAX),
        replication=_count(REPLICATION, given.get(REPLICATION, str(DEFAULT_REPLICATION)), highest=REPLICATION_MAX),
        worker=given.get(WORKER, DEFAULT_WORKER),
        tick_ms=_count(TICK_MS, given.get(TICK_MS, str(DEFAULT_TICK_MS)), highest=TICK_MS_MAX),
        internal_token=given.get(INTERNAL_TOKEN, "").strip(),
        master_key=Path(given[MASTER_KEY]).expanduser().absolute() if MASTER_KEY in given else None,
    )


def warehouse(url: str) -> Warehouse:
    """Take a CLEARLINE_CLICKHOUSE URL apart. Raises VariableError, in whose text the password is masked."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _bad_url("<not shown>", "is not a URL") from None
    if parts.scheme not in _SCHEME_PORTS:
        raise _bad_url(url, "does not start with http:// or https://")
    if not parts.hostname:
        raise _bad_url(url, "names no host")
    database = parts.path.strip("/")
    if "/" in database or parts.query or parts.fragment:
        raise _bad_url(url, "has more after the host than the name of a database")
    return Warehouse(
        host=parts.hostname,
        port=port or _SCHEME_PORTS[parts.scheme],
        user=unquote(parts.username or "clearline"),
        password=unquote(parts.password or ""),
        database=unquote(database) or "clearline",
        secure=parts.scheme == "https",
    )


def _bad_url(url: str, reason: str) -> VariableError:
    remedy = (
        f"give the URL of ClickHouse's HTTP interface, e.g. {CLICKHOUSE}=http://user:password@127.0.0.1:8123/clearline"
    )
    return VariableError(variable=CLICKHOUSE, value=url, reason=reason, remedy=remedy)


def _bootstrap(value: str) -> str:
    servers = [server.strip() for server in value.split(",") if server.strip()]
    for server in servers:
        host, colon, port = server.rpartition(":")
        if not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            remedy = f"list brokers as host:port with commas between them, e.g. {KAFKA}={DEFAULT_KAFKA}"
            raise VariableError(
                variable=KAFKA, value=value, reason=f"{masked(server)!r} is not host:port", remedy=remedy
            )
    if not servers:
        raise VariableError(
            variable=KAFKA, value=value, reason="names no broker", remedy=f"e.g. {KAFKA}={DEFAULT_KAFKA}"
        )
    return ",".join(servers)


def _kafka_config(value: str) -> dict[str, str | int | float | bool]:
    remedy = f"""give one JSON object of librdkafka settings, e.g. {KAFKA_CONFIG}='{{"security.protocol": "ssl"}}'"""
    # The value may hold a SASL password: no part of it is repeated.
    refused = {"variable": KAFKA_CONFIG, "value": "<not shown>", "remedy": remedy}
    try:
        settings = json.loads(value)
    except ValueError as error:
        raise VariableError(reason=f"is not JSON (at character {getattr(error, 'pos', 0)})", **refused) from None
    if not isinstance(settings, dict):
        raise VariableError(reason="is not a JSON object", **refused)
    for name, setting in settings.items():
        if not isinstance(setting, str | int | float | bool):
            raise VariableError(reason=f"{name!r} is neither text, number, true nor false", **refused)
    return settings


def _count(variable: str, value: str, *, highest: int) -> int:
    text = value.strip()
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= highest):
        remedy = f"give a whole number between 1 and {highest}, or leave it unset"
        raise VariableError(
            variable=variable, value=value, reason="is out of range or not a whole number", remedy=remedy
        )
    return int(text)
