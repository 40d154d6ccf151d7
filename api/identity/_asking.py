"""What the resources of this package share: ids that a repeated request meets again, fingerprints, and pages of what is in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeVar

import msgspec

from api.http.errors import InvalidRequest
from api.http.parameters import Field, Integer, Text
from api.http.service import Caller
from api.reads.lists import LIMIT_DEFAULT, LIMIT_MAX
from api.reads.render import listed

PAGE: Mapping[str, Field] = {
    "limit": Integer(least=1, most=LIMIT_MAX),
    "starting_after": Text(),
    "ending_before": Text(),
}

_One = TypeVar("_One")

_encode = msgspec.json.Encoder(order="sorted").encode


def now_ms() -> int:
    """The wall clock, ms since the epoch."""
    return time.time_ns() // 1_000_000


def made_id(prefix: str, caller: Caller) -> str:
    """The id of what this request makes: the same for the same idempotency key of the same tenant or organisation."""
    who = caller.identity
    whose = who.tenant or f"/{who.organization}"
    return f"{prefix}_" + sha256(_encode([prefix, whose, caller.idempotency_key])).hexdigest()[:24]


def fingerprint(given: Mapping[str, Any]) -> str:
    """Stands for what was asked, whatever the order of its parameters."""
    return sha256(_encode(given)).hexdigest()


def page(
    url: str,
    given: Mapping[str, Any],
    found: Sequence[_One],
    *,
    id_of: Callable[[_One], str],
    render: Callable[[_One], dict[str, Any]],
) -> dict[str, Any]:
    """A page of what is in memory, given in the list's order. Raises `InvalidRequest`."""
    limit = given.get("limit") or LIMIT_DEFAULT
    after, before = given.get("starting_after") or "", given.get("ending_before") or ""
    if after and before:
        raise InvalidRequest("Send starting_after or ending_before, not both.", param="ending_before")
    rest = list(found)
    if after or before:
        param = "ending_before" if before else "starting_after"
        at = next((number for number, one in enumerate(rest) if id_of(one) == (after or before)), None)
        if at is None:
            raise InvalidRequest(f"No such object to page from: {param}.", param=param, code="resource_missing")
        rest = rest[:at] if before else rest[at + 1 :]
    shown = rest[-limit:] if before else rest[:limit]
    return listed(url, [render(one) for one in shown], has_more=len(rest) > len(shown))
