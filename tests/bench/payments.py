"""
Whole payments per second and worker: create and confirm, routed, provider's answer, captured, posted, settlement moved.

The worker is the product's own process with its three tasks. Beside it, in the same rounds, the bare loop that reads and writes
the same bytes and decides nothing. With `answered="at once"` a process reads the requests and appends results; with
`answered="beforehand"` the results lie behind the commands already, so that the worker has the machine nearly for itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import psutil
from rich.console import Console

from infra import configure
from infra._configuration_file import read_file
from infra.topics import ensure
from schemas import codec, environment
from schemas.catalogue import PAYMENTS_EVENTS, PAYMENTS_INPUTS, PROVIDER_REQUESTS, SETTLEMENT_INPUTS
from schemas.records import Movement, PaymentCommand, PaymentEvent, ProviderRequest, Tenant
from streams.core import ids
from tests.bench import script, stages
from tests.bench.figures import Figure, Spread, compare, rate, shown
from tests.bench.ground import PARTITIONS, BenchError, Ground, Side, Watched, faust, python, watch
from tests.bench.sides.provider import answer

AIM = 5_000
INPUTS_PER_PAYMENT = 2
BARE_PREFIX = "bare-"
NEVER_MS = 3_600_000  # no ticks while we count: time is an input as well

Answered = Literal["at once", "beforehand"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured."""

    payments: int = 10_000
    rounds: int = 4
    ways: tuple[Answered, ...] = ("at once", "beforehand")
    warmed: bool = True


QUICK = Sizes(payments=3_000, rounds=1)


