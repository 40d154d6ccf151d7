"""Tenants and routing policies: from a file to every partition that decides by them, in one transaction."""

from __future__ import annotations

import logging
import random
import time
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from infra._configuration_file import FILE_ACTOR, Configuration, read_file
from infra.errors import ConfigurationRaced, KafkaRefused, KafkaUnreachable, TopicMissing
from schemas import catalogue, codec, reading
from schemas.clients import CLIENT_TIMEOUT_MS, client_config, transactional_config
from schemas.errors import TopicUnread
from schemas.records import Record, RoutingPolicy, RoutingUpdate, Tenant

TRANSACTIONAL_ID = catalogue.CONFIGURATION_ID
"""One id for all who apply a configuration, the API too: a later one fences an earlier one, so two never interleave."""

DEFAULTS = Path(__file__).with_name("defaults.toml")
"""The configuration that the product ships, for demos and tests."""

_NOT_IN_FILES = ("api_version", "created_ms", "livemode", "organization")

ATTEMPTS_MAX = 8
_BACKOFF_S = 0.5
_TRANSACTION_TIMEOUT_MS = 60_000
_REQUEST_TIMEOUT_S = CLIENT_TIMEOUT_MS / 1000
_STALLED_S = 60.0

# Who holds a partition learns a tenant from its own log; what is broadcast goes to each partition by number.
_TENANT_TOPICS = (catalogue.TENANTS, catalogue.IDENTITY_HISTORY, *catalogue.TENANT_BROADCAST)
_POLICY_TOPICS = (catalogue.ROUTING_POLICIES, catalogue.IDENTITY_HISTORY)
_NEEDED = (*_TENANT_TOPICS, *_POLICY_TOPICS)

# Being fenced is part of how two who apply at once take turns; librdkafka's own words about it would only alarm.
_QUIET = logging.getLogger("clearline.configuration.librdkafka")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False

_Kept = TypeVar("_Kept", Tenant, RoutingPolicy)


class ConfigurationReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an `apply` did, by tenant id ('' is the default policy).

    `left_alone` are tenants that Kafka holds and the file does not name: they stay as they are, since removing one would
    orphan its payments. `records` counts what was appended, over all topics and partitions.
    """

    tenants_written: tuple[str, ...] = ()
    policies_written: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    left_alone: tuple[str, ...] = ()
    records: int = 0


class _Append(NamedTuple):
    topic: str
    partition: int
    key: bytes
    value: bytes


class _Change(NamedTuple):
    tenants: list[Tenant]
    policies: list[RoutingPolicy]
    report: ConfigurationReport


def apply(
    bootstrap: str,
    path: Path | str,
    *,
    settlement_interval_ms: int | None = None,
    settlement_grace_ms: int | None = None,
    keep_changed: bool = False,
    extra_config: dict[str, Any] | None = None,
) -> ConfigurationReport:
    """Brings Kafka to what the TOML or YAML file says, in one transaction; what is so already appends nothing.

    A changed tenant goes to `tenants` and to every partition of `payments.inputs` and `settlement.inputs`; a changed
    policy to `routing.policies` and, as a `RoutingUpdate`, to every partition of `payments.inputs`. The version of each
    rises by one when its content differs from what Kafka holds. `settlement_interval_ms` and `settlement_grace_ms`
    replace those of every tenant in the file. What the file can't say of a tenant (organisation, mode, API version) stays.
    `keep_changed` leaves tenants and policies alone that somebody changed elsewhere, by the API, since a file was applied. Raises `FileFault`, `KafkaUnreachable`, `KafkaRefused`, `TopicMissing` or
    `ConfigurationRaced`.
    """
    configuration = read_file(
        Path(path), settlement_interval_ms=settlement_interval_ms, settlement_grace_ms=settlement_grace_ms
    )
    for attempt in range(ATTEMPTS_MAX):
        try:
            return _apply_once(bootstrap, configuration, extra_config or {}, keep_changed=keep_changed)
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if not _may_pass(reason):
                raise KafkaRefused("write the configuration", reason.str()) from error
        time.sleep(_BACKOFF_S * (attempt + random.random()))  # noqa: S311  keeps two rivals from meeting again
    raise ConfigurationRaced(ATTEMPTS_MAX)


def _may_pass(reason: KafkaError) -> bool:
    """Whether a later attempt, which reads everything again, may succeed: fenced by a rival, or a broker's hiccup."""
    fenced = (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED)
    return reason.code() in fenced or reason.retriable() or reason.txn_requires_abort()


def _apply_once(
    bootstrap: str, configuration: Configuration, extra: dict[str, Any], *, keep_changed: bool
) -> ConfigurationReport:
    settings = transactional_config(bootstrap, TRANSACTIONAL_ID, timeout_ms=_TRANSACTION_TIMEOUT_MS, extra=extra)
    producer = Producer(settings, logger=_QUIET)
    partitions = _partitions(producer, bootstrap)
    # 1. Fence whoever else is applying, and end what it left open: from here on nobody else writes these topics.
    producer.init_transactions(_REQUEST_TIMEOUT_S)
    # 2. Compare with what is committed.
    tenants = _held(bootstrap, catalogue.TENANTS, partitions, Tenant, extra)
    policies = _held(bootstrap, catalogue.ROUTING_POLICIES, partitions, RoutingPolicy, extra)
    if keep_changed:
        configuration = _without_changed(configuration, tenants, policies)
    change = _difference(configuration, tenants, policies)
    appends = _appends(change, partitions)
    if not appends:
        return change.report
    # 3. Everything or nothing: no partition may decide by a policy of which another never hears.
    producer.begin_transaction()
    for append in appends:
        producer.produce(append.topic, append.value, append.key, append.partition)
    producer.commit_transaction(_REQUEST_TIMEOUT_S)
    return msgspec.structs.replace(change.report, records=len(appends))


