"""What goes wrong: crashes, pauses, power cuts, bad disks, cut networks, a broker that is away, twins of a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from schemas import catalogue
from streams.runtime import faults
from streams.runtime.errors import Abortable, Fatal
from tests.simulation.broker import Broker
from tests.simulation.cluster import SESSION_TIMEOUT_MS, Cluster, Machine
from tests.simulation.network import TROUBLES, Network, Profile
from tests.simulation.scheduler import World

POINT_ACTIONS = ("crash", "pause", "raise", "fatal", "hang")

# Leaders whose lateness matters most: those of changelogs, and of the groups' offsets.
SLOW_TOPICS = (catalogue.LIFECYCLE_CHANGELOG.name, catalogue.SETTLEMENT_CHANGELOG.name, "group")

# A pause that others notice: the session has ended and partitions have moved.
LONG_PAUSE_MS = 3 * SESSION_TIMEOUT_MS


def profile_of(random: Random) -> Profile:
    """This run's kinds of trouble: a few at a time find more than all at once."""
    nemesis = tuple(name for name in ACTIONS if random.random() < 0.45)
    return Profile(
        trouble_share=random.choice((0.0, 0.01, 0.04, 0.1)),
        troubles=tuple(name for name in TROUBLES if random.random() < 0.6),
        slow_marker_share=random.choice((0.0, 0.05, 0.3)),
        slow_marker_topic=random.choice(("", "", *SLOW_TOPICS)),
        point_share=random.choice((0.0, 0.01, 0.04)),
        point_actions=tuple(name for name in POINT_ACTIONS if random.random() < 0.6),
        again_share=random.choice((0.0, 0.0, 0.05)),
        nemesis=nemesis,
        nemesis_every_ms=random.choice((1_500, 3_000, 5_000)),
    )


