"""One run of chaos: load, faults until the time is over, heal, drain, stop the workers, and look at every record."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from connectors.clickhouse import verify as warehouse_verify
from infra.demo.checks import Checker
from tests.chaos.books import check_payable
from tests.chaos.checks import Check
from tests.chaos.faults import Kind, ladder
from tests.chaos.field import DEADLINE_S, Field, Stuck
from tests.chaos.live import check_live
from tests.chaos.load import IN_FLIGHT_MAX, RATE_PER_S, Load
from tests.chaos.log import KafkaLog
from tests.chaos.names import EVENTS
from tests.chaos.paying import RETURNED
from tests.chaos.providers import check_notices, notices, untold
from tests.chaos.quiet import unanswered, untaken
from tests.chaos.replayed import replayed
from tests.chaos.verify import verify

# Between two faults: mostly a little work, sometimes none, so that a fault meets what the one before it left behind.
PAUSE_S = (0.0, 6.0)
HEAL_FIRST = 0.6
# After a fault the payments must come forward by as many before the run goes on: what never recovers is found here.
PROGRESS_PAYMENTS = 3


@dataclass
class Report:
    """What a run did and found."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    """Events by type, as the load saw them."""
    restarts: int = 0
    payments: int = 0
    payouts: int = 0
    customers: int = 0
    """Commands about customers."""
    repeats: int = 0
    bad: int = 0
    seconds: float = 0.0
    verified_seconds: float = 0.0
    checks: list[Check] = field(default_factory=list)
    stuck: str = ""

    @property
    def records(self) -> int:
        """How many things were looked at."""
        return sum(check.count for check in self.checks)

    @property
    def broken(self) -> list[Check]:
        """Checks that don't hold."""
        return [check for check in self.checks if not check.holds]

    def lines(self) -> Iterator[str]:
        """For people."""
        if self.stuck:
            yield f"STUCK: {self.stuck}"
        yield f"seed {self.seed}: {self.seconds:.0f} s of faults, {self.verified_seconds:.0f} s of checks"
        yield f"{self.payments:,} payments, {self.payouts:,} payouts, {self.customers:,} commands about customers"
        yield f"{self.repeats:,} of their records sent again, {self.bad:,} records that nobody should send"
        yield "events: " + ", ".join(f"{name} {times:,}" for name, times in sorted(self.happened.items()))
        yield f"{self.faults.total()} faults, {self.restarts} restarts:"
        for name, times in sorted(self.faults.items()):
            yield f"  {times:5}  {name}"
        yield "checks:"
        for check in self.checks:
            yield f"  {'ok ' if check.holds else 'BAD'}  {check}"


