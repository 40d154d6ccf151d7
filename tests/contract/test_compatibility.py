from __future__ import annotations

import io
from itertools import permutations, product

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import compatibility, contracts
from tests._records import values
from tests.contract import _apache
from tests.contract._planted import ALLOWED, FORBIDDEN_BY_AVRO, FORBIDDEN_BY_US, KINDS, changed, enum_without_default

SETTINGS = settings(derandomize=True, deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
COMMAND = contracts.latest()["PaymentCommand"].schema
PLANTED = {**FORBIDDEN_BY_AVRO, **FORBIDDEN_BY_US, **ALLOWED}
VERSIONS = [
    pytest.param([version.schema for version in versions], id=subject)
    for subject, versions in contracts.by_subject().items()
]


def enums(schema) -> dict[str, set[str]]:
    """The symbols of every enum in a schema."""
    if isinstance(schema, list):
        return {name: symbols for one in schema for name, symbols in enums(one).items()}
    if not isinstance(schema, dict):
        return {}
    if schema.get("type") == "enum":
        return {schema["name"]: set(schema["symbols"])}
    return {
        name: symbols
        for part in ("type", "fields", "items", "values")
        for name, symbols in enums(schema.get(part)).items()
    }


def chosen(schema, value, named) -> set[tuple[str, str]]:
    """The enums of a record with the symbol that each has in it; a text that reads like a symbol is none."""
    if isinstance(schema, list):
        schema = next((one for one in schema if one != "null"), "null")
        return set() if value is None else chosen(schema, value, named)
    if isinstance(schema, str):
        schema = named.get(schema.rpartition(".")[2], schema)
    if not isinstance(schema, dict):
        return set()
    named.setdefault(schema.get("name"), schema)
    kind = schema["type"]
    if kind == "enum":
        return {(schema["name"], value)}
    if kind == "record":
        return {one for field in schema["fields"] for one in chosen(field["type"], value[field["name"]], named)}
    if kind in ("array", "map"):
        items = value.values() if kind == "map" else value
        return {one for item in items for one in chosen(schema.get("items", schema.get("values")), item, named)}
    return set()


def exchange(reader, writer, fields) -> None:
    """Writes with one version, reads with another, by fastavro and by Apache's reader, which must agree."""
    out = io.BytesIO()
    written = fastavro.parse_schema(writer, named_schemas={})
    wanted = fastavro.parse_schema(reader, named_schemas={})
    fastavro.schemaless_writer(out, written, fields, strict=True)
    read = fastavro.schemaless_reader(io.BytesIO(out.getvalue()), written, wanted)
    known = enums(reader)
    if any(symbol not in known.get(name, {symbol}) for name, symbol in chosen(writer, fields, {})):
        # Apache's Python reader knows no defaults of enums; ours gives symbols that the reader has.
        assert all(symbol in known[name] for name, symbol in chosen(reader, read, {}))
        return
    read, fields = plain(read), plain(fields)
    assert read == plain(_apache.decode(out.getvalue(), writer, reader))
    names = {field["name"] for field in writer["fields"]}
    for field in reader["fields"]:
        if field["name"] not in names:
            assert read[field["name"]] == field["default"]
        elif isinstance(field["type"], str):
            assert read[field["name"]] == fields[field["name"]]


def plain(value):
    """Without the difference between empty text and no bytes: fastavro gives the default of bytes as JSON has it, as text."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return "" if value == b"" else value


@pytest.mark.parametrize("versions", VERSIONS)
def test_all_versions_read_each_other(versions) -> None:
    """P10: every committed version reads every other, says Apache Avro's checker and says ours; nothing was lost between them."""
    for reader, writer in product(versions, versions):
        assert _apache.reads(reader, writer)
    assert compatibility.problems(versions) == []


@pytest.mark.parametrize("versions", VERSIONS)
@given(data=st.data())
@SETTINGS
def test_every_version_reads_what_every_other_wrote(versions, data) -> None:
    """Bytes written by any version are read by any other, with the same values and the defaults of what was not written."""
    for reader, writer in product(versions, versions):
        exchange(reader, writer, data.draw(values(writer)))


@pytest.mark.parametrize("change", ALLOWED)
@given(data=st.data())
@SETTINGS
def test_allowed_changes_exchange_bytes(change, data) -> None:
    """Each change that the check allows really is one: both ways, for generated records."""
    versions = (COMMAND, changed(ALLOWED[change]))
    for reader, writer in permutations(versions):
        exchange(reader, writer, data.draw(values(writer)))


@pytest.mark.parametrize("change", FORBIDDEN_BY_AVRO)
def test_what_avro_forbids_is_refused(change) -> None:
    """A version that can't read another, or be read by it, is refused: by Apache's checker and by ours."""
    planted = changed(FORBIDDEN_BY_AVRO[change])
    assert not (_apache.reads(planted, COMMAND) and _apache.reads(COMMAND, planted))
    assert compatibility.problems([COMMAND, planted])


def test_a_symbol_without_enum_default_is_refused() -> None:
    """A new symbol is refused where an older reader has no default to make of it, in both opinions."""
    older, newer = enum_without_default(symbols=KINDS), enum_without_default(symbols=[*KINDS, "dispute"])
    assert not _apache.reads(older, newer)
    assert compatibility.unreadable(older, newer) == ["kind: CommandKind has no default for the symbols dispute"]
    assert compatibility.problems([older, newer])


@pytest.mark.parametrize("change", FORBIDDEN_BY_US)
def test_what_avro_lets_pass_and_we_forbid_is_refused(change) -> None:
    """A version that drops a field, a default or a symbol loses data in silence; Avro allows it, we don't."""
    planted = changed(FORBIDDEN_BY_US[change])
    assert _apache.reads(planted, COMMAND)
    assert compatibility.problems([COMMAND, planted])


@pytest.mark.parametrize("change", ALLOWED)
def test_what_is_allowed_is_not_refused(change) -> None:
    """The check doesn't refuse everything: additions with defaults pass, in both opinions."""
    planted = changed(ALLOWED[change])
    assert _apache.reads(planted, COMMAND)
    assert _apache.reads(COMMAND, planted)
    assert compatibility.problems([COMMAND, planted]) == []


@pytest.mark.parametrize("pair", list(permutations(PLANTED, 2)), ids=" / ".join)
def test_ours_agrees_with_apaches(pair) -> None:
    """Over all pairs of planted versions our resolution check says what Apache's says."""
    reader, writer = (changed(PLANTED[name]) for name in pair)
    assert (compatibility.unreadable(reader, writer) == []) == _apache.reads(reader, writer)


@pytest.mark.parametrize("subjects", list(permutations(contracts.latest(), 2)), ids=" / ".join)
def test_different_records_do_not_read_each_other(subjects) -> None:
    """No record passes for another, in both opinions."""
    reader, writer = (contracts.latest()[name].schema for name in subjects)
    assert compatibility.unreadable(reader, writer)
    assert not _apache.reads(reader, writer)


def test_transitive_means_all_pairs() -> None:
    """A third version that fits the second but not the first is refused."""
    first = changed(lambda schema: None)
    second = changed(lambda schema: schema["fields"].append({"name": "x", "type": "int", "default": 0, "doc": "X."}))
    third = changed(lambda schema: schema["fields"].append({"name": "x", "type": "int", "doc": "X."}))
    found = compatibility.problems([first, second, third])
    assert "version 3 can't read 1: x was not written and has no default" in found
    assert not any(line.startswith("version 3 can't read 2") for line in found)
