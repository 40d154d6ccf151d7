"""`clearline sql` against the embedded warehouse that `clearline up` starts."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from infra.stack import Ports, plan
from infra.supervisor import Stack

DEADLINE_S = 120.0

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def sql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run `clearline sql` beside a stack of which only the warehouse runs."""
    data = tmp_path_factory.mktemp("sql") / "data"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CLEARLINE_")}
    whole = plan(data, ports=Ports.free(), environ=environ)
    warehouse = [dataclasses.replace(spec, after=()) for spec in whole.specs if spec.name == "warehouse"]

    def run(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "infra.cli", "sql", "--data", str(data), *arguments]
        return subprocess.run(
            command, env=environ, input=text, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )

    with Stack(warehouse, data, whole.environment, facts=whole.facts) as stack:
        stack.wait_ready(DEADLINE_S)
        yield run


def test_a_table_for_people(sql: Run) -> None:
    """By default the answer is a table with a heading; NULL is an empty cell, and numbers stand at the right."""
    asked = sql("SELECT number AS n, if(number = 10, NULL, 'x') AS word FROM numbers(9, 2)")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert [line.rstrip() for line in asked.stdout.splitlines()] == [" n  word", " 9  x", "10"]


def test_csv_and_json_for_programs(sql: Run) -> None:
    """CSV has a heading and quotes what it must; JSON is one object a row; 64-bit integers and decimals stay exact."""
    query = "SELECT toInt64(9223372036854775807) AS amount_minor, 'a,\"b' AS note, toDecimal64('1.10', 2) AS rate"
    assert sql(query, "--format", "csv").stdout == 'amount_minor,note,rate\n9223372036854775807,"a,""b",1.10\n'
    [line] = sql(query, "--format", "json").stdout.splitlines()
    assert json.loads(line) == {"amount_minor": 9223372036854775807, "note": 'a,"b', "rate": "1.10"}


def test_a_query_from_standard_input(sql: Run) -> None:
    """`-` reads the query; an empty one is refused before the warehouse is asked."""
    assert sql("-", "--format", "csv", text="SELECT\n1 AS one\n").stdout == "one\n1\n"
    assert sql("-", text=" \n").returncode == 2


def test_a_query_that_is_refused(sql: Run) -> None:
    """The warehouse's own words and code come back as one error line, with status 1."""
    asked = sql("SELECT nothing FROM nowhere")
    assert asked.returncode == 1
    assert asked.stderr.startswith("error: the warehouse refused the query: ")
    assert "UNKNOWN_TABLE" in asked.stderr
    assert len(asked.stderr.splitlines()) == 2


def test_no_rows(sql: Run) -> None:
    """An answer without rows says so."""
    assert sql("SELECT 1 AS one WHERE 0").stdout == "no rows\n"
