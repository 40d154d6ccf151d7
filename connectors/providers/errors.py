"""The exceptions of connectors.providers.

    ProvidersError
    ├── ConfigurationError      a setting is missing or unreadable; the process doesn't start
    ├── UntranslatableRequest   a request record that no provider operation can be made of; it is rejected, not retried
    ├── WindowFull              more offsets in flight than a partition's window may hold; a bug in back-pressure
    ├── BooksError              the simulator's books can't be opened or written; the simulator stops
    └── GatewayStopped          the gateway can't go on and leaves the process to its supervisor (also a `schemas.stopping.Stopped`)

What a provider answers, or fails to answer, is never an exception: it is an `Outcome` (see `base`).
"""

from __future__ import annotations

from schemas.stopping import Stopped


class ProvidersError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigurationError(ProvidersError):
    """A setting is missing or unreadable; the message names the setting and an example of a good value."""


class UntranslatableRequest(ProvidersError):
    """A request record that no provider operation can be made of; `code` is stable, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class WindowFull(ProvidersError):
    """More offsets in flight than a partition's window may hold."""


class BooksError(ProvidersError):
    """The simulator's books can't be opened or written."""


class GatewayStopped(ProvidersError, Stopped):
    """The gateway can't go on; what it had not committed is repeated under the same keys by the next one."""
