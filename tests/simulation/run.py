"""One run: a seed makes a world, things go wrong in it, and then it is looked at."""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Literal

import msgspec

from schemas import catalogue
from tests.history import Recorder
from tests.simulation import checks
from tests.simulation.broker import SLOW_MARKER_MS_MAX, Broker
from tests.simulation.checks import Violation
from tests.simulation.cluster import (
    APPLICATION,
    CALL_TIMEOUT_MS,
    REPLY_PARTITIONS,
    SPECS,
    TRANSACTION_TIMEOUT_MS,
    Cluster,
    Engine,
)
from tests.simulation.nemesis import Nemesis, fault_points, profile_of
from tests.simulation.network import LATE_MS_MAX, Network
from tests.simulation.provider import Gateway
from tests.simulation.scheduler import Stuck, World
from tests.simulation.traffic import Traffic

Mode = Literal["safety", "liveness", "both"]

# How long things go wrong, and how long everything may take to drain once nothing does.
TROUBLE_MS = (8_000, 14_000, 20_000)
DRAIN_MS = 60_000
# With nobody alive: the latest request arrives, the transaction that it may begin times out, markers are written.
SETTLE_MS = CALL_TIMEOUT_MS + LATE_MS_MAX + TRANSACTION_TIMEOUT_MS + 2 * SLOW_MARKER_MS_MAX + 1_000

PAYMENTS_MAX = 14
CONFIGURED_MS = 20
READER_POLL_MS = 900

_UNIQUE = (
    catalogue.PAYMENT_INTENTS.name,
    catalogue.PAYMENTS_INPUTS.name,
    catalogue.PAYMENTS_EVENTS.name,
    catalogue.PROVIDER_REQUESTS.name,
    catalogue.PAYMENTS_REPLIES.name,
    catalogue.SETTLEMENT_INPUTS.name,
    catalogue.SETTLEMENT_EVENTS.name,
    catalogue.RECORDS_REJECTED.name,
)
_READ = (
    catalogue.PAYMENTS_EVENTS.name,
    catalogue.PROVIDER_REQUESTS.name,
    catalogue.PAYMENTS_REPLIES.name,
    catalogue.SETTLEMENT_EVENTS.name,
    catalogue.RECORDS_REJECTED.name,
)


class Result(msgspec.Struct, kw_only=True):
    """What a run came to."""

    seed: int
    mode: Mode
    digest: str
    failure: str = ""
    faults: Counter[str]
    counts: Counter[str]
    records: int = 0
    events: int = 0
    virtual_ms: int = 0
    lines: list[str] = []


