"""Records to bytes and back: Avro behind Confluent's five-byte header."""

from __future__ import annotations

import io
import struct
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

import fastavro
import msgspec

from schemas import contracts
from schemas.errors import EncodingError, NotAvro, Undecodable, UnknownSchema, WrongRecord
from schemas.records import RECORDS, Record

MAGIC = 0
_HEADER = struct.Struct(">BI")
_HEADER_BYTES = _HEADER.size

_write = fastavro.schemaless_writer
_read = fastavro.schemaless_reader


@cache
def _parsed(schema_id: int) -> Any:
    # A registry of named types of its own per schema: the records share nested names.
    return fastavro.parse_schema(contracts.by_id()[schema_id].schema, named_schemas={})


@cache
def _writer_of(record_type: type[Record]) -> tuple[bytes, Any, tuple[tuple[str, str], ...]]:
    """Header, parsed schema and optional records (field, full name) for a record type's newest version."""
    contract = contracts.latest()[record_type.__name__]
    schema = _parsed(contract.id)
    return _HEADER.pack(MAGIC, contract.id), schema, tuple(_optional_records(schema))


def _optional_records(schema: Any) -> Iterator[tuple[str, str]]:
    """The fields that hold a record or null. Naming the branch spares fastavro a validation of the whole record."""
    for field in schema["fields"]:
        if isinstance(field["type"], list):
            for branch in field["type"]:
                if isinstance(branch, dict) and branch["type"] == "record":
                    yield field["name"], branch["name"]


@cache
def _reader_of(schema_id: int) -> tuple[Any, Any, type[Record]]:
    """Writer's schema, reader's schema (None: the same) and record type for a wire id."""
    contract = contracts.by_id()[schema_id]
    newest = contracts.latest()[contract.record]
    reader = None if newest.id == schema_id else _parsed(newest.id)
    return _parsed(schema_id), reader, RECORDS[contract.record]


def encode(record: Record) -> bytes:
    """The record in wire format, in its newest version.

    Raises `EncodingError` when a value does not fit its field.
    """
    header, schema, optional_records = _writer_of(type(record))
    fields = msgspec.to_builtins(record, builtin_types=(bytes,))
    for field, branch in optional_records:
        if fields[field] is not None:
            fields[field] = (branch, fields[field])
    out = io.BytesIO()
    out.write(header)
    try:
        _write(out, schema, fields, strict=True)
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        message = f"{type(record).__name__} does not fit its contract: {error}"
        raise EncodingError(message) from error
    return out.getvalue()


def schema_id(value: bytes | None) -> int:
    """The wire-format id of a value. Raises `NotAvro` when there is none."""
    if value is None or len(value) < _HEADER_BYTES or value[0] != MAGIC:
        message = "the value does not start with magic byte 0 and a four-byte schema id (Confluent wire format)"
        raise NotAvro(message)
    identity: int = _HEADER.unpack_from(value)[1]
    return identity


def decode(value: bytes | None, *, expected: Collection[type[Record]] | None = None) -> Record:
    """The record that a wire-format value holds, read into the newest version of its type.

    `expected` limits which record types are accepted (a topic's own). Raises `NotAvro`, `UnknownSchema`,
    `WrongRecord` or `Undecodable`.
    """
    identity = schema_id(value)
    if identity not in contracts.by_id():
        message = f"schema id {identity} is in no contract of ours; known ids are in schemas/lock.json"
        raise UnknownSchema(message)
    writer, reader, record_type = _reader_of(identity)
    if expected is not None and record_type not in expected:
        names = ", ".join(sorted(kind.__name__ for kind in expected))
        message = f"{record_type.__name__} does not belong on this topic, which carries {names}"
        raise WrongRecord(message)
    return _body(value, writer, reader, record_type)


def _body(value: bytes | None, writer: Any, reader: Any, record_type: type[Record]) -> Record:
    assert value is not None
    source = io.BytesIO(value)
    source.seek(_HEADER_BYTES)
    try:
        fields = _read(source, writer, reader)
        record = msgspec.convert(fields, record_type)
    except Exception as error:  # fastavro raises whatever a broken body provokes: EOFError, IndexError, MemoryError ...
        message = f"the body is not a {record_type.__name__}: {str(error) or type(error).__name__}"
        raise Undecodable(message) from error
    if source.tell() != len(value):
        message = f"the body is a {record_type.__name__} followed by {len(value) - source.tell()} bytes of something else"
        raise Undecodable(message)
    return record
