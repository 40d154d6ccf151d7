-- What is not known of payouts, or contradicted, and what operators proposed about it. And a charge's success is told once: where its
-- authorisation is raised that is an update of the charge, and where it was authorised before, its capture is no news of it.

ALTER TABLE payout_events $on_cluster
    ADD COLUMN IF NOT EXISTS doubt LowCardinality(String) COMMENT 'What is not known: unknown, the outcome; held, what the provider says can''t be right; empty: nothing',
    ADD COLUMN IF NOT EXISTS conflict LowCardinality(String) COMMENT 'What the provider said last that contradicts the payout; empty: nothing, or it is resolved',
    ADD COLUMN IF NOT EXISTS proposal_id String COMMENT 'Operators'' proposal the event is about; empty when none',
    ADD COLUMN IF NOT EXISTS proposal_resolution LowCardinality(String) COMMENT 'Proposal: paid or failed',
    ADD COLUMN IF NOT EXISTS proposal_reference String COMMENT 'Proposal: the provider''s own id, where it was given',
    ADD COLUMN IF NOT EXISTS proposal_reason String COMMENT 'Proposal: why, in the operator''s words',
    ADD COLUMN IF NOT EXISTS proposed_by String COMMENT 'Proposal: operator who proposed',
    ADD COLUMN IF NOT EXISTS approved_by String COMMENT 'Proposal: operator who approved; empty before';

ALTER TABLE payment_events $on_cluster
    ADD COLUMN IF NOT EXISTS held_minor Int64 COMMENT 'What the event adds to the authorised amount; negative: what it takes off',
    MODIFY COLUMN companion_type LowCardinality(String) MATERIALIZED multiIf(
        charge_id = '', '',
        type = 'payment_intent.succeeded', if(held_minor < 0, '', 'charge.succeeded'),
        type = 'payment_intent.amount_capturable_updated',
            multiIf(held_minor <= 0, '', held_minor = amount_minor, 'charge.succeeded', 'charge.updated'),
        type = 'payment_intent.payment_failed', 'charge.failed',
        type = 'refund.created', 'charge.refunded',
        '') COMMENT 'Type of the event about the charge that is told beside this one; empty: none is';
