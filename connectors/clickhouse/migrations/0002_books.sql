-- The books: every row is appended by the landing itself, never by a materialized view.
-- Money is Int64 minor units beside its ISO 4217 currency and that currency's exponent (decimals); never a float.

CREATE TABLE IF NOT EXISTS payment_events $on_cluster
(
    tenant            LowCardinality(String) COMMENT 'Tenant',
    payment_id        String                 COMMENT 'pi_...',
    sequence          Int64                  COMMENT 'Position among this payment''s events, from 1 without gap',
    event_id          String                 COMMENT 'evt_..., a hash of its cause',
    type              LowCardinality(String) COMMENT 'What happened, such as payment_intent.succeeded',
    previous_event_id String                 COMMENT 'The event before; empty for the first',
    occurred_ms       Int64                  COMMENT 'Time of the input that caused it, ms since the epoch, UTC',
    occurred_at       DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(occurred_ms, 'UTC'),
    from_status       LowCardinality(String) COMMENT 'Status before',
    to_status         LowCardinality(String) COMMENT 'Status after',
    currency          LowCardinality(String) COMMENT 'ISO 4217 code',
    exponent          UInt8                  COMMENT 'Decimals of the currency: one major unit is 10^exponent minor units',

    amount_minor            Int64                  COMMENT 'Payment after the event: amount asked',
    amount_capturable_minor Int64                  COMMENT 'Payment: authorised and not yet captured',
    amount_received_minor   Int64                  COMMENT 'Payment: captured',
    amount_refunded_minor   Int64                  COMMENT 'Payment: refunded or being refunded',
    capture_method          LowCardinality(String) COMMENT 'Payment: automatic or manual',
    payment_method          String                 COMMENT 'Payment: token of the payment method',
    customer                String                 COMMENT 'Payment: the tenant''s customer',
    description             String                 COMMENT 'Payment: the tenant''s own text',
    metadata                Map(String, String)    COMMENT 'Payment: the tenant''s own keys and values',
    latest_charge           String                 COMMENT 'Payment: ch_... of the newest attempt',
    provider                LowCardinality(String) COMMENT 'Payment: provider of the newest attempt',
    outcome_unknown         Bool                   COMMENT 'Payment: whether the newest attempt''s outcome is unknown',
    cancellation_reason     LowCardinality(String) COMMENT 'Payment: why it was canceled',
    last_error_code         LowCardinality(String) COMMENT 'Payment: code of the newest attempt''s failure',
    last_error_decline_code LowCardinality(String) COMMENT 'Payment: issuer''s decline code',
    last_error_message      String                 COMMENT 'Payment: the failure in words',
    created_ms              Int64                  COMMENT 'Payment: when it was created, ms since the epoch, UTC',

    charge_id                    String                 COMMENT 'Charge the event is about; empty when none',
    charge_attempt               Int32                  COMMENT 'Charge: number of the attempt, from 1',
    charge_provider              LowCardinality(String) COMMENT 'Charge: provider',
    charge_status                LowCardinality(String) COMMENT 'Charge: pending, succeeded or failed',
    charge_outcome               LowCardinality(String) COMMENT 'Charge: what the provider did',
    charge_amount_minor          Int64                  COMMENT 'Charge: amount asked',
    charge_amount_captured_minor Int64                  COMMENT 'Charge: captured',
    charge_amount_refunded_minor Int64                  COMMENT 'Charge: refunded',
    charge_provider_reference    String                 COMMENT 'Charge: the provider''s own id',
    charge_provider_fee_minor    Int64                  COMMENT 'Charge: the provider''s fee',
    charge_failure_code          LowCardinality(String) COMMENT 'Charge: why it failed',
    charge_failure_message       String                 COMMENT 'Charge: the failure in words',

    refund_id                 String                 COMMENT 'Refund the event is about; empty when none',
    refund_charge             String                 COMMENT 'Refund: the charge refunded',
    refund_amount_minor       Int64                  COMMENT 'Refund: amount',
    refund_status             LowCardinality(String) COMMENT 'Refund: pending, succeeded, failed, ...',
    refund_reason             LowCardinality(String) COMMENT 'Refund: reason',
    refund_provider           LowCardinality(String) COMMENT 'Refund: provider',
    refund_provider_reference String                 COMMENT 'Refund: the provider''s own id',
    refund_failure_reason     String                 COMMENT 'Refund: why it failed',

    decision_attempt        Int32                  COMMENT 'Routing decision: number of the attempt; 0 when none was made',
    decision_chosen         LowCardinality(String) COMMENT 'Routing decision: provider chosen',
    decision_candidates     Array(String)          COMMENT 'Routing decision: the policy''s providers, in order',
    decision_excluded       Array(String)          COMMENT 'Routing decision: providers passed over, each as provider: why',
    decision_policy_version Int64                  COMMENT 'Routing decision: policy version that decided',

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
    policy_version  Int64                  COMMENT 'Routing policy in force; 0 when none decided',

    _topic        LowCardinality(String) COMMENT 'Kafka topic',
    _partition    Int32                  COMMENT 'Kafka partition',
    _offset       Int64                  COMMENT 'Kafka offset',
    _timestamp_ms Int64                  COMMENT 'Record timestamp, ms since the epoch, UTC',
    _seq          UInt64                 COMMENT 'The batch that brought it: landing_claims.seq',

    INDEX by_seq _seq TYPE minmax GRANULARITY 1,
    INDEX by_charge charge_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_refund refund_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_request request_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = $engine
ORDER BY (tenant, payment_id, sequence)
SETTINGS $once
COMMENT 'Every event of every payment, once: topic payments.events';

CREATE TABLE IF NOT EXISTS ledger_entries $on_cluster
(
    tenant        LowCardinality(String) COMMENT 'Tenant',
    account       String                 COMMENT 'Account with its owner, kind:owner',
    account_kind  LowCardinality(String) ALIAS splitByChar(':', account, 2)[1],
    currency      LowCardinality(String) COMMENT 'ISO 4217 code',
    exponent      UInt8                  COMMENT 'Decimals of the currency',
    amount_minor  Int64                  COMMENT 'Signed, in minor units: positive debits, negative credits',
    event_id      String                 COMMENT 'The event it belongs to; its entries sum to zero per currency',
    event_type    LowCardinality(String) COMMENT 'That event''s type',
    payment_id    String                 COMMENT 'pi_...; empty when the entry is not about one payment',
    window_id     String                 COMMENT 'sw_...; empty when the entry is not about a settlement window',
    provider      LowCardinality(String) COMMENT 'Provider; empty when none',
    occurred_ms   Int64                  COMMENT 'Time of the event, ms since the epoch, UTC',
    occurred_at   DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(occurred_ms, 'UTC'),
    actor_kind    LowCardinality(String) COMMENT 'What kind of actor caused it',
    actor_id      String                 COMMENT 'The actor within its kind',
    request_id    String                 COMMENT 'The request that started it',

    _topic        LowCardinality(String) COMMENT 'Kafka topic of the event',
    _partition    Int32                  COMMENT 'Kafka partition of the event',
    _offset       Int64                  COMMENT 'Kafka offset of the event',
    _ordinal      Int32                  COMMENT 'Position among the event''s entries, from 0',
    _timestamp_ms Int64                  COMMENT 'Record timestamp, ms since the epoch, UTC',
    _seq          UInt64                 COMMENT 'The batch that brought it: landing_claims.seq',

    INDEX by_seq _seq TYPE minmax GRANULARITY 1,
    INDEX by_payment payment_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = $engine
ORDER BY (tenant, currency, account, occurred_ms, _topic, _partition, _offset, _ordinal)
SETTINGS $once
COMMENT 'The ledger: one row per posting of every payment and settlement event';

CREATE TABLE IF NOT EXISTS settlement_events $on_cluster
(
    tenant            LowCardinality(String) COMMENT 'Tenant',
    provider          LowCardinality(String) COMMENT 'Provider',
    currency          LowCardinality(String) COMMENT 'ISO 4217 code',
    exponent          UInt8                  COMMENT 'Decimals of the currency',
    window_id         String                 COMMENT 'sw_...',
    sequence          Int64                  COMMENT 'Position among the events of this tenant, provider and currency, from 1 without gap',
    event_id          String                 COMMENT 'evt_..., a hash of its cause',
    type              LowCardinality(String) COMMENT 'settlement_window.opened, .movement_added or .closed',
    previous_event_id String                 COMMENT 'The event before; empty for the first',
    occurred_ms       Int64                  COMMENT 'Time of the input that caused it, ms since the epoch, UTC',
    occurred_at       DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(occurred_ms, 'UTC'),
    opens_ms          Int64                  COMMENT 'First instant of the window',
    closes_ms         Int64                  COMMENT 'First instant after it: the cut-off',
    closed_ms         Int64                  COMMENT 'The tick that closed it; 0 while open',
    status            LowCardinality(String) COMMENT 'Status after: open or closed',

    movement_id           String                 COMMENT 'mv_... that was added; empty when none',
    movement_kind         LowCardinality(String) COMMENT 'capture, refund, refund_failure, fee, dispute, ...',
    movement_amount_minor Int64                  COMMENT 'Signed, as the tenant sees it: a capture is positive, a refund negative',
    movement_payment_id   String                 COMMENT 'pi_...',
    movement_object_id    String                 COMMENT 'ch_... or re_... that moved',
    movement_event_id     String                 COMMENT 'The payment event that caused it',
    movement_occurred_ms  Int64                  COMMENT 'Its event time: it decides the window',
    late                  Bool                   COMMENT 'Whether the movement missed its own window',
    missed_window_id      String                 COMMENT 'The window it missed; empty otherwise',

    totals_movements      Int64 COMMENT 'Window after the event: how many movements',
    totals_captured_minor Int64 COMMENT 'Window: sum of captures',
    totals_refunded_minor Int64 COMMENT 'Window: sum of refunds less failed ones, positive',
    totals_fees_minor     Int64 COMMENT 'Window: sum of fees, positive',
    totals_other_minor    Int64 COMMENT 'Window: sum of all other kinds, signed',
    totals_net_minor      Int64 COMMENT 'Window: captured - refunded - fees + other',

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
    INDEX by_payment movement_payment_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_window window_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = $engine
ORDER BY (tenant, provider, currency, sequence)
SETTINGS $once
COMMENT 'Every event of every settlement window, once: topic settlement.events';

CREATE TABLE IF NOT EXISTS payment_inputs $on_cluster
(
    tenant             LowCardinality(String) COMMENT 'Tenant; empty for what concerns every tenant',
    payment_id         String                 COMMENT 'pi_...; empty for configuration',
    record             LowCardinality(String) COMMENT 'PaymentCommand, ProviderResult, RoutingUpdate or Tenant',
    kind               LowCardinality(String) COMMENT 'What is asked (command), what was asked of the provider (result), or what changed',
    outcome            LowCardinality(String) COMMENT 'ProviderResult: what the provider did',
    amount_minor       Nullable(Int64)        COMMENT 'Amount asked or reported; null where none was named',
    currency           LowCardinality(String) COMMENT 'ISO 4217 code; empty where none was named',
    exponent           UInt8                  COMMENT 'Decimals of the currency; 0 where there is none',
    payment_method     String                 COMMENT 'PaymentCommand: token of the payment method',
    capture_method     LowCardinality(String) COMMENT 'PaymentCommand, create: automatic or manual',
    reason             String                 COMMENT 'PaymentCommand: reason of a cancel or refund',
    correlation_id     String                 COMMENT 'PaymentCommand: ties the reply to the request',
    provider           LowCardinality(String) COMMENT 'ProviderResult, RoutingUpdate: provider',
    object_id          String                 COMMENT 'ProviderResult: ch_... or re_... it is about',
    provider_request   String                 COMMENT 'ProviderResult: the provider request that is answered',
    provider_reference String                 COMMENT 'ProviderResult: the provider''s own id',
    provider_fee_minor Int64                  COMMENT 'ProviderResult: the provider''s fee',
    decline_code       LowCardinality(String) COMMENT 'ProviderResult: issuer''s or provider''s code',
    message            String                 COMMENT 'ProviderResult: the provider''s words',
    inquiries          Int32                  COMMENT 'ProviderResult: how many inquiries it took',
    observed_ms        Int64                  COMMENT 'ProviderResult: when the gateway learned it; 0 otherwise',
    policy_version     Int64                  COMMENT 'RoutingUpdate, Tenant: version',
    providers          Array(String)          COMMENT 'RoutingUpdate: providers in order of priority',
    actor_kind         LowCardinality(String) COMMENT 'What kind of actor asks',
    actor_id           String                 COMMENT 'The actor within its kind',
    on_behalf_of       String                 COMMENT 'Whom the actor acts for',
    actor_reason       String                 COMMENT 'Why, in the actor''s words',
    request_id         String                 COMMENT 'The request that started it',
    idempotency_key    String                 COMMENT 'The caller''s idempotency key',
    traceparent        String                 COMMENT 'W3C trace context',

    _topic        LowCardinality(String) COMMENT 'Kafka topic',
    _partition    Int32                  COMMENT 'Kafka partition',
    _offset       Int64                  COMMENT 'Kafka offset',
    _timestamp_ms Int64                  COMMENT 'Record timestamp: the time of the input, ms since the epoch, UTC',
    _seq          UInt64                 COMMENT 'The batch that brought it: landing_claims.seq',
    at            DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(_timestamp_ms, 'UTC'),

    INDEX by_seq _seq TYPE minmax GRANULARITY 1,
    INDEX by_request request_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = $engine
ORDER BY (tenant, payment_id, _partition, _offset)
SETTINGS $once
COMMENT 'Who asked what: every command, provider result and configuration change on payments.inputs; clock ticks are left out';

CREATE TABLE IF NOT EXISTS rejections $on_cluster
(
    tenant              LowCardinality(String) COMMENT 'Tenant, where it could be read',
    source_topic        LowCardinality(String) COMMENT 'Where the refused record came from',
    source_partition    Int32                  COMMENT 'Its partition',
    source_offset       Int64                  COMMENT 'Its offset',
    source_timestamp_ms Int64                  COMMENT 'Its timestamp, ms since the epoch, UTC',
    key                 Nullable(String)       COMMENT 'Its key, bytes as they came',
    value               Nullable(String)       COMMENT 'Its value, bytes as they came; null when it must not be kept',
    value_sha256        String                 COMMENT 'Digest of the value, hexadecimal',
    reason              LowCardinality(String) COMMENT 'Why',
    field               LowCardinality(String) COMMENT 'The field it is about; empty when none',
    message             String                 COMMENT 'What is wrong and what to do',
    component           LowCardinality(String) COMMENT 'Who refused it',

    _topic        LowCardinality(String) COMMENT 'Kafka topic',
    _partition    Int32                  COMMENT 'Kafka partition',
    _offset       Int64                  COMMENT 'Kafka offset',
    _timestamp_ms Int64                  COMMENT 'Record timestamp, ms since the epoch, UTC',
    _seq          UInt64                 COMMENT 'The batch that brought it: landing_claims.seq',
    at            DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(_timestamp_ms, 'UTC'),

    INDEX by_seq _seq TYPE minmax GRANULARITY 1
)
ENGINE = $engine
ORDER BY (tenant, source_topic, source_partition, source_offset, _partition, _offset)
SETTINGS $once
COMMENT 'Records that were refused, with their bytes and the reason: topic records.rejected';
