-- Who could do what, when, and by whose word: every change of tenants, policies, keys, people, sessions and approvals.

CREATE TABLE IF NOT EXISTS identity_events $on_cluster
(
    tenant          LowCardinality(String) COMMENT 'Tenant it is about; empty: an organisation or one of its people',
    organization    String                 COMMENT 'org_... it is about, where its record says so',
    object          LowCardinality(String) COMMENT 'api_key, approval, operator, operator_session, organization, routing_policy or tenant',
    object_id       String                 COMMENT 'Its id: key_..., apr_..., op_..., os_..., org_..., or the tenant''s',
    act             LowCardinality(String) COMMENT 'What became of it: api_key.created, approval.approved, operator.disabled, ...',
    version         Int64                  COMMENT 'Its version after that; 0: it counts none',
    after           String                 COMMENT 'It after that, as a JSON object; no secret, no digest, no personal data',
    occurred_ms     Int64 ALIAS _timestamp_ms,
    occurred_at     DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(_timestamp_ms, 'UTC'),

    actor_kind      LowCardinality(String) COMMENT 'Who caused it: api_key, operator, system, ...',
    actor_id        String                 COMMENT 'Which key, operator or component; of an approved act whoever asked, and the approval beside it says who agreed',
    on_behalf_of    String                 COMMENT 'Whom the actor acted for; empty when for itself',
    actor_reason    String                 COMMENT 'Why, in the actor''s words',
    request_id      String                 COMMENT 'The request that started it',
    idempotency_key String                 COMMENT 'The caller''s idempotency key',
    traceparent     String                 COMMENT 'W3C trace context',

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
COMMENT 'Every change of who may do what: identity.history, record by record';

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
SELECT _topic, _partition, _offset, toInt64(0) AS postings FROM customer_events
UNION ALL
SELECT _topic, _partition, _offset, toInt64(0) AS postings FROM identity_events
UNION ALL
SELECT _topic, _partition, _offset, toInt64(0) AS postings FROM landing_errors;
