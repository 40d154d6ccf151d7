"""A recorded changelog on a real broker, under today's worker."""

from __future__ import annotations

import time
from itertools import groupby

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from infra.topics import ensure
from schemas.catalogue import (
    LIFECYCLE_CHANGELOG,
    PAYMENTS_EVENTS,
    PAYMENTS_INPUTS,
    RECORDS_REJECTED,
    SETTLEMENT_CHANGELOG,
    SETTLEMENT_EVENTS,
    SETTLEMENT_INPUTS,
)
from schemas.clients import producer_config
from streams.agents import lifecycle, settlement
from streams.runtime import POSITIONS_KEY, KafkaClients, RocksStores, SystemClock, Task, TaskConfig
from tests.integration._runtime_kit import committed_records
from tests.upgrade import _recording
from tests.upgrade._fold import CHANGELOGS, PARTITIONS, Fold
from tests.upgrade._recording import Recording, recordings

pytestmark = pytest.mark.integration

DEADLINE_S = 150


@pytest.mark.parametrize("name", [path.name for path in recordings()])
def test_a_worker_restores_an_earlier_versions_changelog_and_goes_on(kafka_broker, tmp_path, name):
    """On an empty disk: what it writes from the group's committed offsets on is what the fold of the same records makes."""
    recording = Recording.load(_recording.RECORDED / name)
    bootstrap = kafka_broker.bootstrap
    ensure(bootstrap, partitions=PARTITIONS, replication=1)
    load(bootstrap, recording)
    # Settlement first: the lifecycle appends the movements once more behind those of the log.
    tasks = (
        (
            "settlement",
            SETTLEMENT_INPUTS,
            SETTLEMENT_CHANGELOG,
            SETTLEMENT_EVENTS,
            settlement.Settlement(partitions=PARTITIONS, reply_partitions=PARTITIONS),
            settlement.reject,
        ),
        (
            "lifecycle",
            PAYMENTS_INPUTS,
            LIFECYCLE_CHANGELOG,
            PAYMENTS_EVENTS,
            lifecycle.Lifecycle(partitions=PARTITIONS, reply_partitions=PARTITIONS),
            lifecycle.reject,
        ),
    )
    for task_name, inputs, changelog, events, handler, rejection in tasks:
        config = TaskConfig(
            name=task_name,
            application="clearline",
            instance="upgraded",
            sources=(inputs.name,),
            changelog=changelog.name,
            rejected=RECORDS_REJECTED.name,
            bootstrap=bootstrap,
            state_directory=tmp_path,
        )
        task = Task(
            config,
            lambda batch, handler=handler: batch.run(handler),
            clients=KafkaClients(config),
            stores=RocksStores(config.task_directory),
            clock=SystemClock(),
            rejection=rejection,
        )
        left = sum(
            record.topic == inputs.name and record.offset >= recording.cuts[place(record)] for record in recording.log
        )
        end = time.monotonic() + DEADLINE_S
        while task.counters.records < left:
            assert time.monotonic() < end, task.status()
            task.step()
        assert not task.counters.stops
        assert task.counters.restored_records == sum(
            len(changes) for (topic, _), changes in recording.changelogs.items() if topic == inputs.name
        )
        task.close()
        written = {
            number: [message.value() for message in messages]
            for number, messages in groupby(
                committed_records(bootstrap, events.name), lambda message: message.partition()
            )
        }
        state: dict[int, dict[bytes, bytes]] = {number: {} for number in range(PARTITIONS)}
        for message in committed_records(bootstrap, changelog.name):
            if message.key() == POSITIONS_KEY:
                continue
            state[message.partition()].pop(message.key(), None)
            if message.value() is not None:
                state[message.partition()][message.key()] = message.value()
        for number in range(PARTITIONS):
            fold = expected(recording, inputs.name, number)
            assert written.get(number, []) == [output.value for output in fold.outputs if output.topic == events.name]
            assert state[number] == fold.store.state


def place(record) -> tuple[str, int]:
    """Where a record of the log stands."""
    return record.topic, record.partition


def expected(recording: Recording, topic: str, number: int) -> Fold:
    """The fold of what follows the cut, on the recorded state."""
    fold = Fold(topic, number, state=recording.state((topic, number)))
    for record in recording.log:
        if place(record) == (topic, number) and record.offset >= recording.cuts[topic, number]:
            fold.take(record)
    return fold


def load(bootstrap: str, recording: Recording) -> None:
    """Logs, changelogs and the groups' offsets, as the earlier version left them."""
    producer = Producer(producer_config(bootstrap, {}))
    for record in recording.log:
        producer.produce(record.topic, record.value, record.key, record.partition, None, None, record.timestamp_ms)
    for (topic, number), changes in recording.changelogs.items():
        for key, value in changes:
            producer.produce(CHANGELOGS[topic], value, key, number)
    assert producer.flush(DEADLINE_S) == 0
    for group, topic in (
        ("clearline-lifecycle", PAYMENTS_INPUTS.name),
        ("clearline-settlement", SETTLEMENT_INPUTS.name),
    ):
        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False})
        cuts = [TopicPartition(topic, number, cut) for (name, number), cut in recording.cuts.items() if name == topic]
        consumer.commit(offsets=cuts, asynchronous=False)
        consumer.close()
