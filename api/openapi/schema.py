"""JSON Schema in few words: every object closed, every field required unless it is named otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

Schema: TypeAlias = dict[str, Any]

SECONDS = {"type": "integer", "format": "unix-time", "description": "Seconds since the epoch, UTC."}
MINOR = {"type": "integer", "description": "In the currency's smallest unit."}
CURRENCY = {"type": "string", "pattern": "^[a-z]{3}$", "description": "ISO 4217, lower case."}
TEXT = {"type": "string"}
INTEGER = {"type": "integer"}
BOOLEAN = {"type": "boolean"}
NULL = {"type": "null"}
TEXT_MAP = {"type": "object", "additionalProperties": {"type": "string"}}


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """
    An object that answers hold: what it looks like in the newest version, and one as the code makes it.

    `examples`: by a name for people; each is made by the renderer that makes the answers, from a record that is written down.
    """

    name: str
    """What its `object` says."""
    summary: str
    schema: Schema
    examples: Callable[[], Mapping[str, dict[str, Any]]]
    deleted_is_shown: bool = False
    """Whether one that was deleted is answered as such, rather than with 404."""


def closed(fields: Mapping[str, Schema], *, optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object of these fields and no other."""
    return {
        "type": "object",
        "required": sorted(fields),
        "properties": {**fields, **(optional or {})},
        "additionalProperties": False,
    }


def of_object(name: str, fields: Mapping[str, Schema], *, optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object of the API's: `object` is its name, `id` is a text."""
    return closed({"id": TEXT, "object": {"type": "string", "enum": [name]}, **fields}, optional=optional)


def nullable(schema: Schema) -> Schema:
    """The same or null."""
    if isinstance(schema.get("type"), str):
        found = {**schema, "type": [schema["type"], "null"]}
        if "enum" in schema:
            found["enum"] = [*schema["enum"], None]
        return found
    return {"anyOf": [schema, NULL]}


def one_of(*words: str) -> Schema:
    """One of these texts."""
    return {"type": "string", "enum": list(words)}


def array(items: Schema) -> Schema:
    """An array of these."""
    return {"type": "array", "items": items}


def ref(name: str) -> Schema:
    """An object that is described elsewhere."""
    return {"$ref": f"#/components/schemas/{name}"}


def browsers_name(name: str) -> str:
    """The schema of what a browser sees of an object."""
    return f"{name}_in_browsers"


def expandable(*names: str) -> Schema:
    """An id, or with `expand` one of these objects."""
    return {"anyOf": [TEXT, *(ref(name) for name in names)]}


def any_of(*schemas: Schema) -> Schema:
    """One of several."""
    return {"anyOf": list(schemas)}
