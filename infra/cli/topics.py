"""`clearline topics`: the catalogue beside what the broker has."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from infra.cli._console import console, data_option
from infra.stack import reach
from infra.topics import TopicReport, ensure, inspect
from schemas import environment
from schemas.catalogue import CATALOGUE, KEPT_FOR_EVER_MS, Topic

_DAY_MS = 86_400_000
_STYLES = {"created": "bold green", "present": "green", "missing": "yellow"}


@click.command()
@data_option
@click.option("--create", is_flag=True, help="Create what is missing, and wait until it can be used.")
@click.option("--json", "as_objects", is_flag=True, help="Print one JSON object a topic.")
def topics(*, data: Path, create: bool, as_objects: bool) -> None:
    """List the topics of the catalogue and how they stand on the broker.

    Ends with 1 when one is missing, or set up so that a promise would break. Partition count and replication come from
    CLEARLINE_PARTITIONS and CLEARLINE_REPLICATION.
    """
    settings = environment.read(reach(data, os.environ))
    act = ensure if create else inspect
    reports = act(
        settings.kafka,
        partitions=settings.partitions,
        replication=settings.replication,
        extra_config=dict(settings.kafka_config),
    )
    if as_objects:
        for topic, report in zip(CATALOGUE, reports, strict=True):
            click.echo(json.dumps(_object(topic, report)))
    else:
        _print_table(reports)
    if any(report.state == "missing" or report.faults for report in reports):
        sys.exit(1)


def _object(topic: Topic, report: TopicReport) -> dict[str, object]:
    return {
        "name": report.name,
        "state": report.state,
        "partitions": report.partitions,
        "replication": report.replication,
        "key": topic.key,
        "records": [record.__name__ for record in topic.records],
        "config": report.config,
        "faults": [str(fault) for fault in report.faults],
        "warnings": list(report.warnings),
    }


def _print_table(reports: list[TopicReport]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("topic", "state", "partitions", "replicas", "kept", "key", "records"):
        table.add_column(column)
    for topic, report in zip(CATALOGUE, reports, strict=True):
        state = Text("wrong", "bold red") if report.faults else Text(report.state, _STYLES[report.state])
        counts = (str(report.partitions or "-"), str(report.replication or "-"))
        records = ", ".join(record.__name__ for record in topic.records) or "raw bytes"
        table.add_row(report.name, state, *counts, _kept(topic), topic.key, records)
    out = console()
    out.print(table)
    for report in reports:
        for fault in report.faults:
            out.print(Text(f"wrong: {fault}", "red"))
        for warning in report.warnings:
            out.print(Text(f"note: {report.name} {warning}", "yellow"))


def _kept(topic: Topic) -> str:
    if topic.cleanup == "compact":
        return "newest by key"
    return "for ever" if topic.retention_ms == KEPT_FOR_EVER_MS else f"{topic.retention_ms // _DAY_MS} d"
