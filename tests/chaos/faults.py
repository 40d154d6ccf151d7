"""
The faults that chaos knows. Each is done to a field, says in words what it did, and leaves everything started again.

A fault waits for facts (a zombie's partitions are taken over, an armed point has tripped), never for time alone; the
few sleeps choose the moment of the next blow.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from streams.runtime.faults import FAULT_POINTS
from tests.chaos.field import DEADLINE_S, Field, Worker

FREEZE_S = (2.0, 12.0)
# An armed point that isn't passed by then (nothing is revoked, say) is given up.
TRIP_S = 45.0
FENCE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of fault. `weight`: how often it is drawn; `workers`: how many it needs; `brokers`: with how many it makes sense."""

    name: str
    run: Callable[[Field, random.Random], str]
    weight: int = 4
    workers: int = 1
    single_broker: bool = True
    cluster: bool = True

    def possible(self, field: Field) -> bool:
        """Whether this field can suffer it."""
        return len(field.workers) >= self.workers and (self.cluster if field.cluster else self.single_broker)


def _any_worker(field: Field, chance: random.Random) -> Worker:
    return chance.choice(field.workers)


def _sigterm(field: Field, chance: random.Random) -> str:
    worker = _any_worker(field, chance)
    worker.stop()
    worker.start()
    return f"{worker.name} stopped in order and started"


def _kill(name: str) -> Callable[[Field, random.Random], str]:
    def run(field: Field, chance: random.Random) -> str:
        chosen = _any_worker(field, chance).name if name == "worker" else name
        return f"kill -9 {chosen} (pid {field.signal(chosen, signal.SIGKILL)})"

    return run


