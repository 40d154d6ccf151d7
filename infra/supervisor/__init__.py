"""Starts the processes of a stack in order, keeps them running, stops them, and leaves none behind."""

from infra.supervisor.checks import free_ports
from infra.supervisor.control import stop_running
from infra.supervisor.directory import DataDirectory
from infra.supervisor.errors import (
    AlreadyRunningError,
    DataDirectoryError,
    DiskNearlyFullError,
    NotReadyError,
    NotRunningError,
    PortInUseError,
    ProcessGaveUpError,
    SpecError,
    StartRefusedError,
    SupervisorError,
)
from infra.supervisor.ready import Ready
from infra.supervisor.spec import Limits, ProcessSpec, RestartPolicy
from infra.supervisor.stack import Stack
from infra.supervisor.status import Phase, ProcessStatus, StackStatus, State

__all__ = [
    "AlreadyRunningError",
    "DataDirectory",
    "DataDirectoryError",
    "DiskNearlyFullError",
    "Limits",
    "NotReadyError",
    "NotRunningError",
    "Phase",
    "PortInUseError",
    "ProcessGaveUpError",
    "ProcessSpec",
    "ProcessStatus",
    "Ready",
    "RestartPolicy",
    "SpecError",
    "Stack",
    "StackStatus",
    "StartRefusedError",
    "State",
    "SupervisorError",
    "free_ports",
    "stop_running",
]