def chaos(
    directory: Path,
    *,
    seed: int,
    minutes: float = 1.0,
    kinds: Sequence[Kind] = (),
    workers: int = 3,
    brokers: int = 1,
    rate_per_s: float = RATE_PER_S,
    in_flight_max: int = IN_FLIGHT_MAX,
    patience_s: float = DEADLINE_S,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """
    Run and verify. With `kinds` those faults in that order, else drawn from the seed for so many minutes.

    `patience_s`: how long nothing may move while it drains. Raises `Stuck` and `Broken` during the faults; what the
    checks found is in the report.
    """
    chance = random.Random(seed)
    report = Report(seed)
    say = _timed(say)
    say(f"starting: {workers} workers, {brokers} broker(s), data in {directory}")
    with Field(directory, workers=workers, brokers=brokers) as there:
        begun = time.monotonic()
        with Load(
            there.read.kafka,
            providers=there.simulator,
            seed=seed,
            rate_per_s=rate_per_s,
            in_flight_max=in_flight_max,
        ) as load:
            _progress(there, load)
            for kind in _faults(there, chance, kinds, until=begun + 60 * minutes):
                done = kind.run(there, chance)
                report.faults[kind.name] += 1
                say(_line(report, there, load, f"{kind.name}: {done}"))
                if kinds or chance.random() < HEAL_FIRST:
                    there.heal()
                    _progress(there, load)
                time.sleep(0 if kinds else chance.uniform(*PAUSE_S))
            report.seconds = time.monotonic() - begun
            load.enough()
            try:
                there.heal()
                _drain(there, load, say, patience_s=patience_s)
                _quiet(there, load, say, patience_s=patience_s)
            except Stuck as stuck:  # what was lost is in the records, which say more than that something is missing
                report.stuck = str(stuck)
                say(f"stuck: {stuck}")
        report.payments, report.repeats, report.bad = load.payments, load.repeats, load.bad_sent
        report.happened, report.payouts, report.customers = load.happened, load.payouts, load.customers
        say("stopping the workers")
        for worker in there.workers:
            worker.stop()
        report.restarts = there.restarts()
        say("workers stopped; recomputing everything from the inputs")
        verified = time.monotonic()
        log = KafkaLog(there.read.kafka)
        report.checks = verify(log, load.sent)
        report.checks += check_notices(log, notices(there.simulator))
        report.checks.append(check_live(log, EVENTS, load.live.operations))
        report.checks.append(replayed(there.read.kafka, scratch=directory))
        if not report.stuck:
            report.checks += _warehouse(there, load, log)
        report.verified_seconds = time.monotonic() - verified
    return report


def _faults(there: Field, chance: random.Random, kinds: Sequence[Kind], *, until: float) -> Iterator[Kind]:
    if kinds:
        yield from kinds
        return
    while time.monotonic() < until:
        yield ladder(there, chance)


def _timed(say: Callable[[str], None]) -> Callable[[str], None]:
    """Each line with the seconds since now in front."""
    begun = time.monotonic()
    return lambda line: say(f"{time.monotonic() - begun:6.0f} s  {line}")


def _line(report: Report, there: Field, load: Load, what: str) -> str:
    lag = ", ".join(f"{task} {records}" for task, records in sorted(there.lag().items()))
    return (
        f"{report.faults.total():4} faults  {load.payments:,} payments, {load.finished:,} finished"
        f"  lag {lag or '?'}  {what}"
    )


def _progress(there: Field, load: Load) -> None:
    """Wait until payments come forward again."""
    target = load.finished + PROGRESS_PAYMENTS

    def forward() -> bool:
        _alive(load)
        return load.finished >= target

    there.wait(forward, f"payments finish again; {load.finished} of {load.payments} are")


def _alive(load: Load) -> None:
    if load.failure is not None:
        raise load.failure


def _drain(there: Field, load: Load, say: Callable[[str], None], *, patience_s: float) -> None:
    """Wait until every payment is finished; patience starts anew whenever one is."""
    say(f"healed; draining {load.payments - load.finished} open payments")
    finished, moved = load.finished, time.monotonic()
    while not load.done:
        there.look()
        if load.finished != finished:
            finished, moved = load.finished, time.monotonic()
        if time.monotonic() - moved > patience_s:
            raise Stuck(f"payments that never finished: {load.open()[:5]}\n{there.describe()}")
        time.sleep(0.2)
    _alive(load)


def _quiet(there: Field, load: Load, say: Callable[[str], None], *, patience_s: float) -> None:
    """Wait until everything is told, answered and decided, every window closed and every record landed."""
    say("drained; waiting for the last windows and for landing")
    sql = (
        "SELECT (SELECT count() FROM payments), (SELECT countIf(status = 'processing' OR outcome_unknown) FROM payments),"
        " (SELECT countIf(status != 'closed') FROM settlement_windows), (SELECT count() FROM rejections),"
        f" (SELECT countIf(status IN ('pending', 'in_transit') OR (status = 'paid' AND destination = '{RETURNED}')) FROM payouts)"
    )

    log = KafkaLog(there.read.kafka)

    def quiet() -> bool:
        try:
            payments, undecided, windows, refused, under_way = there.warehouse.rows(sql)[0]
            decided = payments == load.payments and refused >= load.bad_sent and undecided == windows == under_way == 0
            return (
                decided
                and not warehouse_verify.unlanded(there.read.kafka, there.warehouse)
                and not untold(log, there.simulator)
                and not unanswered(log)
                and not untaken(log)
            )
        except Exception as error:  # the warehouse, a broker or a provider may be starting anew
            say(f"not quiet yet: {type(error).__name__}: {str(error)[:200]}")
            return False

    there.wait(
        quiet, f"everything is decided, settled and landed ({load.payments} payments, {load.bad_sent} rejections)"
    )


def _warehouse(there: Field, load: Load, log: KafkaLog) -> Iterator[Check]:
    """ClickHouse's own proofs, the comparison of its tables with the topics, and the providers' books."""
    payable = {
        (tenant, provider, currency): int(minor)
        for tenant, provider, currency, minor in there.warehouse.rows(
            "SELECT tenant, provider, currency, payable_minor FROM payable_balances"
        )
    }
    yield check_payable(log, payable)
    checker = Checker(there.warehouse, bootstrap=there.read.kafka, simulator=there.simulator)
    for found in checker.run(intents=load.payments, bad=load.bad[: load.bad_sent]):
        check = Check(f"ClickHouse: {found.name}", count=1)
        if not found.holds:
            check.fault(found.detail)
        yield check
