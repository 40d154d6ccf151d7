"""Records to rows: what each landed topic's records look like in the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from connectors.clickhouse.landing import _events, _identity, _inputs, _money, _shapes
from connectors.clickhouse.landing._money import UnlandableRecord
from connectors.clickhouse.landing._parts import Row
from connectors.clickhouse.landing._tables import (
    BALANCE_TRANSACTIONS,
    CUSTOMER_EVENTS,
    ERRORS,
    IDENTITY_EVENTS,
    LEDGER_ENTRIES,
    PAYMENT_EVENTS,
    PAYMENT_INPUTS,
    PAYOUT_EVENTS,
    REJECTIONS,
    SETTLEMENT_EVENTS,
    WEBHOOK_ATTEMPTS,
)
from schemas import catalogue, codec, records, unkept
from schemas.errors import DecodingError

LANDED_TOPICS: tuple[catalogue.Topic, ...] = (
    catalogue.PAYMENTS_EVENTS,
    catalogue.SETTLEMENT_EVENTS,
    catalogue.PAYMENTS_INPUTS,
    catalogue.RECORDS_REJECTED,
    catalogue.WEBHOOKS_ATTEMPTS,
    catalogue.CUSTOMERS_EVENTS,
    catalogue.IDENTITY_HISTORY,
)


class Place(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int


class Raw(NamedTuple):
    """One record as Kafka holds it; the last four columns of its row."""

    place: Place
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class Tally(msgspec.Struct, kw_only=True):
    """What a range of a partition holds."""

    records: int = 0
    skipped: int = 0
    postings: int = 0
    first_timestamp_ms: int = 0
    last_timestamp_ms: int = 0


class Rows(msgspec.Struct, kw_only=True):
    """The rows of a batch by table, and what each partition's range holds."""

    by_table: dict[str, list[Row]]
    tallies: dict[Place, Tally]
    errors: int = 0


def build(batch: Mapping[Place, Iterable[Raw]]) -> Rows:
    """The rows of these records. The same records give the same rows, whoever builds them and when."""
    rows = Rows(by_table={}, tallies={})
    carried = {topic.name: topic.records for topic in LANDED_TOPICS}
    for place, raws in batch.items():
        tally = rows.tallies[place] = Tally()
        expected = carried[place.topic]
        for raw in raws:
            tally.first_timestamp_ms = tally.first_timestamp_ms or raw.timestamp_ms
            tally.last_timestamp_ms = raw.timestamp_ms
            try:
                added = _add(rows.by_table, codec.decode(raw.value, expected=expected), raw, tally)
            except DecodingError as error:
                added = _add_error(rows, raw, error.reason, str(error))
            except UnlandableRecord as error:
                added = _add_error(rows, raw, error.reason, str(error))
            if added:
                tally.records += 1
            else:
                tally.skipped += 1
    return rows


def _add(tables: dict[str, list[Row]], record: records.Record, raw: Raw, tally: Tally) -> bool:
    """Add the record's rows; False when it gets none."""
    end = (raw.place.topic, raw.place.partition, raw.offset, raw.timestamp_ms)
    if isinstance(record, records.PaymentEvent):
        # All rows are made before the first is added: a record that can't be booked leaves none behind.
        row, legs = _events.payment_event(record) + end, _money.payment_legs(record, end)
        changes = _money.payment_changes(record, end)
        tables.setdefault(PAYMENT_EVENTS.name, []).append(row)
        if changes:
            tables.setdefault(BALANCE_TRANSACTIONS.name, []).extend(changes)
    elif isinstance(record, records.SettlementEvent):
        row, legs = _events.settlement_event(record) + end, _money.settlement_legs(record, end)
        tables.setdefault(SETTLEMENT_EVENTS.name, []).append(row)
    elif isinstance(record, records.PayoutEvent):
        row, legs = _events.payout_event(record) + end, _money.payout_legs(record, end)
        change = None if record.transaction is None else _money.payout_change(record, record.transaction, end)
        tables.setdefault(PAYOUT_EVENTS.name, []).append(row)
        if change is not None:
            tables.setdefault(BALANCE_TRANSACTIONS.name, []).append(change)
    elif isinstance(record, records.ClockTick):
        return False
    else:
        legs = []
        name, row = _without_money(record, raw.place.topic)
        tables.setdefault(name, []).append(row + end)
    if legs:
        tables.setdefault(LEDGER_ENTRIES.name, []).extend(legs)
        tally.postings += len(legs)
    return True


def _without_money(record: records.Record, topic: str) -> tuple[str, Row]:
    """The table and the row of a record that books nothing. Tenants come on two topics, for two books."""
    if topic == catalogue.IDENTITY_HISTORY.name:
        assert isinstance(record, _identity.Change), "landing decodes what the catalogue says that a topic carries"
        return IDENTITY_EVENTS.name, (*_identity.row(record), *_shapes.attribution(record))
    if isinstance(record, records.Rejection):
        return REJECTIONS.name, _shapes.REJECTION.row(record)
    if isinstance(record, records.WebhookDelivery):
        return WEBHOOK_ATTEMPTS.name, _shapes.WEBHOOK_ATTEMPT.row(record)
    if isinstance(record, records.CustomerEvent):
        return CUSTOMER_EVENTS.name, _events.customer_event(record)
    return PAYMENT_INPUTS.name, _inputs.payment_input(record)


def _add_error(rows: Rows, raw: Raw, reason: str, message: str) -> bool:
    rows.errors += 1
    rows.by_table.setdefault(ERRORS.name, []).append(
        (
            reason,
            unkept.masked(message),
            _kept(raw.key),
            _kept(raw.value),
            raw.value is None,
            raw.place.topic,
            raw.place.partition,
            raw.offset,
            raw.timestamp_ms,
        )
    )
    return True


def _kept(raw: bytes | None) -> bytes:
    """The bytes of a record that can't be read, without those that a card number or a secret stands in: its place tells where they are."""
    return b"" if raw is None or unkept.holds(raw) else raw
