"""What the sender, and the API about endpoints, are told from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from api.webhooks.errors import ConfigurationError
from api.webhooks.schedule import Schedule

WEBHOOKS = "CLEARLINE_WEBHOOKS"
ALLOW_LOOPBACK = "CLEARLINE_WEBHOOKS_ALLOW_LOOPBACK"

_TRUTH = {"": False, "0": False, "false": False, "1": True, "true": True}
_Count = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Everything of `CLEARLINE_WEBHOOKS`, all optional.

    An attempt may take `timeout_s`. At most `attempts_max` are under way at once, and `attempts_per_endpoint_max` to one endpoint, one to an
    endpoint that has failed lately; such endpoints together get no more than half. `waiting_per_endpoint_max`: how many deliveries
    may wait for one endpoint, fewer when all together come near `waiting_max`; what is beyond is dropped, and logged as that.
    """

    schedule: Schedule = Schedule()
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=120)] = 20.0
    attempts_max: _Count = 128
    attempts_per_endpoint_max: _Count = 8
    waiting_per_endpoint_max: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 100_000
    waiting_max: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)] = 1_000_000
    session_timeout_s: Annotated[int, msgspec.Meta(ge=6, le=300)] = 15


def webhooks(environ: Mapping[str, str]) -> Settings:
    """The sender's settings. Raises `ConfigurationError`."""
    text = environ.get(WEBHOOKS, "").strip() or "{}"
    try:
        return msgspec.json.decode(text, type=Settings)
    except (msgspec.MsgspecError, UnicodeError) as error:
        message = f'{WEBHOOKS} is not usable: {error}. Give one JSON object such as {{"timeout_s": 20}}'
        raise ConfigurationError(message) from None


def allow_loopback(environ: Mapping[str, str]) -> bool:
    """Whether endpoints may be on this machine, for development. Raises `ConfigurationError`."""
    text = environ.get(ALLOW_LOOPBACK, "").strip().lower()
    if text not in _TRUTH:
        raise ConfigurationError(f"{ALLOW_LOOPBACK} is {text[:20]!r}; set it to 1 for development, or leave it unset")
    return _TRUTH[text]
