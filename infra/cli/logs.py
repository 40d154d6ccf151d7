"""`clearline logs`: what the processes of a stack say, each line under its process's name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import click

from infra.cli._console import data_option
from infra.supervisor import DataDirectory, NotRunningError
from infra.supervisor._logfile import Follower, last_lines

LINES_MAX = 100_000
_POLL_S = 0.2
_COLOURS = (
    "cyan",
    "green",
    "yellow",
    "magenta",
    "blue",
    "bright_cyan",
    "bright_green",
    "bright_yellow",
    "bright_magenta",
)


@click.command()
@click.argument("processes", nargs=-1, metavar="[PROCESS]...")
@data_option
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, LINES_MAX),
    default=20,
    show_default=True,
    help="How many of the last lines of each.",
)
def logs(*, processes: tuple[str, ...], data: Path, follow: bool, lines: int) -> None:
    """Print the last lines of the logs of all processes, or of those named.

    `supervisor` is the log of starts, deaths and stops. Colours on a terminal only.
    """
    directory = DataDirectory(data)
    there = _ordered(directory)
    unknown = [name for name in processes if name not in there]
    if unknown or not there:
        raise NotRunningError(
            f"there is no log of {', '.join(unknown)} in {directory.logs}"
            if unknown
            else f"there are no logs in {directory.logs}",
            remedy=f"name some of: {', '.join(there)}"
            if there
            else "start the stack with `clearline up`, or give its `--data`",
        )
    names = list(processes or there)
    width = max(map(len, there))
    prefixes = {
        name: click.style(f"{name:<{width}} | ", fg=_COLOURS[there.index(name) % len(_COLOURS)]) for name in names
    }
    followers = {name: Follower(directory.log_file(name)) for name in names}  # made first: no line falls in between
    for name in names:
        for line in last_lines(directory.log_file(name), lines):
            click.echo(prefixes[name] + line)
    if follow:
        for name, line in _coming(followers):
            click.echo(prefixes[name] + line)


def _ordered(directory: DataDirectory) -> list[str]:
    """Return the names that have a log, in the stack's order as far as that is known."""
    names = sorted(file.name.removesuffix(".log") for file in directory.logs.glob("*.log"))
    status = directory.read_status()
    order = ["supervisor", *(process.name for process in status.processes)] if status is not None else []
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def _coming(followers: dict[str, Follower]) -> Iterator[tuple[str, str]]:
    while True:
        idle = True
        for name, follower in followers.items():
            for line in follower.lines():
                idle = False
                yield name, line
        if idle:
            time.sleep(_POLL_S)
