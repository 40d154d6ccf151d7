"""The topic catalogue as data: what each topic carries, how it is keyed, kept and partitioned."""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas import records
from schemas.errors import WrongRecord
from schemas.records import Record

Cleanup = Literal["delete", "compact"]

KEPT_FOR_EVER_MS = -1
_DAY_MS = 86_400_000
REPLIES_KEPT_MS = _DAY_MS
INTENTS_KEPT_MS = 30 * _DAY_MS

ERASED_KEYS_LAG_MS = _DAY_MS // 2
"""Customers' keys: what was overwritten is compacted away so much later at most, once the segment it lies in is closed."""

ERASED_KEYS_SEGMENT_MS = _DAY_MS // 24
"""Customers' keys: a record that comes so long after a segment's first closes it, so that an old key is not kept in an open one."""

WAITING_SEGMENT_BYTES = 16 * 1024 * 1024
"""Deliveries that wait: what was done with is compacted away from closed segments only, and all that is left is read whenever a sender starts."""

WAITING_TOMBSTONES_KEPT_MS = 600_000
"""Ditto: how long it is kept that one is done with. Several times as long as a sender may take to read them all; each delivery leaves one."""
DELIVERIES_KEPT_MS = 7 * _DAY_MS
ATTEMPTS_KEPT_MS = 30 * _DAY_MS

SEGMENT_BYTES = 64 * 1024 * 1024
"""Of compacted topics: what is newer than the last closed segment is never compacted."""

RECORD_BYTES_MAX = 1_000_000
"""Largest value that any of ours may produce: below the broker's default of 1,048,588 with room for key and headers."""

BATCH_BYTES_MAX = 1_048_588
"""What a topic takes at once, Kafka's default: set on each, since a broker that takes more would let in what a rejection can't hold whole."""

REJECTION_BYTES_MAX = 2_200_000
"""A rejection holds the refused record whole, key and headers too, so its topic takes twice the broker's default."""

DELIVERY_BYTES_MAX = RECORD_BYTES_MAX + 16_000
"""A delivery holds its event whole, as that stands on its topic, beside some texts of its own."""

MIN_INSYNC = 2
"""With three replicas, acks=all must mean two disks: a write that one broker alone holds can be lost with it."""

MIN_INSYNC_FROM_REPLICATION = 3


