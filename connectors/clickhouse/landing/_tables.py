"""The tables that landing fills: their columns in the order of their rows, and the append that can be repeated."""

# ruff: noqa: S608 - the names and numbers in these statements are our own

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import msgspec

Row = tuple[Any, ...]

_PLACE = "_topic String, _partition Int32, _offset Int64, _timestamp_ms Int64"
_ATTRIBUTION = (
    "actor_kind String, actor_id String, on_behalf_of String, actor_reason String, request_id String, "
    "idempotency_key String, traceparent String"
)
_CAUSE = "cause_topic String, cause_partition Int32, cause_offset Int64, ordinal Int32"

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
    structure=(
        "tenant String, payment_id String, sequence Int64, event_id String, type String, previous_event_id String, "
        "occurred_ms Int64, from_status String, to_status String, currency String, exponent UInt8, "
        "amount_minor Int64, amount_capturable_minor Int64, amount_received_minor Int64, amount_refunded_minor Int64, "
        "capture_method String, payment_method String, customer String, description String, metadata Map(String, String), "
        "latest_charge String, provider String, outcome_unknown Bool, cancellation_reason String, last_error_code String, "
        "last_error_decline_code String, last_error_message String, created_ms Int64, "
        "charge_id String, charge_attempt Int32, charge_provider String, charge_status String, charge_outcome String, "
        "charge_amount_minor Int64, charge_amount_captured_minor Int64, charge_amount_refunded_minor Int64, "
        "charge_provider_reference String, charge_provider_fee_minor Int64, charge_failure_code String, "
        "charge_failure_message String, "
        "refund_id String, refund_charge String, refund_amount_minor Int64, refund_status String, refund_reason String, "
        "refund_provider String, refund_provider_reference String, refund_failure_reason String, "
        "decision_attempt Int32, decision_chosen String, decision_candidates Array(String), decision_excluded Array(String), "
        f"decision_policy_version Int64, postings UInt32, {_ATTRIBUTION}, {_CAUSE}, policy_version Int64, "
        "amount_disputed_minor Int64, action_url String, due_ms Int64, charge_tenant_fee_minor Int64, "
        "dispute_id String, dispute_charge String, dispute_amount_minor Int64, dispute_status String, dispute_reason String, "
        "dispute_provider String, dispute_provider_reference String, dispute_withdrawn_minor Int64, dispute_fee_minor Int64, "
        "dispute_evidence_due_ms Int64, dispute_evidence_submitted Bool, proposal_id String, proposal_resolution String, "
        "proposal_object_id String, proposal_amount_minor Int64, proposal_reason String, proposed_by String, approved_by String, "
        "transactions UInt32, fx_from_minor Int64, fx_from_currency String, fx_to_minor Int64, fx_to_currency String, fx_rate String, "
        "charge_has_texts Bool, charge_description String, charge_metadata Map(String, String), "
        "refund_metadata Map(String, String), dispute_metadata Map(String, String), "
        "saved_method String, setup_future_usage String, dispute_outcome_unknown Bool, held_minor Int64, "
        f"{_PLACE}"
    ),
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
    structure=(
        "tenant String, provider String, currency String, exponent UInt8, window_id String, sequence Int64, event_id String, "
        "type String, previous_event_id String, occurred_ms Int64, opens_ms Int64, closes_ms Int64, closed_ms Int64, "
        "status String, movement_id String, movement_kind String, movement_amount_minor Int64, movement_payment_id String, "
        "movement_object_id String, movement_event_id String, movement_occurred_ms Int64, late Bool, missed_window_id String, "
        "totals_movements Int64, totals_captured_minor Int64, totals_refunded_minor Int64, totals_fees_minor Int64, "
        f"totals_other_minor Int64, totals_net_minor Int64, postings UInt32, {_ATTRIBUTION}, {_CAUSE}, {_PLACE}"
    ),
)
PAYOUT_EVENTS = Table(
    name="payout_events",
    structure=(
        "tenant String, payout_id String, sequence Int64, event_id String, type String, previous_event_id String, "
        "occurred_ms Int64, provider String, currency String, exponent UInt8, from_status String, to_status String, "
        "amount_minor Int64, destination String, description String, metadata Map(String, String), automatic Bool, "
        "window_id String, provider_reference String, failure_code String, failure_message String, outcome_unknown Bool, "
        "created_ms Int64, due_ms Int64, paid_ms Int64, transaction_id String, transaction_minor Int64, "
        f"postings UInt32, {_ATTRIBUTION}, {_CAUSE}, doubt String, conflict String, proposal_id String, "
        "proposal_resolution String, proposal_reference String, proposal_reason String, proposed_by String, "
        f"approved_by String, {_PLACE}"
    ),
)
PAYMENT_INPUTS = Table(
    name="payment_inputs",
    structure=(
        "tenant String, payment_id String, record String, kind String, outcome String, amount_minor Nullable(Int64), "
        "currency String, exponent UInt8, payment_method String, capture_method String, reason String, correlation_id String, "
        "provider String, object_id String, provider_request String, provider_reference String, provider_fee_minor Int64, "
        "decline_code String, message String, inquiries Int32, observed_ms Int64, policy_version Int64, "
        f"providers Array(String), {_ATTRIBUTION}, {_PLACE}"
    ),
)
REJECTIONS = Table(
    name="rejections",
    structure=(
        "tenant String, source_topic String, source_partition Int32, source_offset Int64, source_timestamp_ms Int64, "
        "key Nullable(String), value Nullable(String), value_sha256 String, reason String, field String, message String, "
        f"component String, {_PLACE}"
    ),
)

WEBHOOK_ATTEMPTS = Table(
    name="webhook_attempts",
    structure=(
        "tenant String, endpoint_id String, delivery_id String, event_id String, event_type String, payment_id String, "
        "sequence Int64, api_version String, replay String, state String, attempt Int32, queued_ms Int64, attempted_ms Int64, "
        "next_attempt_ms Int64, duration_ms Int64, status_code Int32, failure String, source_topic String, "
        f"source_partition Int32, source_offset Int64, {_PLACE}"
    ),
)
CUSTOMER_EVENTS = Table(
    name="customer_events",
    structure=(
        "tenant String, object_id String, object String, sequence Int64, event_id String, type String, "
        "previous_event_id String, occurred_ms Int64, created_ms Int64, customer String, deleted Bool, "
        "personal Map(String, String), metadata Map(String, String), payment_method String, card_brand String, "
        "card_last4 String, card_exp_month Int32, card_exp_year Int32, card_fingerprint String, card_funding String, "
        "card_country String, status String, usage String, cancellation_reason String, error_code String, "
        f"error_decline_code String, error_message String, {_ATTRIBUTION}, {_CAUSE}, {_PLACE}"
    ),
)

IDENTITY_EVENTS = Table(
    name="identity_events",
    structure=(
        "tenant String, organization String, object String, object_id String, act String, version Int64, after String, "
        f"{_ATTRIBUTION}, {_PLACE}"
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
