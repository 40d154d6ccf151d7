"""`python -m tests.upgrade record|check`: the recording of today's code, and what today's code makes of those that are kept."""

from __future__ import annotations

import argparse
import sys

from tests.upgrade._recording import Recording, accepted, recordings, verdict


def main(arguments: list[str]) -> int:
    """0; 1 when a recording is read or replayed otherwise than was recorded or accepted."""
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade", description=__doc__)
    parser.add_argument("command", choices=("record", "check"))
    if parser.parse_args(arguments).command == "record":
        made = Recording.make()
        path = made.save()
        size = sum(file.stat().st_size for file in path.iterdir())
        print(f"{path}: {len(made.log):,} records, {size:,} bytes")
        if made.name in accepted():
            print(f"accepted.toml still accepts a change of {made.name}; remove it")
        return 0
    wrong = []
    for path in recordings():
        recording, change = Recording.load(path), accepted().get(path.name)
        found = [
            verdict("replayed", recording, recording.replay(), change),
            verdict("resumed", recording, recording.resume(), change),
        ]
        wrong += filter(None, found)
        print(f"{path.name}: {len(recording.log):,} records, {'differs' if any(found) else 'as recorded'}")
    for text in wrong:
        print(f"\n{text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
