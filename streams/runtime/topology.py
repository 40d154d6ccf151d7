"""Compares a task's topics with what it was promised, before it joins its group."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import ConfigResource, ResourceType  # type: ignore[attr-defined]

from streams.runtime.config import TaskConfig
from streams.runtime.errors import ConfigurationFault
from streams.runtime.kafka import KafkaClients, boundary

REQUEST_TIMEOUT_S = 20


def check_topology(clients: KafkaClients, config: TaskConfig, *, replication_min: int = 1, insync_min: int = 1) -> None:
    """
    Raise `ConfigurationFault` unless the topics are right.

    1. Sources, changelog and rejected topic exist. 2. Sources and changelog have the same number of partitions.
    3. The changelog is compacted and nothing else; a source is not, and its records keep their producers' times.
    4. Every one has the promised replicas and in-sync minimum.
    """
    names = [*config.sources, *filter(None, (config.changelog, config.rejected))]
    admin = clients.admin()
    described = _described(admin, names)
    counts = {name: len(described[name].partitions) for name in (*config.sources, *filter(None, (config.changelog,)))}
    if len(set(counts.values())) != 1:
        shown = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise ConfigurationFault(
            f"task {config.name}: sources and changelog need the same number of partitions, but {shown}; "
            "recreate the odd one (adding partitions would move keys)"
        )
    settings = _settings(admin, names)
    for name in names:
        replicas = min(len(part.replicas) for part in described[name].partitions)
        if replicas < replication_min:
            raise ConfigurationFault(
                f"topic {name} has {replicas} replicas, {replication_min} were promised; reassign its partitions"
            )
        insync = int(settings[name]["min.insync.replicas"])
        if insync < insync_min:
            raise ConfigurationFault(
                f"topic {name} accepts writes with {insync} in-sync replicas, {insync_min} were promised; "
                f"set min.insync.replicas={insync_min}"
            )
    for name in config.sources:
        _check_source(name, settings[name])
    if config.changelog is not None and (policy := settings[config.changelog]["cleanup.policy"]) != "compact":
        raise ConfigurationFault(
            f"changelog {config.changelog} has cleanup.policy={policy}, so state would be deleted or grow for ever; "
            "set cleanup.policy=compact"
        )


def _check_source(name: str, settings: dict[str, str]) -> None:
    if "compact" in (policy := settings["cleanup.policy"]):
        raise ConfigurationFault(
            f"source {name} has cleanup.policy={policy}, so earlier inputs of a key would be removed unread; "
            "set cleanup.policy=delete"
        )
    if (kind := settings["message.timestamp.type"]) != "CreateTime":
        raise ConfigurationFault(
            f"source {name} has message.timestamp.type={kind}, so a copy of it would replay at other times; "
            "set message.timestamp.type=CreateTime"
        )


def _described(admin: Any, names: list[str]) -> dict[str, Any]:
    futures = admin.describe_topics(TopicCollection(names), request_timeout=REQUEST_TIMEOUT_S)
    described = {}
    for name, future in futures.items():
        try:
            described[name] = _result(future, f"describing topic {name}")
        except ConfigurationFault:
            raise
        except Exception as error:
            raise ConfigurationFault(
                f"topic {name} can't be described: {error}; create the topics of the catalogue first"
            ) from error
    return described


def _settings(admin: Any, names: list[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    futures = admin.describe_configs(resources, request_timeout=REQUEST_TIMEOUT_S)
    return {
        resource.name: {key: entry.value for key, entry in _result(future, f"reading {resource.name}").items()}
        for resource, future in futures.items()
    }


def _result(future: Future[Any], doing: str) -> Any:
    with boundary(doing):
        try:
            return future.result(timeout=REQUEST_TIMEOUT_S + 5)
        except TimeoutError as error:
            raise KafkaException(f"no answer in {REQUEST_TIMEOUT_S} s") from error
