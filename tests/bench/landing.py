"""The whole path: intents in, providers called over HTTP, settled movements and events landed in ClickHouse."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from confluent_kafka import Producer
from rich.console import Console

from connectors.clickhouse.client import Client, connect
from connectors.clickhouse.errors import WarehouseError
from infra.demo.intents import generate
from infra.stack import Ports, plan, reach
from infra.supervisor import Stack
from schemas import codec, environment
from schemas.catalogue import PAYMENT_INTENTS
from schemas.clients import producer_config
from schemas.records import PaymentIntent
from tests.bench.figures import Figure, Spread, compare, rate, shown
from tests.bench.ground import DONE_DEADLINE_S, PARTITIONS, QUIET, BenchError

READY_S = 300.0
ASKED_EVERY_S = 0.25
LANDED = """
SELECT (SELECT count() FROM payment_events WHERE to_status = 'succeeded' AND from_status != 'succeeded'),
       (SELECT count() FROM settlement_events WHERE movement_kind = 'capture'),
       (SELECT sum(amount_minor) FROM ledger_entries)
"""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured."""

    payments: int = 4_000
    rounds: int = 3


QUICK = Sizes(payments=600, rounds=1)


@contextmanager
def running(directory: Path) -> Iterator[tuple[Stack, environment.Environment, Client]]:
    """The whole stack, ready."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CLEARLINE_")}
    environ[environment.PARTITIONS] = str(PARTITIONS)
    planned = plan(directory, ports=Ports.free(), environ=environ)
    with Stack(planned.specs, directory, planned.environment, facts=planned.facts) as stack:
        stack.wait_ready(READY_S)
        read = environment.read(reach(directory, environ))
        warehouse = connect(read.warehouse, wait_s=60)
        try:
            yield stack, read, warehouse
        finally:
            warehouse.close()


def intents(count: int, *, seed: int) -> Iterator[tuple[bytes, bytes]]:
    """The demo's intents as (key, value), all of which are paid at once."""
    for planned in generate(count, seed=seed, prefix="bench"):
        intent = PaymentIntent(
            tenant=planned.tenant,
            intent_key=planned.intent_key,
            amount_minor=planned.amount_minor,
            currency=planned.currency,
            payment_method="pm_card_visa",
            capture_method="automatic",
            customer=planned.customer,
            description=planned.description,
            metadata=planned.metadata,
            upstream="bench",
            request_id=f"req_{planned.intent_key}",
        )
        yield f"{planned.tenant}/{planned.intent_key}".encode(), codec.encode(intent)


def measure(directory: Path, sizes: Sizes, out: Console) -> list[Figure]:
    """Rounds on one stack; the first round's worth before them warms it up."""
    rates: list[float] = []
    cpu_us: dict[str, list[float]] = {}
    with running(directory / "stack") as (stack, read, warehouse):
        producer = Producer(producer_config(read.kafka, {"linger.ms": 5}), logger=QUIET)
        for number in range(sizes.rounds + 1):
            records = list(intents(sizes.payments, seed=number))
            before = _cpu_s(stack)
            samples = _send_and_follow(producer, warehouse, records, landed=number * sizes.payments)
            if number == 0:
                continue
            rates.append(rate([(0.0, 0), *samples], total=sizes.payments, until=1.0))
            for name, used_s in _cpu_s(stack).items():
                cpu_us.setdefault(name, []).append(round((used_s - before[name]) * 1e6 / sizes.payments, 1))
            out.print(f"  round {number}: {shown(rates[-1])} payments/s settled and landed")
    details = {"us of CPU per payment": {name: str(Spread.of(values)) for name, values in cpu_us.items()}}
    return [
        compare(
            "payments over HTTP providers, landed in ClickHouse",
            rates,
            unit="payments/s",
            sizes={"payments": sizes.payments, "partitions": PARTITIONS},
            details=details,
        )
    ]


def _send_and_follow(
    producer: Producer, warehouse: Client, records: list[tuple[bytes, bytes]], *, landed: int
) -> list[tuple[float, int]]:
    """Samples of how many of these payments are captured, moved to settlement and landed."""
    begun = time.perf_counter()
    for key, value in records:
        producer.produce(PAYMENT_INTENTS.name, value, key)
    if producer.flush(DONE_DEADLINE_S):
        raise BenchError("the broker did not take the intents")
    samples: list[tuple[float, int]] = []
    while True:
        try:
            captured, moved, balance = warehouse.rows(LANDED)[0]
        except WarehouseError as error:
            raise BenchError(f"the warehouse does not answer: {error}") from error
        now = time.perf_counter() - begun
        samples.append((now, min(captured, moved) - landed))
        if samples[-1][1] >= len(records):
            if samples[-1][1] > len(records) or captured != moved:
                raise BenchError(f"more landed than was sent: {captured:,} captures, {moved:,} movements")
            if balance:
                raise BenchError(f"the ledger is off by {balance}")
            return samples
        if now > DONE_DEADLINE_S:
            raise BenchError(f"{samples[-1][1]:,} of {len(records):,} payments landed in {now:.0f} s")
        time.sleep(ASKED_EVERY_S)


def _cpu_s(stack: Stack) -> dict[str, float]:
    """Processor time of each process of the stack and its children."""
    used = {}
    for process in stack.status().processes:
        if process.pid is None:
            continue
        top = psutil.Process(process.pid)
        used[process.name] = sum(
            one.cpu_times().user + one.cpu_times().system for one in (top, *top.children(recursive=True))
        )
    return used
