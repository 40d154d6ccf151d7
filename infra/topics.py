"""The catalogue's topics on a broker: made where they are missing, checked where they are there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported without saying so
    AdminClient,
    ClusterMetadata,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from infra.errors import KafkaRefused, KafkaUnreachable, TopicFault, TopicsNotReady
from schemas.catalogue import CATALOGUE, KEPT_FOR_EVER_MS, MIN_INSYNC, MIN_INSYNC_FROM_REPLICATION, Topic
from schemas.clients import CLIENT_TIMEOUT_MS, client_config

DEADLINE_S = 180.0
"""How long `ensure` waits in all; making 100 partitions takes a healthy broker a second or two, a busy one far longer."""

_REQUEST_TIMEOUT_S = CLIENT_TIMEOUT_MS / 1000
_POLL_S = 0.1
_CHECKED = ("cleanup.policy", "message.timestamp.type", "min.insync.replicas", "retention.ms")

# What goes wrong is raised; librdkafka's own words on standard error would only repeat it.
_QUIET = logging.getLogger("clearline.topics.librdkafka")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False

State = Literal["created", "present", "missing"]


class _Wanted(NamedTuple):
    topics: tuple[Topic, ...]
    partitions: int
    replication: int

    def partitions_of(self, topic: Topic) -> int:
        return topic.partitions or self.partitions


class TopicReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one topic of the catalogue stands. `partitions` and `replication` are as found (0: missing).

    `faults` break a promise and make `ensure` raise; `warnings` are choices an operator may make, in words.
    """

    name: str
    state: State
    partitions: int = 0
    replication: int = 0
    config: dict[str, str] = {}
    faults: tuple[TopicFault, ...] = ()
    warnings: tuple[str, ...] = ()


def ensure(
    bootstrap: str,
    *,
    partitions: int,
    replication: int,
    extra_config: dict[str, Any] | None = None,
    topics: Iterable[Topic] = CATALOGUE,
    deadline_s: float = DEADLINE_S,
) -> list[TopicReport]:
    """Creates the missing topics, waits until every one has leaders everywhere, and checks them all.

    Idempotent, and safe when two do it at once. `partitions` is the count of topics that name none of their own,
    `extra_config` goes to the client (TLS, SASL). Raises `KafkaUnreachable`, `KafkaRefused`, `TopicFault` (one that is
    there but differs; nothing is altered then) or `TopicsNotReady`.
    """
    wanted = _Wanted(tuple(topics), partitions, replication)
    admin = AdminClient(client_config(bootstrap, extra_config), logger=_QUIET)
    give_up = time.monotonic() + deadline_s
    created: set[str] = set()
    # 1. What is there must be right before anything is added to it.
    metadata = _metadata(admin, bootstrap)
    _raise_first(_reports(admin, metadata, wanted, created, give_up))
    # 2. Make what is missing; somebody else may be making it too.
    missing = [topic for topic in wanted.topics if topic.name not in metadata.topics]
    if missing:
        created = _create(admin, missing, wanted, give_up)
    # 3. Wait for leaders: a producer would otherwise meet topics that the broker does not know yet.
    metadata = _await_leaders(admin, bootstrap, wanted, give_up, deadline_s)
    # 4. Check again, for what another made in between.
    reports = _reports(admin, metadata, wanted, created, give_up)
    _raise_first(reports)
    return reports


def inspect(
    bootstrap: str,
    *,
    partitions: int,
    replication: int,
    extra_config: dict[str, Any] | None = None,
    topics: Iterable[Topic] = CATALOGUE,
) -> list[TopicReport]:
    """How the topics stand, altering nothing: faults and missing ones are in the reports.

    Raises `KafkaUnreachable` or `KafkaRefused`.
    """
    admin = AdminClient(client_config(bootstrap, extra_config), logger=_QUIET)
    give_up = time.monotonic() + _REQUEST_TIMEOUT_S
    return _reports(admin, _metadata(admin, bootstrap), _Wanted(tuple(topics), partitions, replication), set(), give_up)


def _metadata(admin: AdminClient, bootstrap: str) -> ClusterMetadata:
    try:
        return admin.list_topics(timeout=_REQUEST_TIMEOUT_S)
    except KafkaException as error:
        raise KafkaUnreachable(bootstrap, error.args[0].str()) from error


def _create(admin: AdminClient, missing: list[Topic], wanted: _Wanted, give_up: float) -> set[str]:
    """The names that this call created; those that another made meanwhile are left out."""
    created: set[str] = set()
    left = {topic.name: topic for topic in missing}
    while left:
        orders = [_order(topic, wanted) for topic in left.values()]
        futures = admin.create_topics(orders, request_timeout=_REQUEST_TIMEOUT_S)
        for name, future in futures.items():
            error = _error_of(future.result)
            if error is None:
                created.add(name)
            elif error.code() == KafkaError.INVALID_REPLICATION_FACTOR:
                raise _too_few_brokers(name, wanted.replication, error)
            elif error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                _retry_or_raise(error, f"create topic {name}", give_up)
                continue
            del left[name]
        if left:
            time.sleep(_POLL_S)
    return created


def _order(topic: Topic, wanted: _Wanted) -> NewTopic:
    config = topic.config()
    if wanted.replication >= MIN_INSYNC_FROM_REPLICATION:
        config["min.insync.replicas"] = str(MIN_INSYNC)
    return NewTopic(
        topic.name, num_partitions=wanted.partitions_of(topic), replication_factor=wanted.replication, config=config
    )


def _error_of(call: Callable[[], object]) -> KafkaError | None:
    try:
        call()
    except KafkaException as error:
        refusal: KafkaError = error.args[0]
        return refusal
    return None


