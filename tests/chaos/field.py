"""The stack that chaos happens to: base processes under one supervisor, each worker under one of its own, to come and go."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from connectors.clickhouse.client import Client, connect
from infra.kafka import Cluster, prepare_quick_starts
from infra.stack import CONFIGURATION, SETTLEMENT_GRACE_MS, SETTLEMENT_INTERVAL_MS, Ports, plan, reach
from infra.supervisor import DataDirectory, ProcessSpec, RestartPolicy, Stack
from infra.supervisor._process import Process
from schemas import environment
from streams.runtime.faults import VARIABLE as FAULT

DEADLINE_S = 600.0
HEALTH_S = 5.0
FOR_EVER = RestartPolicy(give_up_after=1_000_000, highest_delay_s=4.0)
TASKS = ("intake", "lifecycle", "settlement", "customers")
TENANTS = Path(__file__).with_name("tenants.toml")
TOLD: dict[str, tuple[str, ...]] = {
    # A customer's bank thinks for a second, and waits for evidence so long; one that nobody answers shall end within the run.
    "simulator": ("--dispute-delay-ms", "1000", "--response-ms", "8000"),
    # It is killed before it has made itself faster.
    "broker": ("--quick",),
}
"""What processes are told besides."""


class Stuck(Exception):
    """The stack did not come back to work in a time that is generous on any machine."""


class Broken(Exception):
    """The stack did what it never may: a partition stopped at a record, or a process was given up."""


class Worker:
    """One worker: its description, its directory, and the supervisor that runs it now, if any."""

    def __init__(self, spec: ProcessSpec, directory: Path, environ: dict[str, str], *, port: int) -> None:
        self.name, self.port = spec.name, port
        self.state = Path(spec.environment[environment.DATA]) / "state"
        self.log = DataDirectory(directory).log_file(spec.name)
        self.restarts = 0
        self._log_start = 0
        self._spec, self._directory, self._environ = spec, directory, environ
        self.stack: Stack | None = None

    def start(self, *, fault: str = "") -> None:
        """Start it, unless it runs. `fault` arms a point, at each of its supervisor's starts."""
        if self.stack is None:
            self._log_start = self._log_bytes()
            spec = replace(self._spec, environment={**self._spec.environment, FAULT: fault})
            self.stack = Stack([spec], self._directory, self._environ)
            self.stack.start()

    def stop(self, *, hurry: bool = False) -> None:
        """SIGTERM, and SIGKILL past its deadline; at once with `hurry`."""
        if self.stack is not None:
            with contextlib.suppress(Exception):
                self.process.kill(signal.SIGCONT)
            self.restarts += self.process.restarts
            self.stack.stop(hurry=lambda: hurry)
            self.stack = None

    def said(self, text: str) -> int:
        """In how many lines of its log since it was started a text stands."""
        with contextlib.suppress(FileNotFoundError), self.log.open("rb") as log:
            log.seek(self._log_start if self._log_start <= self._log_bytes() else 0)  # it may have been rotated
            return sum(text.encode() in line for line in log)
        return 0

    def _log_bytes(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def wipe(self) -> None:
        """Remove its state, as a new disk would."""
        assert self.stack is None, "a running worker's state is not removed"
        shutil.rmtree(self.state, ignore_errors=True)

    @property
    def process(self) -> Process:
        """The handle on its process."""
        assert self.stack is not None, f"{self.name} does not run"
        return self.stack.process(self.name)

    def health(self) -> dict[str, Any]:
        """Its /health document; empty while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=HEALTH_S) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as refused:
            return dict(json.load(refused))
        except (OSError, ValueError):
            return {}

    def running(self, task: str) -> int:
        """Partitions of a task that it works on now."""
        found = [one for one in self.health().get("tasks", []) if one["task"] == task]
        return sum(part["phase"] == "running" for one in found for part in one["partitions"])


class Field:
    """A running stack. Use it as a context manager; nothing is left behind but the directory."""

    def __init__(self, directory: Path, *, workers: int = 3, brokers: int = 1, partitions: int = 4) -> None:
        self.directory, self.partitions, self.brokers = directory, partitions, brokers
        self.cluster: Cluster | None = None
        self._exits = contextlib.ExitStack()
        self._wanted = workers

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            self._start(exits)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def _start(self, exits: contextlib.ExitStack) -> None:
        prepare_quick_starts()
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CLEARLINE_")},
            CONFIGURATION: str(TENANTS),
            SETTLEMENT_INTERVAL_MS: "5000",
            SETTLEMENT_GRACE_MS: "1000",
            environment.TICK_MS: "500",
            environment.PARTITIONS: str(self.partitions),
        }
        if self.brokers > 1:
            self.cluster = cluster = Cluster(self.directory / "brokers", brokers=self.brokers)
            exits.callback(cluster.kill)
            cluster.start()
            environ |= {environment.KAFKA: cluster.bootstrap, environment.REPLICATION: str(min(3, self.brokers))}
        data = self.directory / "data"
        ports = Ports.free(workers=self._wanted)
        planned = plan(data, ports=ports, environ=environ)
        mine = [replace(spec, restart=FOR_EVER, argv=[*spec.argv, *TOLD.get(spec.name, ())]) for spec in planned.specs]
        names = [f"worker-{number}" for number in range(self._wanted)]
        self.base = Stack(
            [spec for spec in mine if spec.name not in names], data, planned.environment, facts=planned.facts
        )
        exits.enter_context(self.base)
        self.base.wait_ready(DEADLINE_S)
        self.workers = [
            self._worker(exits, next(spec for spec in mine if spec.name == name), planned.environment, port=port)
            for name, port in zip(names, ports.workers, strict=True)
        ]
        self._twins = {worker.name: self._twin(exits, worker.name, planned.environment) for worker in self.workers}
        reached = reach(data, environ)
        self.read = environment.read(reached)
        self.simulator = f"http://127.0.0.1:{ports.simulator}"
        self.warehouse: Client = connect(self.read.warehouse, wait_s=60)
        exits.callback(self.warehouse.close)
        for worker in self.workers:
            worker.start()
        self.heal()

    def _worker(self, exits: contextlib.ExitStack, spec: ProcessSpec, environ: dict[str, str], *, port: int) -> Worker:
        found = Worker(replace(spec, after=[]), self.directory / "supervisors" / spec.name, environ, port=port)
        exits.callback(found.stop, hurry=True)
        return found

    def _twin(self, exits: contextlib.ExitStack, name: str, environ: dict[str, str]) -> Worker:
        """The same instance as a worker, as if started on another machine: its own disk and port."""
        ports = Ports.free(workers=len(self.workers))
        elsewhere = plan(self.directory / "elsewhere", ports=ports, environ=environ)
        number = int(name.removeprefix("worker-"))
        spec = next(spec for spec in elsewhere.specs if spec.name == name)
        twin = Worker(
            replace(spec, after=[], restart=FOR_EVER),
            self.directory / "supervisors" / f"{name}-twin",
            environ,
            port=ports.workers[number],
        )
        exits.callback(twin.stop, hurry=True)
        return twin

    def twin(self, worker: Worker) -> Worker:
        """The worker's double, which claims the same identity."""
        return self._twins[worker.name]

    # What faults are made of

    def processes(self) -> Iterator[tuple[str, Process]]:
        """Everything that runs under a supervisor now, by name."""
        for name in ("broker", "warehouse", "simulator", "gateway", "landing"):
            if name != "broker" or self.cluster is None:
                yield name, self.base.process(name)
        for worker in self.up():
            yield worker.name, worker.process

    def up(self) -> list[Worker]:
        """Workers that are started."""
        return [worker for worker in self.workers if worker.stack is not None]

    def signal(self, name: str, number: signal.Signals) -> int:
        """Send a process a signal once it runs; the pid that got it."""
        process = dict(self.processes())[name]
        end = time.monotonic() + DEADLINE_S
        while True:
            try:
                return process.kill(number)
            except Exception as error:
                if time.monotonic() > end:
                    raise Stuck(f"{name} does not run: {error}") from error
                time.sleep(0.1)

    def others_took_over(self, worker: Worker) -> bool:
        """Whether the other workers run every partition of every task."""
        others = [other for other in self.up() if other is not worker]
        return all(sum(other.running(task) for other in others) >= self.partitions for task in TASKS)

    def wait(self, fact: Callable[[], object], what: str, *, deadline_s: float = DEADLINE_S) -> None:
        """Wait for a fact. Raises `Stuck`, or `Broken` when meanwhile something happens that never may."""
        end = time.monotonic() + deadline_s
        while not fact():
            self.look()
            if time.monotonic() > end:
                raise Stuck(f"waited {deadline_s:.0f} s in vain: {what}\n{self.describe()}")
            time.sleep(0.2)

    def look(self) -> None:
        """Raise `Broken` for a stack that failed, or a partition that stopped at a record."""
        for stack in (self.base, *(worker.stack for worker in self.workers)):
            if stack is not None and stack.failure is not None:
                raise Broken(f"the supervisor gave up: {stack.failure}")
        for worker in self.up():
            for task in worker.health().get("tasks", []):
                for part in task["partitions"]:
                    if part["stopped_reason"]:
                        raise Broken(
                            f"{worker.name} stopped {task['task']}[{part['partition']}]: {part['stopped_reason']}"
                        )

    def heal(self) -> None:
        """Wait until everything runs and the workers run every partition."""
        for worker in self.workers:
            worker.start()
        self.wait(lambda: all(process.status.is_up for _, process in self.processes()), "every process is ready")
        self.wait(self._all_run, "every partition runs")

    def _all_run(self) -> bool:
        return all(sum(worker.running(task) for worker in self.up()) >= self.partitions for task in TASKS)

    def lag(self) -> Counter[str]:
        """Records that each task has not taken yet, as the workers know."""
        found: Counter[str] = Counter()
        for worker in self.up():
            for task in worker.health().get("tasks", []):
                found[task["task"]] += task["lag"]
        return found

    def restarts(self) -> int:
        """Starts after the first, of every process."""
        base = sum(process.restarts for name, process in self.processes() if not name.startswith("worker"))
        running = sum(worker.process.restarts for worker in self.up())
        return base + running + sum(worker.restarts for worker in (*self.workers, *self._twins.values()))

    def describe(self) -> str:
        """Where everything stands, for a person."""
        lines = [f"{name}: {process.status.state} pid {process.pid}" for name, process in self.processes()]
        for worker in self.up():
            lines += [
                f"{worker.name} {task['task']}: {task['state']}, {task['last_error']}, "
                + " ".join(f"{part['partition']}={part['phase']}@{part['positions']}" for part in task["partitions"])
                for task in worker.health().get("tasks", [])
            ]
        return "\n".join(lines)
