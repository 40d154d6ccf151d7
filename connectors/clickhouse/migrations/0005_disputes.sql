-- Disputes, proposals and balance transactions: columns for what payment events tell of since their second version, a book for
-- balance transactions, and the views and the proof on top. As before, landing itself appends every row.

ALTER TABLE payment_events $on_cluster
    ADD COLUMN IF NOT EXISTS amount_disputed_minor Int64 COMMENT 'Payment: taken back for disputes and not given back',
    ADD COLUMN IF NOT EXISTS action_url String COMMENT 'Payment: where the customer completes a challenge; empty when none waits',
    ADD COLUMN IF NOT EXISTS due_ms Int64 COMMENT 'Payment: when its authorisation or challenge ends by itself, ms since the epoch, UTC; 0 when neither waits',
    ADD COLUMN IF NOT EXISTS charge_tenant_fee_minor Int64 COMMENT 'Charge: what it cost the tenant',
    ADD COLUMN IF NOT EXISTS dispute_id String COMMENT 'Dispute the event is about; empty when none',
    ADD COLUMN IF NOT EXISTS dispute_charge String COMMENT 'Dispute: the charge disputed',
    ADD COLUMN IF NOT EXISTS dispute_amount_minor Int64 COMMENT 'Dispute: amount',
    ADD COLUMN IF NOT EXISTS dispute_status LowCardinality(String) COMMENT 'Dispute: needs_response, under_review, won, lost, ...',
    ADD COLUMN IF NOT EXISTS dispute_reason LowCardinality(String) COMMENT 'Dispute: reason',
    ADD COLUMN IF NOT EXISTS dispute_provider LowCardinality(String) COMMENT 'Dispute: provider',
    ADD COLUMN IF NOT EXISTS dispute_provider_reference String COMMENT 'Dispute: the provider''s own id',
    ADD COLUMN IF NOT EXISTS dispute_withdrawn_minor Int64 COMMENT 'Dispute: taken back from the tenant and not given back',
    ADD COLUMN IF NOT EXISTS dispute_fee_minor Int64 COMMENT 'Dispute: what it costs the tenant',
    ADD COLUMN IF NOT EXISTS dispute_evidence_due_ms Int64 COMMENT 'Dispute: until when evidence is taken, ms since the epoch, UTC',
    ADD COLUMN IF NOT EXISTS dispute_evidence_submitted Bool COMMENT 'Dispute: whether the provider has taken evidence',
    ADD COLUMN IF NOT EXISTS proposal_id String COMMENT 'Operators'' proposal the event is about; empty when none',
    ADD COLUMN IF NOT EXISTS proposal_resolution LowCardinality(String) COMMENT 'Proposal: what it says is true, or how to adjust',
    ADD COLUMN IF NOT EXISTS proposal_object_id String COMMENT 'Proposal: what it is about',
    ADD COLUMN IF NOT EXISTS proposal_amount_minor Int64 COMMENT 'Proposal: amount; 0 when none',
    ADD COLUMN IF NOT EXISTS proposal_reason String COMMENT 'Proposal: why, in the operator''s words',
    ADD COLUMN IF NOT EXISTS proposed_by String COMMENT 'Proposal: the first operator',
    ADD COLUMN IF NOT EXISTS approved_by String COMMENT 'Proposal: the second operator; empty until then',
    ADD COLUMN IF NOT EXISTS transactions UInt32 COMMENT 'How many balance transactions the event has';