class Nemesis:
    """Strikes at random moments until its time is over."""

    def __init__(self, world: World, broker: Broker, network: Network, cluster: Cluster, *, until_ms: int) -> None:
        self.world, self.broker, self.network, self.cluster = world, broker, network, cluster
        self.profile = network.profile
        self.until_ms = until_ms
        self.twins: list[Machine] = []
        if self.profile.nemesis:
            self._plan()

    def _plan(self) -> None:
        self.world.after(1 + self.world.random.randrange(2 * self.profile.nemesis_every_ms), self._strike)

    def _strike(self) -> None:
        if self.world.now_ms >= self.until_ms:
            return
        name = self.world.random.choice(self.profile.nemesis)
        ACTIONS[name](self)
        self._plan()

    def _did(self, fault: str, what: str = "") -> None:
        self.broker.counted(fault)
        self.world.note(f"nemesis: {fault} {what}")

    def _machine(self) -> Machine | None:
        running = [one for one in self.cluster.machines if one.process is not None and one.process.alive]
        return self.world.random.choice(running) if running else None

    def crash(self) -> None:
        """kill -9."""
        if (machine := self._machine()) is not None and machine.process is not None:
            self._did("crash", machine.instance)
            machine.process.kill()

    def power_cut(self) -> None:
        """The machine is off: what was not written out is gone."""
        if (machine := self._machine()) is not None and machine.process is not None:
            writes = self.world.random.randrange(6)
            self._did("power cut", f"{machine.instance} takes back {writes}")
            machine.process.kill()
            machine.disk.power_cut(writes)

    def wipe(self) -> None:
        """The worker comes back on an empty disk."""
        if (machine := self._machine()) is not None and machine.process is not None:
            self._did("disk lost", machine.instance)
            machine.process.kill()
            machine.disk.wipe()

    def damage(self) -> None:
        """Some store can't be read any more, at once or when it is opened again."""
        machine = self._machine()
        if machine is None or not machine.disk.files:
            return
        pair = self.world.random.choice(sorted(machine.disk.files))
        how = self.world.random.choice(("reads", "opens"))
        self._did("store damaged", f"{machine.instance} {pair} {how}")
        machine.disk.files[pair].damaged = how

    def disk_full(self) -> None:
        """Nothing can be written for a while."""
        if (machine := self._machine()) is not None:
            self._did("disk full", machine.instance)
            machine.disk.full = True
            self.world.after(500 + self.world.random.randrange(2_000), lambda: setattr(machine.disk, "full", False))

    def pause(self) -> None:
        """SIGSTOP, and SIGCONT after others have taken over, or before."""
        if (machine := self._machine()) is not None and machine.process is not None:
            duration_ms = self.world.random.randrange(LONG_PAUSE_MS)
            self._did("pause", f"{machine.instance} {duration_ms} ms")
            machine.process.paused_until_ms = self.world.now_ms + duration_ms

    def cut(self) -> None:
        """A worker reaches nobody."""
        if (machine := self._machine()) is not None and machine.process is not None:
            duration_ms = self.world.random.randrange(LONG_PAUSE_MS)
            self._did("network cut", f"{machine.instance} {duration_ms} ms")
            machine.process.cut_until_ms = self.world.now_ms + duration_ms

    def broker_down(self) -> None:
        """Nobody reaches the broker."""
        duration_ms = self.world.random.choice((100, 1_000, 4_000))
        self._did("broker down", f"{duration_ms} ms")
        self.broker.down_until_ms = self.world.now_ms + duration_ms

    def coordinator_moves(self) -> None:
        """Coordinators change their machine."""
        self._did("coordinator moves")
        self.broker.moving_until_ms = self.world.now_ms + self.world.random.choice((50, 500, 2_500))

    def coordinator_forgets(self) -> None:
        """The groups' coordinator answers before it has read its log: no offsets, or old ones, and none that is unstable."""
        self._did("coordinator forgets")
        self.broker.forgetful_until_ms = self.world.now_ms + self.world.random.choice((500, 3_000, 10_000))

    def scale(self) -> None:
        """A worker is stopped properly, and wanted again later."""
        machine = self.world.random.choice(self.cluster.machines)
        self._did("scaled", f"{machine.instance} {'down' if machine.wanted else 'up'}")
        if machine.wanted:
            machine.wanted = False
            machine.stop()
        else:
            machine.wanted = True
            machine.start()

    def twin(self) -> None:
        """Somebody starts a second worker under the same instance name, elsewhere."""
        machine = self.world.random.choice(self.cluster.machines)
        twin = Machine(self.cluster, machine.instance, number=10 + len(self.twins))
        self._did("twin", machine.instance)
        self.twins.append(twin)
        twin.wanted = True
        twin.start()
        self.world.after(200 + self.world.random.randrange(3_000), lambda: self._end_twin(twin))

    @staticmethod
    def _end_twin(twin: Machine) -> None:
        twin.wanted = False
        if twin.process is not None:
            twin.process.kill()

    def compact(self) -> None:
        """The log cleaner runs."""
        self._did("cleaner runs")
        self.broker.compact()

    def heal(self) -> None:
        """From now on nothing fails."""
        self.network.healed = True
        self.until_ms = 0
        self.broker.down_until_ms = self.broker.moving_until_ms = self.broker.forgetful_until_ms = 0
        self.broker.slow_marker_share = 0.0
        for twin in self.twins:
            self._end_twin(twin)
        for machine in self.cluster.machines:
            machine.disk.full = False
            if machine.process is not None:
                machine.process.paused_until_ms = min(machine.process.paused_until_ms, self.world.now_ms)
                machine.process.cut_until_ms = 0
            if not machine.wanted:
                machine.wanted = True
                machine.start()
        self.world.note("healed")

    # Fault points

    def at_point(self, name: str) -> None:
        """Instead of the environment, the seed decides what happens at a fault point."""
        random, profile, world = self.world.random, self.profile, self.world
        actor = world.current
        if actor is None or not actor.process.alive:
            return
        if self.network.healed or not profile.point_actions or random.random() >= profile.point_share:
            return
        action = random.choice(profile.point_actions)
        self.broker.counted(f"{action} at {name}")
        world.note(f"{actor.process.name}/{actor.name} {action} at {name}")
        if action == "crash":
            actor.process.kill()
        elif action == "raise":
            raise Abortable(f"simulated at {name}")
        elif action == "fatal":
            raise Fatal(f"simulated at {name}")
        elif action == "hang":
            # This line alone waits, its process goes on, as with a disk that does not answer.
            world.sleep(random.randrange(LONG_PAUSE_MS))
        else:
            actor.process.paused_until_ms = world.now_ms + random.randrange(LONG_PAUSE_MS)
            world.sleep(0)


ACTIONS: dict[str, Callable[[Nemesis], None]] = {
    "crash": Nemesis.crash,
    "power cut": Nemesis.power_cut,
    "wipe": Nemesis.wipe,
    "damage": Nemesis.damage,
    "disk full": Nemesis.disk_full,
    "pause": Nemesis.pause,
    "cut": Nemesis.cut,
    "broker down": Nemesis.broker_down,
    "coordinator moves": Nemesis.coordinator_moves,
    "coordinator forgets": Nemesis.coordinator_forgets,
    "scale": Nemesis.scale,
    "twin": Nemesis.twin,
    "compact": Nemesis.compact,
}


@contextmanager
def fault_points(nemesis: Nemesis) -> Iterator[None]:
    """Let the runtime's fault points ask the nemesis while a run lasts."""
    trip = faults._trip
    faults.disarm()
    faults._armed["simulation"] = []
    faults._trip = nemesis.at_point  # type: ignore[assignment]
    try:
        yield
    finally:
        faults._trip = trip
        faults.disarm()