def _retry_or_raise(error: KafkaError, request: str, give_up: float) -> None:
    transient = error.retriable() or error.code() in (KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT)
    if not transient or time.monotonic() > give_up:
        raise KafkaRefused(request, error.str())


def _too_few_brokers(name: str, replication: int, error: KafkaError) -> TopicFault:
    return TopicFault(
        name,
        "replication",
        found="not possible",
        wanted=str(replication),
        remedy=f"The cluster says: {error.str().rstrip('.')}. Add brokers, or lower CLEARLINE_REPLICATION",
    )


def _await_leaders(
    admin: AdminClient, bootstrap: str, wanted: _Wanted, give_up: float, deadline_s: float
) -> ClusterMetadata:
    while True:
        metadata = _metadata(admin, bootstrap)
        missing = [topic.name for topic in wanted.topics if not _led(metadata.topics.get(topic.name))]
        if not missing:
            return metadata
        if time.monotonic() > give_up:
            raise TopicsNotReady(missing, deadline_s=deadline_s)
        time.sleep(_POLL_S)


def _led(topic: TopicMetadata | None) -> bool:
    if topic is None or topic.error is not None or not topic.partitions:
        return False
    return all(partition.leader >= 0 and partition.error is None for partition in topic.partitions.values())


def _reports(
    admin: AdminClient, metadata: ClusterMetadata, wanted: _Wanted, created: set[str], give_up: float
) -> list[TopicReport]:
    there = [topic.name for topic in wanted.topics if topic.name in metadata.topics]
    configs = _configs(admin, there, give_up)
    return [
        _report(topic, metadata.topics.get(topic.name), configs.get(topic.name, {}), wanted, created)
        for topic in wanted.topics
    ]


def _configs(admin: AdminClient, names: list[str], give_up: float) -> dict[str, dict[str, str]]:
    """The checked settings of each topic, as the broker has them in force."""
    configs: dict[str, dict[str, str]] = {}
    while left := [name for name in names if name not in configs]:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in left]
        for resource, future in admin.describe_configs(resources, request_timeout=_REQUEST_TIMEOUT_S).items():
            error = _error_of(future.result)
            if error is None:
                entries = future.result()
                configs[resource.name] = {name: str(entries[name].value) for name in _CHECKED if name in entries}
            else:
                unknown = error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART  # another broker has not heard of it yet
                if not unknown or time.monotonic() > give_up:
                    _retry_or_raise(error, f"describe topic {resource.name}", give_up)
                time.sleep(_POLL_S)
    return configs


def _report(
    topic: Topic, metadata: TopicMetadata | None, config: dict[str, str], wanted: _Wanted, created: set[str]
) -> TopicReport:
    if metadata is None:
        return TopicReport(name=topic.name, state="missing")
    found = TopicReport(
        name=topic.name,
        state="created" if topic.name in created else "present",
        partitions=len(metadata.partitions),
        replication=min((len(partition.replicas) for partition in metadata.partitions.values()), default=0),
        config=config,
        warnings=tuple(_warnings(topic, config)),
    )
    return msgspec.structs.replace(found, faults=tuple(_faults(topic, found, wanted)))


def _faults(topic: Topic, found: TopicReport, wanted: _Wanted) -> Iterable[TopicFault]:
    partitions = wanted.partitions_of(topic)
    if found.partitions != partitions:
        remedy = (
            f"Set CLEARLINE_PARTITIONS={found.partitions} if all payment topics have as many; otherwise copy the topic "
            "into a new one: adding partitions would move keys away from their state"
        )
        if topic.partitions is not None:
            remedy = "Copy the topic into one with that many partitions: its readers expect it whole and in order"
        yield TopicFault(topic.name, "partitions", found=str(found.partitions), wanted=str(partitions), remedy=remedy)
    if found.replication < wanted.replication:
        yield TopicFault(
            topic.name,
            "replication",
            found=str(found.replication),
            wanted=f"at least {wanted.replication}",
            remedy="Raise it with kafka-reassign-partitions.sh, or lower CLEARLINE_REPLICATION",
        )
    for setting in ("cleanup.policy", "message.timestamp.type"):
        value = topic.config()[setting]
        if found.config[setting] != value:
            remedy = _alter(topic.name, setting, value)
            yield TopicFault(topic.name, setting, found=found.config[setting], wanted=value, remedy=remedy)
    insync = int(found.config["min.insync.replicas"])
    if found.replication >= MIN_INSYNC_FROM_REPLICATION and insync < MIN_INSYNC:
        yield TopicFault(
            topic.name,
            "min.insync.replicas",
            found=str(insync),
            wanted=f"at least {MIN_INSYNC}",
            remedy=_alter(topic.name, "min.insync.replicas", str(MIN_INSYNC)),
        )


def _alter(name: str, setting: str, value: str) -> str:
    return f"Set it with `kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config {setting}={value}`"


def _warnings(topic: Topic, config: dict[str, str]) -> Iterable[str]:
    retention = int(config.get("retention.ms", KEPT_FOR_EVER_MS))
    if topic.cleanup == "delete" and topic.retention_ms == KEPT_FOR_EVER_MS and retention != KEPT_FOR_EVER_MS:
        days = retention / 86_400_000
        yield f"keeps {days:g} days (retention.ms={retention}): older history can't be replayed or landed again"


def _raise_first(reports: list[TopicReport]) -> None:
    faults = [fault for report in reports for fault in report.faults]
    if faults:
        first = faults[0]
        raise TopicFault(
            first.topic,
            first.setting,
            found=first.found,
            wanted=first.wanted,
            remedy=first.remedy,
            others=len(faults) - 1,
        )
