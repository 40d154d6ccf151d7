"""Whether versions of a record read each other: Avro's resolution rules, and ours on top.

Avro itself lets a field disappear when both sides have a default, which loses what was written without a word; a renamed
field looks the same. So versions of ours only ever add: no field goes, no default changes, no symbol goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, permutations
from typing import Any

LEVEL = "FULL_TRANSITIVE"
"""Every version reads and is read by every other; in the words of Confluent's registry."""

_PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}


def problems(versions: Sequence[dict[str, Any]]) -> list[str]:
    """Why these versions (as JSON, oldest first) may not follow each other; empty when they may."""
    found: list[str] = []
    for (reader_number, reader), (writer_number, writer) in permutations(enumerate(versions, start=1), 2):
        found += [f"version {reader_number} can't read {writer_number}: {why}" for why in unreadable(reader, writer)]
    for number, (older, newer) in enumerate(pairwise(versions), start=1):
        found += [f"version {number + 1} after {number}: {why}" for why in _lost(_Named(older), _Named(newer))]
    return found


def unreadable(reader: Any, writer: Any) -> list[str]:
    """Why a reader's schema can't read a writer's (both as JSON) under Avro's schema resolution; empty when it can."""
    return list(_Resolution(_Named(reader), _Named(writer)).differences(reader, writer, "", ()))


class _Named:
    """The named types of a schema by name without namespace: each is spelled out once and then referred to."""

    def __init__(self, schema: Any) -> None:
        self.types: dict[str, Any] = {}
        self.paths: dict[str, str] = {}
        self._collect(schema, "")

    def _collect(self, schema: Any, path: str) -> None:
        if isinstance(schema, list):
            for branch in schema:
                self._collect(branch, path)
        elif isinstance(schema, dict):
            if "name" in schema:
                self.types[_short(schema["name"])] = schema
            for field in schema.get("fields", ()):
                self._collect(field["type"], f"{path}.{field['name']}".lstrip("."))
            for inner in ("items", "values"):
                self._collect(schema.get(inner), path)

    def resolve(self, schema: Any) -> dict[str, Any]:
        """A schema that isn't a union, as an object."""
        if isinstance(schema, dict) and isinstance(schema["type"], dict | list):
            schema = schema["type"]
        if isinstance(schema, dict):
            return schema
        named: dict[str, Any] = self.types.get(_short(schema), {"type": schema})
        return named


def _short(name: str) -> str:
    return name.rpartition(".")[2]


class _Resolution:
    """One reader against one writer. Pairs under way are remembered, since types may contain themselves."""

    def __init__(self, reader: _Named, writer: _Named) -> None:
        self._reader = reader
        self._writer = writer

    def differences(self, reader: Any, writer: Any, path: str, under_way: tuple[Any, ...]) -> Iterator[str]:
        """Why the reader's type can't read the writer's, each reason with its path."""
        if isinstance(writer, list):
            for branch in writer:
                yield from self.differences(reader, branch, path, under_way)
            return
        if isinstance(reader, list):
            tries = [list(self.differences(branch, writer, path, under_way)) for branch in reader]
            if all(tries):
                yield f"{path or 'it'}: no branch of the union takes {_kind(self._writer.resolve(writer))}"
            return
        read, written = self._reader.resolve(reader), self._writer.resolve(writer)
        if read["type"] in _PROMOTIONS.get(written["type"], ()):
            return
        if read["type"] != written["type"] or not _same_name(read, written):
            yield f"{path or 'it'} is {_kind(read)}, was written as {_kind(written)}"
            return
        yield from self._same_kind(read, written, path, under_way)

    def _same_kind(self, read: Any, written: Any, path: str, under_way: tuple[Any, ...]) -> Iterator[str]:
        match read["type"]:
            case "record":
                pair = (read["name"], written["name"])
                if pair not in under_way:
                    yield from self._record(read, written, path, (*under_way, pair))
            case "enum":
                unknown = [symbol for symbol in written["symbols"] if symbol not in read["symbols"]]
                if unknown and "default" not in read:
                    yield f"{path or 'it'}: {read['name']} has no default for the symbols {', '.join(unknown)}"
            case "fixed":
                if read["size"] != written["size"]:
                    yield f"{path or 'it'}: {read['name']} has another size"
            case "array":
                yield from self.differences(read["items"], written["items"], path + "[]", under_way)
            case "map":
                yield from self.differences(read["values"], written["values"], path + "{}", under_way)

    def _record(self, read: Any, written: Any, path: str, under_way: tuple[Any, ...]) -> Iterator[str]:
        written_fields = {field["name"]: field for field in written["fields"]}
        for field in read["fields"]:
            place = f"{path}.{field['name']}".lstrip(".")
            names = [field["name"], *field.get("aliases", ())]
            source = next((written_fields[name] for name in names if name in written_fields), None)
            if source is not None:
                yield from self.differences(field["type"], source["type"], place, under_way)
            elif "default" not in field:
                yield f"{place} was not written and has no default"


def _same_name(read: Any, written: Any) -> bool:
    if "name" not in read:
        return True
    names = [read["name"], *read.get("aliases", ())]
    return _short(written["name"]) in [_short(name) for name in names]


def _kind(schema: dict[str, Any]) -> str:
    return f"{schema['type']} {schema['name']}" if "name" in schema else str(schema["type"])


def _lost(older: _Named, newer: _Named) -> Iterator[str]:
    """What the newer version no longer has, or means differently."""
    for name, before in older.types.items():
        after = newer.types.get(name)
        if after is None:
            yield f"{name} is gone; keep it"
        elif before["type"] == "enum" and after["type"] == "enum":
            if (common := after["symbols"][: len(before["symbols"])]) != before["symbols"]:
                yield f"{name} begins with {', '.join(common)}; symbols are only ever added at the end"
            if before.get("default") != after.get("default"):
                yield f"{name} has another default"
        elif before["type"] == "record" and after["type"] == "record":
            yield from _lost_fields(name, before, after)


def _lost_fields(name: str, before: Any, after: Any) -> Iterator[str]:
    fields = {field["name"]: field for field in after["fields"]}
    for field in before["fields"]:
        kept = fields.get(field["name"])
        if kept is None:
            yield f"{name}.{field['name']} is gone (or renamed); keep it, and say in its doc that it is no longer filled"
        elif kept.get("default", ...) != field.get("default", ...) and not isinstance(field.get("default"), dict):
            yield f"{name}.{field['name']} has another default, or none"
