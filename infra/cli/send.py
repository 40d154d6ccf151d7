"""`clearline send FILE`: puts payment intents on the topic, asks for their captures and refunds, shows how they get on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from infra.cli._console import console, data_option
from infra.demo.run import read_plans
from infra.demo.run import send as send_plans
from infra.stack import reach

_OPEN_STATUS = 4


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@data_option
def send(*, file: Path, data: Path) -> None:
    """Send the planned intents in FILE (JSON lines, gzipped or not) to the running stack, or to CLEARLINE_KAFKA.

    Sending a file again has no second effect. Ends with status 4 when some payments did not come to an end.
    """
    out = console()
    tally = send_plans(read_plans(file), reach(data, os.environ), out)
    states = ", ".join(f"{count:,} {status}" for status, count in sorted(tally.by_status.items()))
    out.print(f"{tally.sent:,} intents: {states}")
    if tally.open:
        out.print(f"{tally.open:,} are still open")
        sys.exit(_OPEN_STATUS)
