"""The processes that Clearline consists of: their commands, ports, directories, order, and what each is told."""

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

from infra.supervisor import DataDirectory, ProcessSpec, Ready, free_ports
from schemas import environment
from schemas.sealing import make_master_keys

WORKERS_MAX = 64
PROVIDERS = "CLEARLINE_PROVIDERS"
CONFIGURATION = "CLEARLINE_CONFIGURATION"
REGISTRY = "CLEARLINE_REGISTRY"
WEBHOOKS_ALLOW_LOOPBACK = "CLEARLINE_WEBHOOKS_ALLOW_LOOPBACK"
"""Set for a stack with a broker of its own: all of that is on this machine, and so are the endpoints that it is tried with."""
SETTLEMENT_INTERVAL_MS = "CLEARLINE_SETTLEMENT_INTERVAL_MS"
"""For demonstrations and tests: every tenant's windows are this long, whatever the configuration says."""
SETTLEMENT_GRACE_MS = "CLEARLINE_SETTLEMENT_GRACE_MS"
"""Ditto: how long each waits for stragglers."""

DEVELOPMENT_ISSUER = "CLEARLINE_DEVELOPMENT_ISSUER"
"""Set to anything: operators sign in at an issuer of the stack's own that believes everybody. For development only."""

_DEVELOPMENT_CLIENT = "clearline-development"
_HOST = "127.0.0.1"
_PORT_MAX = 65_535
_PASSWORD_FILE = "warehouse.password"  # noqa: S105 - its name
_TOKEN_FILE = "internal.token"  # noqa: S105 - its name
_MASTER_KEYS_FILE = "master.keys"
_SIMULATED_PROVIDERS = ("northpay", "southpay")
_SAYS_READY = r"(?<!not )\bready\b"  # what processes without a port log when they are
_FIRST_WORKER_OFFSET = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """Where the stack listens, always on 127.0.0.1. The worker's web views: one port each, by worker number."""

    kafka: int = 9092
    controller: int = 9093
    warehouse: int = 8123
    simulator: int = 8701
    registry: int = 8081
    api: int = 8780
    identity: int = 8790
    workers: tuple[int, ...] = (6066,)

    @classmethod
    def read(cls, environ: Mapping[str, str], *, base: int | None = None, workers: int = 1) -> Ports:
        """Take the defaults, or `base` and those after it; CLEARLINE_PORT_KAFKA and its like win. Raises VariableError."""
        names = ("kafka", "controller", "warehouse", "simulator", "registry", "api", "identity")
        if base is None:
            chosen = {name: getattr(cls(), name) for name in names}
            first_worker = cls().workers[0]
        else:
            chosen = {name: base + offset for offset, name in enumerate(names)}
            first_worker = base + _FIRST_WORKER_OFFSET
        chosen = {name: _port(environ, name, default) for name, default in chosen.items()}
        first_worker = _port(environ, "worker", first_worker)
        return cls(**chosen, workers=tuple(first_worker + number for number in range(workers)))

    @classmethod
    def free(cls, *, workers: int = 1) -> Ports:
        """Choose ports that are free now: for tests, and for a stack beside another."""
        kafka, controller, warehouse, simulator, registry, api, identity, *rest = free_ports(7 + workers)
        return cls(
            kafka=kafka,
            controller=controller,
            warehouse=warehouse,
            simulator=simulator,
            registry=registry,
            api=api,
            identity=identity,
            workers=tuple(rest),
        )


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
    specs = [spec for spec in _specs(data, ports) if own.get(spec.name, True)]
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
    url = f"http://{_HOST}:{ports.simulator}"
    providers = {name: {"kind": "simulated", "url": f"{url}/{name}/v1"} for name in _SIMULATED_PROVIDERS}
    defaults = {
        environment.KAFKA: f"{_HOST}:{ports.kafka}",
        environment.DATA: str(data),
        PROVIDERS: json.dumps(providers),
        REGISTRY: f"http://{_HOST}:{ports.registry}",
    }
    if environment.KAFKA not in given:
        defaults[WEBHOOKS_ALLOW_LOOPBACK] = "1"
    if environment.CLICKHOUSE not in given:
        defaults[environment.CLICKHOUSE] = _warehouse_url(ports.warehouse, password=_made_secret(data, _PASSWORD_FILE))
    else:
        DataDirectory(data).open()
    if DEVELOPMENT_ISSUER in given and environment.OIDC_ISSUER not in given:
        defaults[environment.OIDC_ISSUER] = f"http://{_HOST}:{ports.identity}"
        defaults[environment.OIDC_CLIENT_ID] = _DEVELOPMENT_CLIENT
    defaults[environment.INTERNAL_TOKEN] = _made_secret(data, _TOKEN_FILE)
    if environment.MASTER_KEY not in given:
        make_master_keys(data / _MASTER_KEYS_FILE)
        defaults[environment.MASTER_KEY] = str(data / _MASTER_KEYS_FILE)
    # CLEARLINE_DATA was one way to choose `data`; all the others win over what the stack would have set.
    names = {*defaults, WEBHOOKS_ALLOW_LOOPBACK, environment.CLICKHOUSE, environment.MASTER_KEY} - {environment.DATA}
    return {**defaults, **{name: environ[name] for name in names & given}}


