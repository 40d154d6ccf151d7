"""The demonstration from start to end: a stack of its own, real payments, settled and landed, every figure checked."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from connectors.clickhouse import verify
from connectors.clickhouse.client import Client, connect
from connectors.clickhouse.errors import WarehouseError
from infra.cli._progress import Progress as StackProgress
from infra.demo import bad, payouts, show
from infra.demo.checks import Check, Checker
from infra.demo.intents import Planned, disputes
from infra.demo.upstream import Tally, Upstream
from infra.stack import SETTLEMENT_GRACE_MS, SETTLEMENT_INTERVAL_MS, Ports, plan, reach
from infra.supervisor import DataDirectory, Phase, Stack
from schemas import environment

INTENTS_FILE = Path(__file__).with_name("intents-10k.jsonl.gz")
_ROOT = Path(__file__).parents[2]
_INTENT_CONTRACT = "schemas/avro/PaymentIntent/1.avsc"
_EXAMPLE_TIMEOUT_S = 120

# Short windows, so that a person sees one close: ten seconds, and two more for stragglers.
_WINDOW_MS = 10_000
_GRACE_MS = 2_000
_TICK_MS = 500
_QUIET_DEADLINE_S = 300.0
_LOOK_S = 5.0
_LINE_BYTES_MAX = 64 * 1024


class DemoError(Exception):
    """The demonstration can't go on; `remedy` says what to do."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def read_plans(path: Path) -> Iterator[Planned]:
    """The planned intents of a JSON-lines file, gzipped or not. Raises `DemoError` naming the line that can't be read."""
    decoder = msgspec.json.Decoder(Planned)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as lines:
        # Never more of a line than the limit and a byte is read: a file without line ends must not fill the memory.
        for number, line in enumerate(iter(partial(lines.readline, _LINE_BYTES_MAX + 1), b""), 1):
            try:
                if len(line) > _LINE_BYTES_MAX:
                    raise msgspec.ValidationError(f"longer than {_LINE_BYTES_MAX} bytes")
                yield decoder.decode(line)
            except msgspec.MsgspecError as error:
                message = f"{path}, line {number}: {error}"
                raise DemoError(message, remedy="each line is one JSON object; see infra/demo/intents.py") from error


def send(
    plans: Iterator[Planned],
    environ: dict[str, str],
    out: Console,
    *,
    total: int | None = None,
    look: Callable[[], None] = lambda: None,
    providers: str = "",
) -> Tally:
    """Sends plans to the Kafka that the environment names, and follows them, with a bar that shows how far they are.

    `look` is called every few seconds; what it raises ends the run. `providers`: see `Upstream`.
    """
    read = environment.read(environ)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("payments finished"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[states]}", style="dim"),
    )
    with (
        Upstream(read.kafka, client=dict(read.kafka_config), providers=providers) as upstream,
        Progress(*columns, console=out) as bar,
    ):
        task = bar.add_task("sending", total=total, states="")
        last_said = time.monotonic()

        def progress(tally: Tally) -> None:
            nonlocal last_said
            states = ", ".join(
                f"{count:,} {status}" for status, count in sorted(tally.by_status.items()) if status != "none"
            )
            bar.update(task, total=tally.planned, completed=tally.finished, states=states)
            if time.monotonic() - last_said < _LOOK_S:
                return
            last_said = time.monotonic()
            look()
            if not out.is_terminal:
                out.print(f"  {tally.finished:,} of {tally.planned:,} finished: {states}")

        tally = upstream.run(plans, progress=progress)
        progress(tally)
    return tally


def demo(data: Path, *, intents: Path, out: Console, keep: bool = False) -> list[Check]:
    """Runs the whole demonstration on a fresh data directory; returns its checks. Raises `DemoError` or a supervisor's error."""
    directory = DataDirectory(data)
    if directory.holder() is not None:
        raise DemoError(f"a stack is running on {data}", remedy=f"stop it first: clearline down --data {data}")
    if data.exists():
        directory.open()  # raises when it is not one of ours
        shutil.rmtree(data)
    environ = {
        **os.environ,
        SETTLEMENT_INTERVAL_MS: str(_WINDOW_MS),
        SETTLEMENT_GRACE_MS: str(_GRACE_MS),
        environment.TICK_MS: str(_TICK_MS),
    }
    directory.open()
    ports = Ports.free()
    planned = plan(data, ports=ports, environ=environ)
    out.rule("1. A real Kafka, ClickHouse, providers and workers")
    with Stack(planned.specs, data, planned.environment, facts=planned.facts) as stack:
        _wait_ready(stack, out)
        reached = reach(data, environ)
        checks = _go(intents, reached, f"http://127.0.0.1:{ports.simulator}", out, look=_look(stack, ports))
        out.print("stopping", style="dim")
    if not keep:
        out.print(f"The data stays in {data}.", style="dim")
    return checks


def _wait_ready(stack: Stack, out: Console) -> None:
    with StackProgress(out) as progress:
        while stack.failure is None and stack.status().phase is Phase.STARTING:
            progress.show(stack.status())
            stack.wait(0.2)
        progress.show(stack.status())
    if stack.failure is not None:
        raise stack.failure


