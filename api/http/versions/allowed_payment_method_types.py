"""Endive: the types that a payment may be made with are `allowed_payment_method_types`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.http.parameters import Field
from api.http.versions._change import Change
from api.http.wire import Tree

_OLD, _NEW = "payment_method_types", "allowed_payment_method_types"


def _forwards(tree: dict[str, Tree]) -> dict[str, Tree]:
    if _OLD not in tree or _NEW in tree:
        return tree
    return {_NEW if name == _OLD else name: value for name, value in tree.items()}


def _backwards(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != _NEW}


def _schema(newer: dict[str, Any]) -> dict[str, Any]:
    return {
        **newer,
        "required": [name for name in newer["required"] if name != _NEW],
        "properties": {name: schema for name, schema in newer["properties"].items() if name != _NEW},
    }


def _fields(newer: Mapping[str, Field]) -> Mapping[str, Field]:
    return {name: field for name, field in newer.items() if name != _NEW}


CHANGE = Change(
    description=(
        "Payment intents name the types that they may be paid with in `allowed_payment_method_types`, which requests take "
        "in the place of `payment_method_types`."
    ),
    object="payment_intent",
    forwards=_forwards,
    backwards=_backwards,
    schema=_schema,
    fields=_fields,
)