def _freeze(name: str) -> Callable[[Field, random.Random], str]:
    def run(field: Field, chance: random.Random) -> str:
        seconds = chance.uniform(*FREEZE_S)
        pid = field.signal(name, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            field.signal(name, signal.SIGCONT)
        return f"{name} (pid {pid}) frozen for {seconds:.1f} s"

    return run


def _zombie(field: Field, chance: random.Random) -> str:
    """Stopped until the others have everything that it had; then it wakes with its open batch and must lose it."""
    worker = _any_worker(field, chance)
    pid = worker.process.pid
    seconds = _asleep(field, worker)
    return f"{worker.name} (pid {pid}) stopped for {seconds:.1f} s, taken over, woken"


def _twin(field: Field, chance: random.Random) -> str:
    """Stopped until a second process of the same identity works elsewhere; then the first wakes and must be fenced."""
    worker = _any_worker(field, chance)
    twin = field.twin(worker)
    twin.wipe()
    pid = field.signal(worker.name, signal.SIGSTOP)
    try:
        twin.start()
        field.wait(lambda: twin.health().get("ready"), f"the twin of the stopped {worker.name} is ready")
    finally:
        field.signal(worker.name, signal.SIGCONT)
    end = time.monotonic() + FENCE_S
    while worker.process.pid == pid and time.monotonic() < end:
        time.sleep(0.2)
    ended = worker.process.status.last_exit if worker.process.pid != pid else "still waiting"
    twin.stop()
    return f"{worker.name} (pid {pid}) stopped, replaced by a twin, woken: {ended}"


def _scale(field: Field, chance: random.Random) -> str:
    stay = _any_worker(field, chance)
    gone = [worker for worker in field.workers if worker is not stay]
    stopping = [threading.Thread(target=worker.stop) for worker in gone]
    for thread in stopping:
        thread.start()
    for thread in stopping:
        thread.join()
    field.wait(lambda: field.others_took_over(gone[0]), f"{stay.name} runs every partition alone")
    for worker in gone:
        worker.start()
    return f"scaled {len(field.workers)} → 1 → {len(field.workers)}, {stay.name} stayed"


def _broker_and_worker(field: Field, chance: random.Random) -> str:
    worker = _any_worker(field, chance)
    pids = [field.signal(name, signal.SIGKILL) for name in ("broker", worker.name)]
    return f"kill -9 broker (pid {pids[0]}) and {worker.name} (pid {pids[1]}) at once"


def _double(field: Field, chance: random.Random) -> str:
    names = chance.sample([name for name, _ in field.processes()], 2)
    pids = [field.signal(name, signal.SIGKILL) for name in names]
    return f"kill -9 {names[0]} (pid {pids[0]}) and {names[1]} (pid {pids[1]}) at once"


def _wipe(field: Field, chance: random.Random) -> str:
    worker = _any_worker(field, chance)
    field.signal(worker.name, signal.SIGKILL)
    worker.stop(hurry=True)
    worker.wipe()
    worker.start()
    return f"kill -9 {worker.name}, its state directory deleted"


def _kill_in_restore(field: Field, chance: random.Random) -> str:
    """Twice in the middle of an empty disk's restore; the third start must still find its way."""
    worker = _any_worker(field, chance)
    worker.stop(hurry=True)
    worker.wipe()
    worker.start(fault="during_restore:kill:1")
    tripped = _tripped(worker, "during_restore", times=2)
    worker.stop(hurry=True)
    worker.start()
    return f"{worker.name} on an empty disk, killed during its restore {tripped} times"


def _point(field: Field, chance: random.Random) -> str:
    """A named point, with an action of its own, in one worker; provoked where mere work does not pass it."""
    worker = _any_worker(field, chance)
    point, action = chance.choice(list(FAULT_POINTS)), chance.choice(("kill", "stop", "raise", "fatal", "hang"))
    nth = 1 if point in _NOT_FROM_WORK or point in _AT_START else chance.randrange(1, 8)
    worker.stop()
    if "restore" in point:
        worker.wipe()
    worker.start(fault=f"{point}:{action}:{nth}")
    if point in _NOT_FROM_WORK:
        field.wait(lambda: worker.said("ready: partitions") or worker.said("trips"), f"{worker.name} works")
        if point == "on_lost_before_close" and len(field.workers) > 1:
            _asleep(field, worker)
        else:
            worker.process.kill(signal.SIGTERM)
    tripped = _tripped(worker, point, times=1)
    if tripped and action == "stop" and len(field.workers) > 1:
        field.wait(
            lambda: field.others_took_over(worker), f"the others take over from {worker.name}, stopped at {point}"
        )
    worker.stop(hurry=action in ("stop", "hang"))
    worker.start()
    return f"{worker.name}: {point}:{action}:{nth}, tripped {tripped} times"


# Passed when partitions are given or taken, not with each batch.
_AT_START = frozenset({"after_assign", "during_restore", "after_restore"})
_NOT_FROM_WORK = frozenset({"on_revoke_before_close", "on_lost_before_close", "before_leave"})


def _asleep(field: Field, worker: Worker) -> float:
    """Stopped until the others have everything; how long that took, in seconds."""
    begun = time.monotonic()
    field.signal(worker.name, signal.SIGSTOP)
    try:
        field.wait(lambda: field.others_took_over(worker), f"the others take over from the stopped {worker.name}")
    finally:
        field.signal(worker.name, signal.SIGCONT)
    return time.monotonic() - begun


def _tripped(worker: Worker, point: str, *, times: int) -> int:
    """How often the point has tripped since the worker was started, after some patience."""
    end = time.monotonic() + TRIP_S
    while (found := worker.said(f"fault point {point} trips")) < times and time.monotonic() < end:
        time.sleep(0.2)
    return found


def _broker_of_cluster(how: str) -> Callable[[Field, random.Random], str]:
    def run(field: Field, chance: random.Random) -> str:
        cluster = field.cluster
        assert cluster is not None
        number = chance.choice(cluster.numbers)
        pid = cluster.pid(number)
        if how == "kill":
            cluster.kill_broker(number)
        else:
            cluster.stop_broker(number)
        time.sleep(chance.uniform(*FREEZE_S))
        cluster.start_broker(number, deadline_s=DEADLINE_S)
        return f"{'kill -9' if how == 'kill' else 'stopped'} broker {number} of the cluster (pid {pid}), started again"

    return run


KINDS: tuple[Kind, ...] = (
    Kind(name="worker sigterm", run=_sigterm),
    Kind(name="worker kill", run=_kill("worker"), weight=10),
    Kind(name="gateway kill", run=_kill("gateway")),
    Kind(name="landing kill", run=_kill("landing")),
    Kind(name="warehouse kill", run=_kill("warehouse"), weight=3),
    Kind(name="simulator kill", run=_kill("simulator"), weight=2),
    Kind(name="broker kill", run=_kill("broker"), weight=6, cluster=False),
    Kind(name="broker freeze", run=_freeze("broker"), weight=3, cluster=False),
    Kind(name="gateway freeze", run=_freeze("gateway"), weight=2),
    Kind(name="landing freeze", run=_freeze("landing"), weight=2),
    Kind(name="worker zombie", run=_zombie, weight=6, workers=2),
    Kind(name="worker twin", run=_twin, weight=4),
    Kind(name="scale", run=_scale, weight=3, workers=2),
    Kind(name="double kill", run=_double, weight=5),
    Kind(name="broker and worker kill", run=_broker_and_worker, weight=2, cluster=False),
    Kind(name="state deleted", run=_wipe, weight=4),
    Kind(name="kill during restore", run=_kill_in_restore, weight=3),
    Kind(name="fault point", run=_point, weight=10),
    Kind(name="cluster broker kill", run=_broker_of_cluster("kill"), weight=10, single_broker=False),
    Kind(name="cluster broker stop", run=_broker_of_cluster("stop"), weight=4, single_broker=False),
)
BY_NAME = {kind.name: kind for kind in KINDS}


def ladder(field: Field, chance: random.Random) -> Kind:
    """The next fault."""
    possible = [kind for kind in KINDS if kind.possible(field)]
    return chance.choices(possible, weights=[kind.weight for kind in possible])[0]