def _look(stack: Stack, ports: Ports) -> Callable[[], None]:
    """What ends the run at once: a process that can't be kept running, or a partition that stopped at a record."""

    def look() -> None:
        if stack.failure is not None:
            raise stack.failure
        for port in ports.workers:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=_LOOK_S):
                    continue
            except urllib.error.HTTPError as error:
                stopped = [
                    partition["stopped_reason"]
                    for task in json.load(error)["tasks"]
                    for partition in task["partitions"]
                    if partition["stopped_reason"]
                ]
            except OSError:  # it may be starting anew
                continue
            if stopped:
                raise DemoError(f"a worker stopped at {stopped[0]}", remedy="read its log: clearline logs worker-0")

    return look


def _go(
    intents: Path, environ: dict[str, str], simulator: str, out: Console, *, look: Callable[[], None]
) -> list[Check]:
    read = environment.read(environ)
    out.rule(f"2. Payments: {intents.name}")
    started = time.monotonic()
    plans = list(read_plans(intents))
    tally = send(iter(plans), environ, out, total=len(plans), look=look, providers=simulator)
    took_s = time.monotonic() - started
    out.print(f"{tally.finished:,} of {tally.planned:,} payments finished in {took_s:.0f} s")
    disputed = disputes(plans)
    out.print(f"{tally.challenges} customers were challenged and passed; {disputed} will dispute what they paid")
    if tally.open:
        message = f"{tally.open} payments did not come to an end"
        raise DemoError(message, remedy="read the logs: clearline logs worker-0 gateway --data DIR")
    others = _send_from_another_process(read, out)
    bad_records = bad.send(read.kafka, client=dict(read.kafka_config))
    out.print(f"{len(bad_records)} records that nobody should send: not Avro, an unknown currency, a card number …")

    out.rule("3. Settled and landed")
    warehouse = connect(read.warehouse, wait_s=30)
    try:
        expected = len(plans) + others
        wait_quiet(read, warehouse, expected=expected, rejected=len(bad_records), disputed=disputed, out=out)
        show.settlement(warehouse, out)
        _pay_out(read, warehouse, out)
        show.payouts(warehouse, out)
        show.disputes(warehouse, out)
        show.audit(warehouse, out)
        out.rule("4. Do the figures add up?")
        checker = Checker(warehouse, bootstrap=read.kafka, simulator=simulator)
        checks = []
        for check in checker.run(intents=expected, bad=bad_records):
            checks.append(check)
            show.check(check, out)
        return checks
    finally:
        warehouse.close()


def _pay_out(read: environment.Environment, warehouse: Client, out: Console) -> None:
    asked = payouts.ask(read, warehouse)
    with out.status(f"waiting for {len(asked)} payouts, one for each tenant and currency"):
        if not payouts.wait_paid(read, warehouse, payouts=len(asked), deadline_s=_QUIET_DEADLINE_S):
            message = f"{len(asked)} payouts were not all paid and landed within {_QUIET_DEADLINE_S:.0f} s"
            raise DemoError(message, remedy="read the logs: clearline logs gateway worker-0 --data DIR")


def _send_from_another_process(read: environment.Environment, out: Console) -> int:
    """Runs the README's plain producer beside the stack; returns how many intents it sent."""
    argv = [sys.executable, str(_ROOT / "examples" / "producer.py"), read.kafka, str(_ROOT / _INTENT_CONTRACT)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_EXAMPLE_TIMEOUT_S, check=False)
    if done.returncode:
        raise DemoError(f"examples/producer.py failed: {done.stderr[-500:]}", remedy="run it by hand to see why")
    sent = len(done.stdout.splitlines())
    out.print(f"{sent} more from a second process with plain confluent-kafka (examples/producer.py)")
    return sent


def wait_quiet(
    read: environment.Environment, warehouse: Client, *, expected: int, rejected: int, disputed: int, out: Console
) -> None:
    """Waits until every payment is there and decided, every dispute told of, every window closed, every record landed."""
    sql = (
        "SELECT (SELECT count() FROM payments), (SELECT countIf(status = 'processing' OR outcome_unknown) FROM payments),"
        " (SELECT countIf(status != 'closed') FROM settlement_windows), (SELECT count() FROM rejections), (SELECT countIf(withdrawn_minor > 0) FROM disputes)"
    )
    deadline = time.monotonic() + _QUIET_DEADLINE_S
    with out.status("waiting for the last settlement windows to close and to land"):
        while time.monotonic() < deadline:
            try:
                payments, undecided, open_windows, refused, told = warehouse.rows(sql)[0]
            except WarehouseError:  # it may be starting anew
                time.sleep(1)
                continue
            decided = payments >= expected and refused >= rejected and undecided == open_windows == 0
            decided = decided and told >= disputed
            if decided and not verify.unlanded(read.kafka, warehouse):
                return
            time.sleep(0.5)
    message = (
        f"after {_QUIET_DEADLINE_S:.0f} s: {payments:,} of {expected:,} payments landed, {undecided} undecided, "
        f"{open_windows} windows open, {refused} of {rejected} rejections, {told} of {disputed} disputes"
    )
    raise DemoError(message, remedy="read the logs: clearline logs --data DIR")
