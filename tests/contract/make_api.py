"""`python -m tests.contract.make_api`: writes down the examples that are not yet, of every live version. What is written down stays.

tests/contract/api/<version>/objects.json     by object and example: the object as it was answered
tests/contract/api/<version>/requests.json    by operation: parameters that it took, as the version named them
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.http import catalogue, versions
from api.http.operations import Operation
from api.http.parameters import Boolean, Field, Integer, Object, Objects, Text, TextMap, Texts
from api.openapi.document import examples

ROOT = Path(__file__).parent / "api"


def objects(version: str) -> dict[str, dict[str, Any]]:
    """Examples as they are made now."""
    return {name: dict(examples(version, one)) for name, one in catalogue.objects().items()}


def requests(version: str) -> dict[str, dict[str, Any]]:
    """One request of each operation with every parameter that the version's document tells of."""
    return {one.id: _request(version, one) for one in catalogue.operations()}


def _request(version: str, operation: Operation) -> dict[str, Any]:
    fields = versions.fields_backwards(version, operation.object, operation.spec.fields)
    return {name: _value(name, field) for name, field in fields.items()}


def _value(name: str, field: Field) -> Any:
    match field:
        case Text(choices=choices) if choices:
            return choices[0]
        case Text():
            return "eur" if name == "currency" else f"a {name}"[: field.chars_max]
        case Integer():
            return field.least
        case Boolean():
            return True
        case Texts(choices=choices) if choices:
            return [choices[0], choices[-1]]
        case Texts():
            return ["one", "two"]
        case TextMap(names=names) if names:
            return {names[0]: "a text"}
        case TextMap():
            return {"key": "a text"}
        case Object(fields=fields) | Objects(fields=fields):
            whole = {inner: _value(inner, one) for inner, one in fields.items()}
            return [whole] if isinstance(field, Objects) else whole
    raise AssertionError(field)


def recorded(version: str, name: str) -> dict[str, Any]:
    """What is written down."""
    path = ROOT / version / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(root: Path = ROOT) -> None:
    """Add what is new."""
    for version in versions.LIVE:
        for name, made in (("objects", objects(version)), ("requests", requests(version))):
            path = root / version / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            text = json.dumps(_added(made, kept), indent=1, sort_keys=True, ensure_ascii=False)
            path.write_text(text + "\n", encoding="utf-8")


def _added(made: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """What was kept is as it was; within an object, examples of other names are added."""
    both = set(made) & set(kept)
    found = {**made, **kept}
    for name in both:
        if all(isinstance(one, dict) and "object" in one for one in kept[name].values()) and kept[name]:
            found[name] = {**made[name], **kept[name]}
    return found


if __name__ == "__main__":
    write()
