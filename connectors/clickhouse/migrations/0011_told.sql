-- What webhooks tell beside an event itself, under an id of its own: so that events can be listed and found by whatever id they were told under.

ALTER TABLE payment_events $on_cluster
    ADD COLUMN IF NOT EXISTS dispute_outcome_unknown Bool COMMENT 'Dispute: whether nobody can say what the provider did with what it was asked last',
    ADD COLUMN IF NOT EXISTS companion_type LowCardinality(String) MATERIALIZED multiIf(
        charge_id = '', '',
        type IN ('payment_intent.succeeded', 'payment_intent.amount_capturable_updated'),
            if(from_status IN ('requires_capture', 'succeeded'), '', 'charge.succeeded'),
        type = 'payment_intent.payment_failed', 'charge.failed',
        type = 'refund.created', 'charge.refunded',
        '') COMMENT 'Type of the event about the charge that is told beside this one; empty: none is',
    ADD COLUMN IF NOT EXISTS companion_id String MATERIALIZED if(
        companion_type = '', '', concat('evt_', substring(lower(hex(SHA256(concat(event_id, '/', companion_type)))), 1, 24)))
        COMMENT 'evt_... of that one; empty: none',
    ADD INDEX IF NOT EXISTS by_event event_id TYPE bloom_filter(0.01) GRANULARITY 4,
    ADD INDEX IF NOT EXISTS by_companion companion_id TYPE bloom_filter(0.01) GRANULARITY 4;

ALTER TABLE payout_events $on_cluster
    ADD INDEX IF NOT EXISTS by_event event_id TYPE bloom_filter(0.01) GRANULARITY 4;

ALTER TABLE customer_events $on_cluster
    ADD INDEX IF NOT EXISTS by_event event_id TYPE bloom_filter(0.01) GRANULARITY 4;
