"""Parameters' kinds as JSON Schema, and where an operation takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.http.operations import Operation
from api.http.parameters import TEXTS_MAX, Boolean, Field, Integer, Object, Objects, Text, TextMap, Texts
from api.http.wire import FORM, JSON
from api.openapi.schema import Schema, ref

NO_NUL = r"^[^\u0000]*$"


def schema_of(field: Field) -> Schema:
    """What a parameter may be. Raises AssertionError for a kind that nobody described."""
    match field:
        case Text(choices=choices) if choices:
            return {"type": "string", "enum": list(choices)}
        case Text():
            return {"type": "string", "maxLength": field.chars_max, **({"minLength": 1} if field.required else {})}
        case Integer():
            return {"type": "integer", "minimum": field.least, "maximum": field.most}
        case Boolean():
            return {"type": "boolean"}
        case Texts():
            item: Schema = {"type": "string", "minLength": 1, "maxLength": field.chars_max}
            if field.choices:
                item = {"type": "string", "enum": list(field.choices)}
            return {"type": "array", "items": item, "maxItems": TEXTS_MAX}
        case TextMap():
            return _text_map(field)
        case Object():
            return _object(field.fields)
        case Objects():
            return {"type": "array", "items": _object(field.fields), "maxItems": field.items_max}
    raise AssertionError(field)


def _text_map(field: TextMap) -> Schema:
    value = {"type": "string", "maxLength": field.value_chars_max}
    if field.names:
        return {
            "type": "object",
            "properties": dict.fromkeys(field.names, value),
            "additionalProperties": False,
        }
    return {
        "type": "object",
        "additionalProperties": value,
        "maxProperties": field.keys_max,
        "propertyNames": {"pattern": rf"^[^\[\]]{{1,{field.key_chars_max}}}$"},
    }


def _object(fields: Mapping[str, Field]) -> Schema:
    required = sorted(name for name, field in fields.items() if field.required)
    return {
        "type": "object",
        "properties": {name: schema_of(field) for name, field in fields.items()},
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }


def parameters(operation: Operation, fields: Mapping[str, Field]) -> list[dict[str, Any]]:
    """Names in the path, and for what is not a POST those in the query."""
    steps = [step[1:-1] for step in operation.path.split("/") if step.startswith("{")]
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in steps
    ]
    if operation.method == "POST":
        return found
    for name, field in fields.items():
        schema = schema_of(field)
        one: dict[str, Any] = {"name": name, "in": "query", "required": field.required, "schema": schema}
        if isinstance(field, Texts):
            one |= {"name": f"{name}[]", "style": "form", "explode": True}
        elif isinstance(field, Object | TextMap):
            one |= {"style": "deepObject", "explode": True}
        found.append(one)
    return found


def body_name(operation: Operation) -> str:
    """What a POST's parameters are called among the schemas."""
    return f"{operation.id}Parameters"


def body_schema(fields: Mapping[str, Field]) -> Schema:
    """What they may be."""
    return _object(fields)


def body(operation: Operation, fields: Mapping[str, Field]) -> dict[str, Any]:
    """A POST's body: brackets in a form, or JSON."""
    schema = ref(body_name(operation))
    nested = [name for name, field in fields.items() if isinstance(field, Object | Objects | TextMap | Texts)]
    encoding = {name: {"style": "deepObject", "explode": True} for name in nested}
    return {
        "required": any(field.required for field in fields.values()),
        "content": {FORM: {"schema": schema, **({"encoding": encoding} if encoding else {})}, JSON: {"schema": schema}},
    }
