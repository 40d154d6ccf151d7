"""Talking to a supervisor that runs in another process: is there one, and ending it."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from infra.supervisor.directory import DataDirectory
from infra.supervisor.status import StackStatus

_POLL_S = 0.05
STOP_DEADLINE_S = 120.0  # more than the deadlines of a stack's processes, one after another, come to


def stop_running(directory: DataDirectory, *, deadline_s: float = STOP_DEADLINE_S) -> StackStatus | None:
    """End the stack that runs on the directory and wait until it is gone; None where none runs.

    Asks its supervisor with SIGTERM, and past the deadline kills it, with which its processes end too. Returns the last
    status that the supervisor wrote.
    """
    pid = directory.holder()
    if pid is None:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + deadline_s
    while directory.holder() == pid:
        if time.monotonic() >= deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_S)
    return directory.read_status()
