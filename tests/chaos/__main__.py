"""`python -m tests.chaos --minutes 5 --seed 1`: kill everything in turn under load, then check every record. `make chaos`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.field import DEADLINE_S, Broken, Stuck
from tests.chaos.load import IN_FLIGHT_MAX, RATE_PER_S
from tests.chaos.run import chaos

MINUTES = 5.0


def main(arguments: list[str]) -> int:
    """0 when every check holds; 1 at a violation, whose logs are kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="how long faults go on (default %(default)g)")
    parser.add_argument("--seed", type=int, default=None, help="of load and faults; drawn from the clock if not given")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="3: replicated, min in-sync 2")
    parser.add_argument(
        "--rate", type=float, default=RATE_PER_S, help="payments a second at most (default %(default)g)"
    )
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT_MAX, help="payments open at most")
    parser.add_argument(
        "--patience", type=float, default=DEADLINE_S, help="seconds that nothing may move (default %(default)g)"
    )
    parser.add_argument("--keep", action="store_true", help="keep data and logs of a run without violations, too")
    options = parser.parse_args(arguments)
    seed = time.time_ns() // 1_000_000_000 % 1_000_000 if options.seed is None else options.seed
    directory = Path(tempfile.mkdtemp(prefix="clearline-chaos-"))

    def say(line: str) -> None:
        print(line, flush=True)

    failure: Exception | None = None
    broken = True
    try:
        report = chaos(
            directory,
            seed=seed,
            minutes=options.minutes,
            workers=options.workers,
            brokers=options.brokers,
            rate_per_s=options.rate,
            in_flight_max=options.in_flight,
            patience_s=options.patience,
            say=say,
        )
        say("\n".join(report.lines()))
        broken = bool(report.broken or report.stuck)
    except (Stuck, Broken) as error:
        failure = error
    if not broken:
        say(f"no violation in {report.records:,} comparisons")
        if not options.keep:
            shutil.rmtree(directory, ignore_errors=True)
        return 0
    if failure is not None:
        say(f"VIOLATION: {failure}")
    else:
        say(f"VIOLATION: {report.broken[0] if report.broken else report.stuck}")
    again = f"--seed {seed} --minutes {options.minutes:g} --workers {options.workers} --brokers {options.brokers}"
    say(f"logs and data are kept in {directory}: supervisors/*/logs, data/logs")
    say(f"repeat: python -m tests.chaos {again} (the same faults in the same order; their moments are the machine's)")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