def _specs(data: Path, ports: Ports) -> list[ProcessSpec]:
    python = sys.executable
    workers = [f"worker-{number}" for number in range(len(ports.workers))]
    return [
        ProcessSpec(
            name="broker",
            argv=[
                python,
                "-m",
                "infra.kafka",
                "--data",
                str(data / "kafka"),
                "--port",
                str(ports.kafka),
                "--controller-port",
                str(ports.controller),
            ],
            ports={"kafka": ports.kafka, "controller": ports.controller},
            ready=Ready.tcp(ports.kafka),
            ready_deadline_s=600.0,  # the first start may have to fetch its jars
            stop_deadline_s=30.0,
            remedy="read the broker's log",
        ),
        ProcessSpec(
            name="warehouse",
            argv=[
                python,
                "-m",
                "connectors.clickhouse.embedded",
                "--data",
                str(data / "warehouse"),
                "--port",
                str(ports.warehouse),
            ],
            ports={"http": ports.warehouse},
            ready=Ready.http(f"http://{_HOST}:{ports.warehouse}/health"),
            stop_deadline_s=30.0,
            remedy="read the warehouse's log",
        ),
        ProcessSpec(
            name="simulator",
            argv=[
                python,
                "-m",
                "connectors.providers.simulator",
                "--data",
                str(data / "simulator"),
                "--port",
                str(ports.simulator),
                "--providers",
                ",".join(_SIMULATED_PROVIDERS),
            ],
            ports={"http": ports.simulator},
            ready=Ready.http(f"http://{_HOST}:{ports.simulator}/health"),
            remedy="read the simulator's log",
        ),
        ProcessSpec(
            name="registry",
            argv=[python, "-m", "api.registry", "--port", str(ports.registry)],
            ports={"http": ports.registry},
            ready=Ready.http(f"http://{_HOST}:{ports.registry}/health"),
            required=False,  # outsiders read contracts from it; no payment depends on it
            remedy="read the registry's log",
        ),
        ProcessSpec(
            name="identity",
            argv=[python, "-m", "api.identity", "--port", str(ports.identity), "--client-id", _DEVELOPMENT_CLIENT],
            ports={"http": ports.identity},
            ready=Ready.http(f"http://{_HOST}:{ports.identity}/health"),
            required=False,  # who is signed in stays so without it
            remedy="read the identity's log",
        ),
        ProcessSpec(
            name="configuration",
            argv=[python, "-m", "infra.stack"],
            after=["broker"],
            ready=Ready.finished(),
            ready_deadline_s=300.0,
            remedy=f"correct the file that {CONFIGURATION} names, or see whether the broker answers",
        ),
        ProcessSpec(
            name="gateway",
            argv=[python, "-m", "connectors.providers.gateway"],
            environment={environment.DATA: str(data / "gateway")},
            after=["configuration", "simulator"],
            ready=Ready.log(_SAYS_READY),
            remedy="read the gateway's log",
        ),
        ProcessSpec(
            name="landing",
            argv=[python, "-m", "connectors.clickhouse.landing"],
            environment={environment.DATA: str(data / "landing")},
            after=["configuration", "warehouse"],
            ready=Ready.log(_SAYS_READY),
            remedy="read the landing's log",
        ),
        ProcessSpec(
            name="api",
            argv=[python, "-m", "api.http", "--port", str(ports.api)],
            ports={"http": ports.api},
            after=["configuration"],
            ready=Ready.http(f"http://{_HOST}:{ports.api}/ready"),
            required=False,  # payments that come through topics go on without it
            remedy="read the API's log",
        ),
        ProcessSpec(
            name="webhooks",
            argv=[python, "-m", "api.webhooks"],
            environment={environment.WORKER: "webhooks-0", environment.DATA: str(data / "webhooks")},
            after=["configuration"],
            ready=Ready.log(_SAYS_READY),
            required=False,  # what is to be told waits on Kafka; payments go on
            remedy="read the webhooks' log",
        ),
        *(_worker(data, name, port) for name, port in zip(workers, ports.workers, strict=True)),
    ]


def _worker(data: Path, name: str, port: int) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        argv=[
            sys.executable,
            "-m",
            "faust",
            "--datadir",
            str(data / name / "faust"),
            "-A",
            "streams.app",
            "worker",
            "--loglevel",
            "info",
            "--web-bind",
            _HOST,
            "--web-host",
            _HOST,
            "--web-port",
            str(port),
        ],
        # The name is the worker's group.instance.id: a restarted one takes its partitions back at once.
        environment={environment.WORKER: name, environment.DATA: str(data / name)},
        ports={"web": port},
        after=["configuration"],
        ready=Ready.http(f"http://{_HOST}:{port}/health"),
        ready_deadline_s=600.0,  # it may have much state to restore
        remedy=f"read the log of {name}",
    )


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
    return f"http://clearline:{quote(password, safe='')}@{_HOST}:{port}/clearline"


def _without_password(url: str) -> str:
    found = environment.warehouse(url)
    scheme = "https" if found.secure else "http"
    return f"{scheme}://{quote(found.user, safe='')}@{found.host}:{found.port}/{quote(found.database, safe='')}"


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    variable = f"CLEARLINE_PORT_{name.upper()}"
    text = environ.get(variable, "").strip() or str(default)
    if text.isascii() and text.isdigit() and 0 < int(text) <= _PORT_MAX:
        return int(text)
    remedy = f"give a port between 1 and {_PORT_MAX}, or leave it unset"
    raise environment.VariableError(variable=variable, value=text, reason="is no port", remedy=remedy)


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
