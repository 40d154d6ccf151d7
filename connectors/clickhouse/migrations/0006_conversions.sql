-- Conversions: columns for what events tell of them since their third version, and the proof of settlement with converted payments
-- counted in the currency that they settled in, as their windows and the ledger do.

ALTER TABLE payment_events $on_cluster
    ADD COLUMN IF NOT EXISTS fx_from_minor Int64 COMMENT 'Conversion: what was converted, in minor units; 0 when nothing was',
    ADD COLUMN IF NOT EXISTS fx_from_currency LowCardinality(String) COMMENT 'Conversion: the payment''s currency',
    ADD COLUMN IF NOT EXISTS fx_to_minor Int64 COMMENT 'Conversion: what it came to, in minor units',
    ADD COLUMN IF NOT EXISTS fx_to_currency LowCardinality(String) COMMENT 'Conversion: the currency that the provider settles in; empty when nothing was converted',
    ADD COLUMN IF NOT EXISTS fx_rate String COMMENT 'Conversion: units of fx_to_currency for one of fx_from_currency, as the provider stated it';

ALTER TABLE balance_transactions $on_cluster
    ADD COLUMN IF NOT EXISTS exchange_rate String COMMENT 'Rate of the conversion that it came through; empty when there was none';

-- Payments that settled in another currency than their own, with what their captures and refunds came to there.
CREATE OR REPLACE VIEW converted_payments $on_cluster AS
SELECT
    tenant, payment_id, provider, currency,
    any(moves.exponent) AS exponent,
    sumIf(toInt128(moves.gross_minor), type = 'charge') AS captured_minor,
    -sumIf(toInt128(moves.gross_minor), type IN ('refund', 'refund_failure')) AS refunded_minor
FROM balance_transactions AS moves
WHERE exchange_rate != ''
GROUP BY tenant, payment_id, provider, currency;

-- P6: what payments say was captured and refunded, what the ledger says tenants earned by them, and what the settlement windows
-- (open ones too) hold, per tenant, provider and currency. Between an event and its movement's landing they differ for a moment.
CREATE OR REPLACE VIEW proof_settled $on_cluster AS
SELECT
    tenant, provider, currency,
    sum(paid) AS payments_minor,
    sum(moved) AS windows_minor,
    sum(earned) AS ledger_net_minor,
    sum(settled) AS windows_net_minor,
    sum(disagreeing) AS disagreeing_windows,
    sum(movements) - sum(distinct_movements) AS doubled_movements,
    payments_minor = windows_minor AND ledger_net_minor = windows_net_minor AND disagreeing_windows = 0
        AND doubled_movements = 0 AS holds
FROM
(
    SELECT tenant, provider, currency,
        sum(toInt128(amount_received_minor) - toInt128(amount_refunded_minor)) AS paid, toInt128(0) AS moved,
        toInt128(0) AS earned, toInt128(0) AS settled, toInt64(0) AS disagreeing, toInt64(0) AS movements,
        toInt64(0) AS distinct_movements
    FROM payments
    WHERE (amount_received_minor != 0 OR amount_refunded_minor != 0)
        AND (tenant, payment_id) NOT IN (SELECT tenant, payment_id FROM payment_events WHERE fx_to_currency != '')
    GROUP BY tenant, provider, currency
    UNION ALL
    SELECT tenant, provider, currency, sum(captured_minor) - sum(refunded_minor), toInt128(0), toInt128(0), toInt128(0), toInt64(0),
        toInt64(0), toInt64(0)
    FROM converted_payments
    GROUP BY tenant, provider, currency
    UNION ALL
    SELECT tenant, provider, currency, toInt128(0), toInt128(0), -sum(toInt128(amount_minor)), toInt128(0), toInt64(0), toInt64(0),
        toInt64(0)
    FROM ledger_entries
    WHERE account_kind = 'tenant_payable' AND payment_id != '' AND window_id = ''
    GROUP BY tenant, provider, currency
    UNION ALL
    SELECT tenant, provider, currency, toInt128(0), sum(counted_captured_minor) - sum(counted_refunded_minor), toInt128(0),
        sum(counted_net_minor), toInt64(countIf(NOT agrees)), toInt64(0), toInt64(0)
    FROM settlement_windows
    GROUP BY tenant, provider, currency
    UNION ALL
    SELECT tenant, provider, currency, toInt128(0), toInt128(0), toInt128(0), toInt128(0), toInt64(0), toInt64(count()),
        toInt64(uniqExact(movement_id))
    FROM settlement_events
    WHERE movement_id != ''
    GROUP BY tenant, provider, currency
)
GROUP BY tenant, provider, currency;
