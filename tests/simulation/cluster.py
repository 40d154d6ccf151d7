"""The application on the simulated machines: workers that run its three tasks, and the supervisor that starts them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from schemas import catalogue, codec
from schemas.records import Tenant
from streams.agents import intake as intaking
from streams.agents import lifecycle as living
from streams.agents import settlement as settling
from streams.runtime import Fatal, GlobalTable, Record, Task, TaskConfig
from streams.runtime.batch import Handler, Rejection
from tests.history import Recorder
from tests.simulation.clients import SimClients
from tests.simulation.disk import Disk, SimStores
from tests.simulation.network import Network
from tests.simulation.scheduler import Crash, Process, SimClock, World

if TYPE_CHECKING:
    from collections.abc import Sequence

APPLICATION = "clearline"

# Time-outs a fifth of the real ones, so that a short run sees many of them; their order is the same.
SESSION_TIMEOUT_MS = 2_000
TRANSACTION_TIMEOUT_MS = 3_000
CALL_TIMEOUT_MS = 2_000
BATCH_TIMEOUT_MS = 1_000
POLL_INTERVAL_MAX_MS = 9_000
POLL_TIMEOUT_MS = 800
TOMBSTONE_RETENTION_MS = 60_000
FAILURES_IN_A_ROW_MAX = 8

RESTART_MS_MAX = 1_500

REPLY_PARTITIONS = 2


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """A runtime on trial: the real one, or one that is known to be bad."""

    name: str = "real"
    task: type[Task] = Task
    clients: type[SimClients] = SimClients


class TaskSpec(msgspec.Struct, frozen=True):
    """One of the application's tasks, as `streams.app` defines it."""

    name: str
    source: str
    changelog: str | None
    rejection: Rejection
    tables: Callable[[], Sequence[GlobalTable[Tenant]]]
    handler: Callable[[Sequence[GlobalTable[Tenant]], SimClock, int], Handler]


def _tenant(record: Record) -> Tenant:
    message = codec.decode(record.value, expected=(Tenant,))
    assert isinstance(message, Tenant)
    return message


SPECS: tuple[TaskSpec, ...] = (
    TaskSpec(
        "intake",
        catalogue.PAYMENT_INTENTS.name,
        catalogue.INTAKE_CHANGELOG.name,
        intaking.reject,
        lambda: (GlobalTable(catalogue.TENANTS.name, _tenant),),
        lambda tables, clock, _: intaking.Intake(tenants=tables[0], clock=clock),
    ),
    TaskSpec(
        "lifecycle",
        catalogue.PAYMENTS_INPUTS.name,
        catalogue.LIFECYCLE_CHANGELOG.name,
        living.reject,
        tuple,
        lambda _tables, _clock, partitions: living.Lifecycle(partitions=partitions, reply_partitions=REPLY_PARTITIONS),
    ),
    TaskSpec(
        "settlement",
        catalogue.SETTLEMENT_INPUTS.name,
        catalogue.SETTLEMENT_CHANGELOG.name,
        settling.reject,
        tuple,
        lambda _tables, _clock, partitions: settling.Settlement(
            partitions=partitions, reply_partitions=REPLY_PARTITIONS
        ),
    ),
)


