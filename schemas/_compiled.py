"""Encoders and decoders made from a contract, one pair of plain functions a record.

fastavro walks the schema anew for every record; here it is walked once, and what is left is straight-line Python over
the tables of `_wire`: the same bytes in a third of the time. The tests hold both against each other. What the functions
can't do makes them raise, and `codec` turns to its exact path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas import _wire
from schemas._wire import SMALL, Decoder, Encoder, zigzag

_SYMBOLS_MAX = 64  # an index in one byte, so that a dictionary by byte reads it
_WRITERS = {"string": "write_text", "long": "write_long", "int": "write_int", "bytes": "write_data"}
_READERS = {"string": "read_text", "long": "read_long", "bytes": "read_data"}
_EMPTY = {"array": {tuple: b"\0", list: b"\0"}, "map": {dict: b"\0"}}


class Compiler:
    """Makes the two functions of a record and of every record inside it. `types` are the structs by record name."""

    def __init__(self, types: Mapping[str, type[Any]]) -> None:
        self._types = types
        self._kinds: dict[str, str] = {}
        self._names: dict[str, Any] = {**vars(_wire), "EMPTY_array": _EMPTY["array"], "EMPTY_map": _EMPTY["map"]}

    def encoder(self, schema: dict[str, Any]) -> Encoder:
        """The encoder of a record schema, as JSON."""
        encoder: Encoder = self._names[f"encode_{self._define(schema)}"]
        return encoder

    def decoder(self, schema: dict[str, Any]) -> Decoder:
        """The decoder of a record schema, as JSON."""
        decoder: Decoder = self._names[f"decode_{self._define(schema)}"]
        return decoder

    def _define(self, schema: Any) -> str:
        """Defines the named type that a schema spells out, or merely names; returns its name without namespace."""
        if isinstance(schema, str):
            return schema.rpartition(".")[2]
        name: str = schema["name"]
        if name not in self._kinds:
            self._kinds[name] = schema["type"]
            if schema["type"] == "record":
                self._define_record(name, schema["fields"])
            else:
                self._define_enum(name, schema["symbols"])
        return name

    def _define_record(self, name: str, fields: list[dict[str, Any]]) -> None:
        self._names[f"type_{name}"] = self._types[name]
        writes = "".join(f"        {self._write('record.' + field['name'], field['type'])},\n" for field in fields)
        reads = "".join(f"    {line}\n" for field in fields for line in self._read(f"v_{field['name']}", field["type"]))
        arguments = ", ".join(f"{field['name']}=v_{field['name']}" for field in fields)
        self._run(
            f"def encode_{name}(record):\n"
            f"    if record.__class__ is not type_{name}: raise TypeError(record)\n"
            f'    return b"".join((\n{writes}    ))\n'
            f"def decode_{name}(data, at):\n{reads}    return type_{name}({arguments}), at\n"
        )

    def _define_enum(self, name: str, symbols: list[str]) -> None:
        if len(symbols) > _SYMBOLS_MAX:
            message = f"{name} has more than {_SYMBOLS_MAX} symbols"
            raise NotImplementedError(message)
        self._names[f"bytes_{name}"] = {symbol: zigzag(index) for index, symbol in enumerate(symbols)}
        self._names[f"symbol_{name}"] = {2 * index: symbol for index, symbol in enumerate(symbols)}

    def _run(self, source: str) -> None:
        exec(compile(source, "<compiled contract>", "exec"), self._names)  # noqa: S102  our own contracts, never input

    def _kind(self, schema: Any) -> str:
        """record, enum, array, map or a primitive."""
        kind: str = schema if isinstance(schema, str) else schema["type"]
        if kind in ("record", "enum"):
            self._define(schema)
        return self._kinds.get(kind.rpartition(".")[2], kind)

    def _write(self, value: str, schema: Any) -> str:
        """The expressions that give a value's bytes, with commas between."""
        if isinstance(schema, list):
            other, index = _nullable(schema)
            return f"{zigzag(1 - index)!r} if (y := {value}) is None else {zigzag(index)!r} + {self._writer(other)}(y)"
        match self._kind(schema):
            case "string":
                return f"LENGTH[len(x := {value}.encode())], x"
            case "long" | "int" as kind:
                small = f"(x := {value}).__class__ is int and {-SMALL} <= x < {SMALL}"
                return f"SIGNED[x] if {small} else write_{kind}(x)"
            case "boolean":
                return f'b"\\1" if (x := {value}) is True else b"\\0" if x is False else refuse(x)'
            case "enum":
                return f"bytes_{self._define(schema)}[{value}]"
            case "array" | "map" as kind:
                item = self._writer(schema["items" if kind == "array" else "values"])
                return f"write_{kind}(x, {item}) if (x := {value}) else EMPTY_{kind}[x.__class__]"
        return f"{self._writer(schema)}({value})"

    def _writer(self, schema: Any) -> str:
        """The name of a function that encodes one value of a type."""
        if self._kind(schema) == "record":
            return f"encode_{self._define(schema)}"
        if isinstance(schema, str) and schema in _WRITERS:
            return _WRITERS[schema]
        name = f"encode_item_{len(self._names)}"
        self._run(f'def {name}(item):\n    return b"".join(({self._write("item", schema)},))\n')
        return name

    def _read(self, target: str, schema: Any) -> list[str]:
        """The lines that read a value from `data` at `at` into a variable."""
        if isinstance(schema, list):
            return self._read_nullable(target, schema)
        match self._kind(schema):
            case "string":
                return [
                    "byte = data[at]",
                    f"if not byte: {target} = ''; at += 1",
                    f"elif byte & 0x81: {target}, at = read_text(data, at)",
                    f"else: start = at + 1; at = start + (byte >> 1); {target} = data[start:at].decode()",
                ]
            case "long" | "int" as kind:
                lines = [
                    "byte = data[at]",
                    f"if byte < 0x80: {target} = SMALL_VALUE[byte]; at += 1",
                    f"else: {target}, at = read_long(data, at)",
                ]
                return lines if kind == "long" else [*lines, f"if not INT_MIN <= {target} <= INT_MAX: refuse({target})"]
            case "boolean":
                return [f"{target} = (False, True)[data[at]]; at += 1"]
            case "enum":
                return [f"{target} = symbol_{self._define(schema)}[data[at]]; at += 1"]
            case "array" | "map" as kind:
                item = self._reader(schema["items" if kind == "array" else "values"])
                empty = "()" if kind == "array" else "{}"
                return [
                    f"if data[at]: {target}, at = read_{kind}(data, at, {item})",
                    f"else: {target} = {empty}; at += 1",
                ]
        return [f"{target}, at = {self._reader(schema)}(data, at)"]

    def _read_nullable(self, target: str, schema: list[Any]) -> list[str]:
        other, index = _nullable(schema)
        return [
            "byte = data[at]; at += 1",
            f"if byte == {2 * (1 - index)}: {target} = None",
            f"elif byte == {2 * index}:",
            *(f"    {line}" for line in self._read(target, other)),
            "else: refuse(byte)",
        ]

    def _reader(self, schema: Any) -> str:
        """The name of a function that decodes one value of a type."""
        if self._kind(schema) == "record":
            return f"decode_{self._define(schema)}"
        if isinstance(schema, str) and schema in _READERS:
            return _READERS[schema]
        name = f"decode_item_{len(self._names)}"
        lines = "".join(f"    {line}\n" for line in self._read("item", schema))
        self._run(f"def {name}(data, at):\n{lines}    return item, at\n")
        return name


def _nullable(schema: list[Any]) -> tuple[Any, int]:
    """The other branch of a union with null, and its index. Contracts have no other unions."""
    others = [(branch, index) for index, branch in enumerate(schema) if branch != "null"]
    if len(others) != 1 or len(schema) != 2:
        message = f"only unions of null and one other type are used, not {schema}"
        raise NotImplementedError(message)
    return others[0]
