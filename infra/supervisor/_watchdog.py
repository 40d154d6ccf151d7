"""The watchdog: a small process that kills what the supervisor started, should the supervisor vanish without doing so.

Run as a script. It reads `+PGID` and `-PGID` lines from its standard input; when that ends, the supervisor is gone, and
every process group still registered is killed. It inherits the data directory's lock, so that no other supervisor
starts on the directory before this is done. Nothing but the standard library may be imported here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

GONE_DEADLINE_S = 10.0  # SIGKILL takes effect at once but for processes stuck in the kernel
POLL_S = 0.02


def main() -> None:
    """Keep the list of groups until the supervisor's end of the pipe closes; then kill what is left of it."""
    for deaf_to in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(deaf_to, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        group = int(line[1:])
        if line[:1] == b"+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    deadline = time.monotonic() + GONE_DEADLINE_S
    while any(_lives(group) for group in groups) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    # A zombie that its new parent doesn't collect (a container without an init) holds neither ports nor files.
    with contextlib.suppress(OSError):
        return Path(f"/proc/{group}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return sys.platform != "linux"


if __name__ == "__main__":
    main()
