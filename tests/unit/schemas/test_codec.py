from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import codec, contracts
from schemas.errors import EncodingError, NotAvro, SchemaError, Undecodable, UnknownSchema, WrongRecord
from schemas.records import (
    RECORDS,
    Attribution,
    ClockTick,
    PaymentCommand,
    PaymentEvent,
    PaymentIntent,
    PaymentObject,
    Posting,
    Record,
    Rejection,
    Tenant,
)
from tests._records import any_record, records

SETTINGS = settings(derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
FUZZ = settings(SETTINGS, max_examples=400)
WRONG_VALUES: tuple[Any, ...] = (
    None, True, 1, 1.5, "x", "\ud800", b"x", (), (1,), ("x",), [1], {}, {"a": 1}, {1: "a"}, object(), 2**31, 2**63,
    -(2**63) - 1, PaymentIntent(), Posting(),
)  # fmt: skip


def by_fastavro(record: Record) -> bytes:
    """The body as fastavro alone writes it."""
    schema = fastavro.parse_schema(contracts.latest()[type(record).__name__].schema, named_schemas={})
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, msgspec.to_builtins(record, builtin_types=(bytes,)), strict=True)
    return out.getvalue()


def read_by_fastavro(value: bytes) -> Record | None:
    """The record as fastavro alone reads it; None where it can't, or where bytes are left over."""
    contract = contracts.by_id()[codec.schema_id(value)]
    source = io.BytesIO(value)
    source.seek(5)
    try:
        fields = fastavro.schemaless_reader(source, fastavro.parse_schema(contract.schema, named_schemas={}), None)
        record = msgspec.convert(fields, RECORDS[contract.record])
    except Exception:
        return None
    return record if source.tell() == len(value) else None


@pytest.mark.parametrize("name", RECORDS)
@given(data=st.data())
@SETTINGS
def test_codec_writes_fastavros_bytes_and_reads_them_back(name, data) -> None:
    """Whatever a record holds, its bytes are those that fastavro writes, and decoding gives the record."""
    record = data.draw(records(name))
    value = codec.encode(record)
    assert value == b"\0" + contracts.latest()[name].id.to_bytes(4, "big") + by_fastavro(record)
    assert codec.decode(value) == record
    assert codec.decode(value, expected=(type(record), Tenant)) == record


def test_unusual_sizes_take_the_same_way() -> None:
    """Texts, maps and blobs beyond the tables' size are written and read like any other."""
    long = "é" * 5_000
    metadata = {f"key {number}": long for number in range(3)}
    intent = PaymentIntent(description=long, metadata=metadata, tenant="t" * 8_191, customer="c" * 8_192)
    rejection = Rejection(value=bytes(900_000), key=b"")
    postings = tuple(Posting(account=str(number), amount_minor=-number) for number in range(8_200))
    event = PaymentEvent(postings=postings, payment=PaymentObject(metadata=metadata))
    for record in (intent, rejection, event):
        value = codec.encode(record)
        assert value[5:] == by_fastavro(record)
        assert codec.decode(value) == record


@pytest.mark.parametrize("bits", range(64))
def test_numbers_of_every_length(bits) -> None:
    """Numbers around every power of two, of both signs, survive, and are fastavro's bytes."""
    for number in {sign * (2**bits + step) for sign in (1, -1) for step in (-1, 0, 1)}:
        if -(2**63) <= number < 2**63:
            record = ClockTick(time_ms=number)
            assert codec.encode(record)[5:] == by_fastavro(record)
            assert codec.decode(codec.encode(record)) == record


def fits(annotation_schema: Any, value: Any) -> bool:
    """Whether a wrong value happens to be a right one of this type; written apart from the code under test."""
    if isinstance(annotation_schema, list):
        return value is None or any(fits(branch, value) for branch in annotation_schema if branch != "null")
    kind = annotation_schema if isinstance(annotation_schema, str) else annotation_schema["type"]
    match kind:
        case "string":
            return type(value) is str and "\ud800" not in value
        case "long":
            return type(value) is int and -(2**63) <= value < 2**63
        case "int":
            return type(value) is int and -(2**31) <= value < 2**31
        case "boolean":
            return type(value) is bool
        case "bytes":
            return type(value) is bytes
        case "array":
            return isinstance(value, tuple | list) and all(fits(annotation_schema["items"], item) for item in value)
        case "map":
            return type(value) is dict and all(
                fits("string", key) and fits(annotation_schema["values"], item) for key, item in value.items()
            )
    return False  # no wrong value is an enum's symbol, nor a nested record


def fields_with_wrong_values() -> Iterator[Any]:
    """A parameter for each field of each record."""
    for name in RECORDS:
        for field in contracts.latest()[name].schema["fields"]:
            yield pytest.param(name, field, id=f"{name}.{field['name']}")


@pytest.mark.parametrize(("name", "field"), list(fields_with_wrong_values()))
def test_a_value_of_the_wrong_type_is_refused(name, field) -> None:
    """Each field of each record refuses each value that isn't of its type, naming record and field, not the value."""
    refused = 0
    for value in WRONG_VALUES:
        record = RECORDS[name](**{field["name"]: value})
        if fits(field["type"], value):
            codec.encode(record)
            continue
        with pytest.raises(EncodingError) as caught:
            codec.encode(record)
        assert str(caught.value).startswith(f"{name} does not fit its contract: ")
        refused += 1
    assert refused >= 15


