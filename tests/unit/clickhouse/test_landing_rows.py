"""Records to rows, without Kafka or ClickHouse."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.clickhouse.landing import _rows, _tables
from connectors.clickhouse.landing._rows import LANDED_TOPICS, Place, Raw
from schemas import codec
from schemas.records import ClockTick, PaymentCommand, PaymentEvent, PaymentObject, Posting, Rejection
from tests._landing import payments
from tests._records import records

EVENTS = Place("payments.events", 0)
INPUTS = Place("payments.inputs", 0)


def raws(place, *values):
    """Raw records with these values, from offset 0."""
    return {place: [Raw(place, offset, 1_000 + offset, b"key", value) for offset, value in enumerate(values)]}


def named(table, rows):
    """Rows as dictionaries by column."""
    return [dict(zip(table.columns, row, strict=True)) for row in rows.by_table.get(table.name, [])]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_record_of_a_landed_topic_gets_rows_that_fit_their_table(data):
    """Whatever a record holds, it becomes rows of the right width, or is kept in landing_errors, or is a tick."""
    topic = data.draw(st.sampled_from(LANDED_TOPICS))
    kind = data.draw(st.sampled_from(topic.records))
    record = data.draw(records(kind.__name__))
    rows = _rows.build(raws(Place(topic.name, 3), codec.encode(record)))
    tally = rows.tallies[Place(topic.name, 3)]
    assert tally.records + tally.skipped == 1
    assert (tally.skipped == 1) == isinstance(record, ClockTick)
    for table in _tables.BOOKS:
        if table.name in rows.by_table:
            table.encode(rows.by_table[table.name])
    parts = (_tables.LEDGER_ENTRIES, _tables.BALANCE_TRANSACTIONS)
    owned = sum(len(rows.by_table.get(table.name, [])) for table in _tables.BOOKS if table not in parts)
    assert owned == tally.records
    assert len(rows.by_table.get("ledger_entries", [])) == tally.postings
    stated = sum(row["transactions"] for row in named(_tables.PAYMENT_EVENTS, rows))
    assert len(rows.by_table.get("balance_transactions", [])) == stated


def test_the_same_records_give_the_same_rows():
    """Who completes another's batch makes the same rows: nothing depends on the time or the process."""
    batch: dict = {}
    for offset, one in enumerate(payments(30)):
        place = Place(one.topic, offset % 2)
        batch.setdefault(place, []).append(Raw(place, offset, 7, one.key, one.value))
    assert _rows.build(batch) == _rows.build(batch)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "not_avro"),
        (b"", "not_avro"),
        (b"{}", "not_avro"),
        (b"\x00\x00\x00\xff\xff body", "unknown_schema"),
        (codec.encode(PaymentCommand(tenant="t")), "wrong_record"),
        (codec.encode(PaymentEvent(event_id="evt"))[:-4], "undecodable"),
        (codec.encode(PaymentEvent(payment=PaymentObject(currency="XQQ"))), "unknown_currency"),
        (
            codec.encode(PaymentEvent(postings=(Posting(account="a:b", amount_minor=1, currency="eur"),))),
            "unknown_currency",
        ),
    ],
)
def test_what_cannot_be_booked_is_kept_byte_for_byte(value, reason):
    """An unreadable record becomes a row of landing_errors with its bytes and a reason, and its neighbours are booked."""
    good = codec.encode(PaymentEvent(event_id="evt_1", payment=PaymentObject(currency="EUR")))
    rows = _rows.build(raws(EVENTS, good, value, good))
    (kept,) = named(_tables.ERRORS, rows)
    assert (kept["reason"], kept["value"], kept["value_is_null"], kept["key"]) == (
        reason,
        value or b"",
        value is None,
        b"key",
    )
    assert (kept["_partition"], kept["_offset"], kept["_timestamp_ms"]) == (0, 1, 1_001)
    assert [row["_offset"] for row in named(_tables.PAYMENT_EVENTS, rows)] == [0, 2]
    assert rows.errors == 1
    assert rows.tallies[EVENTS].records == 3
    assert "ledger_entries" not in rows.by_table


@pytest.mark.parametrize("value", [b"4242 4242 4242 4242", b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_what_cannot_be_read_is_kept_without_a_card_number_or_a_secret(value):
    """Where one stands, the row has place and reason, and no bytes."""
    rows = _rows.build(raws(EVENTS, b'\x00\x00{"number": "%b"}' % value))
    (kept,) = named(_tables.ERRORS, rows)
    assert (kept["value"], kept["value_is_null"], kept["key"], kept["_offset"]) == (b"", False, b"key", 0)
    assert kept["reason"]


def test_a_posting_is_a_ledger_row_of_its_own():
    """Postings explode in order, with the event's place, its attribution and the exponent of their own currency."""
    legs = (
        Posting(account="a:x", amount_minor=5, currency="KWD"),
        Posting(account="b:y", amount_minor=-5, currency="KWD"),
    )
    event = PaymentEvent(event_id="evt_1", tenant="t", payment_id="pi_1", postings=legs)
    rows = _rows.build(raws(EVENTS, codec.encode(event)))
    found = [
        (row["account"], row["amount_minor"], row["exponent"], row["_ordinal"])
        for row in named(_tables.LEDGER_ENTRIES, rows)
    ]
    assert found == [("a:x", 5, 3, 0), ("b:y", -5, 3, 1)]
    assert named(_tables.PAYMENT_EVENTS, rows)[0]["postings"] == 2


def test_clock_ticks_have_no_row_and_are_counted():
    """A tick is skipped, and the tally says so; commands beside it are landed."""
    tick = codec.encode(ClockTick(time_ms=1, source="s"))
    rows = _rows.build(
        raws(INPUTS, tick, codec.encode(PaymentCommand(tenant="t", payment_id="pi_1", kind="create")), tick)
    )
    tally = rows.tallies[INPUTS]
    assert (tally.records, tally.skipped) == (1, 2)
    assert (tally.first_timestamp_ms, tally.last_timestamp_ms) == (1_000, 1_002)
    (row,) = named(_tables.PAYMENT_INPUTS, rows)
    assert (row["record"], row["kind"], row["payment_id"], row["amount_minor"]) == (
        "PaymentCommand",
        "create",
        "pi_1",
        None,
    )


def test_a_rejection_keeps_bytes_and_null_apart():
    """A rejected value that must not be kept stays null; one that is empty stays empty."""
    place = Place("records.rejected", 0)
    values = [codec.encode(Rejection(value=value, key=b"\xff\x00")) for value in (None, b"", b"\xfe")]
    rows = _rows.build(raws(place, *values))
    assert [row["value"] for row in named(_tables.REJECTIONS, rows)] == [None, b"", b"\xfe"]
    assert {row["key"] for row in named(_tables.REJECTIONS, rows)} == {b"\xff\x00"}


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65_535, 65_536])
def test_values_are_packed_without_a_list_header(count):
    """ClickHouse's MsgPack format has values only, however many they are."""
    values = ["x"] * count
    assert _tables.encode_values(values) == b"".join(msgspec.msgpack.encode(value) for value in values)
