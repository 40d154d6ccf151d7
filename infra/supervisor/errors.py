"""The supervisor's errors. Each says what happened in its text and what to do in `remedy`.

SupervisorError
├── SpecError                a stack's description contradicts itself
├── StartRefusedError        nothing was started
│   ├── AlreadyRunningError    another supervisor holds this data directory
│   ├── PortInUseError         a port that a process needs is taken
│   ├── DiskNearlyFullError    too little space is left (also ends a running stack)
│   └── DataDirectoryError     not a data directory of ours, or one of an unknown version
├── ProcessGaveUpError       a required process died too often, too quickly
├── NotReadyError            the caller's own deadline passed before a process was ready
└── NotRunningError          a process was asked for that isn't there
"""

from __future__ import annotations


class SupervisorError(Exception):
    """Anything the supervisor refuses or gives up on; `remedy` says what to do, `exit_status` how a command should end."""

    exit_status = 1

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class SpecError(SupervisorError):
    """A stack's description contradicts itself: a name twice, an unknown dependency, a circle."""


class StartRefusedError(SupervisorError):
    """The stack can't be started as things are; nothing was started."""


class AlreadyRunningError(StartRefusedError):
    """Another supervisor, `pid`, holds this data directory; scripts can tell it by its status."""

    exit_status = 3

    def __init__(self, message: str, *, remedy: str, pid: int | None) -> None:
        super().__init__(message, remedy=remedy)
        self.pid = pid


class PortInUseError(StartRefusedError):
    """A port that a process of the stack needs is taken by another program, `owner_pid` where the system tells."""

    def __init__(self, message: str, *, remedy: str, port: int, owner_pid: int | None) -> None:
        super().__init__(message, remedy=remedy)
        self.port = port
        self.owner_pid = owner_pid


class DiskNearlyFullError(StartRefusedError):
    """Less space is left under the data directory than the stack needs to stop without damage."""


class DataDirectoryError(StartRefusedError):
    """The directory isn't a data directory of ours, or its layout is of a version this release doesn't know."""


class ProcessGaveUpError(SupervisorError):
    """A required process, `name`, died too often, too quickly; `last_lines` are the end of its log."""

    def __init__(self, message: str, *, remedy: str, name: str, last_lines: list[str]) -> None:
        super().__init__(message, remedy=remedy)
        self.name = name
        self.last_lines = last_lines


class NotReadyError(SupervisorError):
    """The caller's deadline passed before what it waited for was ready."""


class NotRunningError(SupervisorError):
    """A process was asked for that doesn't exist or doesn't run."""
