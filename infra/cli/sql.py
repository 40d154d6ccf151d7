"""`clearline sql`: one query to the warehouse, its answer as a table, CSV or JSON."""

from __future__ import annotations

import csv
import json
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from infra.cli._console import console, data_option
from infra.stack import reach
from schemas import environment

ROWS_SHOWN_MAX = 1_000  # of a table for people; csv and json are complete
_CONNECT_TIMEOUT_S = 10


class QueryError(Exception):
    """The warehouse could not be asked, or refused the query; `remedy` says what to do."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@click.command()
@click.argument("query")
@data_option
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def sql(*, query: str, data: Path, form: str) -> None:
    """Run QUERY (`-` reads it from standard input) on the warehouse of the running stack, or on CLEARLINE_CLICKHOUSE.

    json prints one object a row.
    """
    if query == "-":
        query = sys.stdin.read()
    if not query.strip():
        raise click.UsageError("the query is empty")
    names, rows = _ask(query, environment.read(reach(data, os.environ)).warehouse)
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
    elif form == "json":
        for row in rows:
            print(json.dumps(dict(zip(names, row, strict=True)), default=str, ensure_ascii=False))
    else:
        _print_table(names, rows)


def _ask(query: str, warehouse: environment.Warehouse) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)  # what it logs, it also raises
    where = f"{warehouse.host}:{warehouse.port}"
    try:
        client = clickhouse_connect.get_client(
            host=warehouse.host,
            port=warehouse.port,
            username=warehouse.user,
            password=warehouse.password,
            database=warehouse.database,
            secure=warehouse.secure,
            connect_timeout=_CONNECT_TIMEOUT_S,
        )
    except (ClickHouseError, OSError) as error:
        silent = isinstance(error, OperationalError | OSError)
        raise QueryError(
            f"nothing answers at {where}"
            if silent
            else f"the warehouse at {where} can't be used: {_first_line(error)}",
            remedy=f"start it with `clearline up`, give the stack's `--data`, or set {environment.CLICKHOUSE}",
        ) from error
    try:
        answer = client.query(query)
    except ClickHouseError as error:
        raise QueryError(
            f"the warehouse refused the query: {_first_line(error)}", remedy="correct the query"
        ) from error
    finally:
        client.close()
    return answer.column_names, answer.result_rows


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _print_table(names: Iterable[str], rows: Sequence[Sequence[Any]]) -> None:
    out = console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(names):
        numeric = bool(rows) and isinstance(rows[0][index], int | float) and not isinstance(rows[0][index], bool)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows[:ROWS_SHOWN_MAX]:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    if not rows:
        out.print("no rows")
        return
    out.print(table)
    if len(rows) > ROWS_SHOWN_MAX:
        out.print(f"the first {ROWS_SHOWN_MAX} of {len(rows)} rows; `--format csv` prints all", style="dim")
