"""A whole stack of real processes for a test, on free ports and a directory of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from connectors.clickhouse.client import Client, connect
from infra.stack import SETTLEMENT_GRACE_MS, SETTLEMENT_INTERVAL_MS, Ports, plan, reach
from infra.supervisor import Limits, ProcessSpec, Ready, Stack, free_ports
from schemas import environment

READY_DEADLINE_S = 300.0
LOG_BYTES_MAX = 256 * 1024 * 1024
"""For a test that reads everything that was logged: nothing is rotated away."""


@dataclass(frozen=True)
class RunningStack:
    """A ready stack and what reaches it."""

    stack: Stack
    read: environment.Environment
    environ: dict[str, str]
    warehouse: Client
    simulator: str
    workers: tuple[int, ...]
    apis: tuple[str, ...]
    """Base URLs of the API's processes: `api`, `api-2` and so on."""


@contextmanager
def running_stack(
    directory: Path, *, workers: int = 1, apis: int = 1, talkative: bool = False, **variables: str
) -> Iterator[RunningStack]:
    """Starts a stack, waits until it is ready, and leaves nothing behind. `talkative`: every log says and keeps all it can."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CLEARLINE_")},
        SETTLEMENT_INTERVAL_MS: "5000",
        SETTLEMENT_GRACE_MS: "1000",
        environment.TICK_MS: "500",
        environment.PARTITIONS: "4",
        **variables,
    }
    ports = Ports.free(workers=workers)
    planned = plan(directory, ports=ports, environ=environ)
    first = next(spec for spec in planned.specs if spec.name == "api")
    beside = [_beside(first, number, port) for number, port in enumerate(free_ports(apis - 1), 2)]
    specs = [_talking(spec) if talkative else spec for spec in (*map(_quick, planned.specs), *beside)]
    limits = Limits(log_file_bytes_max=LOG_BYTES_MAX) if talkative else None
    with Stack(specs, directory, planned.environment, facts=planned.facts, limits=limits) as stack:
        stack.wait_ready(READY_DEADLINE_S)
        reached = reach(directory, environ)
        read = environment.read(reached)
        warehouse = connect(read.warehouse, wait_s=60)
        try:
            simulator = f"http://127.0.0.1:{ports.simulator}"
            urls = tuple(f"http://127.0.0.1:{port}" for port in (ports.api, *(spec.ports["http"] for spec in beside)))
            yield RunningStack(stack, read, reached, warehouse, simulator, ports.workers, urls)
        finally:
            warehouse.close()


def _quick(spec: ProcessSpec) -> ProcessSpec:
    """The same with a broker that doesn't spend its first minutes on making itself faster."""
    return replace(spec, argv=[*spec.argv, "--quick"]) if spec.name == "broker" else spec


def _talking(spec: ProcessSpec) -> ProcessSpec:
    """The same with the one log level that can be chosen: Faust's."""
    argv = list(spec.argv)
    if "--loglevel" in argv:
        argv[argv.index("--loglevel") + 1] = "debug"
    return replace(spec, argv=argv)


def _beside(first: ProcessSpec, number: int, port: int) -> ProcessSpec:
    """One more process of the API, on a port of its own."""
    return replace(
        first,
        name=f"api-{number}",
        argv=[*first.argv[:-1], str(port)],
        ports={"http": port},
        ready=Ready.http(f"http://127.0.0.1:{port}/ready"),
    )


@pytest.fixture
def make_stack(tmp_path: Path) -> Iterator[Callable[..., RunningStack]]:
    """Makes one running stack; it ends with the test."""
    from contextlib import ExitStack

    with ExitStack() as stacks:
        yield lambda **options: stacks.enter_context(running_stack(tmp_path / "data", **options))
