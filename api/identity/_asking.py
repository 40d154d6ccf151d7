"""What the resources of this package share: ids that a repeated request meets again, and fingerprints."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from api.http.service import Caller

_encode = msgspec.json.Encoder(order="sorted").encode


def made_id(prefix: str, caller: Caller) -> str:
    """The id of what this request makes: the same for the same idempotency key of the same tenant or organisation."""
    who = caller.identity
    whose = who.tenant or f"/{who.organization}"
    return f"{prefix}_" + sha256(_encode([prefix, whose, caller.idempotency_key])).hexdigest()[:24]


def fingerprint(given: Mapping[str, Any]) -> str:
    """Stands for what was asked, whatever the order of its parameters."""
    return sha256(_encode(given)).hexdigest()