class Machine:
    """A place for one worker instance: its disk, and the supervisor that keeps a process running there."""

    def __init__(self, cluster: Cluster, instance: str, *, number: int) -> None:
        self.cluster, self.instance, self.number = cluster, instance, number
        self.disk = Disk()
        self.process: Process | None = None
        self.tasks: dict[str, Task] = {}
        self.wanted = False
        self._lives = 0
        self._leaving = False
        self._left = 0

    def start(self) -> None:
        """Start the worker, if it is wanted and doesn't run."""
        if not self.wanted or (self.process is not None and self.process.alive):
            return
        world = self.cluster.world
        self._lives += 1
        self._leaving, self._left = False, 0
        self.process = process = Process(world, f"{self.instance}@{self.number}.{self._lives}")
        self.tasks = {}
        world.note(f"{process.name} starts")
        process.on_death.append(self._died)
        for spec in SPECS:
            world.spawn(process, spec.name, self._body(process, spec))

    def _died(self) -> None:
        if self.wanted:
            world = self.cluster.world
            world.after(50 + world.random.randrange(RESTART_MS_MAX), self.start)

    def stop(self) -> None:
        """SIGTERM: finish the batch in hand, leave."""
        self._leaving = True

    def _body(self, process: Process, spec: TaskSpec) -> Callable[[], None]:
        def run() -> None:
            task = self._make(process, spec)
            self.tasks[spec.name] = task
            try:
                while not self._leaving:
                    task.step()
            except Fatal as fatal:
                self.cluster.fatal(process, spec.name, fatal)
                self._close(task)
                process.kill()
            self._close(task)
            self._left += 1
            if self._left == len(SPECS):
                process.kill()

        return run

    def _close(self, task: Task) -> None:
        """As the Faust shell does: what fails while closing doesn't keep the process from ending."""
        try:
            task.close()
        except Exception as error:
            self.cluster.world.note(f"closing {task.config.name}: {error}")

    def _make(self, process: Process, spec: TaskSpec) -> Task:
        cluster = self.cluster
        config = TaskConfig(
            name=spec.name,
            application=APPLICATION,
            instance=self.instance,
            sources=(spec.source,),
            changelog=spec.changelog,
            rejected=catalogue.RECORDS_REJECTED.name,
            state_directory=Path("state"),
            batch_records_max=cluster.batch_records_max,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            call_timeout_ms=CALL_TIMEOUT_MS,
            batch_timeout_ms=BATCH_TIMEOUT_MS,
            poll_interval_max_ms=POLL_INTERVAL_MAX_MS,
            poll_timeout_ms=POLL_TIMEOUT_MS,
            failures_in_a_row_max=FAILURES_IN_A_ROW_MAX,
            tombstone_retention_ms=TOMBSTONE_RETENTION_MS,
        )
        tables = spec.tables()
        handler = spec.handler(tables, cluster.clock, cluster.partitions)
        return cluster.engine.task(
            config,
            lambda batch: batch.run(handler),
            clients=cluster.engine.clients(config, process, cluster.network, cluster.recorder),
            stores=SimStores(self.disk, spec.name, process),
            clock=cluster.clock,
            rejection=spec.rejection,
            tables=tables,
        )


class Cluster:
    """All machines."""

    def __init__(
        self,
        world: World,
        network: Network,
        recorder: Recorder,
        engine: Engine,
        *,
        machines: int,
        partitions: int,
        batch_records_max: int,
    ) -> None:
        self.world, self.network, self.recorder, self.engine = world, network, recorder, engine
        self.clock = SimClock(world)
        self.partitions, self.batch_records_max = partitions, batch_records_max
        self.machines = [Machine(self, f"worker-{number}", number=number) for number in range(machines)]
        self.fatals: list[str] = []

    def fatal(self, process: Process, task: str, failure: Fatal) -> None:
        """A worker ends; its supervisor starts another."""
        self.world.note(f"{process.name}/{task} ends: {type(failure).__name__}")
        self.fatals.append(f"{type(failure).__name__}: {failure}")
        self.network.broker.counted(f"worker ended by {type(failure).__name__}")

    @property
    def processes(self) -> list[Process]:
        """Those alive."""
        return [machine.process for machine in self.machines if machine.process is not None and machine.process.alive]

    def stopped(self) -> list[str]:
        """Partitions that wait for a person."""
        return [
            f"{machine.instance}/{name}[{part.partition}]: {part.stopped_reason}"
            for machine in self.machines
            for name, task in machine.tasks.items()
            for part in task.status().partitions
            if part.stopped_reason is not None
        ]


__all__ = ["APPLICATION", "SPECS", "Cluster", "Crash", "Engine", "Machine", "TaskSpec"]