class Payments:
    """The topics of the catalogue, those of the bare loop, and what is appended to both alike."""

    def __init__(self, ground: Ground, sizes: Sizes) -> None:
        self._ground, self._sizes = ground, sizes
        self._seed = 0
        configured = read_file(configure.DEFAULTS, settlement_interval_ms=None, settlement_grace_ms=None)
        self.tenants: Mapping[str, Tenant] = {tenant.tenant: tenant for tenant in configured.tenants}
        self._first = {policy.tenant: policy.providers[0] for policy in configured.policies}
        ensure(ground.bootstrap, partitions=PARTITIONS, replication=1)
        configure.apply(ground.bootstrap, configure.DEFAULTS)
        used = ("payments.inputs", "payments.events", "provider.requests", "settlement.inputs", "settlement.events")
        logs = ("lifecycle.changelog", "settlement.changelog")
        ground.topics(*(BARE_PREFIX + name for name in (*used, *logs)), compacted=[BARE_PREFIX + name for name in logs])
        self.script = script.write(self.tenants)
        (ground.path / "script").write_bytes(msgspec.msgpack.encode(self.script))

    def load(self, answered: Answered) -> None:
        """The next payments, the same for both sides, of whom none runs now."""
        self._seed += 1
        commands = list(script.commands(self._sizes.payments, seed=self._seed, tenants=self.tenants))
        records = [(_key(command), codec.encode(command)) for command in commands]
        results = [(_key(command), codec.encode(self._result(command))) for command in commands]
        for prefix in ("", BARE_PREFIX):
            self._ground.preload(prefix + PAYMENTS_INPUTS.name, records)
            if answered == "beforehand":
                self._ground.preload(prefix + PAYMENTS_INPUTS.name, results)

    def _result(self, command: PaymentCommand) -> Any:
        """What the provider will say: the ids of requests follow from the payment's."""
        charge = ids.charge_id(command.payment_id, 1)
        assert command.amount_minor is not None
        request = ProviderRequest(
            request_id=ids.request_id(charge, "authorize", 1),
            tenant=command.tenant,
            payment_id=command.payment_id,
            object_id=charge,
            attempt=1,
            provider=self._first.get(command.tenant, self._first[""]),
            operation="authorize",
            amount_minor=command.amount_minor,
            currency=command.currency,
            attribution=command.attribution,
        )
        return answer(request, now_ms=time.time_ns() // 1_000_000)

    def run(self, name: str, number: int, *, answered: Answered, profile: bool) -> Run:
        """One side over what was loaded last."""
        ground, count = self._ground, self._sizes.payments
        prefix = BARE_PREFIX if name == "bare" else ""
        application = "bench-payments" if name == "bare" else "clearline"
        groups = {
            prefix + PAYMENTS_INPUTS.name: f"{application}-lifecycle",
            prefix + SETTLEMENT_INPUTS.name: f"{application}-settlement",
        }
        data = ground.path / f"{name}-{answered}-{number}".replace(" ", "-")
        data.mkdir()
        told = {
            environment.KAFKA: ground.bootstrap,
            environment.DATA: str(ground.path / "worker"),
            environment.TICK_MS: str(NEVER_MS),
            environment.PARTITIONS: str(PARTITIONS),
            "BENCH_KAFKA": ground.bootstrap,
            "BENCH_APPLICATION": application,
            "BENCH_DATA": str(data),
            "BENCH_PREFIX": prefix,
            "BENCH_SCRIPT": str(ground.path / "script"),
            "BENCH_REQUESTS": prefix + PROVIDER_REQUESTS.name,
            "BENCH_RESULTS": prefix + PAYMENTS_INPUTS.name,
        }
        timed = data / "stages.json"
        if profile:
            told[stages.VARIABLE] = str(timed)
        module = "tests.bench.sides.worker" if profile else "streams.app"
        command = python("tests.bench.sides.payments_bare") if name == "bare" else faust(module, data / "faust")
        before = {topic: sum(ground.committed(group, topic).values()) for topic, group in groups.items()}
        with ExitStack() as stack:
            sides = []
            if answered == "at once":
                told_provider = {**told, "BENCH_APPLICATION": f"bench-provider-{prefix}"}
                provider = Side(
                    "provider",
                    python("tests.bench.sides.provider"),
                    environment=told_provider,
                    log=data / "provider.log",
                )
                sides.append(stack.enter_context(provider))
            sides.append(stack.enter_context(Side(name, command, environment=told, log=data / "log")))
            inputs = prefix + PAYMENTS_INPUTS.name
            expected = INPUTS_PER_PAYMENT * count

            def done() -> int:
                """Payments whose result is processed; the last one counts when settlement has caught up, too."""
                read = sum(ground.committed(groups[inputs], inputs).values()) - before[inputs]
                if read < expected:
                    return min(count - 1, max(0, read) // INPUTS_PER_PAYMENT)
                moved = prefix + SETTLEMENT_INPUTS.name
                return count if _caught_up(ground, groups[moved], moved) else count - 1

            broker = _Broker(ground)
            watched = watch(done, total=count, sides=[*sides, broker])
        found = stages.per_item(timed, count) if timed.exists() else {}
        return Run(rate(watched.samples, total=count, until=1.0), watched, found)

    def check(self) -> None:
        """Raises `BenchError` unless every payment of ours ended captured once, with its movements."""
        wanted = self._seed * self._sizes.payments
        captured: dict[str, int] = {}
        for message in self._ground.read(PAYMENTS_EVENTS.name):
            event = codec.decode(message.value())
            assert isinstance(event, PaymentEvent)
            if event.to_status == "succeeded" and event.from_status != "succeeded":
                captured[event.payment_id] = captured.get(event.payment_id, 0) + 1
        moved = 0
        for message in self._ground.read(SETTLEMENT_INPUTS.name):
            movement = codec.decode(message.value())
            moved += isinstance(movement, Movement) and movement.kind == "capture"
        if len(captured) != wanted or set(captured.values()) != {1} or moved != wanted:
            raise BenchError(f"of {wanted:,} payments {len(captured):,} were captured, with {moved:,} movements")


@dataclass(frozen=True)
class Run:
    """Payments/s, processor times, and where the time went if asked."""

    rate: float
    watched: Watched
    stages_us: dict[str, float]


class _Broker:
    """The broker among the measured processes."""

    name = "broker"

    def __init__(self, ground: Ground) -> None:
        self._seen = psutil.Process(ground.broker.pid)

    def cpu_s(self) -> float:
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    def check(self) -> None:
        if not self._seen.is_running():
            raise BenchError("the broker ended")


def _caught_up(ground: Ground, group: str, topic: str) -> bool:
    """Whether the group is at the end of a topic that is written in transactions: only their last markers may lie behind it."""
    committed, ends = ground.committed(group, topic), ground.ends(topic)
    return all(committed[number] >= end - 1 for number, end in ends.items())


def _key(command: PaymentCommand) -> bytes:
    return f"{command.tenant}/{command.payment_id}".encode()


def measure(ground: Ground, sizes: Sizes, out: Console, *, profile: bool) -> list[Figure]:
    """Rounds of ours and the bare loop, for both ways in which the provider may answer."""
    payments = Payments(ground, sizes)
    figures = []
    number = 0
    for answered in sizes.ways:
        rates: dict[str, list[float]] = {"ours": [], "bare": []}
        cpu_us: dict[str, list[float]] = {}
        details: dict[str, Any] = {}
        if sizes.warmed:  # the broker's first steps are nobody's measure
            payments.load(answered)
            for name in ("bare", "ours"):
                payments.run(name, number := number + 1, answered=answered, profile=False)
        for round_number in range(sizes.rounds):
            payments.load(answered)
            for name in ("ours", "bare") if round_number % 2 == 0 else ("bare", "ours"):
                done = payments.run(name, number := number + 1, answered=answered, profile=profile and name == "ours")
                rates[name].append(done.rate)
                for side in done.watched.cpu_s:
                    label = side if side in ("ours", "bare") else f"{side} beside {name}"
                    cpu_us.setdefault(label, []).append(done.watched.cpu_us(side))
                if done.stages_us:
                    details["us per payment by stage"] = done.stages_us
                out.print(
                    f"  provider answers {answered}, round {round_number + 1}: {name} {shown(done.rate)} payments/s"
                )
        details["us of CPU per payment"] = {label: str(Spread.of(values)) for label, values in cpu_us.items()}
        details["written per payment"] = payments.script.per_payment()
        figures.append(
            compare(
                f"payments, provider answers {answered}",
                rates["ours"],
                unit="payments/s",
                others={"bare": rates["bare"]},
                targets={"": AIM},
                sizes={"payments": sizes.payments, "partitions": PARTITIONS},
                details=details,
            )
        )
    payments.check()
    return figures
