from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import uuid

import msgspec
import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from infra import topics
from infra.errors import KafkaUnreachable, TopicFault
from infra.topics import ensure, inspect
from schemas.catalogue import CATALOGUE, PAYMENTS_INPUTS, TENANTS
from tests.integration.topics._kafka import DEADLINE_S
from tests.integration.topics.conftest import PARTITIONS

pytestmark = pytest.mark.integration


@pytest.fixture
def catalogue():
    """The catalogue under names of this test's own."""
    suffix = uuid.uuid4().hex[:8]
    return tuple(msgspec.structs.replace(topic, name=f"{topic.name}.{suffix}") for topic in CATALOGUE)


def configs(bootstrap, topic):
    """A topic's settings, as the broker has them."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    resource = ConfigResource(ResourceType.TOPIC, topic)
    return {
        name: entry.value for name, entry in admin.describe_configs([resource])[resource].result(DEADLINE_S).items()
    }


def wait_until(condition) -> None:
    """Waits for a condition, generously."""
    deadline = threading.Event()
    for _ in range(DEADLINE_S * 10):
        if condition():
            return
        deadline.wait(0.1)
    raise TimeoutError


def alter(bootstrap, topic, setting, value) -> None:
    """Sets one setting of a topic, and waits until the broker has it."""
    entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.incremental_alter_configs([resource])[resource].result(DEADLINE_S)
    wait_until(lambda: configs(bootstrap, topic)[setting] == value)


def test_topics_are_made_as_the_catalogue_says(bootstrap, catalogue) -> None:
    """Missing topics get the catalogue's settings and partition counts; a second call finds them and alters nothing."""
    before = inspect(bootstrap, partitions=2, replication=1, topics=catalogue)
    assert {report.state for report in before} == {"missing"}
    first = ensure(bootstrap, partitions=2, replication=1, topics=catalogue)
    assert {report.state for report in first} == {"created"}
    for topic, report in zip(catalogue, first, strict=True):
        assert (report.name, report.partitions, report.replication) == (topic.name, topic.partitions or 2, 1)
        held = configs(bootstrap, topic.name)
        assert {name: held[name] for name in topic.config()} == topic.config()
    second = ensure(bootstrap, partitions=2, replication=1, topics=catalogue)
    assert [msgspec.structs.replace(report, state="present") for report in first] == second


