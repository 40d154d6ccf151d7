"""Records to bytes and back: Avro behind Confluent's five-byte header."""

from __future__ import annotations

import io
import struct
from collections.abc import Collection
from functools import cache
from itertools import islice
from typing import Any

import fastavro
import msgspec

from schemas import _fit, contracts, records
from schemas._compiled import Compiler
from schemas._wire import Decoder, Encoder
from schemas.errors import EncodingError, NotAvro, Undecodable, UnknownSchema, WrongRecord
from schemas.records import RECORDS, Record

MAGIC = 0
_HEADER = struct.Struct(">BI")
_HEADER_BYTES = _HEADER.size
_MISFITS_SHOWN = 5

_STRUCTS = {name: value for name, value in vars(records).items() if isinstance(value, type)}


@cache
def _parsed(schema_id: int) -> Any:
    # A registry of named types of its own per schema: the records share nested names.
    return fastavro.parse_schema(contracts.by_id()[schema_id].schema, named_schemas={})


@cache
def _writer_of(record_type: type[Record]) -> tuple[bytes, Encoder]:
    """Header and encoder of a record type's newest version."""
    contract = contracts.latest().get(record_type.__name__)
    if contract is None or RECORDS[contract.record] is not record_type:
        message = f"{record_type.__name__} is no record with a contract of its own; those are {', '.join(RECORDS)}"
        raise EncodingError(message)
    return _HEADER.pack(MAGIC, contract.id), Compiler(_STRUCTS).encoder(contract.schema)


@cache
def _decoder_of(schema_id: int) -> Decoder | None:
    """The decoder of a record's newest version; None for an older one, whose fields have to be resolved."""
    contract = contracts.by_id()[schema_id]
    if contracts.latest()[contract.record].id != schema_id:
        return None
    return Compiler(_STRUCTS).decoder(contract.schema)


def encode(record: Record) -> bytes:
    """The record in wire format, in its newest version.

    Raises `EncodingError` when a value does not fit its field.
    """
    header, encoder = _writer_of(type(record))
    try:
        return header + encoder(record)
    except Exception:  # noqa: BLE001  whatever it was: the exact path tells, or finds the record merely unusual
        return header + _exactly(record)


def _exactly(record: Record) -> bytes:
    """The body, by fastavro, after every field was checked."""
    contract = contracts.latest()[type(record).__name__]
    try:
        fields = msgspec.to_builtins(record, builtin_types=(bytes,))
        misfits = ", ".join(islice(_fit.misfits(contract.schema, fields), _MISFITS_SHOWN))
    except (TypeError, ValueError) as error:  # a value that is of no kind Avro or msgspec knows
        misfits = str(error)
    if misfits:
        message = f"{type(record).__name__} does not fit its contract: {misfits}"
        raise EncodingError(message)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _parsed(contract.id), fields, strict=True)
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
    contract = contracts.by_id().get(identity)
    if contract is None:
        message = f"schema id {identity} is in no contract of ours; known ids are in schemas/lock.json"
        raise UnknownSchema(message)
    record_type = RECORDS[contract.record]
    if expected is not None and record_type not in expected:
        names = ", ".join(sorted(kind.__name__ for kind in expected))
        message = f"{record_type.__name__} does not belong on this topic, which carries {names}"
        raise WrongRecord(message)
    assert value is not None
    decoder = _decoder_of(identity)
    if decoder is not None:
        try:
            record, end = decoder(value, _HEADER_BYTES)
        except Exception:  # noqa: BLE001, S110  a broken body provokes anything; the exact path says what is wrong
            pass
        else:
            if end == len(value):
                decoded: Record = record
                return decoded
    return _resolve(value, contract, record_type)


def _resolve(value: bytes, contract: contracts.Contract, record_type: type[Record]) -> Record:
    """The record by fastavro: of an older version, resolved into the newest, or of a body that is not right."""
    newest = contracts.latest()[contract.record]
    reader = None if newest.id == contract.id else _parsed(newest.id)
    source = io.BytesIO(value)
    source.seek(_HEADER_BYTES)
    try:
        fields = fastavro.schemaless_reader(source, _parsed(contract.id), reader)
        record = msgspec.convert(fields, record_type)
    except Exception as error:  # fastavro raises whatever a broken body provokes: EOFError, IndexError, MemoryError ...
        message = f"the body is not a {record_type.__name__}: {str(error) or type(error).__name__}"
        raise Undecodable(message) from error
    if source.tell() != len(value):
        message = (
            f"the body is a {record_type.__name__} followed by {len(value) - source.tell()} bytes of something else"
        )
        raise Undecodable(message)
    return record