def test_the_message_names_the_nested_field() -> None:
    """A wrong value deep inside is named by its path, and never repeated."""
    event = PaymentEvent(
        payment=PaymentObject(amount_minor=1.5, metadata={"k": 4242424242424242}),
        postings=(Posting(), Posting(currency=b"EUR")),
        attribution=Attribution(actor_kind="4242424242424242"),
    )
    with pytest.raises(EncodingError) as caught:
        codec.encode(event)
    message = str(caught.value)
    for part in (
        "payment.amount_minor is of type float, wanted long",
        "payment.metadata, value 0 is of type int, wanted string",
        "postings[1].currency is of type bytes, wanted string",
        "attribution.actor_kind is no symbol of ActorKind",
    ):
        assert part in message
    assert "4242" not in message


def test_only_records_with_a_contract_are_encoded() -> None:
    """A struct that is only ever part of a record, or no struct of ours at all, is refused."""

    class Tenant(msgspec.Struct):
        tenant: str = ""

    for stranger in (Posting(), Tenant(), "text", None):
        with pytest.raises(EncodingError, match="no record with a contract of its own"):
            codec.encode(stranger)


@pytest.mark.parametrize("value", [None, b"", b"\0", b"\0\0\0\0", b"\1\0\0\0\1x", b"hello, world", b'{"tenant": 1}'])
def test_not_avro(value) -> None:
    """A value without magic byte and id is `NotAvro`."""
    with pytest.raises(NotAvro):
        codec.decode(value)
    with pytest.raises(NotAvro):
        codec.schema_id(value)


@pytest.mark.parametrize("identity", [0, 9_999, 2**32 - 1])
def test_unknown_schema(identity) -> None:
    """A schema id that no contract has is `UnknownSchema`, and named."""
    with pytest.raises(UnknownSchema, match=str(identity)):
        codec.decode(b"\0" + identity.to_bytes(4, "big") + b"\0")


def test_wrong_record() -> None:
    """A record that is not among those expected is `WrongRecord`, before its body is read."""
    value = codec.encode(ClockTick(time_ms=1))
    with pytest.raises(WrongRecord, match=r"ClockTick does not belong .* PaymentCommand, Tenant"):
        codec.decode(value[:5], expected=(PaymentCommand, Tenant))


@pytest.mark.parametrize("name", RECORDS)
@given(data=st.data())
@settings(SETTINGS, max_examples=8)
def test_a_truncated_or_longer_body_is_undecodable(name, data) -> None:
    """A body cut anywhere, or with anything behind it, is `Undecodable`."""
    value = codec.encode(data.draw(records(name)))
    for end in range(5, len(value)):
        with pytest.raises(Undecodable, match=f"the body is (not )?a {name}"):
            codec.decode(value[:end])
    for rest in (b"\0", b"\2x", value):
        with pytest.raises(Undecodable, match=f"followed by {len(rest)} bytes"):
            codec.decode(value + rest)


def _survives(value: bytes) -> None:
    """Decoding gives a record that encodes again, or a `SchemaError`; and never more than fastavro reads."""
    try:
        record = codec.decode(value)
    except SchemaError:
        return
    assert read_by_fastavro(value) == record
    assert codec.decode(codec.encode(record)) == record


@given(value=st.binary(max_size=200))
@FUZZ
def test_random_bytes_raise_only_our_errors(value) -> None:
    """Random bytes, with and without a header of ours, never raise anything but a `SchemaError`."""
    _survives(value)
    for identity in contracts.by_id():
        _survives(b"\0" + identity.to_bytes(4, "big") + value)


@given(record=any_record(), data=st.data())
@FUZZ
def test_damaged_records_raise_only_our_errors(record, data) -> None:
    """A few changed, missing or added bytes in a real record never raise anything but a `SchemaError`."""
    value = bytearray(codec.encode(record))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(5, len(value)))
        value[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    _survives(bytes(value))


@pytest.mark.parametrize(
    "body",
    [
        b"\xff" * 9 + b"\x01",  # 64 bits: the largest number there is
        b"\xff" * 9 + b"\x7f",  # its tenth byte holds more than one bit
        b"\xff" * 10 + b"\x01",  # eleven bytes
        b"\xff" * 200,
        b"\x01",  # a length below zero
        b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a text of 2**63 - 1 bytes
    ],
)
def test_hostile_numbers_cost_nothing(body) -> None:
    """Overlong numbers and absurd lengths are refused at once, wherever they stand."""
    ends = (b"", b"\0", b"\0\0", b"\0" * 7)
    for identity, prefix, suffix in itertools.product(contracts.by_id(), ends, ends):
        _survives(b"\0" + identity.to_bytes(4, "big") + prefix + body + suffix)


def test_blocks_of_other_writers_are_read() -> None:
    """Arrays and maps in several blocks, or in blocks that state their size (negative count), are read."""
    plain = codec.encode(PaymentIntent(metadata={"a": "b", "c": "d"}))
    at = plain.index(b"\x04\x02a\x02b\x02c\x02d\0")
    before, after = plain[:at], plain[at + 10 :]
    several = b"\x02\x02a\x02b\x02\x02c\x02d\0"
    sized = b"\x03\x10\x02a\x02b\x02c\x02d\0"
    for blocks in (several, sized):
        assert codec.decode(before + blocks + after) == PaymentIntent(metadata={"a": "b", "c": "d"})
