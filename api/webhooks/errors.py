"""The exceptions of api.webhooks.

    WebhooksError
    ├── ConfigurationError   a setting is missing or unreadable; the process doesn't start
    ├── BadSecret            no signing secret of ours; nothing is signed with it
    ├── AddressRefused       an endpoint's address is one that may not be called (also an OSError: it ends a connection)
    ├── TooManyChanges       more changes of endpoints wait than may; nothing was begun
    └── WebhooksStopped      the process can't go on and leaves itself to its supervisor (also a `schemas.stopping.Stopped`)

What an endpoint answers, or fails to answer, is never an exception: it is an `Answer` (see `calls`).
"""

from __future__ import annotations

import errno

from schemas.stopping import Stopped


class WebhooksError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigurationError(WebhooksError):
    """A setting is missing or unreadable; the message names the setting and says what would do."""


class BadSecret(WebhooksError):
    """A signing secret that does not have the form of one; the message doesn't repeat it."""


class AddressRefused(WebhooksError, OSError):
    """The URL, or an address that its host name resolves to, may not be called; the message says what may."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno, self.strerror = errno.EACCES, message  # what aiohttp makes its own error's text of


class TooManyChanges(WebhooksError):
    """More changes of endpoints wait in this process than may."""


class WebhooksStopped(WebhooksError, Stopped):
    """The process can't go on; what it had not committed is done again by the next one."""
