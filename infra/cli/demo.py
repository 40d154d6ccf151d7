"""`clearline demo`: the whole way of 10,000 payments, with figures that check themselves."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from infra.cli._console import console
from infra.demo.run import INTENTS_FILE
from infra.demo.run import demo as run_demo

_FAILED_STATUS = 1
_PICTURE_WIDTH = 170


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=".clearline-demo",
    show_default=True,
    help="The demonstration's own data directory; an earlier demonstration's is replaced.",
)
@click.option(
    "--intents",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=INTENTS_FILE,
    help="Planned intents, JSON lines, gzipped or not. Default: the 10,000 that come with the project.",
)
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Also write what is shown, as SVG.")
def demo(*, data: Path, intents: Path, picture: Path | None) -> None:
    """Run the stack on a data directory of its own, send payments through it, and check that every figure adds up."""
    out = console() if picture is None else Console(record=True, width=_PICTURE_WIDTH, highlight=False)
    checks = run_demo(data.absolute(), intents=intents, out=out)
    failed = [check for check in checks if not check.holds]
    out.rule("5. Where to look next")
    if failed:
        out.print(f"{len(failed)} of {len(checks)} checks fail; the logs are in {data}/logs", style="bold red")
        sys.exit(_FAILED_STATUS)
    out.print(f"All {len(checks)} checks hold.", style="bold green")
    for command, why in (
        (f"clearline up --data {data}", "the same stack on the same data, kept running"),
        ("clearline tail payments.events", "state changes as they come"),
        ("clearline sql 'SELECT * FROM balances'", "what finance asks; docs/warehouse.md has more"),
        ("clearline logs -f", "what each process says"),
    ):
        out.print(f"  .venv/bin/{command:<52} {why}")
    if picture is not None:
        out.save_svg(str(picture), title="make demo")
