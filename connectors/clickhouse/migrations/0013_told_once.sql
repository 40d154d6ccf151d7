-- The capture of what was authorised before is no news of the charge's success: that was told at its authorisation.

ALTER TABLE payment_events $on_cluster
    MODIFY COLUMN companion_type LowCardinality(String) MATERIALIZED multiIf(
        charge_id = '', '',
        type = 'payment_intent.succeeded' AND capture_method = 'manual', '',
        type IN ('payment_intent.succeeded', 'payment_intent.amount_capturable_updated'),
            if(from_status IN ('requires_capture', 'succeeded'), '', 'charge.succeeded'),
        type = 'payment_intent.payment_failed', 'charge.failed',
        type = 'refund.created', 'charge.refunded',
        '') COMMENT 'Type of the event about the charge that is told beside this one; empty: none is';
