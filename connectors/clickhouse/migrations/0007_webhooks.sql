-- What came of every attempt to tell a tenant's endpoint of an event, and the deliveries as they stand after their newest attempts.

CREATE TABLE IF NOT EXISTS webhook_attempts $on_cluster
(
    tenant           LowCardinality(String) COMMENT 'Tenant',
    endpoint_id      LowCardinality(String) COMMENT 'we_...',
    delivery_id      String                 COMMENT 'wd_...: one event for one endpoint; a replay is a delivery of its own',
    event_id         String                 COMMENT 'evt_... as the endpoint hears of it',
    event_type       LowCardinality(String) COMMENT 'Type of the event as the endpoint hears of it',
    payment_id       String                 COMMENT 'pi_... it is about; empty when it is about none',
    sequence         Int64                  COMMENT 'Position of the event among the payment''s, from 1',
    api_version      LowCardinality(String) COMMENT 'The API version that it was written in',
    replay           String                 COMMENT 'wr_...: the replay that asked for it; empty for the event''s own delivery',
    state            LowCardinality(String) COMMENT 'accepted, retrying, abandoned, skipped or dropped',
    attempt          Int32                  COMMENT 'Attempts made so far',
    queued_ms        Int64                  COMMENT 'When the delivery was queued, ms since the epoch, UTC',
    queued_at        DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(queued_ms, 'UTC'),
    attempted_ms     Int64                  COMMENT 'When the attempt began, ms since the epoch, UTC; 0 when none was made',
    attempted_at     DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(attempted_ms, 'UTC'),
    next_attempt_ms  Int64                  COMMENT 'When the next one is due, ms since the epoch, UTC; 0 when none is',
    duration_ms      Int64                  COMMENT 'How long it took, in ms',
    status_code      Int32                  COMMENT 'HTTP status of the answer; 0 when there was none',
    failure          String                 COMMENT 'Why it was not accepted, in words of ours; empty otherwise',
    source_topic     LowCardinality(String) COMMENT 'Topic of the event',
    source_partition Int32                  COMMENT 'Partition of the event',
    source_offset    Int64                  COMMENT 'Offset of the event',

    _topic        LowCardinality(String) COMMENT 'Kafka topic',
    _partition    Int32                  COMMENT 'Kafka partition',
    _offset       Int64                  COMMENT 'Kafka offset',
    _timestamp_ms Int64                  COMMENT 'Record timestamp, ms since the epoch, UTC',
    _seq          UInt64                 COMMENT 'The batch that brought it: landing_claims.seq',

    INDEX by_seq _seq TYPE minmax GRANULARITY 1,
    INDEX by_event event_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_delivery delivery_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = $engine
ORDER BY (tenant, endpoint_id, queued_ms, _topic, _partition, _offset)
SETTINGS $once
COMMENT 'Every attempt to tell an endpoint of an event, once, and what came of it';

CREATE OR REPLACE VIEW webhook_deliveries $on_cluster AS
SELECT
    tenant, endpoint_id, delivery_id,
    any(one.event_id) AS event_id,
    any(one.event_type) AS event_type,
    any(one.payment_id) AS payment_id,
    any(one.replay) AS replay,
    argMax(one.state, (attempt, _offset)) AS state,
    max(one.attempt) AS attempts,
    argMax(one.status_code, (attempt, _offset)) AS status_code,
    argMax(one.failure, (attempt, _offset)) AS failure,
    argMax(one.next_attempt_ms, (attempt, _offset)) AS next_attempt_ms,
    max(one.attempted_ms) AS attempted_ms,
    min(one.queued_ms) AS queued_ms
FROM webhook_attempts AS one
GROUP BY tenant, endpoint_id, delivery_id;

CREATE OR REPLACE VIEW landed_records $on_cluster AS
SELECT _topic, _partition, _offset, toInt64(postings) AS postings FROM payment_events
UNION ALL
SELECT _topic, _partition, _offset, toInt64(postings) AS postings FROM settlement_events
UNION ALL
SELECT _topic, _partition, _offset, toInt64(0) AS postings FROM payment_inputs
UNION ALL
SELECT _topic, _partition, _offset, toInt64(0) AS postings FROM rejections
UNION ALL
SELECT _topic, _partition, _offset, toInt64(0) AS postings FROM webhook_attempts
UNION ALL
SELECT _topic, _partition, _offset, toInt64(0) AS postings FROM landing_errors;
