"""What of each record stands in its row: the fields by name, in the order of the columns."""

from __future__ import annotations

from connectors.clickhouse.landing._parts import Part, Shape
from schemas import records

ATTRIBUTION = Part(
    records.Attribution,
    "actor_kind actor_id on_behalf_of reason request_id idempotency_key traceparent",
    at="attribution",
    named={"reason": "actor_reason"},
)
attribution = Shape(ATTRIBUTION).row
"""The values of a record's attribution, for rows that are made in other ways."""
_CAUSE = "cause_topic cause_partition cause_offset ordinal"

PAYMENT_EVENT = Shape(
    Part(
        records.PaymentEvent,
        "tenant payment_id sequence event_id type previous_event_id occurred_ms from_status to_status policy_version "
        + _CAUSE,
    ),
    Part(
        records.PaymentObject,
        "amount_minor amount_capturable_minor amount_received_minor amount_refunded_minor amount_disputed_minor "
        "capture_method payment_method customer description metadata latest_charge provider outcome_unknown "
        "cancellation_reason last_error_code last_error_decline_code last_error_message created_ms action_url due_ms "
        "saved_method setup_future_usage",
        at="payment",
    ),
    Part(
        records.ChargeObject,
        "id attempt provider status outcome amount_minor amount_captured_minor amount_refunded_minor provider_reference "
        "provider_fee_minor tenant_fee_minor failure_code failure_message has_texts description metadata",
        at="charge",
        prefix="charge_",
        empty="status outcome",
    ),
    Part(
        records.RefundObject,
        "id charge amount_minor status reason provider provider_reference failure_reason metadata",
        at="refund",
        prefix="refund_",
        empty="status",
    ),
    Part(
        records.DisputeObject,
        "id charge amount_minor status reason provider provider_reference withdrawn_minor fee_minor evidence_due_ms "
        "evidence_submitted metadata outcome_unknown",
        at="dispute",
        prefix="dispute_",
        empty="status",
    ),
    Part(
        records.ProposalObject,
        "id resolution object_id amount_minor reason proposed_by approved_by",
        at="proposal",
        prefix="proposal_",
        named={"proposed_by": "proposed_by", "approved_by": "approved_by"},
    ),
    Part(
        records.RoutingDecision,
        "attempt chosen candidates excluded policy_version",
        at="decision",
        prefix="decision_",
    ),
    Part(records.FxFact, "from_minor from_currency to_minor to_currency rate", at="fx", prefix="fx_"),
    ATTRIBUTION,
    more="currency String, exponent UInt8, postings UInt32, transactions UInt32, held_minor Int64",
)

SETTLEMENT_EVENT = Shape(
    Part(
        records.SettlementEvent,
        "tenant provider currency window_id sequence event_id type previous_event_id occurred_ms opens_ms closes_ms "
        "closed_ms status late missed_window_id " + _CAUSE,
    ),
    Part(
        records.WindowMovement,
        "movement_id kind amount_minor payment_id object_id event_id occurred_ms",
        at="movement",
        prefix="movement_",
        named={"movement_id": "movement_id"},
        empty="kind",
    ),
    Part(
        records.WindowTotals,
        "movements captured_minor refunded_minor fees_minor other_minor net_minor",
        at="totals",
        prefix="totals_",
    ),
    ATTRIBUTION,
    more="exponent UInt8, postings UInt32",
)

PAYOUT_EVENT = Shape(
    Part(
        records.PayoutEvent,
        "tenant payout_id sequence event_id type previous_event_id occurred_ms provider currency from_status to_status "
        + _CAUSE,
    ),
    Part(
        records.PayoutObject,
        "amount_minor destination description metadata automatic window_id provider_reference failure_code "
        "failure_message outcome_unknown created_ms due_ms paid_ms doubt conflict",
        at="payout",
    ),
    Part(
        records.PayoutTransaction,
        "id amount_minor",
        at="transaction",
        prefix="transaction_",
        named={"amount_minor": "transaction_minor"},
    ),
    Part(
        records.PayoutProposal,
        "id resolution reference reason proposed_by approved_by",
        at="proposal",
        prefix="proposal_",
        named={"proposed_by": "proposed_by", "approved_by": "approved_by"},
    ),
    ATTRIBUTION,
    more="exponent UInt8, postings UInt32",
)

CUSTOMER_EVENT = Shape(
    Part(
        records.CustomerEvent,
        "tenant object_id sequence event_id type previous_event_id occurred_ms " + _CAUSE,
    ),
    Part(
        records.SetupObject,
        "status usage cancellation_reason error_code error_decline_code error_message",
        at="setup",
        empty="status",
    ),
    ATTRIBUTION,
    more=(
        "object String, created_ms Int64, customer String, deleted Bool, personal Map(String, String), "
        "metadata Map(String, String), payment_method String, card_brand String, card_last4 String, "
        "card_exp_month Int32, card_exp_year Int32, card_fingerprint String, card_funding String, card_country String"
    ),
)

WEBHOOK_ATTEMPT = Shape(
    Part(
        records.WebhookDelivery,
        "tenant endpoint_id delivery_id event_id event_type payment_id sequence api_version replay state attempt "
        "queued_ms attempted_ms next_attempt_ms duration_ms status_code failure source_topic source_partition "
        "source_offset",
    )
)
"""What came of an attempt; the event itself is in a book of its own."""

REJECTION = Shape(
    Part(
        records.Rejection,
        "tenant source_topic source_partition source_offset source_timestamp_ms key value value_sha256 reason field "
        "message component",
    )
)
