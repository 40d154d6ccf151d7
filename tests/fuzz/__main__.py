"""`python -m tests.fuzz --cases 40 --seeds 3`: a stack of its own, and all that Schemathesis can think of against its API.

For each seed, as a program and as a person: examples, the edges of every schema, random parameters right and wrong, and walks from what one
operation answers to what the next one takes. Nothing may be answered with 5xx, with a status, type or header that isn't documented, or with a
body that doesn't fit. Status 1 where something is; the run's own words say what, and the `curl` that shows it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from api.http import catalogue, versions
from api.openapi.document import document
from tests.e2e.conftest import running_stack
from tests.fuzz import hooks
from tests.fuzz.ground import Ground, prepared
from tests.integration._house import ROOT

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
"""Not among them: that what fits the schema is accepted. A currency or an id may be a text and yet none that there is."""
PHASES = "examples,coverage,fuzzing,stateful"
_PEOPLES = "^/v1/(operators|tenants)"


def run(
    ground: Ground,
    directory: Path,
    *,
    as_person: bool,
    version: str,
    cases: int,
    seed: int,
    phases: str,
    seconds: int,
) -> int:
    """One run of Schemathesis; its status."""
    file = directory / f"{version}.json"
    file.write_text(json.dumps(document(version)), encoding="utf-8")
    known = directory / "known.json"
    known.write_text(json.dumps({one.id: ground.known(one) for one in catalogue.operations()}), encoding="utf-8")
    headers = {**(ground.person() if as_person else ground.program()), "Stripe-Version": version}
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        str(file),
        f"--url={ground.url}",
        f"--checks={','.join(CHECKS)}",
        f"--phases={phases}",
        f"--max-examples={cases}",
        f"--seed={seed}",
        "--continue-on-failure",
        "--suppress-health-check=all",
        "--warnings=off",
        "--generation-database=none",
        "--no-color",
        f"--{'include' if as_person else 'exclude'}-path-regex={_PEOPLES}",
        *([f"--max-time={seconds}"] if seconds else []),
        *(f"--header={name}: {value}" for name, value in headers.items()),
    ]
    environ = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
        "PYTHONPATH": str(ROOT),
        hooks.KNOWN: str(known),
        "COLUMNS": "150",
    }
    return subprocess.run(command, env=environ, cwd=directory, check=False).returncode


def main() -> int:
    """0 where nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=40, help="of each operation and phase")
    parser.add_argument("--seed", type=int, default=1, help="the first")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--phases", default=PHASES)
    parser.add_argument("--seconds", type=int, default=0, help="at most so many for each run; 0: until it is done")
    parser.add_argument("--who", choices=("program", "person", "both"), default="both")
    parser.add_argument("--version", choices=versions.LIVE, default=versions.NEWEST)
    arguments = parser.parse_args()
    statuses = []
    with (
        tempfile.TemporaryDirectory() as name,
        running_stack(
            Path(name) / "data", CLEARLINE_DEVELOPMENT_ISSUER="1", CLEARLINE_SETTLEMENT_INTERVAL_MS="1000"
        ) as stack,
    ):
        directory = Path(name)
        ground = prepared(stack.apis[0], stack.read.kafka, stack.environ, directory)
        for seed in range(arguments.seed, arguments.seed + arguments.seeds):
            for as_person in (False, True):
                if arguments.who not in ("both", "person" if as_person else "program"):
                    continue
                print(f"== seed {seed}, {'a person' if as_person else 'a program'}", flush=True)
                statuses.append(
                    run(
                        ground,
                        directory,
                        as_person=as_person,
                        version=arguments.version,
                        cases=arguments.cases,
                        seed=seed,
                        phases=arguments.phases,
                        seconds=arguments.seconds,
                    )
                )
                ground.still_lets_in()
    print("nothing was found" if not any(statuses) else "see above for what was found")
    return int(any(statuses))


if __name__ == "__main__":
    raise SystemExit(main())
