"""What every contract of ours keeps to, beyond being Avro."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.contracts import NAMESPACE

_MONEY_WORDS = ("amount", "gross", "net", "fee", "fees", "captured", "refunded", "total")
_ALLOWED = {"string", "long", "int", "boolean", "bytes"}
UNRECOGNIZED = "unrecognized"
"""First symbol and default of every enum: what an older reader makes of a symbol that came after it."""


def flaws(schema: dict[str, Any]) -> list[str]:
    """Where a record's schema (as JSON) breaks our rules; empty when nowhere."""
    found = [] if schema.get("namespace") == NAMESPACE else [f"its namespace is not {NAMESPACE}"]
    found += _type_flaws(schema, schema.get("name", "it"), set())
    return found


def _type_flaws(schema: Any, path: str, named: set[str]) -> Iterator[str]:
    if isinstance(schema, list):
        if len(schema) != 2 or schema[0] != "null":
            yield f"{path}: the only unions are ['null', one type]"
        for branch in schema[1:]:
            yield from _type_flaws(branch, path, named)
    elif isinstance(schema, str):
        if schema not in _ALLOWED and schema.rpartition(".")[2] not in named:
            yield f"{path}: the type {schema} is not used here: no floats, no logical types, nothing undefined"
    else:
        yield from _complex_flaws(schema, path, named)


def _complex_flaws(schema: Any, path: str, named: set[str]) -> Iterator[str]:
    match schema["type"]:
        case "record":
            named.add(schema["name"])
            if not schema.get("doc"):
                yield f"{path}: the record {schema['name']} has no doc"
            for field in schema["fields"]:
                yield from _field_flaws(field, f"{path}.{field['name']}", named)
        case "enum":
            named.add(schema["name"])
            yield from _enum_flaws(schema, path)
        case "array":
            yield from _type_flaws(schema["items"], path + "[]", named)
        case "map":
            yield from _type_flaws(schema["values"], path + "{}", named)
        case other:
            yield f"{path}: write the type {other!r} plainly"


def _enum_flaws(schema: Any, path: str) -> Iterator[str]:
    if not schema.get("doc"):
        yield f"{path}: the enum {schema['name']} has no doc"
    if schema["symbols"][0] != UNRECOGNIZED or schema.get("default") != UNRECOGNIZED:
        yield f"{path}: {schema['name']} must have {UNRECOGNIZED!r} as first symbol and default, for older readers"


def _field_flaws(field: Any, path: str, named: set[str]) -> Iterator[str]:
    if not field.get("doc"):
        yield f"{path} has no doc"
    if "default" not in field:
        yield f"{path} has no default"
    name, kind = field["name"], field["type"]
    if isinstance(kind, list):
        kind = kind[-1]
    if name.endswith(("_minor", "_ms")) and kind != "long":
        yield f"{path} is not a long, though its name ends in a unit"
    numeric = kind in ("int", "long", "float", "double")
    if numeric and set(name.split("_")) & set(_MONEY_WORDS) and not name.endswith("_minor"):
        yield f"{path} holds money, so its name must end in _minor"
    yield from _type_flaws(field["type"], path, named)
