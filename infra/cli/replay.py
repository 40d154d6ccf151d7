"""`clearline replay`: the input log folded again, compared byte for byte with all that was recorded; daily digests."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Self

import click
import msgspec
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from infra.cli._console import console, data_option, print_error
from infra.errors import KafkaUnreachable
from infra.stack import reach
from schemas import environment
from schemas.clients import client_config
from streams.replay import (
    Difference,
    Digest,
    FoldReport,
    KafkaLog,
    PublishRefused,
    ReplayError,
    Report,
    publish,
)
from streams.replay import replay as run_replay

DIFFERENT_STATUS = 1
NOT_COMPARED_STATUS = 2

_PHASES = {"part": "parting topics", "fold": "folding again"}
_SAY_S = 5.0
_REACH_TIMEOUT_S = 10.0


@click.command()
@data_option
@click.option("--digests", "with_digests", is_flag=True, help="Print a digest of each tenant's events of each UTC day.")
@click.option("--publish", "with_publish", is_flag=True, help="Append the digests of past days to audit.digests, once.")
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    help="How many partitions are replayed at a time; default: one a core, at most 8, and only one for a small log.",
)
@click.option(
    "--scratch",
    type=click.Path(file_okay=False, exists=True, writable=True, path_type=Path),
    help="Where folded state lies meanwhile (some gigabytes for a million payments); default: the system's temporary directory.",
)
@click.option("--show", type=click.IntRange(1, 20), default=1, show_default=True, help="Differences shown a partition.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def replay(
    *,
    data: Path,
    with_digests: bool,
    with_publish: bool,
    processes: int | None,
    scratch: Path | None,
    show: int,
    as_json: bool,
) -> None:
    """Fold all committed inputs again, from offset 0, and compare with what was recorded, byte for byte.

    Compared are events, provider requests, replies, movements, rejections, settlement and state. The stack may go on working meanwhile. Digests that were published before are compared every time. Ends with 0 when
    all is equal, with 1 when something differs (the first difference of each partition is shown), with 2 when there is
    no verdict.
    """
    try:
        read = environment.read(reach(data, os.environ))
        client = dict(read.kafka_config)
        _check_reachable(read.kafka, client)
        log = KafkaLog(read.kafka, client=client)
        with _Bar(console(stderr=True)) as bar:
            report = run_replay(
                log,
                processes=processes,
                scratch=scratch,
                with_digests=with_digests or with_publish,
                progress=bar.show,
            )
        appended: list[Digest] | None = None
        refused: PublishRefused | None = None
        if with_publish:
            try:
                appended = _publish(report, log, read.kafka, client)
            except PublishRefused as refusal:
                refused = refusal
    except (ReplayError, KafkaUnreachable, environment.VariableError) as error:
        print_error(str(error), remedy=error.remedy)
        sys.exit(NOT_COMPARED_STATUS)
    if as_json:
        click.echo(json.dumps(_object(report, appended)))
    else:
        _print(report, show=show, with_digests=with_digests, appended=appended)
    if refused is not None:
        print_error(str(refused), remedy=refused.remedy)
    if not report.equal:
        sys.exit(DIFFERENT_STATUS)
    if refused is not None:
        sys.exit(NOT_COMPARED_STATUS)


def _check_reachable(bootstrap: str, client: dict[str, Any]) -> None:
    try:
        AdminClient({**client_config(bootstrap, client), "log_level": 0}).list_topics(timeout=_REACH_TIMEOUT_S)
    except KafkaException as error:
        raise KafkaUnreachable(bootstrap, error.args[0].str()) from error


def _publish(report: Report, log: KafkaLog, bootstrap: str, client: dict[str, Any]) -> list[Digest]:
    if not report.equal:
        raise PublishRefused(
            "nothing was published, since what was recorded differs from the fold or from what was published",
            remedy="Clear up the differences first",
        )
    return publish(report.closed, log=log, bootstrap=bootstrap, client=client)


class _Bar:
    """A bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self, out: Console) -> None:
        self._out = out
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} records"),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=out, disable=not out.is_terminal)
        self._tasks: dict[str, Any] = {}
        self._said = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        for name, task in self._tasks.items():
            # Transactions' markers take offsets too, so the records alone never fill the bar.
            self._progress.update(task, total=self._progress.tasks[task].completed or 1)
            del name
        self._progress.stop()

    def show(self, phase: str, done: int, total: int) -> None:
        """Show how far a phase is."""
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(_PHASES[phase], total=total)
        self._progress.update(self._tasks[phase], completed=done)
        if not self._out.is_terminal and time.monotonic() - self._said > _SAY_S:
            self._said = time.monotonic()
            self._out.print(f"{_PHASES[phase]}: {done:,} records of {total:,} offsets")


