"""Which documented answers no test came to.

`CLEARLINE_REQUESTS=FILE pytest tests/integration/api`, then `python -m tests.contract.seen FILE`. What any operation may be
answered with (400, 401, 403, 429, 500, 503) is not counted: it does not depend on the operation.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from api.http import catalogue
from api.openapi._statuses import statuses
from tests.integration.api._answers import operation_of

OWN = ("200", "402", "404", "409")


def unseen(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Operations and statuses of the document that stand in no line of a run (`tests.integration.api._answers`)."""
    seen = set()
    for line in lines:
        told = json.loads(line)
        operation = operation_of(told["method"], told["path"])
        if operation is not None:
            seen.add((operation.id, str(told["status"])))
    return [
        (one.id, status)
        for one in catalogue.operations()
        for status in ("200", *statuses(one))
        if status in OWN and (one.id, status) not in seen
    ]


def main() -> int:
    """0 when every one was seen; else 1, with one a line."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract.seen", description=__doc__)
    parser.add_argument("file", type=Path)
    found = unseen(parser.parse_args().file.read_text(encoding="utf-8").splitlines())
    for operation, status in found:
        print(operation, status)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
