"""What commands share in talking to people: errors, durations, states, and the option that names the data directory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.supervisor import ProcessStatus, StackStatus, State

_STATE_STYLES = {
    State.READY: "green",
    State.FINISHED: "green",
    State.STARTING: "yellow",
    State.BACKING_OFF: "bold yellow",
    State.GAVE_UP: "bold red",
}


_PLAIN_WIDTH = 200  # in a file or a pipe nothing needs to be cut to a screen


def console(*, stderr: bool = False) -> Console:
    """Return a console on standard output (or error) that is plain where that is no terminal."""
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(
        stderr=stderr, width=None if terminal else _PLAIN_WIDTH, soft_wrap=True, highlight=False, markup=False
    )


def print_error(message: str, *, remedy: str, details: Sequence[str] = ()) -> None:
    """Print to standard error what happened and, on a line of its own, what to do."""
    err = console(stderr=True)
    for line in details:
        err.print(Text(f"  | {line}", style="dim"))
    text = message.removesuffix(remedy).rstrip(". ")  # some errors repeat the remedy in their text
    err.print(Text.assemble(("error: ", "bold red"), text))
    err.print(Text.assemble(("  what to do: ", "bold"), remedy))


def data_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--data DIR`, by default CLEARLINE_DATA or ./.clearline; the command gets an absolute path."""
    return click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="CLEARLINE_DATA",
        default=".clearline",
        show_default=True,
        callback=lambda _context, _option, path: Path(os.path.abspath(path.expanduser())),  # noqa: PTH100 - without resolving links
        help="The data directory.",
    )(function)


def processes_table(status: StackStatus, *, well: dict[str, bool] | None = None, now_ms: int) -> Table:
    """Lay out one line per process; `well` adds what a look at each just found."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    columns = ["process", "state", "pid", "port", "ready in", "up", "restarts"]
    for column in columns:
        table.add_column(column, no_wrap=True)
    for process in status.processes:
        state = Text(process.state, style=_STATE_STYLES.get(process.state, "dim"))
        if well is not None and process.is_up and not well[process.name]:
            state = Text("does not answer", style="bold red")
        table.add_row(process.name, state, *_cells(process, now_ms))
    return table


def _cells(process: ProcessStatus, now_ms: int) -> tuple[str, str, str, str, str]:
    ready_in = up = ""
    if process.ready_at_ms is not None and process.started_at_ms is not None:
        ready_in = f"{(process.ready_at_ms - process.started_at_ms) / 1000:.1f} s"
    if process.pid is not None and process.started_at_ms is not None:
        up = duration(now_ms - process.started_at_ms)
    ports = ", ".join(str(port) for port in process.ports.values())
    return str(process.pid or ""), ports, ready_in, up, str(process.restarts or "")


def duration(ms: int) -> str:
    """Write a duration as people do: 4 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    seconds = max(ms, 0) // 1000
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"
