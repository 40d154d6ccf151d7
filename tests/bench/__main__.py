"""`python -m tests.bench`: measures, prints, and keeps the figures in .bench/latest.json."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from tests.bench import api, engines, landing, latency, payments, recovery, webhooks
from tests.bench.figures import Figure, lines, save
from tests.bench.ground import BenchError, ground

PARTS = ("engines", "latency", "payments", "landing", "recovery", "api", "webhooks")


def main(arguments: list[str]) -> int:
    """0 when everything was measured, whether or not an aim was met; 1 when something could not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("part", nargs="?", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--quick", action="store_true", help="small sizes: some two minutes")
    parser.add_argument(
        "--profile", action="store_true", help="also say where the time goes; the figures suffer a little"
    )
    parser.add_argument("--rounds", type=int, help="instead of the usual number of rounds")
    parser.add_argument("--sides", help="engines: only these, with commas between")
    options = parser.parse_args(arguments)
    # So that what was started is ended, whoever ends us.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    figures: list[Figure] = []
    parts = PARTS if options.part == "all" else (options.part,)
    try:
        for part in parts:
            begun = time.monotonic()
            out.rule(part)
            found = _measure(part, options, out)
            figures += found
            for figure in found:
                for line in lines(figure):
                    out.print(line, markup=False)
            out.print(f"  ({time.monotonic() - begun:.0f} s)")
            save(figures)
    except BenchError as error:
        out.print(f"could not measure: {error}", style="red", markup=False)
        return 1
    missed = [line for figure in figures for line in figure.missed()]
    out.rule("aims")
    for line in missed or ["all met"]:
        out.print(f"missed: {line}" if missed else line, markup=False)
    out.print("every figure is in .bench/latest.json; docs/benchmarks.md says how to read them")
    return 0


def _measure(part: str, options: argparse.Namespace, out: Console) -> list[Figure]:
    if part == "engines":
        sizes = engines.QUICK if options.quick else engines.Sizes()
        if options.rounds:
            sizes = replace(sizes, rounds=options.rounds)
        sides = tuple(options.sides.split(",")) if options.sides else engines.SIDES
        with ground() as there:
            return engines.measure(there, sizes, out, sides=sides, profile=options.profile)
    if part == "latency":
        with ground() as there:
            return latency.measure(there, out, blocks=options.rounds or (3 if options.quick else 10))
    if part == "payments":
        sizes = payments.QUICK if options.quick else payments.Sizes()
        if options.rounds:
            sizes = replace(sizes, rounds=options.rounds)
        with ground() as there:
            return payments.measure(there, sizes, out, profile=options.profile)
    if part == "recovery":
        with ground() as there:
            return recovery.measure(there, recovery.QUICK if options.quick else recovery.Sizes(), out)
    if part == "api":
        told = api.QUICK if options.quick else api.Sizes()
        if options.rounds:
            told = replace(told, rounds=options.rounds)
        with tempfile.TemporaryDirectory(prefix="clearline-bench-", ignore_cleanup_errors=True) as directory:
            return api.measure(Path(directory), told, out)
    if part == "webhooks":
        sent = webhooks.QUICK if options.quick else webhooks.Sizes()
        if options.rounds:
            sent = replace(sent, rounds=options.rounds)
        with tempfile.TemporaryDirectory(prefix="clearline-bench-", ignore_cleanup_errors=True) as directory:
            return webhooks.measure(Path(directory), sent, out)
    sizes = landing.QUICK if options.quick else landing.Sizes()
    if options.rounds:
        sizes = replace(sizes, rounds=options.rounds)
    with tempfile.TemporaryDirectory(prefix="clearline-bench-", ignore_cleanup_errors=True) as directory:
        return landing.measure(Path(directory), sizes, out)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