def _partitions(producer: Producer, bootstrap: str) -> dict[str, int]:
    """Partition counts of the topics that are written."""
    try:
        metadata = producer.list_topics(timeout=_REQUEST_TIMEOUT_S)
    except KafkaException as error:
        raise KafkaUnreachable(bootstrap, error.args[0].str()) from error
    for topic in _NEEDED:
        if topic.name not in metadata.topics:
            raise TopicMissing(topic.name)
    return {topic.name: len(metadata.topics[topic.name].partitions) for topic in _NEEDED}


def _held(
    bootstrap: str,
    topic: catalogue.Topic,
    partitions: dict[str, int],
    kind: type[_Kept],
    extra: dict[str, Any],
) -> dict[str, _Kept]:
    """The newest committed record of each tenant on a compacted topic."""
    kafka = client_config(bootstrap, extra)
    held: dict[str, _Kept] = {}
    try:
        # With what is committed and whose marker is late: a transaction that was ended just before, by fencing it.
        ends = reading.ends(kafka, {(topic.name, number) for number in range(partitions[topic.name])})
        for _, _, message in reading.read(kafka, ends, group=f"{TRANSACTIONAL_ID}.reader", stalled_s=_STALLED_S):
            if (value := message.value()) is not None:
                record = codec.decode(value, expected=(kind,))
                assert isinstance(record, kind)
                held[record.tenant] = record
    except TopicUnread as error:
        raise KafkaUnreachable(bootstrap, str(error)) from error
    return held


def _without_changed(
    configuration: Configuration, tenants: dict[str, Tenant], policies: dict[str, RoutingPolicy]
) -> Configuration:
    """What of a file concerns nobody whom somebody changed by other ways than a file."""

    def by_file(held: Tenant | RoutingPolicy | None) -> bool:
        return held is None or held.attribution.actor_id == FILE_ACTOR

    return Configuration(
        tenants=tuple(one for one in configuration.tenants if by_file(tenants.get(one.tenant))),
        policies=tuple(one for one in configuration.policies if by_file(policies.get(one.tenant))),
    )


def _difference(
    configuration: Configuration, tenants: dict[str, Tenant], policies: dict[str, RoutingPolicy]
) -> _Change:
    changed_tenants: list[Tenant] = []
    changed_policies: list[RoutingPolicy] = []
    unchanged: list[str] = []
    for tenant in configuration.tenants:
        held = tenants.get(tenant.tenant, Tenant(created_ms=time.time_ns() // 1_000_000))
        kept = {name: getattr(held, name) for name in _NOT_IN_FILES}
        tenant = msgspec.structs.replace(tenant, **kept)  # noqa: PLW2901 - the same tenant, whole
        if tenant == msgspec.structs.replace(held, version=tenant.version, attribution=tenant.attribution):
            unchanged.append(tenant.tenant)
        else:
            changed_tenants.append(msgspec.structs.replace(tenant, version=held.version + 1))
    for policy in configuration.policies:
        known = policies.get(policy.tenant)
        version = known.policy_version if known else 0
        if known is None or known.providers != policy.providers:
            changed_policies.append(msgspec.structs.replace(policy, policy_version=version + 1))
    named = {tenant.tenant for tenant in configuration.tenants}
    report = ConfigurationReport(
        tenants_written=tuple(tenant.tenant for tenant in changed_tenants),
        policies_written=tuple(policy.tenant for policy in changed_policies),
        unchanged=tuple(unchanged),
        left_alone=tuple(sorted(set(tenants) - named)),
    )
    return _Change(changed_tenants, changed_policies, report)


def _appends(change: _Change, partitions: dict[str, int]) -> list[_Append]:
    appends: list[_Append] = []
    for tenant in change.tenants:
        appends += _everywhere(_TENANT_TOPICS, partitions, tenant.tenant, tenant)
    for policy in change.policies:
        update = RoutingUpdate(
            kind="policy",
            tenant=policy.tenant,
            policy_version=policy.policy_version,
            providers=policy.providers,
            attribution=policy.attribution,
        )
        appends += _everywhere(_POLICY_TOPICS, partitions, policy.tenant, policy)
        appends += _everywhere(catalogue.POLICY_BROADCAST, partitions, policy.tenant, update)
    return appends


def _everywhere(
    topics: tuple[catalogue.Topic, ...], partitions: dict[str, int], tenant: str, record: Record
) -> list[_Append]:
    value = codec.encode(record)
    for topic in topics:
        catalogue.check_belongs(topic, record)
    return [
        _Append(topic.name, number, tenant.encode(), value)
        for topic in topics
        for number in range(partitions[topic.name])
    ]
