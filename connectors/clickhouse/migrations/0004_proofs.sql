-- The proofs. Each has one row per thing checked and a column `holds`; anybody may run
--     SELECT * FROM proof_landed WHERE NOT holds
-- and must get no row. They read the books only, so that a row doubled or taken away by hand shows.

-- One row per record in any book that has a row for each record of its topic.
CREATE OR REPLACE VIEW landed_records $on_cluster AS
SELECT _topic, _partition, _offset, toInt64(postings) AS postings FROM payment_events
UNION ALL
SELECT _topic, _partition, _offset, toInt64(postings) AS postings FROM settlement_events
UNION ALL
SELECT _topic, _partition, _offset, toInt64(0) AS postings FROM payment_inputs
UNION ALL
SELECT _topic, _partition, _offset, toInt64(0) AS postings FROM rejections
UNION ALL
SELECT _topic, _partition, _offset, toInt64(0) AS postings FROM landing_errors;

-- Up to which offset each partition is landed. A consumer that wrote at offset n waits until next_offset > n.
CREATE OR REPLACE VIEW landed_positions $on_cluster AS
SELECT _topic, _partition, max(landed_ranges.next_offset) AS next_offset
FROM landed_ranges
GROUP BY _topic, _partition;

-- P5: per topic and partition, the ranges tile without gap or overlap, and the books hold one row for each record of them,
-- no more, no fewer, no offset twice. Rows beyond the last range are a batch that is being appended: they are not looked at.
CREATE OR REPLACE VIEW proof_landed $on_cluster AS
SELECT
    tiles._topic AS topic, tiles._partition AS partition, from_offset, next_offset, ranges, gaps, overlaps, unclaimed,
    records, found_records, found_records - found_offsets AS doubled_records,
    postings, found_postings, found_postings - found_places AS doubled_postings,
    gaps = 0 AND overlaps = 0 AND unclaimed = 0
        AND records = found_records AND found_records = found_offsets
        AND postings = stated_postings AND postings = found_postings AND found_postings = found_places AS holds
FROM
(
    SELECT
        _topic, _partition,
        min(starts) AS from_offset,
        max(ends) AS next_offset,
        toInt64(count()) AS ranges,
        toInt64(countIf(follows > ends)) AS gaps,
        toInt64(countIf(follows < ends)) AS overlaps,
        toInt64(countIf(NOT claimed)) AS unclaimed,
        sum(range_records) AS records,
        sum(range_postings) AS postings
    FROM
    (
        SELECT _topic, _partition, from_offset AS starts, next_offset AS ends, records AS range_records, postings AS range_postings,
            (seq, _topic, _partition, from_offset, next_offset)
                IN (SELECT seq, _topic, _partition, from_offset, next_offset FROM landing_claims) AS claimed,
            leadInFrame(from_offset, 1, next_offset) OVER (
                PARTITION BY _topic, _partition ORDER BY from_offset, next_offset
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
            ) AS follows
        FROM landed_ranges
    )
    GROUP BY _topic, _partition
) AS tiles
LEFT JOIN
(
    SELECT _topic, _partition, toInt64(count()) AS found_records, toInt64(uniqExact(_offset)) AS found_offsets,
        sum(landed_records.postings) AS stated_postings
    FROM landed_records
    INNER JOIN landed_positions USING (_topic, _partition)
    WHERE _offset < next_offset
    GROUP BY _topic, _partition
) AS found ON tiles._topic = found._topic AND tiles._partition = found._partition
LEFT JOIN
(
    SELECT _topic, _partition, toInt64(count()) AS found_postings, toInt64(uniqExact(_offset, _ordinal)) AS found_places
    FROM ledger_entries
    INNER JOIN landed_positions USING (_topic, _partition)
    WHERE _offset < next_offset
    GROUP BY _topic, _partition
) AS legs ON tiles._topic = legs._topic AND tiles._partition = legs._partition;

-- P2: the entries of every event sum to zero per currency. Lists what does not; the view is empty when the ledger balances.
CREATE OR REPLACE VIEW proof_balanced $on_cluster AS
SELECT event_id, _topic AS topic, _partition AS partition, _offset AS offset, currency, entries, sum_minor, false AS holds
FROM
(
    SELECT event_id, _topic, _partition, _offset, currency, count() AS entries, sum(toInt128(amount_minor)) AS sum_minor
    FROM ledger_entries
    GROUP BY event_id, _topic, _partition, _offset, currency
    HAVING sum_minor != 0
);

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
    WHERE amount_received_minor != 0 OR amount_refunded_minor != 0
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
