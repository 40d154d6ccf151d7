-- What finance, audit and the API ask. Views only read the books; none of them stores anything.
-- Amounts come twice: *_minor (exact whole numbers, for arithmetic) and, where people look, `amount` and its like as Decimal.

CREATE OR REPLACE VIEW payments $on_cluster AS
SELECT
    tenant, payment_id,
    newest.1 AS status,
    newest.2 AS currency,
    newest.3 AS exponent,
    newest.4 AS amount_minor,
    newest.5 AS amount_capturable_minor,
    newest.6 AS amount_received_minor,
    newest.7 AS amount_refunded_minor,
    toDecimal128(newest.4, 4) / toInt64(exp10(newest.3)) AS amount,
    toDecimal128(newest.6 - newest.7, 4) / toInt64(exp10(newest.3)) AS net_amount,
    newest.8 AS capture_method,
    newest.9 AS payment_method,
    newest.10 AS customer,
    newest.11 AS description,
    newest.12 AS metadata,
    newest.13 AS latest_charge,
    newest.14 AS provider,
    newest.15 AS outcome_unknown,
    newest.16 AS cancellation_reason,
    newest.17 AS last_error_code,
    newest.18 AS last_error_decline_code,
    newest.19 AS last_error_message,
    newest.20 AS created_ms,
    newest.21 AS updated_ms,
    fromUnixTimestamp64Milli(created_ms, 'UTC') AS created_at,
    fromUnixTimestamp64Milli(updated_ms, 'UTC') AS updated_at,
    sequence, attempts, event_id
FROM
(
    SELECT
        tenant, payment_id,
        argMax(
            (
                to_status, currency, exponent, amount_minor, amount_capturable_minor, amount_received_minor, amount_refunded_minor,
                capture_method, payment_method, customer, description, metadata, latest_charge, provider, outcome_unknown,
                cancellation_reason, last_error_code, last_error_decline_code, last_error_message, created_ms, occurred_ms
            ),
            events.sequence
        ) AS newest,
        max(events.sequence) AS sequence,
        max(charge_attempt) AS attempts,
        argMax(events.event_id, events.sequence) AS event_id
    FROM payment_events AS events
    GROUP BY tenant, payment_id
);

CREATE OR REPLACE VIEW charges $on_cluster AS
SELECT
    tenant, payment_id, charge_id,
    argMax(charge_attempt, sequence) AS attempt,
    argMax(charge_provider, sequence) AS provider,
    argMax(charge_status, sequence) AS status,
    argMax(charge_outcome, sequence) AS outcome,
    argMax(payment_events.currency, sequence) AS currency,
    argMax(charge_amount_minor, sequence) AS amount_minor,
    argMax(charge_amount_captured_minor, sequence) AS amount_captured_minor,
    argMax(charge_amount_refunded_minor, sequence) AS amount_refunded_minor,
    argMax(charge_provider_reference, sequence) AS provider_reference,
    argMax(charge_provider_fee_minor, sequence) AS provider_fee_minor,
    argMax(charge_failure_code, sequence) AS failure_code,
    min(occurred_ms) AS created_ms,
    max(occurred_ms) AS updated_ms
FROM payment_events
WHERE charge_id != ''
GROUP BY tenant, payment_id, charge_id;

CREATE OR REPLACE VIEW refunds $on_cluster AS
SELECT
    tenant, payment_id, refund_id,
    argMax(refund_charge, sequence) AS charge_id,
    argMax(refund_provider, sequence) AS provider,
    argMax(refund_status, sequence) AS status,
    argMax(payment_events.currency, sequence) AS currency,
    argMax(refund_amount_minor, sequence) AS amount_minor,
    argMax(refund_reason, sequence) AS reason,
    argMax(refund_provider_reference, sequence) AS provider_reference,
    argMax(refund_failure_reason, sequence) AS failure_reason,
    min(occurred_ms) AS created_ms,
    max(occurred_ms) AS updated_ms
FROM payment_events
WHERE refund_id != ''
GROUP BY tenant, payment_id, refund_id;

CREATE OR REPLACE VIEW ledger $on_cluster AS
SELECT
    tenant, occurred_at, account_kind, account, currency,
    greatest(amount_minor, 0) AS debit_minor,
    greatest(-amount_minor, 0) AS credit_minor,
    amount_minor, exponent,
    toDecimal128(amount_minor, 4) / toInt64(exp10(exponent)) AS amount,
    event_type, event_id, payment_id, window_id, provider, actor_kind, actor_id, request_id, occurred_ms,
    _topic, _partition, _offset, _ordinal
FROM ledger_entries;

CREATE OR REPLACE VIEW balances $on_cluster AS
SELECT
    tenant, account_kind, account, currency,
    any(entries.exponent) AS exponent,
    count() AS entries,
    sumIf(toInt128(amount_minor), amount_minor > 0) AS debits_minor,
    -sumIf(toInt128(amount_minor), amount_minor < 0) AS credits_minor,
    sum(toInt128(amount_minor)) AS balance_minor,
    toDecimal128(sum(toInt128(amount_minor)), 4) / toInt64(exp10(any(entries.exponent))) AS balance,
    max(occurred_ms) AS updated_ms
FROM ledger_entries AS entries
GROUP BY tenant, account_kind, account, currency;

