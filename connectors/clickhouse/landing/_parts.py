"""Fields of records as columns: one list of names gives the columns, their types and the values of a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Row = tuple[Any, ...]

_TYPES: dict[type, str] = {
    str: "String",
    int: "Int64",  # the table's own type may be narrower; ClickHouse converts
    bool: "Bool",
    dict: "Map(String, String)",
    tuple: "Array(String)",
    type(None): "Nullable(String)",
}


class Part:
    """Some fields of one struct: the record itself, or what its field `at` holds, which may be nothing.

    Columns are called `prefix` and the field's name, or as `named` says. Where there is nothing, values are the fields' defaults; of an enumeration,
    which then has no value, those in `empty` are ''.
    """

    def __init__(
        self,
        record: type[msgspec.Struct],
        fields: str,
        *,
        at: str = "",
        prefix: str = "",
        named: Mapping[str, str] | None = None,
        empty: str = "",
    ) -> None:
        self.at, self.fields = at, tuple(fields.split())
        self.blank = record(**dict.fromkeys(empty.split(), ""))
        columns = {field: (named or {}).get(field, prefix + field) for field in self.fields}
        defaults = {field: _TYPES[type(getattr(self.blank, field))] for field in self.fields}
        self.structure = ", ".join(f"{column} {defaults[field]}" for field, column in columns.items())


class Shape:
    """A record's row: its parts in order, and behind them columns whose values come from whoever makes the row.

    `row(record, *more)` gives it.
    """

    def __init__(self, *parts: Part, more: str = "") -> None:
        self.structure = ", ".join([*(part.structure for part in parts), *([more] if more else [])])
        self.row: Callable[..., Row] = _compiled(parts)


def _compiled(parts: tuple[Part, ...]) -> Callable[..., Row]:
    """The function that reads the fields. Compiled, since it is called for each record: three times as fast as going through the names."""
    lines, values = [], []
    for part in parts:
        held = part.at or "record"
        if part.at:
            lines.append(f"    {held} = record.{held} or blank_{held}")
        values += [f"{held}.{field}" for field in part.fields]
    source = "\n".join(["def row(record, *more):", *lines, f"    return ({', '.join(values)}) + more"])
    names: dict[str, Any] = {f"blank_{part.at}": part.blank for part in parts}
    exec(compile(source, "<row>", "exec"), names)  # noqa: S102 - names of fields, written beside the tables
    row: Callable[..., Row] = names["row"]
    return row
