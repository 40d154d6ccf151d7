"""The data directory: its version, the lock that admits one supervisor, and the files others read about the stack."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

import msgspec

from infra.supervisor.errors import AlreadyRunningError, DataDirectoryError
from infra.supervisor.status import StackStatus

LAYOUT_VERSION = 1
_VERSION_FILE = "VERSION"
_VERSION_PREFIX = "clearline-data "
_LOCK_FILE = "stack.lock"
_STATUS_FILE = "stack.json"
_CLEANUP_DEADLINE_S = 30.0  # how long the watchdog of a supervisor that was killed may need to clear up after it
_POLL_S = 0.05


class DataDirectory:
    """A directory that holds everything a stack keeps between runs. Making one touches nothing on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.logs = self.path / "logs"

    def open(self) -> None:
        """Create the directory, or check that it is one of ours. Raises DataDirectoryError."""
        try:
            self._open()
        except OSError as error:
            raise DataDirectoryError(
                f"the data directory {self.path} can't be used: {error.strerror}",
                remedy="give `--data` a directory that this user may write to",
            ) from error

    def _open(self) -> None:
        # 0700: payments data and the warehouse's password lie in it.
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        version_file = self.path / _VERSION_FILE
        try:
            written = version_file.read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            if any(entry.name != _LOCK_FILE for entry in self.path.iterdir()):
                raise DataDirectoryError(
                    f"{self.path} is not empty and not a Clearline data directory (it has no {_VERSION_FILE} file)",
                    remedy="give `--data` an empty or a new directory",
                ) from None
            self._replace(version_file, f"{_VERSION_PREFIX}{LAYOUT_VERSION}\n".encode())
        else:
            if written != f"{_VERSION_PREFIX}{LAYOUT_VERSION}":
                raise DataDirectoryError(
                    f"{self.path} has layout {written[:40]!r}; this release knows '{_VERSION_PREFIX}{LAYOUT_VERSION}'",
                    remedy="use the release that wrote it, or give `--data` another directory",
                )
        self.logs.mkdir(mode=0o700, exist_ok=True)

    def lock(self) -> DirectoryLock:
        """Take the directory for this supervisor. Raises AlreadyRunningError.

        Where the holder is dead, its watchdog still holds the lock while it kills what was left; that is waited for.
        """
        descriptor = os.open(self.path / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _CLEANUP_DEADLINE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                holder = self._written_pid()
                if time.monotonic() < deadline and (holder is None or not _is_alive(holder)):
                    time.sleep(_POLL_S)
                    continue
                os.close(descriptor)
                raise AlreadyRunningError(
                    f"a stack is already running on {self.path}" + (f" (supervisor pid {holder})" if holder else ""),
                    remedy="see `clearline status`, end it with `clearline down`, or give `--data` another directory",
                    pid=holder,
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
            return DirectoryLock(descriptor)

    def holder(self) -> int | None:
        """Return the pid of the live supervisor that holds the directory, or None."""
        try:
            descriptor = os.open(self.path / _LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            pid = self._written_pid()
            return pid if pid is not None and _is_alive(pid) else None
        finally:
            os.close(descriptor)
        return None

    def write_status(self, status: StackStatus) -> None:
        """Replace stack.json as a whole; a disk that can't take it is no reason to end a running stack."""
        with contextlib.suppress(OSError):
            self._replace(self.path / _STATUS_FILE, msgspec.json.format(msgspec.json.encode(status), indent=1))

    def read_status(self) -> StackStatus | None:
        """Return what the last supervisor wrote, running or not; None where there is nothing readable."""
        try:
            return msgspec.json.decode((self.path / _STATUS_FILE).read_bytes(), type=StackStatus)
        except (OSError, msgspec.DecodeError):
            return None

    def log_file(self, name: str) -> Path:
        """Return the path of a process's log."""
        return self.logs / f"{name}.log"

    @staticmethod
    def _replace(path: Path, content: bytes) -> None:
        beside = path.with_name(f".{path.name}.new")
        beside.write_bytes(content)
        beside.replace(path)

    def _written_pid(self) -> int | None:
        try:
            return int((self.path / _LOCK_FILE).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None


class DirectoryLock:
    """The lock on a data directory; held until closed here *and* in the watchdog that inherited `fd`."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Give the directory free."""
        os.close(self.fd)


def _is_alive(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
