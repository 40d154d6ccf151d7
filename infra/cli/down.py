"""`clearline down`: stops the stack that runs on a data directory, and says what that did."""

from __future__ import annotations

from pathlib import Path

import click

from infra.cli._console import console, data_option
from infra.cli._progress import show_stopped
from infra.supervisor import DataDirectory, Phase, State, stop_running


@click.command()
@data_option
def down(*, data: Path) -> None:
    """Stop the running stack: each process is asked, and killed only if it doesn't end in time.

    Ends with status 0 also where nothing runs.
    """
    out = console()
    status = stop_running(DataDirectory(data))
    if status is None:
        out.print(f"nothing runs on {data}")
        return
    show_stopped(out, status)
    if status.phase in (Phase.STOPPED, Phase.FAILED):
        out.print(f"the stack on {data} is stopped; its data stays, `clearline up` continues there")
        return
    left = [process.name for process in status.processes if process.state not in (State.STOPPED, State.FINISHED)]
    out.print(f"the supervisor did not end in time and was killed, and with it: {', '.join(left) or 'nothing else'}")
