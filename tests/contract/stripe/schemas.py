"""The extract as JSON Schema."""

from __future__ import annotations

import json
from typing import Any

from tests._schemas import Schemas
from tests.contract.stripe.make import KEPT

_LOADED = json.loads(KEPT.read_text(encoding="utf-8"))
VERSION: str = _LOADED["version"]
"""Of the API, as Stripe names it."""


def as_json_schema(node: Any, *, members: bool = False) -> Any:
    """OpenAPI 3.0's dialect put into JSON Schema's words: `nullable` is what differs."""
    if isinstance(node, list):
        return [as_json_schema(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {
        name: as_json_schema(value, members=name == "properties" and not members)
        for name, value in node.items()
        if members or name != "nullable"
    }
    if members or node.get("nullable") is not True:
        return found
    if "anyOf" in found:
        return {**found, "anyOf": [*found["anyOf"], {"type": "null"}]}
    if "type" in found:
        found["type"] = [found["type"], "null"]
    if "enum" in found:
        found["enum"] = [*found["enum"], None]
    return found


STRIPE = Schemas(as_json_schema({"components": _LOADED["components"]}))
"""By Stripe's names, which are ours for what we share."""
