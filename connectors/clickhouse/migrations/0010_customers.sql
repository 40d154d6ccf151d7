-- Customers, saved payment methods and setup intents: every event of theirs, and each as it stands; and the saved methods of payments.

CREATE TABLE IF NOT EXISTS customer_events $on_cluster
(
    tenant              LowCardinality(String) COMMENT 'Tenant',
    object_id           String                 COMMENT 'cus_..., pm_... or seti_...',
    object              LowCardinality(String) COMMENT 'customer, payment_method or setup_intent',
    sequence            Int64                  COMMENT 'Position of the event among the object''s, from 1',
    event_id            String                 COMMENT 'evt_...',
    type                LowCardinality(String) COMMENT 'Type of the event: customer.created, payment_method.attached, ...',
    previous_event_id   String                 COMMENT 'The object''s event before; empty for its first',
    occurred_ms         Int64                  COMMENT 'When, ms since the epoch, UTC',
    occurred_at         DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(occurred_ms, 'UTC'),
    created_ms          Int64                  COMMENT 'When the object was made, ms since the epoch, UTC',
    customer            String                 COMMENT 'cus_... it is, or belongs to; empty: nobody''s',
    deleted             Bool                   COMMENT 'Customer: whether it was deleted',
    personal            Map(String, String)    COMMENT 'Customer: its personal fields, each as the id of a key and the sealed bytes in base64',
    metadata            Map(String, String)    COMMENT 'The tenant''s own keys and values',
    payment_method      String                 COMMENT 'pm_... it is about, or by default is charged; empty: none',
    card_brand          LowCardinality(String) COMMENT 'Payment method: visa, mastercard, ...',
    card_last4          String                 COMMENT 'Payment method: the last four digits; empty: not known',
    card_exp_month      Int32                  COMMENT 'Payment method: month in which it expires; 0: not known',
    card_exp_year       Int32                  COMMENT 'Payment method: year in which it expires; 0: not known',
    card_fingerprint    String                 COMMENT 'Payment method: the same for the same card',
    card_funding        LowCardinality(String) COMMENT 'Payment method: credit, debit, prepaid or unknown',
    card_country        LowCardinality(String) COMMENT 'Payment method: ISO 3166 code of the issuer''s country',
    status              LowCardinality(String) COMMENT 'Setup intent: where it stands',
    usage               LowCardinality(String) COMMENT 'Setup intent: off_session or on_session',
    cancellation_reason LowCardinality(String) COMMENT 'Setup intent: why it was canceled; empty when no reason was given',
    error_code          LowCardinality(String) COMMENT 'Setup intent: why its last confirmation failed; empty: it didn''t',
    error_decline_code  LowCardinality(String) COMMENT 'Setup intent: the issuer''s reason',
    error_message       String                 COMMENT 'Setup intent: the same in words',

    actor_kind      LowCardinality(String) COMMENT 'Who caused it: api_key, operator, system, ...',
    actor_id        String                 COMMENT 'Which key, operator or component',
    on_behalf_of    String                 COMMENT 'Whom the actor acted for; empty when for itself',
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

    INDEX by_seq _seq TYPE minmax GRANULARITY 1
)
ENGINE = $engine
ORDER BY (tenant, object, object_id, sequence, _topic, _partition, _offset)
SETTINGS $once
COMMENT 'Every event of a customer, a saved payment method or a setup intent, with the object after it';

CREATE OR REPLACE VIEW customer_objects $on_cluster AS
SELECT * FROM customer_events ORDER BY sequence DESC LIMIT 1 BY tenant, object_id;

ALTER TABLE payment_events $on_cluster
    ADD COLUMN IF NOT EXISTS saved_method String COMMENT 'pm_... that is charged, or was saved of the payment; empty: none',
    ADD COLUMN IF NOT EXISTS setup_future_usage LowCardinality(String) COMMENT 'off_session or on_session: the method is saved once the payment succeeds';

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
SELECT _topic, _partition, _offset, toInt64(0) AS postings FROM landing_errors;
