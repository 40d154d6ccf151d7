"""Starting and killing real processes: the launcher, the process group, and the watchdog that outlives us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

_HERE = Path(__file__).parent
_BARE_PYTHON = (
    sys.executable,
    "-I",
    "-S",
)  # neither site-packages nor the user's settings: quick, and nothing to break


class Watchdog:
    """The handle on the watchdog process; one per supervisor, replaced when it dies."""

    def __init__(self, *, lock_fd: int) -> None:
        self._lock_fd = lock_fd
        self._guard = threading.Lock()
        self._groups: set[int] = set()
        self._start()

    @property
    def pid(self) -> int:
        """The process id of the watchdog."""
        return self._process.pid

    def spawn(self, argv: Sequence[str], *, environment: Mapping[str, str], directory: Path | None) -> _Popen:
        """Start a program in a session and process group of its own, registered before its first instruction.

        The calling thread must stay alive for as long as the child does (see _launch.py).
        """
        with self._guard:
            command = [*_BARE_PYTHON, str(_HERE / "_launch.py"), str(os.getpid()), str(self._pipe), *argv]
            child = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(self._pipe,),
            )
            self._groups.add(child.pid)
            return child

    def forget(self, group: int) -> None:
        """Tell it that a group is gone, before its number can be used by somebody else."""
        with self._guard:
            self._groups.discard(group)
            self._tell(b"-%d\n" % group)

    def revive(self) -> bool:
        """Start another one if it died; returns whether it had."""
        with self._guard:
            if self._process.poll() is None:
                return False
            os.close(self._pipe)
            self._start()
            for group in self._groups:
                self._tell(b"+%d\n" % group)
            return True

    def close(self) -> None:
        """Close the pipe, upon which it kills what is still registered, and wait for it to end."""
        with self._guard:
            os.close(self._pipe)
            self._process.wait()

    def _start(self) -> None:
        # Its own session: neither Ctrl-C nor a killed process group of the supervisor reaches it.
        reading, self._pipe = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*_BARE_PYTHON, str(_HERE / "_watchdog.py")],
                stdin=reading,
                start_new_session=True,
                pass_fds=(self._lock_fd,),
                cwd="/",
            )
        finally:
            os.close(reading)

    def _tell(self, line: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # it died: revive() tells its successor
            os.write(self._pipe, line)


_Popen = subprocess.Popen[bytes]


def await_exit(child: _Popen) -> None:
    """Block until the child has ended, without collecting it: its process group keeps its number until then."""
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    else:  # macOS before Python 3.13
        child.wait()


def has_exited(child: _Popen) -> bool:
    """Look whether the child has ended, without collecting it."""
    if hasattr(os, "waitid"):
        return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
    return child.poll() is not None


def kill_group(group: int) -> None:
    """Kill a child and everything it started that is still in its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
        os.killpg(group, signal.SIGKILL)


def describe_exit(status: int) -> str:
    """Say how a process ended: `status 3`, `signal SIGKILL`."""
    if status >= 0:
        return f"status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
