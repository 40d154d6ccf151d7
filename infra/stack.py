"""The stack on a data directory: which processes it has, what each is told, and how others reach it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, urlsplit

from infra._processes import CONFIGURATION, DEVELOPMENT_CLIENT, HOST, SIMULATED_PROVIDERS, Ports
from infra._processes import specs as specs_of
from infra.supervisor import DataDirectory, ProcessSpec
from schemas import environment
from schemas.sealing import make_master_keys

__all__ = [
    "CONFIGURATION",
    "DEVELOPMENT_ISSUER",
    "PROVIDERS",
    "REGISTRY",
    "SETTLEMENT_GRACE_MS",
    "SETTLEMENT_INTERVAL_MS",
    "WEBHOOKS_ALLOW_LOOPBACK",
    "WORKERS_MAX",
    "Plan",
    "Ports",
    "configure",
    "plan",
    "reach",
]

WORKERS_MAX = 64
PROVIDERS = "CLEARLINE_PROVIDERS"
REGISTRY = "CLEARLINE_REGISTRY"
WEBHOOKS_ALLOW_LOOPBACK = "CLEARLINE_WEBHOOKS_ALLOW_LOOPBACK"
"""Set for a stack with a broker of its own: all of that is on this machine, and so are the endpoints that it is tried with."""
SETTLEMENT_INTERVAL_MS = "CLEARLINE_SETTLEMENT_INTERVAL_MS"
"""For demonstrations and tests: every tenant's windows are this long, whatever the configuration says."""
SETTLEMENT_GRACE_MS = "CLEARLINE_SETTLEMENT_GRACE_MS"
"""Ditto: how long each waits for stragglers."""

DEVELOPMENT_ISSUER = "CLEARLINE_DEVELOPMENT_ISSUER"
"""Set to anything: operators sign in at an issuer of the stack's own that believes everybody. For development only."""

_PASSWORD_FILE = "warehouse.password"  # noqa: S105 - its name
_TOKEN_FILE = "internal.token"  # noqa: S105 - its name
_MASTER_KEYS_FILE = "master.keys"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A stack to be: its processes, the whole environment they get, and what others may know to reach it."""

    specs: list[ProcessSpec]
    environment: dict[str, str]
    facts: dict[str, str]


def plan(data: Path, *, ports: Ports, environ: Mapping[str, str]) -> Plan:
    """Describe the stack on a data directory, with one worker per worker port; opens the directory.

    What `environ` points elsewhere is not started here: the broker with CLEARLINE_KAFKA, the warehouse with
    CLEARLINE_CLICKHOUSE, the provider simulator with CLEARLINE_PROVIDERS. Raises VariableError, DataDirectoryError.
    """
    environment.read(environ)  # what is wrong with it is said before anything starts
    given = {name for name, value in environ.items() if value.strip()}
    told = _told(data, ports, environ, given)
    own = {
        "broker": environment.KAFKA not in given,
        "warehouse": environment.CLICKHOUSE not in given,
        "simulator": PROVIDERS not in given,
        "identity": DEVELOPMENT_ISSUER in given and environment.OIDC_ISSUER not in given,
    }
    specs = [spec for spec in specs_of(data, ports) if own.get(spec.name, True)]
    there = {spec.name for spec in specs}
    return Plan(
        specs=[_without(spec, there) for spec in specs],
        environment={**environ, **told, "PYTHONUNBUFFERED": "1"},
        facts={
            environment.KAFKA: told[environment.KAFKA],
            environment.CLICKHOUSE: _without_password(told[environment.CLICKHOUSE]),
            REGISTRY: told[REGISTRY],
        },
    )


def _told(data: Path, ports: Ports, environ: Mapping[str, str], given: set[str]) -> dict[str, str]:
    """Return the CLEARLINE_* variables that every process of the stack gets; what was given stays as it is."""
    url = f"http://{HOST}:{ports.simulator}"
    providers = {name: {"kind": "simulated", "url": f"{url}/{name}/v1"} for name in SIMULATED_PROVIDERS}
    defaults = {
        environment.KAFKA: f"{HOST}:{ports.kafka}",
        environment.DATA: str(data),
        PROVIDERS: json.dumps(providers),
        REGISTRY: f"http://{HOST}:{ports.registry}",
    }
    if environment.KAFKA not in given:
        defaults[WEBHOOKS_ALLOW_LOOPBACK] = "1"
    if environment.CLICKHOUSE not in given:
        defaults[environment.CLICKHOUSE] = _warehouse_url(ports.warehouse, password=_made_secret(data, _PASSWORD_FILE))
    else:
        DataDirectory(data).open()
    if DEVELOPMENT_ISSUER in given and environment.OIDC_ISSUER not in given:
        defaults[environment.OIDC_ISSUER] = f"http://{HOST}:{ports.identity}"
        defaults[environment.OIDC_CLIENT_ID] = DEVELOPMENT_CLIENT
    defaults[environment.INTERNAL_TOKEN] = _made_secret(data, _TOKEN_FILE)
    if environment.MASTER_KEY not in given:
        make_master_keys(data / _MASTER_KEYS_FILE)
        defaults[environment.MASTER_KEY] = str(data / _MASTER_KEYS_FILE)
    # CLEARLINE_DATA was one way to choose `data`; all the others win over what the stack would have set.
    names = {*defaults, WEBHOOKS_ALLOW_LOOPBACK, environment.CLICKHOUSE, environment.MASTER_KEY} - {environment.DATA}
    return {**defaults, **{name: environ[name] for name in names & given}}


def _without(spec: ProcessSpec, there: set[str]) -> ProcessSpec:
    return replace(spec, after=[name for name in spec.after if name in there])


def reach(data: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` completed with what reaches the stack that runs on the data directory, for commands beside it.

    A variable that is set wins. Where no stack runs, only the data directory is added.
    """
    directory = DataDirectory(data)
    found = {environment.DATA: str(directory.path)}
    if (directory.path / _MASTER_KEYS_FILE).exists():
        found[environment.MASTER_KEY] = str(directory.path / _MASTER_KEYS_FILE)
    status = directory.read_status() if directory.holder() is not None else None
    if status is not None:
        found |= status.facts
        url = urlsplit(status.facts.get(environment.CLICKHOUSE, ""))
        if any(process.name == "warehouse" for process in status.processes) and url.port:
            found[environment.CLICKHOUSE] = _warehouse_url(
                url.port, password=_made_secret(directory.path, _PASSWORD_FILE)
            )
        found[environment.INTERNAL_TOKEN] = _made_secret(directory.path, _TOKEN_FILE)
    return {**found, **{name: value for name, value in environ.items() if value.strip()}}