def insync_min(replication: int) -> int:
    """The `min.insync.replicas` that topics with so many replicas need."""
    return MIN_INSYNC if replication >= MIN_INSYNC_FROM_REPLICATION else 1


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One topic. `records` empty: raw bytes (a changelog's state). `partitions` None: as configured, all alike."""

    name: str
    key: str
    records: tuple[type[Record], ...] = ()
    cleanup: Cleanup = "delete"
    retention_ms: int = KEPT_FOR_EVER_MS
    partitions: int | None = None
    record_bytes_max: int = RECORD_BYTES_MAX
    erases: bool = False
    """Whether what was overwritten must be gone within a day, not only superseded."""
    passing: bool = False
    """Whether nearly every key is deleted soon after it was written."""
    written_by: str
    read_by: str

    def config(self) -> dict[str, str]:
        """The broker's settings of this topic."""
        shared = {
            "cleanup.policy": self.cleanup,
            "message.timestamp.type": "CreateTime",
            "compression.type": "producer",
            "max.message.bytes": str(max(self.record_bytes_max, BATCH_BYTES_MAX)),
        }
        if self.cleanup == "compact":
            if self.erases:
                shared["max.compaction.lag.ms"] = str(ERASED_KEYS_LAG_MS)
                shared["segment.ms"] = str(ERASED_KEYS_SEGMENT_MS)
            if self.passing:
                shared["delete.retention.ms"] = str(WAITING_TOMBSTONES_KEPT_MS)
            segment = WAITING_SEGMENT_BYTES if self.passing else SEGMENT_BYTES
            return {**shared, "min.cleanable.dirty.ratio": "0.1", "segment.bytes": str(segment)}
        return {**shared, "retention.ms": str(self.retention_ms), "retention.bytes": "-1"}


PAYMENT_INTENTS = Topic(
    name="payment.intents",
    key="tenant/intent_key",
    records=(records.PaymentIntent,),
    retention_ms=INTENTS_KEPT_MS,
    written_by="upstream systems",
    read_by="intake",
)
PAYMENTS_INPUTS = Topic(
    name="payments.inputs",
    key="tenant/payment_id",
    records=(
        records.PaymentCommand,
        records.ProviderResult,
        records.ProviderNotice,
        records.ClockTick,
        records.RoutingUpdate,
        records.Tenant,
    ),
    written_by="intake, API, gateway, ticker, configuration",
    read_by="lifecycle",
)
PAYMENTS_EVENTS = Topic(
    name="payments.events",
    key="tenant/payment_id",
    records=(records.PaymentEvent,),
    written_by="lifecycle",
    read_by="landing, webhooks, routing health, everyone",
)
PROVIDER_REQUESTS = Topic(
    name="provider.requests",
    key="tenant/payment_id",
    records=(records.ProviderRequest, records.PayoutRequest),
    written_by="lifecycle, settlement",
    read_by="gateway",
)
GATEWAY_PENDING = Topic(
    name="gateway.pending",
    key="request_id",
    records=(records.ProviderRequest, records.PayoutRequest),
    cleanup="compact",
    written_by="gateway",
    read_by="gateway",
)
GATEWAY_CURSORS = Topic(
    name="gateway.cursors",
    key="provider",
    cleanup="compact",
    partitions=1,
    written_by="gateway",
    read_by="gateway",
)
PAYMENTS_REPLIES = Topic(
    name="payments.replies",
    key="correlation_id",
    records=(records.Reply, records.CustomerReply, records.PayoutReply),
    retention_ms=REPLIES_KEPT_MS,
    written_by="lifecycle, customers, settlement",
    read_by="API",
)
SETTLEMENT_INPUTS = Topic(
    name="settlement.inputs",
    key="tenant/provider/currency",
    records=(
        records.Movement,
        records.ReportLine,
        records.PayoutResult,
        records.PayoutCommand,
        records.ClockTick,
        records.Tenant,
    ),
    written_by="lifecycle, API, reports, gateway, ticker, configuration",
    read_by="settlement",
)
SETTLEMENT_EVENTS = Topic(
    name="settlement.events",
    key="tenant/provider/currency",
    records=(records.SettlementEvent, records.PayoutEvent),
    written_by="settlement",
    read_by="landing, webhooks",
)
RECORDS_REJECTED = Topic(
    name="records.rejected",
    key="as it came",
    records=(records.Rejection,),
    record_bytes_max=REJECTION_BYTES_MAX,
    written_by="every agent",
    read_by="landing, operators",
)
TENANTS = Topic(
    name="tenants",
    key="tenant",
    records=(records.Tenant,),
    cleanup="compact",
    partitions=1,
    written_by="configuration",
    read_by="intake, API",
)
ROUTING_POLICIES = Topic(
    name="routing.policies",
    key="tenant",
    records=(records.RoutingPolicy,),
    cleanup="compact",
    partitions=1,
    written_by="configuration",
    read_by="API",
)
AUDIT_DIGESTS = Topic(
    name="audit.digests",
    key="tenant/day",
    records=(records.AuditDigest,),
    partitions=1,
    written_by="replay",
    read_by="replay, auditors",
)
CUSTOMERS_INPUTS = Topic(
    name="customers.inputs",
    key="tenant",
    records=(records.CustomerCommand, records.ClockTick),
    written_by="API, lifecycle, ticker",
    read_by="customers",
)
CUSTOMERS_EVENTS = Topic(
    name="customers.events",
    key="tenant",
    records=(records.CustomerEvent,),
    written_by="customers",
    read_by="landing, everyone",
)
CUSTOMERS_KEYS = Topic(
    name="customers.keys",
    key="tenant/key_id",
    records=(records.CustomerKey,),
    cleanup="compact",
    partitions=1,
    erases=True,
    written_by="intake, API, customers, operators",
    read_by="intake, API, customers, operators",
)
API_KEYS = Topic(
    name="api.keys",
    key="key_id",
    records=(records.ApiKey,),
    cleanup="compact",
    partitions=1,
    written_by="API, operators",
    read_by="API",
)
API_KEYS_USES = Topic(
    name="api.keys.uses",
    key="key_id",
    records=(records.ApiKeyUse,),
    cleanup="compact",
    partitions=1,
    written_by="API",
    read_by="API",
)
ORGANIZATIONS = Topic(
    name="organizations",
    key="organization",
    records=(records.Organization,),
    cleanup="compact",
    partitions=1,
    written_by="API, operators",
    read_by="API",
)
OPERATORS = Topic(
    name="operators",
    key="operator_id",
    records=(records.Operator,),
    cleanup="compact",
    partitions=1,
    written_by="API, operators",
    read_by="API",
)
OPERATORS_SESSIONS = Topic(
    name="operators.sessions",
    key="session_id",
    records=(records.OperatorSession,),
    cleanup="compact",
    partitions=1,
    written_by="API",
    read_by="API",
)
APPROVALS = Topic(
    name="approvals",
    key="approval_id",
    records=(records.Approval,),
    cleanup="compact",
    partitions=1,
    written_by="API",
    read_by="API",
)
IDENTITY_HISTORY = Topic(
    name="identity.history",
    key="as on the compacted topic",
    records=(
        records.ApiKey,
        records.Approval,
        records.Operator,
        records.OperatorSession,
        records.Organization,
        records.RoutingPolicy,
        records.Tenant,
    ),
    partitions=1,
    written_by="API, operators, configuration",
    read_by="landing, auditors",
)
WEBHOOKS_ENDPOINTS = Topic(
    name="webhooks.endpoints",
    key="tenant/endpoint_id",
    records=(records.WebhookEndpoint,),
    cleanup="compact",
    partitions=1,
    written_by="API, webhooks",
    read_by="API, webhooks",
)
WEBHOOKS_DELIVERIES = Topic(
    name="webhooks.deliveries",
    key="tenant/payment_id",
    records=(records.WebhookDelivery,),
    retention_ms=DELIVERIES_KEPT_MS,
    record_bytes_max=DELIVERY_BYTES_MAX,
    written_by="webhooks, API (replays)",
    read_by="webhooks",
)
WEBHOOKS_PENDING = Topic(
    name="webhooks.pending",
    key="delivery_id",
    records=(records.WebhookDelivery,),
    cleanup="compact",
    record_bytes_max=DELIVERY_BYTES_MAX,
    passing=True,
    written_by="webhooks",
    read_by="webhooks",
)
WEBHOOKS_ATTEMPTS = Topic(
    name="webhooks.attempts",
    key="tenant/payment_id",
    records=(records.WebhookDelivery,),
    retention_ms=ATTEMPTS_KEPT_MS,
    written_by="webhooks",
    read_by="landing",
)
WEBHOOKS_HEALTH = Topic(
    name="webhooks.health",
    key="tenant/endpoint_id",
    cleanup="compact",
    partitions=1,
    written_by="webhooks",
    read_by="webhooks",
)
WORKERS = Topic(
    name="workers",
    key="worker",
    records=(records.WorkerAddress,),
    cleanup="compact",
    partitions=1,
    written_by="workers",
    read_by="API",
)
INTAKE_CHANGELOG = Topic(
    name="intake.changelog", key="state key", cleanup="compact", written_by="intake", read_by="intake"
)
LIFECYCLE_CHANGELOG = Topic(
    name="lifecycle.changelog", key="state key", cleanup="compact", written_by="lifecycle", read_by="lifecycle"
)
SETTLEMENT_CHANGELOG = Topic(
    name="settlement.changelog", key="state key", cleanup="compact", written_by="settlement", read_by="settlement"
)
CUSTOMERS_CHANGELOG = Topic(
    name="customers.changelog", key="state key", cleanup="compact", written_by="customers", read_by="customers"
)

CATALOGUE: tuple[Topic, ...] = (
    PAYMENT_INTENTS,
    PAYMENTS_INPUTS,
    PAYMENTS_EVENTS,
    PROVIDER_REQUESTS,
    GATEWAY_PENDING,
    GATEWAY_CURSORS,
    PAYMENTS_REPLIES,
    SETTLEMENT_INPUTS,
    SETTLEMENT_EVENTS,
    RECORDS_REJECTED,
    TENANTS,
    ROUTING_POLICIES,
    AUDIT_DIGESTS,
    CUSTOMERS_INPUTS,
    CUSTOMERS_EVENTS,
    CUSTOMERS_KEYS,
    API_KEYS,
    API_KEYS_USES,
    ORGANIZATIONS,
    OPERATORS,
    OPERATORS_SESSIONS,
    APPROVALS,
    IDENTITY_HISTORY,
    WEBHOOKS_ENDPOINTS,
    WEBHOOKS_DELIVERIES,
    WEBHOOKS_PENDING,
    WEBHOOKS_ATTEMPTS,
    WEBHOOKS_HEALTH,
    WORKERS,
    INTAKE_CHANGELOG,
    LIFECYCLE_CHANGELOG,
    SETTLEMENT_CHANGELOG,
    CUSTOMERS_CHANGELOG,
)

TENANT_BROADCAST = (PAYMENTS_INPUTS, SETTLEMENT_INPUTS)
"""A changed tenant goes to every partition of these, so that each fold learns it from its own log."""

POLICY_BROADCAST = (PAYMENTS_INPUTS,)
"""Ditto a changed routing policy, as a `RoutingUpdate`."""

CONFIGURATION_ID = "clearline.configuration"
"""The transactional id of all who change tenants, policies, keys, organisations and operators: a later writer fences an earlier one."""

_BY_NAME = {topic.name: topic for topic in CATALOGUE}


def topic(name: str) -> Topic:
    """The catalogue's topic of that name. Raises `KeyError` naming the known ones."""
    try:
        return _BY_NAME[name]
    except KeyError:
        message = f"no topic {name!r} in the catalogue; it has {', '.join(_BY_NAME)}"
        raise KeyError(message) from None


def check_belongs(topic: Topic, record: Record) -> None:
    """Raises `WrongRecord` when this topic does not carry such a record."""
    if type(record) not in topic.records:
        message = f"{type(record).__name__} does not belong on {topic.name}"
        raise WrongRecord(message)
