-- What tenants write about charges, refunds and disputes: columns for what events tell of it since their fourth version.

ALTER TABLE payment_events $on_cluster
    ADD COLUMN IF NOT EXISTS charge_has_texts Bool COMMENT 'Charge: whether it has a description and metadata of its own; otherwise they are the payment''s',
    ADD COLUMN IF NOT EXISTS charge_description String COMMENT 'Charge: the tenant''s own text, where it has one',
    ADD COLUMN IF NOT EXISTS charge_metadata Map(String, String) COMMENT 'Charge: the tenant''s own keys and values, where it has any',
    ADD COLUMN IF NOT EXISTS refund_metadata Map(String, String) COMMENT 'Refund: the tenant''s own keys and values',
    ADD COLUMN IF NOT EXISTS dispute_metadata Map(String, String) COMMENT 'Dispute: the tenant''s own keys and values';
