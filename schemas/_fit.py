"""Says where a record does not fit its contract. Values are never repeated: the wrong one may be a secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_RANGES = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
_SIMPLE: dict[str, type[Any]] = {"string": str, "boolean": bool, "bytes": bytes}


def misfits(schema: Any, value: Any) -> Iterator[str]:
    """Each way in which a record, as builtins, does not fit its schema: 'payment.amount_minor is a float, wanted long'."""
    yield from _misfits(schema, value, "", {})


def _misfits(schema: Any, value: Any, path: str, named: dict[str, Any]) -> Iterator[str]:
    if isinstance(schema, list):
        if value is None:
            return
        schema = next(branch for branch in schema if branch != "null")
    if isinstance(schema, str):
        schema = named.get(schema.rpartition(".")[2], {"type": schema})
    check = _CHECKS.get(schema["type"])
    yield from check(schema, value, path, named) if check else _primitive(schema["type"], value, path)


def _record(schema: Any, value: Any, path: str, named: dict[str, Any]) -> Iterator[str]:
    named[schema["name"]] = schema
    if not isinstance(value, dict):
        yield _type_misfit(path, value, schema["name"])
        return
    for field in schema["fields"]:
        yield from _misfits(field["type"], value.get(field["name"]), f"{path}.{field['name']}".lstrip("."), named)


def _enum(schema: Any, value: Any, path: str, named: dict[str, Any]) -> Iterator[str]:
    named[schema["name"]] = schema
    if not isinstance(value, str):
        yield _type_misfit(path, value, schema["name"])
    elif value not in schema["symbols"]:
        yield f"{path} is no symbol of {schema['name']}"


def _array(schema: Any, value: Any, path: str, named: dict[str, Any]) -> Iterator[str]:
    if not isinstance(value, list | tuple):
        yield _type_misfit(path, value, "array")
        return
    for number, item in enumerate(value):
        yield from _misfits(schema["items"], item, f"{path}[{number}]", named)


def _map(schema: Any, value: Any, path: str, named: dict[str, Any]) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _type_misfit(path, value, "map")
        return
    for number, (key, item) in enumerate(value.items()):
        yield from _primitive("string", key, f"{path}, key {number}")
        yield from _misfits(schema["values"], item, f"{path}, value {number}", named)


def _primitive(kind: str, value: Any, path: str) -> Iterator[str]:
    if kind in _RANGES:
        lowest, highest = _RANGES[kind]
        if not isinstance(value, int) or isinstance(value, bool):
            yield _type_misfit(path, value, kind)
        elif not lowest <= value <= highest:
            yield f"{path} does not fit into {kind}"
    elif not isinstance(value, _SIMPLE[kind]):
        yield _type_misfit(path, value, kind)
    elif kind == "string":
        try:
            value.encode()
        except UnicodeEncodeError:
            yield f"{path} holds half of a character (a lone surrogate)"


def _type_misfit(path: str, value: Any, wanted: str) -> str:
    return f"{path} is {'null' if value is None else 'of type ' + type(value).__name__}, wanted {wanted}"


_CHECKS = {"record": _record, "enum": _enum, "array": _array, "map": _map}
