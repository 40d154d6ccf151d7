-- How landing knows what is landed: the claims it makes before it appends, the ranges it has appended, and what it could not read.
-- $engine, $once and $on_cluster are filled in by connectors/clickhouse/migrate.py.

CREATE TABLE IF NOT EXISTS landing_claims $on_cluster
(
    seq         UInt64                 COMMENT 'Number of the batch, from 1 without gap; exactly one insert can make it',
    writer      LowCardinality(String) COMMENT 'The landing process that claimed it',
    _topic      LowCardinality(String) COMMENT 'Kafka topic',
    _partition  Int32                  COMMENT 'Kafka partition',
    from_offset Int64                  COMMENT 'First offset of the batch in that partition',
    next_offset Int64                  COMMENT 'First offset after it',
    claimed_ms  Int64                  COMMENT 'When, ms since the epoch, UTC, by the writer''s clock'
)
ENGINE = $engine
ORDER BY (seq, _topic, _partition)
SETTINGS $once
COMMENT 'Batches as agreed before their rows are appended: whoever appends a batch appends the same rows';

CREATE TABLE IF NOT EXISTS landed_ranges $on_cluster
(
    seq         UInt64                 COMMENT 'The claim that is done',
    _topic      LowCardinality(String) COMMENT 'Kafka topic',
    _partition  Int32                  COMMENT 'Kafka partition',
    from_offset Int64                  COMMENT 'First offset of the range: the previous range''s next_offset',
    next_offset Int64                  COMMENT 'First offset after the range',
    records     Int64                  COMMENT 'Committed records in it that have a row of their own',
    skipped     Int64                  COMMENT 'Committed records in it that get no row: clock ticks',
    postings    Int64                  COMMENT 'Ledger rows of these records',
    first_timestamp_ms Int64           COMMENT 'Timestamp of the first record, ms since the epoch, UTC; 0 when there is none',
    last_timestamp_ms  Int64           COMMENT 'Timestamp of the last record, ms since the epoch, UTC; 0 when there is none',
    landed_ms   Int64                  COMMENT 'When it was landed, ms since the epoch, UTC, by the writer''s clock',
    INDEX by_seq seq TYPE minmax GRANULARITY 1,
    PROJECTION position (SELECT _topic, _partition, max(next_offset) GROUP BY _topic, _partition)
)
ENGINE = $engine
ORDER BY (_topic, _partition, from_offset)
SETTINGS $once
COMMENT 'What is landed: the ranges of a partition tile its offsets; appended last, after every row of the batch';

CREATE TABLE IF NOT EXISTS landing_errors $on_cluster
(
    reason        LowCardinality(String) COMMENT 'not_avro, unknown_schema, wrong_record, undecodable, unknown_currency, ...',
    message       String                 COMMENT 'What is wrong',
    key           String                 COMMENT 'The record''s key, bytes as they came',
    value         String                 COMMENT 'The record''s value, bytes as they came',
    value_is_null Bool                   COMMENT 'Whether there was no value at all',
    _topic        LowCardinality(String) COMMENT 'Kafka topic',
    _partition    Int32                  COMMENT 'Kafka partition',
    _offset       Int64                  COMMENT 'Kafka offset',
    _timestamp_ms Int64                  COMMENT 'Record timestamp, ms since the epoch, UTC',
    _seq          UInt64                 COMMENT 'The batch that brought it: landing_claims.seq',
    INDEX by_seq _seq TYPE minmax GRANULARITY 1
)
ENGINE = $engine
ORDER BY (_topic, _partition, _offset)
SETTINGS $once
COMMENT 'Records that a landed topic must not hold: kept byte for byte, counted by the proof, shown by health. Empty when all is well';