CREATE TABLE IF NOT EXISTS balance_transactions $on_cluster
(
    tenant          LowCardinality(String) COMMENT 'Tenant',
    transaction_id  String                 COMMENT 'txn_...',
    type            LowCardinality(String) COMMENT 'charge, refund, refund_failure, dispute, dispute_reversal, fee, adjustment, ...',
    currency        LowCardinality(String) COMMENT 'ISO 4217 code',
    exponent        UInt8                  COMMENT 'Decimals of the currency',
    gross_minor     Int64                  COMMENT 'Signed, in minor units, as the tenant sees it',
    fee_minor       Int64                  COMMENT 'Fees within it; negative when returned',
    net_minor       Int64                  COMMENT 'gross_minor less fee_minor',
    source          String                 COMMENT 'ch_..., re_..., dp_... or prop_... it is about',
    available_on_ms Int64                  COMMENT 'From when it may be paid out, ms since the epoch, UTC',
    available_on    DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(available_on_ms, 'UTC'),
    event_id        String                 COMMENT 'The event it belongs to',
    event_type      LowCardinality(String) COMMENT 'That event''s type',
    payment_id      String                 COMMENT 'pi_...',
    provider        LowCardinality(String) COMMENT 'Provider',
    occurred_ms     Int64                  COMMENT 'Time of the event, ms since the epoch, UTC',
    occurred_at     DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(occurred_ms, 'UTC'),

    _topic        LowCardinality(String) COMMENT 'Kafka topic of the event',
    _partition    Int32                  COMMENT 'Kafka partition of the event',
    _offset       Int64                  COMMENT 'Kafka offset of the event',
    _ordinal      Int32                  COMMENT 'Position among the event''s balance transactions, from 0',
    _timestamp_ms Int64                  COMMENT 'Record timestamp, ms since the epoch, UTC',
    _seq          UInt64                 COMMENT 'The batch that brought it: landing_claims.seq',

    INDEX by_seq _seq TYPE minmax GRANULARITY 1,
    INDEX by_payment payment_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = $engine
ORDER BY (tenant, currency, occurred_ms, _topic, _partition, _offset, _ordinal)
SETTINGS $once
COMMENT 'Every change of a tenant''s balance by a payment, once: gross, fee and net';

CREATE OR REPLACE VIEW disputes $on_cluster AS
SELECT
    tenant, payment_id, dispute_id,
    argMax(dispute_charge, sequence) AS charge_id,
    argMax(dispute_provider, sequence) AS provider,
    argMax(dispute_status, sequence) AS status,
    argMax(dispute_reason, sequence) AS reason,
    argMax(payment_events.currency, sequence) AS currency,
    argMax(dispute_amount_minor, sequence) AS amount_minor,
    argMax(dispute_withdrawn_minor, sequence) AS withdrawn_minor,
    argMax(dispute_fee_minor, sequence) AS fee_minor,
    argMax(dispute_evidence_due_ms, sequence) AS evidence_due_ms,
    argMax(dispute_evidence_submitted, sequence) AS evidence_submitted,
    argMax(dispute_provider_reference, sequence) AS provider_reference,
    min(occurred_ms) AS created_ms,
    max(occurred_ms) AS updated_ms
FROM payment_events
WHERE dispute_id != ''
GROUP BY tenant, payment_id, dispute_id;

-- What each tenant earned by payments so far, and how much of it may be paid out by now; what was settled already is not taken off.
CREATE OR REPLACE VIEW tenant_earnings $on_cluster AS
SELECT
    tenant, currency,
    any(moves.exponent) AS exponent,
    sum(toInt128(moves.gross_minor)) AS gross_minor,
    sum(toInt128(moves.fee_minor)) AS fee_minor,
    sum(toInt128(moves.net_minor)) AS net_minor,
    sumIf(toInt128(moves.net_minor), available_on_ms <= toUnixTimestamp64Milli(now64(3))) AS available_minor,
    sumIf(toInt128(moves.net_minor), available_on_ms > toUnixTimestamp64Milli(now64(3))) AS pending_minor
FROM balance_transactions AS moves
GROUP BY tenant, currency;

-- Balance transactions say of each event what its ledger entries say: the tenant's share, net of fees; and none is doubled or missing.
-- Events of before there were balance transactions have none and are not looked at. Lists what does not agree; empty when all does.
CREATE OR REPLACE VIEW proof_balances $on_cluster AS
SELECT events.event_id AS event_id, stated, found, found_places, net_minor, ledger_minor, false AS holds
FROM
(
    SELECT event_id, toInt64(any(transactions)) AS stated
    FROM payment_events
    INNER JOIN landed_positions USING (_topic, _partition)
    WHERE transactions > 0 AND _offset < next_offset
    GROUP BY event_id
) AS events
LEFT JOIN
(
    SELECT event_id, toInt64(count()) AS found, toInt64(uniqExact(_topic, _partition, _offset, _ordinal)) AS found_places,
        sum(toInt128(moves.net_minor)) AS net_minor
    FROM balance_transactions AS moves
    GROUP BY event_id
) AS told ON events.event_id = told.event_id
LEFT JOIN
(
    SELECT event_id, -sumIf(toInt128(amount_minor), account_kind = 'tenant_payable') AS ledger_minor
    FROM ledger_entries
    GROUP BY event_id
) AS legs ON events.event_id = legs.event_id
WHERE stated != found OR found != found_places OR net_minor != ledger_minor;
