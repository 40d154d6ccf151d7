"""How a process shows that it is ready: a closed set of checks, each made by a constructor of Ready."""

from __future__ import annotations

import http.client
import re
import socket
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

CHECK_TIMEOUT_S = 2.0  # one look; a process that answers later than this isn't ready yet


class Kind(StrEnum):
    """What is looked at."""

    HTTP = "http"
    TCP = "tcp"
    LOG = "log"
    FINISHED = "finished"
    ALIVE = "alive"


@dataclass(frozen=True, slots=True)
class Ready:
    """One readiness check: a kind and its target (a URL, `host:port`, a regular expression, or nothing)."""

    kind: Kind
    target: str = ""

    @classmethod
    def http(cls, url: str) -> Ready:
        """Ready when a GET of `url` is answered with a 2xx status."""
        return cls(Kind.HTTP, url)

    @classmethod
    def tcp(cls, port: int, *, host: str = "127.0.0.1") -> Ready:
        """Ready when the port accepts a connection."""
        return cls(Kind.TCP, f"{host}:{port}")

    @classmethod
    def log(cls, pattern: str) -> Ready:
        """Ready when a line of the process's output, since its start, matches the regular expression."""
        re.compile(pattern)
        return cls(Kind.LOG, pattern)

    @classmethod
    def finished(cls) -> Ready:
        """Ready when the process has ended with status 0: a step of the start, not a service."""
        return cls(Kind.FINISHED)

    @classmethod
    def alive(cls) -> Ready:
        """Ready as soon as it runs."""
        return cls(Kind.ALIVE)

    @property
    def probes(self) -> bool:
        """Whether `probe` can be asked from outside, at any time."""
        return self.kind in (Kind.HTTP, Kind.TCP)

    def probe(self) -> bool:
        """Look once, over the network; for kinds that have nothing to look at from outside the answer is True."""
        if self.kind is Kind.HTTP:
            return _answers(self.target)
        if self.kind is Kind.TCP:
            host, _, port = self.target.rpartition(":")
            return _accepts(host, int(port))
        return True


def _answers(url: str) -> bool:
    # http.client rather than urllib: a proxy variable of the user's must not come between us and localhost.
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=CHECK_TIMEOUT_S)
    try:
        connection.request("GET", parts.path or "/", headers={"Connection": "close"})
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _accepts(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=CHECK_TIMEOUT_S):
            return True
    except OSError:
        return False
