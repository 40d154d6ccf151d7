"""Ports on 127.0.0.1: which are free, and whether one is."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

from infra.kafka.errors import PortInUse

LOWEST_PORT = 10_000
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
EPHEMERAL_START_DEFAULT = 32_768
TRIES = 1_000


def free_ports(count: int) -> list[int]:
    """`count` different ports that were free a moment ago, below the range the kernel takes client ports from.

    A port of that range could be taken by any client's outgoing connection while a broker is down between kill and
    restart; a client that keeps calling a dead port there can even connect to itself.
    """
    try:
        ephemeral_start = int(EPHEMERAL_RANGE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        ephemeral_start = EPHEMERAL_START_DEFAULT
    random_source = random.SystemRandom()
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        for _ in range(TRIES):
            if len(ports) == count:
                return ports
            # Where the whole range is ephemeral there is no better choice than to let the kernel choose.
            wanted = random_source.randrange(LOWEST_PORT, ephemeral_start) if ephemeral_start > LOWEST_PORT else 0
            with contextlib.suppress(OSError):
                held_socket = held.enter_context(socket.socket())
                held_socket.bind(("127.0.0.1", wanted))
                ports.append(held_socket.getsockname()[1])
    raise PortInUse(LOWEST_PORT)


def is_taken(port: int) -> bool:
    """Whether somebody listens on `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return True
    return False


def require_free(*ports: int) -> None:
    """Raises PortInUse for the first of `ports` on which somebody listens."""
    for port in ports:
        if is_taken(port):
            raise PortInUse(port)
