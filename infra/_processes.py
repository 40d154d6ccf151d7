"""The stack's processes: where each listens, how it is started, after which others, and when it is ready."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.supervisor import ProcessSpec, Ready, free_ports
from schemas import environment

HOST = "127.0.0.1"
SIMULATED_PROVIDERS = ("northpay", "southpay")
DEVELOPMENT_CLIENT = "clearline-development"
CONFIGURATION = "CLEARLINE_CONFIGURATION"
_PORT_MAX = 65_535
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


def specs(data: Path, ports: Ports) -> list[ProcessSpec]:
    """All processes that there may be, each after those that it needs."""
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
            ready=Ready.http(f"http://{HOST}:{ports.warehouse}/health"),
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
                ",".join(SIMULATED_PROVIDERS),
            ],
            ports={"http": ports.simulator},
            ready=Ready.http(f"http://{HOST}:{ports.simulator}/health"),
            remedy="read the simulator's log",
        ),
        ProcessSpec(
            name="registry",
            argv=[python, "-m", "api.registry", "--port", str(ports.registry)],
            ports={"http": ports.registry},
            ready=Ready.http(f"http://{HOST}:{ports.registry}/health"),
            required=False,  # outsiders read contracts from it; no payment depends on it
            remedy="read the registry's log",
        ),
        ProcessSpec(
            name="identity",
            argv=[python, "-m", "api.identity", "--port", str(ports.identity), "--client-id", DEVELOPMENT_CLIENT],
            ports={"http": ports.identity},
            ready=Ready.http(f"http://{HOST}:{ports.identity}/health"),
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
            ready=Ready.http(f"http://{HOST}:{ports.api}/ready"),
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
            HOST,
            "--web-host",
            HOST,
            "--web-port",
            str(port),
        ],
        # The name is the worker's group.instance.id: a restarted one takes its partitions back at once.
        environment={environment.WORKER: name, environment.DATA: str(data / name)},
        ports={"web": port},
        after=["configuration"],
        ready=Ready.http(f"http://{HOST}:{port}/health"),
        ready_deadline_s=600.0,  # it may have much state to restore
        remedy=f"read the log of {name}",
    )


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    variable = f"CLEARLINE_PORT_{name.upper()}"
    text = environ.get(variable, "").strip() or str(default)
    if text.isascii() and text.isdigit() and 0 < int(text) <= _PORT_MAX:
        return int(text)
    remedy = f"give a port between 1 and {_PORT_MAX}, or leave it unset"
    raise environment.VariableError(variable=variable, value=text, reason="is no port", remedy=remedy)