def _print(report: Report, *, show: int, with_digests: bool, appended: list[Digest] | None) -> None:
    out = console()
    out.print(_counts(report))
    for fold in report.folds:
        for difference in fold.differences[:show]:
            _print_difference(out, difference, title=f"{fold.fold}, partition {fold.partition}")
        if fold.difference_count > show:
            left = fold.difference_count - min(show, len(fold.differences))
            out.print(f"  and {left:,} more on this partition", style="dim")
    for difference in report.strays[:show]:
        _print_difference(out, difference, title="not an output of any fold")
    for difference in report.digest_differences:
        _print_difference(out, difference, title="published digest")
    if with_digests:
        out.print(_digests(report))
    if appended is not None:
        out.print(f"{len(appended)} digests published, {report.published} were there; open days wait", style="dim")
    if report.not_comparable:
        out.print(f"{report.not_comparable:,} records were not comparable: retention has removed what was recorded")
    speed = report.inputs / report.folding_s if report.folding_s else 0.0
    out.print(
        f"{report.inputs:,} inputs folded in {report.folding_s:.1f} s ({speed:,.0f} a second), "
        f"{report.took_s:.1f} s in all"
    )
    published = f"; {report.published} published digests looked at" if report.published else ""
    if report.equal:
        out.print(Text(f"equal{published}", "bold green"))
    else:
        out.print(Text(f"{report.difference_count:,} differences{published}", "bold red"))


def _counts(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("fold", "compared with", "equal", "different", "not comparable"):
        table.add_column(column, justify="left" if column in ("fold", "compared with") else "right")
    for name in dict.fromkeys(fold.fold for fold in report.folds):
        folds = [fold for fold in report.folds if fold.fold == name]
        for topic in dict.fromkeys(topic for fold in folds for topic in fold.topics):
            counts = [fold.topics[topic] for fold in folds if topic in fold.topics]
            differing = sum(count.differences for count in counts)
            table.add_row(
                name,
                topic,
                f"{sum(count.equal for count in counts):,}",
                Text(f"{differing:,}", "bold red" if differing else "dim"),
                f"{sum(count.not_comparable for count in counts):,}",
            )
    return table


def _print_difference(out: Console, difference: Difference, *, title: str) -> None:
    line = Text.assemble((f"{title}: ", "bold"), (f"{difference.kind} ", "bold red"), difference.what)
    out.print(line)
    if difference.cause is not None:
        out.print(f"  folded from {difference.cause}")
    out.print(f"  recorded at {difference.recorded or f'no place on {difference.topic}'}")
    if difference.note:
        out.print(f"  {difference.note}")
    if not difference.fields:
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("  field", "folded", "recorded"):
        table.add_column(column, overflow="fold")
    for field in difference.fields:
        table.add_row(f"  {field.field}", field.folded, field.recorded)
    out.print(table)


def _digests(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("tenant", "day (UTC)", "events", "root", ""):
        table.add_column(column, no_wrap=True)
    closed = set(report.closed)
    for digest in report.digests:
        row = (digest.tenant, digest.day, f"{digest.events:,}", digest.root_sha256)
        table.add_row(*row, "" if digest in closed else "still open")
    return table


def _object(report: Report, appended: list[Digest] | None) -> dict[str, Any]:
    described: dict[str, Any] = msgspec.to_builtins(report)
    described["folds"] = [_fold_object(fold) for fold in report.folds]
    return {
        "equal": report.equal,
        "differences": report.difference_count,
        "inputs": report.inputs,
        **described,
        "appended": None if appended is None else msgspec.to_builtins(appended),
    }


def _fold_object(fold: FoldReport) -> dict[str, Any]:
    described: dict[str, Any] = msgspec.to_builtins(fold)
    return described
