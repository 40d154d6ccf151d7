"""What a change between two API versions is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from api.http.wire import Tree


def _unchanged(tree: dict[str, Tree]) -> dict[str, Tree]:
    return tree


def _same(body: dict[str, Any]) -> dict[str, Any]:
    return body


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change, of one kind of object. Requests go forwards through it, responses backwards."""

    description: str
    """For the changelog."""
    object: str
    """Whose parameters and responses it is about, such as payment_intent."""
    forwards: Callable[[dict[str, Tree]], dict[str, Tree]] = _unchanged
    """An older request's parameters as the newer version has them."""
    backwards: Callable[[dict[str, Any]], dict[str, Any]] = _same
    """A newer response's object as the older version had it."""
