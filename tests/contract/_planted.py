"""Changes to a contract, forbidden and allowed, for checks that have to be able to fail."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from schemas import contracts

Change = Callable[[dict[str, Any]], None]


def _field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return next(field for field in schema["fields"] if field["name"] == name)


def _without_field(schema: dict[str, Any], name: str) -> None:
    schema["fields"] = [field for field in schema["fields"] if field["name"] != name]


def _with_field(schema: dict[str, Any], **field: Any) -> None:
    schema["fields"].append({"name": "added", "type": "string", "doc": "Added.", **field})


def _nested(schema: dict[str, Any]) -> dict[str, Any]:
    return _field(schema, "attribution")["type"]


def _symbols(schema: dict[str, Any], symbols: list[str], *, default: str | None) -> None:
    enum = _field(schema, "kind")["type"]
    enum["symbols"] = symbols
    if default is None:
        del enum["default"]


KINDS: list[str] = _field(contracts.latest()["PaymentCommand"].schema, "kind")["type"]["symbols"]

FORBIDDEN_BY_AVRO: dict[str, Change] = {
    "added without default": _with_field,
    "type widened": lambda schema: _field(schema, "reply_partition").update(type="long", default=0),
    "type changed": lambda schema: _field(schema, "currency").update(type="long", default=0),
    "type narrowed": lambda schema: _field(schema, "reply_partition").update(type="int", default=0),
    "renamed without default": lambda schema: _field(schema, "tenant").update(name="merchant", default=...),
    "nested type changed": lambda schema: _field(_nested(schema), "reason").update(type="int", default=0),
    "nested added without default": lambda schema: _with_field(_nested(schema)),
    "record renamed": lambda schema: schema.update(name="Command"),
    "array instead of map": lambda schema: _field(schema, "metadata").update(
        type={"type": "array", "items": "string"}, default=[]
    ),
}
"""On PaymentCommand: Apache's checker refuses each, in one direction at least. A default of ... is taken away."""

FORBIDDEN_BY_US: dict[str, Change] = {
    "field removed": lambda schema: _without_field(schema, "customer"),
    "field renamed": lambda schema: _field(schema, "tenant").update(name="merchant"),
    "nested field removed": lambda schema: _without_field(_nested(schema), "reason"),
    "default removed": lambda schema: _field(schema, "currency").update(default=...),
    "default changed": lambda schema: _field(schema, "confirm").update(default=True),
    "enum default removed": lambda schema: _symbols(schema, [*KINDS, "dispute"], default=None),
    "symbol removed": lambda schema: _symbols(schema, KINDS[:-1], default="unrecognized"),
    "symbol inserted": lambda schema: _symbols(schema, [KINDS[0], "dispute", *KINDS[1:]], default="unrecognized"),
}
"""Avro lets these pass and loses something without a word."""

ALLOWED: dict[str, Change] = {
    "nothing": lambda schema: None,
    "field added": lambda schema: _with_field(schema, default=""),
    "nested field added": lambda schema: _with_field(_nested(schema), default=""),
    "symbol added": lambda schema: _symbols(schema, [*KINDS, "dispute"], default="unrecognized"),
    "doc mended": lambda schema: _field(schema, "currency").update(doc="ISO 4217 code, upper case; create only."),
    "record added": lambda schema: _with_field(
        schema,
        type=["null", {"type": "record", "name": "Added", "doc": "New.", "fields": []}],
        default=None,
    ),
}


def enum_without_default(*, symbols: list[str]) -> dict[str, Any]:
    """The schema as it would be with no default in its enum."""
    return changed(lambda schema: _symbols(schema, symbols, default=None))


def changed(change: Change, *, record: str = "PaymentCommand") -> dict[str, Any]:
    """A record's newest schema with one change."""
    schema = copy.deepcopy(contracts.latest()[record].schema)
    change(schema)
    _drop_marked(schema)
    return schema


def _drop_marked(schema: Any) -> None:
    for field in schema.get("fields", ()):
        if field.get("default") is ...:
            del field["default"]
        if isinstance(field["type"], dict):
            _drop_marked(field["type"])