def test_many_at_once_are_fine(bootstrap, catalogue) -> None:
    """Of several processes that make the same topics at once each succeeds, and each topic is created by one of them."""
    results = []
    threads = [
        threading.Thread(
            target=lambda: results.append(ensure(bootstrap, partitions=2, replication=1, topics=catalogue))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert len(results) == len(threads)
    for reports in zip(*results, strict=True):
        assert sorted(report.state for report in reports) == ["created", "present", "present", "present"]


@pytest.mark.parametrize(
    ("setting", "value"), [("cleanup.policy", "compact"), ("message.timestamp.type", "LogAppendTime")]
)
def test_a_setting_that_breaks_a_promise_is_refused(bootstrap, catalogue, setting, value) -> None:
    """A topic that is there with another clean-up or timestamp type is named with found, wanted and the way out."""
    topic = catalogue[CATALOGUE.index(PAYMENTS_INPUTS)]
    ensure(bootstrap, partitions=2, replication=1, topics=[topic])
    alter(bootstrap, topic.name, setting, value)
    with pytest.raises(TopicFault) as caught:
        ensure(bootstrap, partitions=2, replication=1, topics=catalogue)
    fault = caught.value
    assert (fault.topic, fault.setting, fault.found, fault.wanted) == (
        topic.name,
        setting,
        value,
        topic.config()[setting],
    )
    assert f"--entity-name {topic.name} --add-config {setting}={fault.wanted}" in fault.remedy
    others = inspect(bootstrap, partitions=2, replication=1, topics=[t for t in catalogue if t is not topic])
    assert {report.state for report in others} == {"missing"}, "nothing is created beside a faulty topic"


def test_a_partition_count_that_differs_is_refused(bootstrap, catalogue) -> None:
    """More partitions than configured, or a compacted configuration topic with several, are refused."""
    ensure(bootstrap, partitions=2, replication=1, topics=catalogue)
    inputs, tenants = (catalogue[CATALOGUE.index(topic)] for topic in (PAYMENTS_INPUTS, TENANTS))
    with pytest.raises(TopicFault, match=r"partitions is 2, wanted 5 \(and \d+ more: .* Set CLEARLINE_PARTITIONS=2"):
        ensure(bootstrap, partitions=5, replication=1, topics=catalogue)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for topic in (inputs, tenants):
        admin.create_partitions([NewPartitions(topic.name, 4)])[topic.name].result(DEADLINE_S)
    wait_until(
        lambda: all(
            report.partitions == 4
            for report in inspect(bootstrap, partitions=2, replication=1, topics=(inputs, tenants))
        )
    )
    reports = {report.name: report for report in inspect(bootstrap, partitions=2, replication=1, topics=catalogue)}
    assert [fault.wanted for fault in reports[inputs.name].faults] == ["2"]
    assert [fault.wanted for fault in reports[tenants.name].faults] == ["1"]
    assert sum(bool(report.faults) for report in reports.values()) == 2


def test_replication_that_cannot_be_is_refused(bootstrap, catalogue) -> None:
    """More replicas than brokers: refused with what to do, whether the topic is to be made or is there."""
    with pytest.raises(TopicFault, match=r"replication is not possible, wanted 3.*lower CLEARLINE_REPLICATION"):
        ensure(bootstrap, partitions=2, replication=3, topics=catalogue)
    ensure(bootstrap, partitions=2, replication=1, topics=catalogue)
    with pytest.raises(TopicFault, match=r"replication is 1, wanted at least 3"):
        ensure(bootstrap, partitions=2, replication=3, topics=catalogue)


def test_a_shorter_retention_is_told_but_allowed(bootstrap, catalogue) -> None:
    """A history that ends after a while is the operator's choice: a warning, not a fault."""
    topic = catalogue[CATALOGUE.index(PAYMENTS_INPUTS)]
    ensure(bootstrap, partitions=2, replication=1, topics=[msgspec.structs.replace(topic, retention_ms=86_400_000)])
    (report,) = ensure(bootstrap, partitions=2, replication=1, topics=[topic])
    assert report.warnings == ("keeps 1 days (retention.ms=86400000): older history can't be replayed or landed again",)


@pytest.mark.slow  # three brokers; the rule itself is in tests/unit/infra/test_topics.py
def test_three_replicas_keep_two_in_sync(kafka_cluster) -> None:
    """On three brokers topics are made with three replicas and two in sync; fewer in sync are refused."""
    chosen = (PAYMENTS_INPUTS, TENANTS)
    reports = ensure(kafka_cluster.bootstrap, partitions=2, replication=3, topics=chosen)
    assert [(report.replication, report.config["min.insync.replicas"]) for report in reports] == [(3, "2"), (3, "2")]
    alter(kafka_cluster.bootstrap, TENANTS.name, "min.insync.replicas", "1")
    with pytest.raises(TopicFault, match=r"tenants: min.insync.replicas is 1, wanted at least 2"):
        ensure(kafka_cluster.bootstrap, partitions=2, replication=3, topics=chosen)


def test_nobody_there(monkeypatch) -> None:
    """Where no broker listens, the error names the address and what to do."""
    monkeypatch.setattr(topics, "_REQUEST_TIMEOUT_S", 2.0)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unheard.getsockname()[1]}"
        with pytest.raises(KafkaUnreachable, match=f"Kafka at {address} does not answer"):
            inspect(address, partitions=1, replication=1)


def test_the_command_lists_and_creates(bootstrap, tmp_path) -> None:
    """`clearline topics` lists the catalogue, `--create` completes it; status 1 says that something is amiss."""
    environ = {**os.environ, "CLEARLINE_KAFKA": bootstrap, "CLEARLINE_DATA": str(tmp_path / "data")}

    def run(*arguments, partitions=PARTITIONS):
        command = [sys.executable, "-m", "infra.cli", "topics", *arguments]
        settings = {**environ, "CLEARLINE_PARTITIONS": str(partitions)}
        return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    created = run("--create", "--json")
    assert created.returncode == 0, created.stderr
    lines = [json.loads(line) for line in created.stdout.splitlines()]
    assert [line["name"] for line in lines] == [topic.name for topic in CATALOGUE]
    assert {line["state"] for line in lines} == {"present"}
    listed = run()
    assert listed.returncode == 0
    assert all(topic.name in listed.stdout for topic in CATALOGUE)
    wrong = run(partitions=7)
    assert wrong.returncode == 1
    assert f"Topic payments.inputs: partitions is {PARTITIONS}, wanted 7. Set CLEARLINE_PARTITIONS=3" in wrong.stdout
    refused = run("--create", partitions=7)
    assert refused.returncode == 1
    assert "what to do: Set CLEARLINE_PARTITIONS=3" in refused.stderr
