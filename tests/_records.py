"""Records out of nothing: Hypothesis strategies made from the contracts' own schemas."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from schemas import contracts
from schemas.records import RECORDS, Record

INTS = st.integers(-(2**31), 2**31 - 1)
LONGS = st.integers(-(2**63), 2**63 - 1) | st.integers(-9000, 9000) | st.integers(1_700_000_000_000, 1_900_000_000_000)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
_PRIMITIVES = {"string": TEXTS, "long": LONGS, "int": INTS, "boolean": st.booleans(), "bytes": st.binary(max_size=30)}


def values(schema: Any, named: dict[str, Any] | None = None) -> st.SearchStrategy[Any]:
    """Values of an Avro schema (as JSON), as builtins."""
    named = {} if named is None else named
    if isinstance(schema, list):
        return st.one_of([st.none() if branch == "null" else values(branch, named) for branch in schema])
    if isinstance(schema, str):
        return _PRIMITIVES[schema] if schema in _PRIMITIVES else named[schema.rpartition(".")[2]]
    match schema["type"]:
        case "record":
            fields = {field["name"]: values(field["type"], named) for field in schema["fields"]}
            made = st.fixed_dictionaries(fields)
        case "enum":
            made = st.sampled_from(schema["symbols"])
        case "array":
            return st.lists(values(schema["items"], named), max_size=3)
        case "map":
            return st.dictionaries(TEXTS, values(schema["values"], named), max_size=3)
        case primitive:
            return _PRIMITIVES[primitive]
    named[schema["name"]] = made
    return made


def records(name: str) -> st.SearchStrategy[Record]:
    """Records of a type, in its newest version."""
    record_type = RECORDS[name]
    return values(contracts.latest()[name].schema).map(lambda fields: msgspec.convert(fields, record_type))


def any_record() -> st.SearchStrategy[Record]:
    """Records of any type."""
    return st.sampled_from(sorted(RECORDS)).flatmap(records)