def _made_secret(data: Path, name: str) -> str:
    """Return the secret in a file of that name, made at the first call for a data directory and kept there, for its owner only."""
    DataDirectory(data).open()
    file = data / name
    with contextlib.suppress(FileNotFoundError):
        return file.read_text(encoding="ascii").strip()
    # Written whole under another name and then linked: of two that do this at once, one wins and both read the same.
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as opened:
        opened.write(secrets.token_urlsafe(24) + "\n")
    with contextlib.suppress(FileExistsError):
        os.link(beside, file)
    beside.unlink()
    return file.read_text(encoding="ascii").strip()


def _warehouse_url(port: int, *, password: str) -> str:
    return f"http://clearline:{quote(password, safe='')}@{HOST}:{port}/clearline"


def _without_password(url: str) -> str:
    found = environment.warehouse(url)
    scheme = "https" if found.secure else "http"
    return f"{scheme}://{quote(found.user, safe='')}@{found.host}:{found.port}/{quote(found.database, safe='')}"


def configure(environ: Mapping[str, str]) -> None:
    """Make the topics and apply tenants and routing; what is there already stays. The stack's step before its agents."""
    from infra.configure import DEFAULTS, apply
    from infra.topics import ensure

    read = environment.read(environ)
    extra = dict(read.kafka_config)
    topics = ensure(read.kafka, partitions=read.partitions, replication=read.replication, extra_config=extra)
    print(f"{sum(topic.state == 'created' for topic in topics)} of {len(topics)} topics made")
    for topic in topics:
        for warning in topic.warnings:
            print(f"note: {topic.name} {warning}")
    path = Path(environ.get(CONFIGURATION, "").strip() or DEFAULTS)
    applied = apply(
        read.kafka,
        path,
        settlement_interval_ms=_milliseconds(environ, SETTLEMENT_INTERVAL_MS),
        settlement_grace_ms=_milliseconds(environ, SETTLEMENT_GRACE_MS),
        keep_changed=True,
        extra_config=extra,
    )
    print(f"{path}: {applied.records} records written; tenants unchanged: {', '.join(applied.unchanged) or 'none'}")


def _milliseconds(environ: Mapping[str, str], variable: str) -> int | None:
    text = environ.get(variable, "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    remedy = "give milliseconds, or leave it unset"
    raise environment.VariableError(variable=variable, value=text, reason="is no whole number", remedy=remedy)


def _main() -> None:
    try:
        configure(os.environ)
    except Exception as error:
        remedy = getattr(error, "remedy", None)
        if remedy is None:
            raise
        sys.exit(f"error: {error}\n  what to do: {remedy}")


if __name__ == "__main__":
    _main()
