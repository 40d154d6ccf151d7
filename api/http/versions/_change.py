"""What a change between two API versions is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from api.http.parameters import Field
from api.http.wire import Tree


def _unchanged(tree: dict[str, Tree]) -> dict[str, Tree]:
    return tree


def _same(body: dict[str, Any]) -> dict[str, Any]:
    return body


def _alike(fields: Mapping[str, Field]) -> Mapping[str, Field]:
    return fields


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
    schema: Callable[[dict[str, Any]], dict[str, Any]] = _same
    """A newer object's JSON Schema as the older version had it: what `backwards` does to objects, done to their description."""
    fields: Callable[[Mapping[str, Field]], Mapping[str, Field]] = _alike
    """A newer request's parameters as the older version had them: the way back of `forwards`."""