class Run:
    """The world of one seed."""

    def __init__(
        self,
        seed: int,
        *,
        mode: Mode = "both",
        engine: Engine | None = None,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.seed = seed
        shape = Random(seed ^ 0x5EED)
        chosen: Mode = shape.choice(
            ("safety", "liveness")
        )  # drawn always: a seed is the same run whoever names its mode
        self.mode: Mode = chosen if mode == "both" else mode
        self.world = world = World(seed, trace=trace)
        profile = profile_of(shape)
        partitions = shape.choice((1, 2, 2, 3))
        self.until_ms = shape.choice(TROUBLE_MS)
        world.note(f"seed {seed} {self.mode} {partitions} partitions {profile}")
        self.broker = Broker(
            world, slow_marker_share=profile.slow_marker_share, slow_marker_topic=profile.slow_marker_topic
        )
        for topic in catalogue.CATALOGUE:
            count = 1 if topic.partitions == 1 else partitions
            if topic.name == catalogue.PAYMENTS_REPLIES.name:
                count = REPLY_PARTITIONS
            self.broker.create(topic.name, count, compacted=topic.cleanup == "compact")
        self.recorder = Recorder(_UNIQUE)
        self.network = Network(world, self.broker, profile)
        self.cluster = Cluster(
            world,
            self.network,
            self.recorder,
            engine or Engine(),
            machines=shape.choice((1, 2, 2, 3)),
            partitions=partitions,
            batch_records_max=shape.choice((1, 3, 10)),
        )
        self.gateway = Gateway(world, self.broker, self.recorder)
        self.traffic = Traffic(
            world, self.broker, self.recorder, payments=1 + shape.randrange(PAYMENTS_MAX), until_ms=self.until_ms
        )
        self.nemesis = Nemesis(world, self.broker, self.network, self.cluster, until_ms=self.until_ms)
        self.regressions: list[str] = []
        self.broker.on_offset.append(self._offset)
        self._read: dict[tuple[str, int], int] = {}
        world.after(READER_POLL_MS, self._read_on)

    def _offset(self, group: str, pair: tuple[str, int], before: int | None, after: int) -> None:
        if before is not None and after < before:
            self.regressions.append(f"{group} {pair} from {before} to {after}")

    def _read_on(self) -> None:
        """A reader downstream, who reads committed."""
        self._poll_outputs()
        self.world.after(READER_POLL_MS, self._read_on)

    def _poll_outputs(self) -> None:
        for topic in _READ:
            for log in self.broker.topics[topic].partitions:
                pair = topic, log.number
                records, self._read[pair] = log.read(self._read.get(pair, 0), self.world.now_ms, records_max=10_000)
                if records:
                    self.recorder.polled("downstream", records)

    def play(self) -> Counter[str]:
        """Let it happen, then check. Raises what is wrong."""
        with fault_points(self.nemesis):
            try:
                self.traffic.configure()
                # Tenants are known before the first payment: a table may be 200 ms behind its topic.
                self.world.run_until(CONFIGURED_MS)
                for machine in self.cluster.machines:
                    machine.wanted = True
                    machine.start()
                self.world.run_until(self.until_ms)
                if self.mode == "liveness":
                    self._heal_and_drain()
                self._end()
            finally:
                self._bury()
        machines = [*self.cluster.machines, *self.nemesis.twins]
        evidence = checks.gather(
            self.broker,
            self.cluster,
            self.gateway,
            recorder=self.recorder,
            regressions=self.regressions,
            machines=machines,
            drained=self.mode == "liveness",
        )
        return checks.run_all(evidence)

    def _heal_and_drain(self) -> None:
        world = self.world
        self.nemesis.heal()
        if not world.run_until(world.now_ms + DRAIN_MS, until=self._drained):
            raise Violation(f"liveness: {DRAIN_MS} ms after everything was healed, {self._remains()}")
        self.traffic.close_windows()
        if not world.run_until(world.now_ms + DRAIN_MS, until=self._drained):
            raise Violation(f"liveness: the last windows did not close: {self._remains()}")

    def _drained(self) -> bool:
        return (
            not self.traffic.due
            and self.gateway.idle()
            and not self.broker.transactions.dangling
            and not self._behind()
        )

    def _behind(self) -> dict[str, int]:
        behind = {}
        for spec in SPECS:
            offsets = self.broker.groups.group(f"{APPLICATION}-{spec.name}").offsets
            for log in self.broker.topics[spec.source].partitions:
                end = offsets.get((spec.source, log.number), 0)
                waiting = sum(entry.record is not None and not entry.aborted for entry in log.entries[end:])
                if waiting:
                    behind[f"{spec.source}[{log.number}]"] = waiting
        return behind

    def _remains(self) -> str:
        return (
            f"behind {self._behind()}, open {self.broker.transactions.dangling}, requests due {self.gateway.due}, "
            f"workers ended by {self.cluster.fatals[-2:]}, stopped {self.cluster.stopped()[:2]}"
        )

    def _end(self) -> None:
        """Everybody dies; what they left open is ended by the broker."""
        stopped = self.cluster.stopped()
        self.network.healed = True
        self.broker.down_until_ms = self.broker.moving_until_ms = 0
        self._bury()
        self.world.run_until(self.world.now_ms + SETTLE_MS)
        self._poll_outputs()
        for topic in _READ:
            for log in self.broker.topics[topic].partitions:
                self.recorder.read_to_the_end("downstream", topic, log.number)
        if stopped:
            raise Violation(f"a partition stopped: {stopped[0]}")

    def _bury(self) -> None:
        for machine in [*self.cluster.machines, *self.nemesis.twins]:
            machine.wanted = False
            if machine.process is not None:
                machine.process.kill()


@contextmanager
def _quiet(*, quiet: bool = True) -> Iterator[None]:
    """The runtime's log lines would be most of the work; a trace has them."""
    if not quiet:
        yield
        return
    logger = logging.getLogger("streams")
    before, logger.level = logger.level, logging.CRITICAL + 1
    logger.manager._clear_cache()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        logger.level = before
        logger.manager._clear_cache()  # type: ignore[attr-defined]


def simulate(
    seed: int, *, mode: Mode = "both", engine: Engine | None = None, trace: Callable[[str], None] | None = None
) -> Result:
    """Run a seed to its end; a violation, or whatever else goes wrong, is in the result's `failure`."""
    with _quiet(quiet=trace is None):
        run = Run(seed, mode=mode, engine=engine, trace=trace)
        failure, counts = "", Counter[str]()
        try:
            counts = run.play()
        except (Violation, Stuck) as violation:
            failure = str(violation)
        except Exception as error:  # a bug of the code on trial, or of the simulation
            failure = f"{type(error).__name__}: {error}"
            run.world.lines.extend(_where(error))
    return Result(
        seed=seed,
        mode=run.mode,
        digest=run.world.digest,
        failure=failure,
        faults=run.broker.faults,
        counts=counts,
        records=sum(len(log.entries) for topic in run.broker.topics.values() for log in topic.partitions),
        events=run.world.events,
        virtual_ms=run.world.now_ms,
        lines=list(run.world.lines) if failure else [],
    )


def _where(error: BaseException) -> list[str]:
    return "".join(traceback.format_exception(error)).splitlines()[-20:]


__all__ = ["Mode", "Result", "Run", "simulate"]
