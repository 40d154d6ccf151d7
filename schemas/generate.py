"""Writes `records.py` from the newest contracts: `python -m schemas.generate [--check]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from schemas.contracts import NAMESPACE, latest

_TARGET = Path(__file__).with_name("records.py")
_PRIMITIVES = {"string": "str", "long": "int", "int": "int", "boolean": "bool", "bytes": "bytes"}
_HEAD = '''"""Typed views of the records, one frozen struct for each. Made by `python -m schemas.generate`; do not edit."""

from __future__ import annotations

from typing import Literal

import msgspec

'''


class _Writer:
    """Collects the definitions in an order in which each stands before its use."""

    def __init__(self) -> None:
        self.blocks: dict[str, str] = {}
        self.schemas: dict[str, Any] = {}

    def annotation(self, schema: Any) -> str:
        """The Python type of an Avro type; defines named types on the way."""
        if isinstance(schema, str):
            return _PRIMITIVES.get(schema) or schema.rpartition(".")[2]
        if isinstance(schema, list):
            inner = [self.annotation(branch) for branch in schema if branch != "null"]
            return " | ".join([*inner, "None"])
        match schema["type"]:
            case "array":
                return f"tuple[{self.annotation(schema['items'])}, ...]"
            case "map":
                return f"dict[str, {self.annotation(schema['values'])}]"
            case "enum":
                return self._enum(schema)
            case "record":
                return self.record(schema)
        message = f"no Python type for the Avro type {schema['type']!r}"
        raise NotImplementedError(message)

    def _enum(self, schema: Any) -> str:
        name: str = schema["name"]
        self._once(schema)
        symbols = "".join(f'    "{symbol}",\n' for symbol in schema["symbols"])
        self.blocks[name] = f'{name} = Literal[\n{symbols}]\n"""{schema["doc"]}"""\n'
        return name

    def record(self, schema: Any) -> str:
        """Defines the struct of a record and the named types it holds; returns its name."""
        name: str = schema["name"]
        self._once(schema)
        lines = [f"class {name}(msgspec.Struct, frozen=True, kw_only=True):", f'    """{schema["doc"]}"""', ""]
        for field in schema["fields"]:
            annotation = self.annotation(field["type"])
            lines.append(f"    {field['name']}: {annotation} = {_default(annotation, field)}")
            lines.append(f'    """{field["doc"]}"""')
        self.blocks[name] = "\n".join(lines) + "\n"
        return name

    def _once(self, schema: Any) -> None:
        """A named type that stands in several records has to be the same in each."""
        shape = {**schema, "fields": [_collapsed(field) for field in schema.get("fields", [])]}
        if self.schemas.setdefault(schema["name"], shape) != shape:
            message = f"{schema['name']} is not the same in every record that holds it"
            raise ValueError(message)


def _collapsed(schema: Any) -> Any:
    """A schema with each named type inside it replaced by its name, since only its first use spells it out."""
    if isinstance(schema, list):
        return [_collapsed(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") in ("record", "enum"):
        return f"{NAMESPACE}.{schema['name']}"
    return {key: _collapsed(value) for key, value in schema.items()}


def _default(annotation: str, field: Any) -> str:
    """The Python default of a field; every field of a contract has one."""
    value = field["default"]
    if value is None or isinstance(value, bool | int):
        return repr(value)
    if isinstance(value, str):
        return f'b"{value}"' if annotation == "bytes" else f'"{value}"'
    if isinstance(value, list):
        return "()"
    if annotation.startswith("dict"):
        return "msgspec.field(default_factory=dict)"
    return f"msgspec.field(default_factory=lambda: {annotation}())"


def render() -> str:
    """The text of `records.py`."""
    writer = _Writer()
    names = [writer.record(contract.schema) for contract in latest().values()]
    table = "".join(f'    "{name}": {name},\n' for name in names)
    union = "\n    | ".join(names)
    tail = f"Record = (\n    {union}\n)\n\nRECORDS: dict[str, type[Record]] = {{\n{table}}}\n"
    return _HEAD + "\n\n".join(writer.blocks.values()) + "\n\n" + tail


def main(arguments: list[str]) -> int:
    """Writes the file, or with `--check` says whether it is up to date."""
    text = render()
    if "--check" in arguments:
        current = _TARGET.read_text(encoding="utf-8") if _TARGET.exists() else ""
        if current != text:
            sys.stderr.write("schemas/records.py is out of date: run `python -m schemas.generate`\n")
            return 1
        return 0
    _TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
