"""`python -m tests.simulation`: run many seeds, or one with its whole trace."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import Counter

import msgspec

from tests.simulation.bad import BAD
from tests.simulation.checks import CHECKS
from tests.simulation.cluster import Engine
from tests.simulation.many import results_of
from tests.simulation.run import Mode, Result, simulate

# A line of progress at most this often.
PROGRESS_INTERVAL_S = 10.0


class Totals(msgspec.Struct):
    """What all runs came to together."""

    seeds: int = 0
    modes: Counter[str] = msgspec.field(default_factory=Counter)
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    records: int = 0
    events: int = 0
    virtual_ms: int = 0

    def add(self, result: Result) -> None:
        """One more run."""
        self.seeds += 1
        self.modes[result.mode] += 1
        self.faults.update(result.faults)
        self.counts.update(result.counts)
        self.records += result.records
        self.events += result.events
        self.virtual_ms += result.virtual_ms


def replay_command(result: Result, engine: str) -> str:
    """How to see it again."""
    bad = f" --bad '{engine}'" if engine != "real" else ""
    return f"python -m tests.simulation --seed {result.seed} --mode {result.mode}{bad} --trace"


def report(totals: Totals, took_s: float) -> None:
    """What was done."""
    modes = ", ".join(f"{count} {mode}" for mode, count in sorted(totals.modes.items()))
    print(f"seeds    {totals.seeds} ({modes}) in {took_s:.1f} s: {totals.seeds / took_s:.1f} seeds/s")
    print(f"time     {totals.virtual_ms / 3_600_000:.1f} virtual hours, {totals.events} scheduled events")
    print(f"records  {totals.records} in all logs; folded anew: {totals.counts['inputs']} inputs")
    kinds: Counter[str] = Counter()
    points: Counter[str] = Counter()
    for fault, count in totals.faults.items():
        action, at, point = fault.partition(" at ")
        (points if at else kinds)[f"{point}: {action}" if at else fault] += count
    print("faults   " + ", ".join(f"{fault} {count}" for fault, count in sorted(kinds.items())))
    print("points   " + (", ".join(f"{fault} {count}" for fault, count in sorted(points.items())) or "none"))
    looked = ", ".join(f"{what} {count}" for what, count in sorted(totals.counts.items()) if what != "inputs")
    print(f"checks   {', '.join(CHECKS)} after each seed; looked at: {looked}")


def main(arguments: list[str] | None = None) -> int:
    """Status 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many seeds (1000)")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--seed", type=int, help="this seed only")
    parser.add_argument("--trace", action="store_true", help="with --seed: print everything that happens")
    parser.add_argument("--mode", choices=("safety", "liveness", "both"), default="both")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--bad", choices=sorted(BAD), default="", help="run one that is known to be bad instead")
    options = parser.parse_args(arguments)
    engine = options.bad or "real"
    if options.seed is not None:
        return _one(options.seed, options.mode, engine, trace=options.trace)
    if options.seeds < 1 or options.processes < 1:
        parser.error("--seeds and --processes must be at least 1")
    totals, began_s = Totals(), time.monotonic()
    told_s = began_s
    for result in results_of(options.first, options.seeds, options.mode, engine, options.processes):
        totals.add(result)
        if result.failure:
            _show(result, engine)
            report(totals, time.monotonic() - began_s)
            return 1
        if time.monotonic() - told_s > PROGRESS_INTERVAL_S:
            told_s = time.monotonic()
            print(f"… {totals.seeds} of {options.seeds} seeds", file=sys.stderr, flush=True)
    report(totals, time.monotonic() - began_s)
    print("no violation")
    return 0


def _one(seed: int, mode: Mode, engine: str, *, trace: bool) -> int:
    if trace:
        logging.basicConfig(level=logging.INFO, format="        %(name)s: %(message)s", stream=sys.stdout)
    result = simulate(seed, mode=mode, engine=BAD.get(engine, Engine()), trace=print if trace else None)
    if result.failure:
        _show(result, engine, lines=not trace)
        return 1
    totals = Totals()
    totals.add(result)
    print(f"seed {seed} {result.mode}: no violation, digest {result.digest}")
    print("faults   " + (", ".join(f"{fault} {count}" for fault, count in sorted(result.faults.items())) or "none"))
    print("checks   " + ", ".join(f"{what} {count}" for what, count in sorted(result.counts.items())))
    return 0


def _show(result: Result, engine: str, *, lines: bool = True) -> None:
    if lines:
        print("\n".join(result.lines))
    print(f"VIOLATION with seed {result.seed} ({result.mode}, {engine} runtime): {result.failure}")
    print(f"replay   {replay_command(result, engine)}")


if __name__ == "__main__":
    sys.exit(main())
