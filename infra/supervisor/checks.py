"""What is looked at before anything starts: ports that are taken and space that is short."""

from __future__ import annotations

import errno
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from infra.supervisor.errors import DiskNearlyFullError, PortInUseError
from infra.supervisor.spec import ProcessSpec

_HOST = "127.0.0.1"
_MIB = 1024 * 1024


def check_ports(specs: Sequence[ProcessSpec], *, remedy: str) -> None:
    """Raise PortInUseError for the first port of the specs that can't be had, naming its owner where known."""
    seen: dict[int, str] = {}
    for spec in specs:
        for purpose, port in spec.ports.items():
            if port in seen:
                raise PortInUseError(
                    f"{spec.name} and {seen[port]} both want port {port}", remedy=remedy, port=port, owner_pid=None
                )
            seen[port] = spec.name
            if (problem := _problem(port)) is not None:
                owner = port_owner(port)
                held_by = "" if owner is None else f" (held by {_command_name(owner)}, pid {owner})"
                raise PortInUseError(
                    f"port {port}, which {spec.name} needs ({purpose}), {problem}{held_by}",
                    remedy=remedy if owner is None else f"end that program (`kill {owner}`), or {remedy}",
                    port=port,
                    owner_pid=owner,
                )


def free_bytes(directory: Path) -> int:
    """Return how much space is left for this user under the directory."""
    return shutil.disk_usage(directory).free


def check_disk(directory: Path, *, free: int, free_bytes_min: int) -> None:
    """Raise DiskNearlyFullError when less than `free_bytes_min` is free under the directory."""
    if free < free_bytes_min:
        raise DiskNearlyFullError(
            f"the disk of {directory} is nearly full: {free // _MIB} MiB free, at least {free_bytes_min // _MIB} MiB needed",
            remedy=f"free at least {(free_bytes_min - free) // _MIB + 1} MiB there, or give `--data` a directory on a larger disk",
        )


def port_owner(port: int) -> int | None:
    """Return the pid that listens on a TCP port of this machine, or None where the system doesn't tell."""
    import psutil

    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return None
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            return None if connection.pid is None else int(connection.pid)
    return None


def free_ports(count: int) -> list[int]:
    """Return distinct TCP ports that were free a moment ago, for stacks that must not meet another (tests)."""
    held = []
    try:
        for _ in range(count):
            held.append(socket.socket())
            held[-1].bind((_HOST, 0))
        return [opened.getsockname()[1] for opened in held]
    finally:
        for opened in held:
            opened.close()


def _problem(port: int) -> str | None:
    with socket.socket() as probing:
        # As servers do: connections of an earlier run that linger in TIME_WAIT don't count.
        probing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probing.bind((_HOST, port))
            probing.listen(1)
        except OverflowError:
            return "is no port number"
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is in use"
            return f"can't be used ({error.strerror})"
    return None


def _command_name(pid: int) -> str:
    import psutil

    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return "another program"
