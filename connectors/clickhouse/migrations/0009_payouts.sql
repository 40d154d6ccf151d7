-- Payouts: a book of their events, the payouts as they stand, what may be paid out, and the proof that payouts, ledger and balance
-- transactions say the same. As before, landing itself appends every row.

CREATE TABLE IF NOT EXISTS payout_events $on_cluster
(
    tenant            LowCardinality(String) COMMENT 'Tenant',
    payout_id         String                 COMMENT 'po_...',
    sequence          Int64                  COMMENT 'Position among the events of this payout, from 1 without gap',
    event_id          String                 COMMENT 'evt_..., a hash of its cause',
    type              LowCardinality(String) COMMENT 'payout.created, .updated, .paid, .failed, .canceled or .conflict',
    previous_event_id String                 COMMENT 'The event before; empty for the first',
    occurred_ms       Int64                  COMMENT 'Time of the input that caused it, ms since the epoch, UTC',
    occurred_at       DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(occurred_ms, 'UTC'),
    provider          LowCardinality(String) COMMENT 'Provider that pays it',
    currency          LowCardinality(String) COMMENT 'ISO 4217 code',
    exponent          UInt8                  COMMENT 'Decimals of the currency',
    from_status       LowCardinality(String) COMMENT 'Status before; unrecognized before it existed',
    to_status         LowCardinality(String) COMMENT 'Status after: pending, in_transit, paid, failed, canceled',
    amount_minor      Int64                  COMMENT 'Amount',
    destination       String                 COMMENT 'Token of the account that it goes to; empty: the one on file',
    description       String                 COMMENT 'The tenant''s own text',
    metadata          Map(String, String)    COMMENT 'The tenant''s own keys and values',
    automatic         Bool                   COMMENT 'Whether a window''s close made it',
    window_id         String                 COMMENT 'sw_... whose close made it; empty when nobody''s did',
    provider_reference String                COMMENT 'The provider''s own id; empty before it told one',
    failure_code      LowCardinality(String) COMMENT 'Why it failed; empty otherwise',
    failure_message   String                 COMMENT 'The provider''s words on it',
    outcome_unknown   Bool                   COMMENT 'Whether nobody can say yet what the provider did',
    created_ms        Int64                  COMMENT 'When it was made, ms since the epoch, UTC',
    due_ms            Int64                  COMMENT 'From when the provider is asked for it, ms since the epoch, UTC',
    paid_ms           Int64                  COMMENT 'When the provider said that it was paid; 0 before',
    transaction_id    String                 COMMENT 'txn_... of the change of the tenant''s balance; empty when none',
    transaction_minor Int64                  COMMENT 'That change, signed as the tenant sees it: a payout is negative',

    postings        UInt32                 COMMENT 'How many ledger entries the event has',
    actor_kind      LowCardinality(String) COMMENT 'What kind of actor caused it',
    actor_id        String                 COMMENT 'The actor within its kind',
    on_behalf_of    String                 COMMENT 'Whom the actor acted for',
    actor_reason    String                 COMMENT 'Why, in the actor''s words',
    request_id      String                 COMMENT 'The request that started it',
    idempotency_key String                 COMMENT 'The caller''s idempotency key',
    traceparent     String                 COMMENT 'W3C trace context',
    cause_topic     LowCardinality(String) COMMENT 'Topic of the input that caused it',
    cause_partition Int32                  COMMENT 'Partition of that input',
    cause_offset    Int64                  COMMENT 'Offset of that input',
    ordinal         Int32                  COMMENT 'Position among the events of that input, from 0',

    _topic        LowCardinality(String) COMMENT 'Kafka topic',
    _partition    Int32                  COMMENT 'Kafka partition',
    _offset       Int64                  COMMENT 'Kafka offset',
    _timestamp_ms Int64                  COMMENT 'Record timestamp, ms since the epoch, UTC',
    _seq          UInt64                 COMMENT 'The batch that brought it: landing_claims.seq',

    INDEX by_seq _seq TYPE minmax GRANULARITY 1,
    INDEX by_request request_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = $engine
ORDER BY (tenant, payout_id, sequence)
SETTINGS $once
COMMENT 'Every event of every payout, once: topic settlement.events';

CREATE OR REPLACE VIEW landed_records $on_cluster AS
SELECT _topic, _partition, _offset, toInt64(postings) AS postings FROM payment_events
UNION ALL
SELECT _topic, _partition, _offset, toInt64(postings) AS postings FROM settlement_events
UNION ALL
SELECT _topic, _partition, _offset, toInt64(postings) AS postings FROM payout_events
UNION ALL
SELECT _topic, _partition, _offset, toInt64(0) AS postings FROM payment_inputs
UNION ALL
SELECT _topic, _partition, _offset, toInt64(0) AS postings FROM rejections
UNION ALL
SELECT _topic, _partition, _offset, toInt64(0) AS postings FROM webhook_attempts
UNION ALL
SELECT _topic, _partition, _offset, toInt64(0) AS postings FROM landing_errors;

-- Each payout as its newest event states it.
CREATE OR REPLACE VIEW payouts $on_cluster AS
SELECT
    tenant, payout_id, provider, currency, exponent, to_status AS status, amount_minor,
    toDecimal128(amount_minor, 4) / toInt64(exp10(exponent)) AS amount,
    destination, description, metadata, automatic, window_id, provider_reference, failure_code, failure_message, outcome_unknown,
    created_ms, due_ms, paid_ms, occurred_ms AS updated_ms, sequence, event_id,
    fromUnixTimestamp64Milli(created_ms, 'UTC') AS created_at
FROM payout_events
ORDER BY sequence DESC
LIMIT 1 BY tenant, payout_id;

-- What each tenant earned by payments so far, and how much of it is available by now; what was paid out is not taken off.
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
WHERE NOT startsWith(type, 'payout')
GROUP BY tenant, currency;

-- What each tenant has here: earned and available by now, less payouts; and earned, and available later.
CREATE OR REPLACE VIEW tenant_balances $on_cluster AS
SELECT
    tenant, currency,
    any(moves.exponent) AS exponent,
    -sumIf(toInt128(moves.net_minor), startsWith(type, 'payout')) AS paid_out_minor,
    sumIf(toInt128(moves.net_minor), available_on_ms <= toUnixTimestamp64Milli(now64(3)) OR startsWith(type, 'payout')) AS available_minor,
    sumIf(toInt128(moves.net_minor), available_on_ms > toUnixTimestamp64Milli(now64(3)) AND NOT startsWith(type, 'payout')) AS pending_minor
FROM balance_transactions AS moves
GROUP BY tenant, currency;

-- What is settled at each provider and not paid out: the nets of closed windows less payouts. Where a tenant's money is available
-- later than it is earned (available_delay_ms), less of it may be paid out by now.
CREATE OR REPLACE VIEW payable_balances $on_cluster AS
SELECT
    tenant, provider, currency,
    any(both.exponent) AS exponent,
    sum(settled) AS settled_minor,
    -sum(moved) AS paid_out_minor,
    sum(settled) + sum(moved) AS payable_minor
FROM
(
    SELECT tenant, provider, currency, exponent, toInt128(totals_net_minor) AS settled, toInt128(0) AS moved
    FROM settlement_events
    WHERE type = 'settlement_window.closed'
    UNION ALL
    SELECT tenant, provider, currency, exponent, toInt128(0), toInt128(transaction_minor)
    FROM payout_events
    WHERE transaction_id != ''
) AS both
GROUP BY tenant, provider, currency;

-- Payouts: what stands (not failed or canceled) is what they took of the settled money by the ledger and by balance transactions; what is
-- paid is what left the provider's account; each payout's events are there once, without gap.
CREATE OR REPLACE VIEW proof_payouts $on_cluster AS
SELECT
    tenant, provider, currency,
    sum(standing) AS payouts_minor,
    sum(taken) AS ledger_minor,
    sum(told) AS transactions_minor,
    sum(paid) AS paid_minor,
    sum(left_provider) AS ledger_paid_minor,
    sum(faults) AS broken_sequences,
    payouts_minor = ledger_minor AND payouts_minor = transactions_minor AND paid_minor = ledger_paid_minor AND broken_sequences = 0 AS holds
FROM
(
    SELECT tenant, provider, currency,
        toInt128(if(newest.1 IN ('pending', 'in_transit', 'paid'), newest.2, 0)) AS standing, toInt128(0) AS taken, toInt128(0) AS told,
        toInt128(if(newest.1 = 'paid', newest.2, 0)) AS paid, toInt128(0) AS left_provider,
        toInt64(last != events OR last != distinct_events) AS faults
    FROM
    (
        SELECT tenant, provider, currency, payout_id, argMax((to_status, amount_minor), sequence) AS newest, max(sequence) AS last,
            count() AS events, uniqExact(sequence) AS distinct_events
        FROM payout_events
        GROUP BY tenant, provider, currency, payout_id
    )
    UNION ALL
    SELECT tenant, provider, currency, toInt128(0), sumIf(toInt128(amount_minor), account_kind = 'payout_in_transit'), toInt128(0),
        toInt128(0), -sumIf(toInt128(amount_minor), account_kind = 'provider_receivable'), toInt64(0)
    FROM ledger_entries
    WHERE startsWith(event_type, 'payout.')
    GROUP BY tenant, provider, currency
    UNION ALL
    SELECT tenant, provider, currency, toInt128(0), toInt128(0), -sum(toInt128(net_minor)), toInt128(0), toInt128(0), toInt64(0)
    FROM balance_transactions
    WHERE startsWith(type, 'payout')
    GROUP BY tenant, provider, currency
)
GROUP BY tenant, provider, currency;
