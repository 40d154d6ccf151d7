"""Bodies as Stripe's SDKs send them: names with brackets, which OpenAPI can only hint at."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from typing import Any


def encoded(value: Any) -> bytes:
    """A body as a form; what is no object at all goes by the name `value`."""
    named = list(pairs(value)) if isinstance(value, dict) else [("value", _text(value))]
    return urllib.parse.urlencode(named, errors="replace").encode()


def pairs(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Names with brackets, and texts."""
    if isinstance(value, dict) and (value or not name):
        for key, inner in value.items():
            yield from pairs(inner, f"{name}[{key}]" if name else key)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from pairs(inner, f"{name}[{number}]")
    else:
        yield name, _text(value)


def _text(value: Any) -> str:
    if value is None or value == {}:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
