"""Become a child of the supervisor: tie this process's life to the supervisor's, then exec the real program.

Run as a script (`python -I -S _launch.py SUPERVISOR_PID WATCHDOG_FD PROGRAM ARG...`) because doing this in a forked copy
of a process with threads (`preexec_fn`) can deadlock. Nothing but the standard library may be imported here.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
NOT_STARTED = 127  # what a shell says too when there is no such program
PARENT_GONE = 75


def main() -> None:
    """Ask for SIGKILL when the supervisor dies, register with its watchdog, and exec."""
    supervisor, watchdog, argv = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        # Linux kills us with the supervisor. It survives exec, and fires when the supervisor's *thread* that started
        # us ends, which is why that thread stays until we have ended.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:
        sys.exit(PARENT_GONE)  # it died before we asked
    try:
        # Below PIPE_BUF, so written whole. From here on the watchdog kills our whole group with the supervisor, which
        # covers systems without PDEATHSIG and the children that we have ourselves.
        os.write(watchdog, b"+%d\n" % os.getpid())
    except OSError:
        sys.exit(PARENT_GONE)
    os.close(watchdog)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - the argv is the stack's own
    except OSError as error:
        sys.stderr.write(f"error: can't start {argv[0]}: {error.strerror}\n")
        sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main()