-- A window as its newest event states it, beside the same totals counted anew from the movements that were added to it.
CREATE OR REPLACE VIEW settlement_windows $on_cluster AS
SELECT
    tenant, provider, currency, window_id,
    stated.1 AS status,
    stated.2 AS opens_ms,
    stated.3 AS closes_ms,
    stated.4 AS closed_ms,
    fromUnixTimestamp64Milli(opens_ms, 'UTC') AS opens_at,
    fromUnixTimestamp64Milli(closes_ms, 'UTC') AS closes_at,
    if(closed_ms = 0, NULL, fromUnixTimestamp64Milli(closed_ms, 'UTC')) AS closed_at,
    exponent,
    stated.5 AS movements,
    stated.6 AS captured_minor,
    stated.7 AS refunded_minor,
    stated.8 AS fees_minor,
    stated.9 AS other_minor,
    stated.10 AS net_minor,
    toDecimal128(net_minor, 4) / toInt64(exp10(exponent)) AS net,
    counted_movements, counted_captured_minor, counted_refunded_minor, counted_fees_minor, counted_other_minor, counted_net_minor,
    late_movements, after_close,
    movements = counted_movements AND captured_minor = counted_captured_minor AND refunded_minor = counted_refunded_minor
        AND fees_minor = counted_fees_minor AND other_minor = counted_other_minor AND net_minor = counted_net_minor
        AND counted_movements = distinct_movements AND after_close = 0 AS agrees
FROM
(
    SELECT
        tenant, provider, currency, window_id,
        any(events.exponent) AS exponent,
        argMax(
            (
                events.status, events.opens_ms, events.closes_ms, events.closed_ms, totals_movements, totals_captured_minor,
                totals_refunded_minor, totals_fees_minor, totals_other_minor, totals_net_minor
            ),
            sequence
        ) AS stated,
        countIf(movement_id != '') AS counted_movements,
        uniqExactIf(movement_id, movement_id != '') AS distinct_movements,
        sumIf(toInt128(movement_amount_minor), movement_kind = 'capture') AS counted_captured_minor,
        -sumIf(toInt128(movement_amount_minor), movement_kind IN ('refund', 'refund_failure')) AS counted_refunded_minor,
        -sumIf(toInt128(movement_amount_minor), movement_kind = 'fee') AS counted_fees_minor,
        sumIf(toInt128(movement_amount_minor), movement_kind NOT IN ('capture', 'refund', 'refund_failure', 'fee'))
            AS counted_other_minor,
        sum(toInt128(movement_amount_minor)) AS counted_net_minor,
        countIf(late) AS late_movements,
        countIf(sequence > closing) AS after_close
    FROM
    (
        SELECT *, minIf(sequence, status = 'closed') OVER (PARTITION BY tenant, provider, currency, window_id) AS first_closed,
            if(first_closed = 0, 9223372036854775807, first_closed) AS closing
        FROM settlement_events
    ) AS events
    GROUP BY tenant, provider, currency, window_id
);

-- Everything that happened to a payment and who caused it. Ask for one: WHERE tenant = '...' AND payment_id = 'pi_...'
CREATE OR REPLACE VIEW audit_trail $on_cluster AS
SELECT * FROM
(
    SELECT
        tenant, payment_id, _timestamp_ms AS at_ms, at, 'input' AS step, concat(record, ' ', kind) AS what, outcome AS status,
        amount_minor, currency, provider, object_id,
        multiIf(message != '', message, decline_code != '', decline_code, reason != '', reason, '') AS detail,
        actor_kind, actor_id, on_behalf_of, actor_reason, request_id, idempotency_key, traceparent, policy_version, '' AS event_id,
        '' AS cause_topic, toInt32(-1) AS cause_partition, toInt64(-1) AS cause_offset, toInt32(-1) AS ordinal,
        _topic, _partition, _offset, toUInt8(1) AS rank, _offset AS input_offset
    FROM payment_inputs
    UNION ALL
    SELECT
        tenant, payment_id, occurred_ms AS at_ms, occurred_at AS at, 'event' AS step, type AS what, to_status AS status,
        toNullable(multiIf(refund_id != '', refund_amount_minor, charge_id != '', charge_amount_minor, amount_minor)) AS amount_minor,
        currency, multiIf(refund_id != '', refund_provider, charge_id != '', charge_provider, provider) AS provider,
        multiIf(refund_id != '', refund_id, charge_id != '', charge_id, payment_id) AS object_id,
        multiIf(decision_chosen != '', concat('routed to ', decision_chosen, ' out of ', arrayStringConcat(decision_candidates, ', '),
                if(empty(decision_excluded), '', concat('; passed over ', arrayStringConcat(decision_excluded, ', ')))),
            refund_failure_reason != '', refund_failure_reason, charge_failure_message != '', charge_failure_message,
            charge_failure_code != '', charge_failure_code, '') AS detail,
        actor_kind, actor_id, on_behalf_of, actor_reason, request_id, idempotency_key, traceparent, policy_version, event_id,
        cause_topic, cause_partition, cause_offset, ordinal,
        _topic, _partition, _offset, toUInt8(1) AS rank, cause_offset AS input_offset
    FROM payment_events
    UNION ALL
    SELECT
        tenant, movement_payment_id AS payment_id, occurred_ms AS at_ms, occurred_at AS at, 'settlement' AS step,
        concat(type, ' ', movement_kind) AS what, status, toNullable(movement_amount_minor) AS amount_minor, currency, provider,
        movement_object_id AS object_id,
        concat('in window ', window_id, if(late, concat(', late for ', missed_window_id), '')) AS detail,
        actor_kind, actor_id, on_behalf_of, actor_reason, request_id, idempotency_key, traceparent, toInt64(0) AS policy_version, event_id,
        cause_topic, cause_partition, cause_offset, ordinal,
        _topic, _partition, _offset, toUInt8(2) AS rank, cause_offset AS input_offset
    FROM settlement_events
    WHERE movement_payment_id != ''
)
ORDER BY tenant, payment_id, at_ms, rank, input_offset, ordinal;
