"""The tables that landing fills: their columns in the order of their rows, and the append that can be repeated."""

# ruff: noqa: S608 - the names and numbers in these statements are our own

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import msgspec

from connectors.clickhouse.landing import _shapes
from connectors.clickhouse.landing._parts import Row

_PLACE = "_topic String, _partition Int32, _offset Int64, _timestamp_ms Int64"
# MsgPack writes a list as a header and its values, and ClickHouse's MsgPack format reads values alone.
_LIST_HEADER_BYTES = {0xDC: 3, 0xDD: 5}

APPEND_SETTINGS: dict[str, Any] = {
    "async_insert": 0,  # the answer must mean that the rows are there
    "insert_deduplicate": 1,
    # One insert becomes one part, whatever its size: all of it is there, or nothing.
    "max_threads": 1,
    "max_insert_threads": 1,
    "min_insert_block_size_rows": 100_000_000,
    "min_insert_block_size_bytes": 4 * 1024**3,
}


class Table(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One table: `structure` lists names and wire types in row order, `seq` names the column that holds the batch's number."""

    name: str
    structure: str
    seq: str = "_seq"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names, in row order."""
        return tuple(column.split()[0] for column in self.structure.replace("(String, String)", "").split(", "))

    def append(self, seq: int) -> str:
        """The insert of a batch's rows, on condition that none of the batch is there.

        Repeated at any later time, it adds nothing; of two at the same time, their token lets one through.
        """
        names = ", ".join(self.columns)
        return (
            f"INSERT INTO {self.name} ({names}, {self.seq}) SELECT {names}, toUInt64({seq}) "
            f"FROM input('{self.structure}') WHERE (SELECT count() FROM {self.name} WHERE {self.seq} = {seq}) = 0 "
            "FORMAT MsgPack"
        )

    def held(self, seq: int) -> str:
        """The query for how many rows of a batch the table holds."""
        return f"SELECT '{self.name}', count() FROM {self.name} WHERE {self.seq} = {seq}"

    def encode(self, rows: Sequence[Row]) -> bytes:
        """The rows in ClickHouse's MsgPack format."""
        width = len(self.columns)
        assert all(len(row) == width for row in rows), f"a row of {self.name} does not have {width} values"
        return encode_values(list(chain.from_iterable(rows)))


def encode_values(values: list[Any]) -> bytes:
    """Values one after another in MsgPack, without the list's own header."""
    packed = msgspec.msgpack.encode(values)
    return packed[_LIST_HEADER_BYTES.get(packed[0], 1) :]


CLAIMS = Table(
    name="landing_claims",
    structure=(
        "seq UInt64, writer String, _topic String, _partition Int32, from_offset Int64, next_offset Int64, claimed_ms Int64"
    ),
)
RANGES = Table(
    name="landed_ranges",
    structure=(
        "_topic String, _partition Int32, from_offset Int64, next_offset Int64, records Int64, skipped Int64, "
        "postings Int64, first_timestamp_ms Int64, last_timestamp_ms Int64, landed_ms Int64"
    ),
    seq="seq",
)
ERRORS = Table(
    name="landing_errors",
    structure=f"reason String, message String, key String, value String, value_is_null Bool, {_PLACE}",
)
PAYMENT_EVENTS = Table(
    name="payment_events",
    structure=f"{_shapes.PAYMENT_EVENT.structure}, {_PLACE}",
)
BALANCE_TRANSACTIONS = Table(
    name="balance_transactions",
    structure=(
        "tenant String, transaction_id String, type String, currency String, exponent UInt8, gross_minor Int64, "
        "fee_minor Int64, net_minor Int64, source String, available_on_ms Int64, event_id String, event_type String, "
        "payment_id String, provider String, occurred_ms Int64, exchange_rate String, "
        "_topic String, _partition Int32, _offset Int64, _ordinal Int32, _timestamp_ms Int64"
    ),
)
LEDGER_ENTRIES = Table(
    name="ledger_entries",
    structure=(
        "tenant String, account String, currency String, exponent UInt8, amount_minor Int64, event_id String, "
        "event_type String, payment_id String, window_id String, provider String, occurred_ms Int64, actor_kind String, "
        "actor_id String, request_id String, _topic String, _partition Int32, _offset Int64, _ordinal Int32, "
        "_timestamp_ms Int64"
    ),
)
SETTLEMENT_EVENTS = Table(
    name="settlement_events",
    structure=f"{_shapes.SETTLEMENT_EVENT.structure}, {_PLACE}",
)
PAYOUT_EVENTS = Table(
    name="payout_events",
    structure=f"{_shapes.PAYOUT_EVENT.structure}, {_PLACE}",
)
PAYMENT_INPUTS = Table(
    name="payment_inputs",
    structure=(
        "tenant String, payment_id String, record String, kind String, outcome String, amount_minor Nullable(Int64), "
        "currency String, exponent UInt8, payment_method String, capture_method String, reason String, correlation_id String, "
        "provider String, object_id String, provider_request String, provider_reference String, provider_fee_minor Int64, "
        "decline_code String, message String, inquiries Int32, observed_ms Int64, policy_version Int64, "
        f"providers Array(String), {_shapes.ATTRIBUTION.structure}, {_PLACE}"
    ),
)
REJECTIONS = Table(
    name="rejections",
    structure=f"{_shapes.REJECTION.structure}, {_PLACE}",
)

WEBHOOK_ATTEMPTS = Table(
    name="webhook_attempts",
    structure=f"{_shapes.WEBHOOK_ATTEMPT.structure}, {_PLACE}",
)
CUSTOMER_EVENTS = Table(
    name="customer_events",
    structure=f"{_shapes.CUSTOMER_EVENT.structure}, {_PLACE}",
)

IDENTITY_EVENTS = Table(
    name="identity_events",
    structure=(
        "tenant String, organization String, object String, object_id String, act String, version Int64, after String, "
        f"{_shapes.ATTRIBUTION.structure}, {_PLACE}"
    ),
)

BOOKS: tuple[Table, ...] = (
    PAYMENT_EVENTS,
    LEDGER_ENTRIES,
    BALANCE_TRANSACTIONS,
    SETTLEMENT_EVENTS,
    PAYOUT_EVENTS,
    PAYMENT_INPUTS,
    REJECTIONS,
    WEBHOOK_ATTEMPTS,
    CUSTOMER_EVENTS,
    IDENTITY_EVENTS,
    ERRORS,
)
"""In the order in which a batch is appended to them."""
