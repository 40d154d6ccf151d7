"""Records one example of each version of each contract: `python -m tests.contract.make_golden`. Never changes one that is there."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from schemas import codec, contracts
from schemas.records import RECORDS

GOLDEN = Path(__file__).parent / "golden"

_PRIMITIVES: dict[str, Callable[[str], Any]] = {
    "string": lambda name: f"{name} Ünïcödé ¥",
    "long": lambda name: (len(name) + 1) * -1_234_567_890_123,
    "int": lambda name: len(name) * 1_234,
    "boolean": lambda _: True,
    "bytes": lambda name: bytes(range(250, 256)) + name.encode(),
}


def example(schema: Any, name: str, named: dict[str, Any]) -> Any:
    """A value that can be told from every default, and from its neighbours' values."""
    if isinstance(schema, list):
        return example(schema[1], name, named)
    if isinstance(schema, str) and schema.rpartition(".")[2] in named:
        schema = named[schema.rpartition(".")[2]]
    if isinstance(schema, str):
        return _PRIMITIVES[schema](name)
    match schema["type"]:
        case "array":
            return [example(schema["items"], f"{name}{number}", named) for number in (1, 2)]
        case "map":
            return {f"key {number}": example(schema["values"], f"{name}{number}", named) for number in (1, 2)}
        case "enum":
            named[schema["name"]] = schema
            return schema["symbols"][-1]
    named[schema["name"]] = schema
    return {field["name"]: example(field["type"], field["name"], named) for field in schema["fields"]}


def main() -> None:
    """Writes what is missing."""
    newest = {contract.id for contract in contracts.latest().values()}
    for contract in contracts.all_contracts():
        path = GOLDEN / f"{contract.id:04}-{contract.record}-{contract.version}.json"
        if path.exists() or contract.id not in newest:
            continue
        fields = example(contract.schema, contract.record, {})
        value = codec.encode(msgspec.convert(fields, RECORDS[contract.record]))
        lines = [value[at : at + 60].hex() for at in range(0, len(value), 60)]
        golden = {
            "id": contract.id,
            "record": contract.record,
            "version": contract.version,
            "hex": lines,
            "fields": fields,
        }
        text = json.dumps(golden, indent=1, ensure_ascii=False, default=lambda data: base64.b64encode(data).decode())
        path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
