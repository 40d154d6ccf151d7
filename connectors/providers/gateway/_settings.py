"""What the gateway is told from outside, and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from connectors.providers.errors import ConfigurationError

PROVIDERS = "CLEARLINE_PROVIDERS"
GATEWAY = "CLEARLINE_GATEWAY"

DEFAULT_PROVIDERS = (
    '{"northpay": {"kind": "simulated", "url": "http://127.0.0.1:8701/northpay/v1"},'
    ' "southpay": {"kind": "simulated", "url": "http://127.0.0.1:8701/southpay/v1"}}'
)

GROUP = "gateway"
IN_FLIGHT_MAX = 2_000
"""Requests read and not yet answered or parked; at this many the consumer is paused."""
PENDING_MAX = 10_000
"""Requests parked in `gateway.pending` beyond which the consumer is paused too, about 5 KB of memory each."""
SPAN_PAUSED_AT = 8_192
"""Offsets that a partition may run ahead of its oldest open request before it is paused; well within the window's reach."""
BATCH_MAX = 500

_Positive = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One provider: its kind and the address of its `/v1`."""

    kind: Literal["simulated"]
    url: Annotated[str, msgspec.Meta(pattern="^https?://")]


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything of `CLEARLINE_GATEWAY`, all optional.

    `timeout_s` bounds one call. A request is (re)sent until `deadline_s` after it was made and at most `sends_max` times by one
    process; from then on inquiries close its key. `inquiry_first_s` and `inquiry_longest_s` shape the back-off. After
    `session_timeout_s` of silence the group gives this gateway's partitions to another. A
    provider is asked for notices every `notices_every_s`. A
    provider whose oldest waiting request waits longer than `stalled_after_s` is stalled: what comes for it is parked at once, so that it can't
    fill the window.
    """

    timeout_s: _Positive = 10.0
    deadline_s: _Positive = 900.0
    sends_max: _Count = 3
    inquiry_first_s: _Positive = 0.1
    inquiry_longest_s: _Positive = 60.0
    calls_per_provider_max: _Count = 64
    calls_max: _Count = 256
    inquiries_per_provider_max: _Count = 16
    session_timeout_s: Annotated[int, msgspec.Meta(ge=6, le=300)] = 15
    stalled_after_s: _Positive = 3.0
    notices_every_s: _Positive = 1.0
    group: str = GROUP


def providers(environ: Mapping[str, str]) -> dict[str, ProviderSettings]:
    """The configured providers by name. Raises `ConfigurationError`, without repeating a value that may hold a secret."""
    text = environ.get(PROVIDERS, "").strip() or DEFAULT_PROVIDERS
    try:
        found = msgspec.json.decode(text, type=dict[str, ProviderSettings])
    except (msgspec.MsgspecError, UnicodeError) as error:
        message = f"{PROVIDERS} is not usable: {error}. Give one JSON object such as {DEFAULT_PROVIDERS}"
        raise ConfigurationError(message) from None
    if not found:
        message = f"{PROVIDERS} names no provider. Give one JSON object such as {DEFAULT_PROVIDERS}"
        raise ConfigurationError(message)
    return found


def gateway(environ: Mapping[str, str]) -> GatewaySettings:
    """The gateway's own settings. Raises `ConfigurationError`."""
    text = environ.get(GATEWAY, "").strip() or "{}"
    try:
        return msgspec.json.decode(text, type=GatewaySettings)
    except (msgspec.MsgspecError, UnicodeError) as error:
        message = f'{GATEWAY} is not usable: {error}. Give one JSON object such as {{"timeout_s": 10}}'
        raise ConfigurationError(message) from None
