"""Topics that are not as promised, and every process that refuses to start on them, started for real."""

from __future__ import annotations

import shutil

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from infra.kafka import Broker, prepare_quick_starts
from schemas import codec
from schemas.catalogue import (
    GATEWAY_PENDING,
    LIFECYCLE_CHANGELOG,
    PAYMENT_INTENTS,
    PAYMENTS_EVENTS,
    PAYMENTS_INPUTS,
    RECORDS_REJECTED,
    SETTLEMENT_CHANGELOG,
)
from schemas.partitioner import partition_of
from schemas.records import Attribution, PaymentCommand, PaymentEvent, PaymentIntent, Rejection
from streams.core import payment_id
from tests.integration._house import DEADLINE_S, House, wait_until
from tests.integration._runtime_kit import committed_records

pytestmark = pytest.mark.integration

PARTITIONS = 2
FAILED = 70
REFUSED_BY_GATEWAY = 1


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A broker of this module's own: its topics have the catalogue's names."""
    prepare_quick_starts()
    directory = tmp_path_factory.mktemp("kafka")
    broker = Broker(directory, quick=True)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def house(broker, tmp_path_factory):
    """The stack's processes on it, its topics made and configured as they should be."""
    house = House(broker.bootstrap, tmp_path_factory.mktemp("house"), CLEARLINE_PARTITIONS=str(PARTITIONS))
    try:
        yield house.configure()
    finally:
        house.close()


def refused(house: House, name: str, *, topic: str, remedy: str) -> None:
    """`clearline topics`, the stack's configuration step and the process end, name the topic and say what to do."""
    running, step = house.start(name), house.start("configuration")
    told = house.clearline("topics")
    assert told.returncode == 1, told.stdout + told.stderr
    assert f"wrong: Topic {topic}" in told.stdout
    assert step.wait() == 1, step.text()
    assert "what to do:" in step.last_line()
    assert running.wait() == (REFUSED_BY_GATEWAY if name == "gateway" else FAILED), running.text()
    assert topic in running.last_line(), running.text()
    assert remedy in running.last_line()


@pytest.mark.parametrize(
    ("topic", "change", "name", "remedy"),
    [
        (LIFECYCLE_CHANGELOG.name, "cleanup.policy=delete", "worker-0", "set cleanup.policy=compact"),
        (PAYMENTS_INPUTS.name, "cleanup.policy=compact", "worker-0", "set cleanup.policy=delete"),
        pytest.param(
            PAYMENTS_INPUTS.name,
            "message.timestamp.type=LogAppendTime",
            "worker-0",
            "set message.timestamp.type=CreateTime",
            marks=pytest.mark.slow,
        ),
        (GATEWAY_PENDING.name, "cleanup.policy=delete", "gateway", "set cleanup.policy=compact"),
    ],
)
def test_a_topic_kept_otherwise_is_refused(house, topic, change, name, remedy):
    """State that would be deleted, inputs that would be compacted or lose their times, requests that would be forgotten."""
    with house.altered(topic, *change.split("=")):
        refused(house, name, topic=topic, remedy=remedy)


@pytest.mark.parametrize(
    ("topic", "name", "remedy"),
    [
        (SETTLEMENT_CHANGELOG, "worker-0", "recreate the odd one"),
        (GATEWAY_PENDING, "gateway", "make the smaller one anew"),
    ],
)
def test_another_partition_count_is_refused(house, topic, name, remedy):
    """What is co-partitioned must have equally many partitions: a changelog beside its source, parked requests beside requests."""
    house.remake(topic.name, partitions=PARTITIONS - 1, config=topic.config())
    try:
        refused(house, name, topic=topic.name, remedy=remedy)
    finally:
        house.remake(topic.name, partitions=PARTITIONS, config=topic.config())


def test_fewer_replicas_than_promised_are_refused(house):
    """CLEARLINE_REPLICATION is a promise to whoever produces: with fewer copies than that nobody starts."""
    running = [house.start(name, CLEARLINE_REPLICATION="2") for name in ("worker-0", "gateway")]
    told = house.clearline("topics", CLEARLINE_REPLICATION="2")
    assert told.returncode == 1
    assert "replication is 1, wanted at least 2" in told.stdout
    worker, gateway = running
    assert worker.wait() == FAILED
    assert "has 1 replicas, 2 were promised; reassign its partitions" in worker.last_line()
    assert gateway.wait() == REFUSED_BY_GATEWAY
    assert "reassign its partitions, or lower CLEARLINE_REPLICATION" in gateway.last_line()


@pytest.mark.slow
def test_fewer_in_sync_replicas_than_promised_are_refused(kafka_cluster, tmp_path):
    """Three replicas of which one may hold a write alone: a lost disk would lose acknowledged money."""
    house = House(kafka_cluster.bootstrap, tmp_path, CLEARLINE_PARTITIONS="2", CLEARLINE_REPLICATION="3")
    try:
        house.configure()
        for topic, name in ((PAYMENTS_INPUTS.name, "worker-0"), (GATEWAY_PENDING.name, "gateway")):
            with house.altered(topic, "min.insync.replicas", "1"):
                refused(house, name, topic=topic, remedy="set min.insync.replicas=2")
    finally:
        house.close()


def test_inputs_that_are_not_kept_for_ever_are_pointed_out(house):
    """Retention on inputs is an operator's choice, so it is allowed; that replay ends there is said."""
    with house.altered(PAYMENTS_INPUTS.name, "retention.ms", "604800000"):
        told = house.clearline("topics")
        assert told.returncode == 0
        assert "payments.inputs keeps 7 days" in told.stdout
        step = house.start("configuration")
        assert step.wait() == 0
        assert "note: payments.inputs keeps 7 days" in step.text()


@pytest.mark.slow
def test_missing_topics_are_named(broker, house):
    """Worker and gateway refuse, and say which topics to make; landing waits for them, and says so."""
    topic = PAYMENTS_EVENTS.name
    warehouse, landing = house.start("warehouse"), house.start("landing")
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    landing.ready()
    landing.kill()
    admin.delete_topics([topic, RECORDS_REJECTED.name], operation_timeout=60)[topic].result(DEADLINE_S)
    running = [house.start(name) for name in ("worker-0", "gateway", "landing")]
    worker, gateway, landing = running
    assert worker.wait() == FAILED
    assert "create the topics of the catalogue first" in worker.last_line()
    assert gateway.wait() == REFUSED_BY_GATEWAY
    assert f"topics are missing: {RECORDS_REJECTED.name}" in gateway.last_line()
    landing.says(f"topic {topic} does not exist; create the topics of the catalogue first")
    house.configure()
    landing.ready()
    landing.kill()
    warehouse.kill()


def test_a_wrong_partitioner_is_caught_record_by_record(house):
    """A command where murmur2 would not put it is rejected with the setting to change; upstream's own partitioner is free."""
    worker = house.start("worker-0").ready()
    key = f"acme/{payment_id('acme', 'misplaced')}"
    right = partition_of(key.encode(), PARTITIONS)
    who = Attribution(actor_kind="api_key", actor_id="key_1", request_id="req_1", idempotency_key="misplaced")
    command = PaymentCommand(
        tenant="acme",
        payment_id=payment_id("acme", "misplaced"),
        kind="create",
        amount_minor=100,
        currency="EUR",
        payment_method="pm_card_visa",
        attribution=who,
    )
    producer = Producer({"bootstrap.servers": house.bootstrap})
    producer.produce(PAYMENTS_INPUTS.name, codec.encode(command), key, 1 - right)
    # The same intent from producers that disagree about its partition is one payment all the same.
    intent = PaymentIntent(
        tenant="acme", intent_key="twice", amount_minor=100, currency="EUR", payment_method="pm_card_visa"
    )
    for number in range(PARTITIONS):
        producer.produce(PAYMENT_INTENTS.name, codec.encode(intent), "acme/twice", number)
    assert producer.flush(DEADLINE_S) == 0

    def settled() -> tuple[list[Rejection], list[PaymentEvent]] | None:
        rejected = [
            codec.decode(message.value()) for message in committed_records(house.bootstrap, RECORDS_REJECTED.name)
        ]
        events = [codec.decode(message.value()) for message in committed_records(house.bootstrap, PAYMENTS_EVENTS.name)]
        inputs = committed_records(house.bootstrap, PAYMENTS_INPUTS.name)
        commands = [one for one in inputs if one.key() == f"acme/{payment_id('acme', 'twice')}".encode()]
        lag = sum(task["lag"] for task in worker.health().get("tasks", [{"lag": 1}]))
        return (rejected, events) if rejected and len(commands) == PARTITIONS and events and not lag else None

    rejected, events = wait_until(settled, lambda: f"both are through:\n{worker.text()[-3000:]}")
    (refusal,) = rejected
    assert refusal.reason == "wrong_key"
    assert "set partitioner=murmur2_random" in refusal.message
    assert refusal.value == codec.encode(command)
    created = [event for event in events if event.type == "payment_intent.created"]
    assert [event.payment_id for event in created] == [payment_id("acme", "twice")]
    assert worker.process.poll() is None
    worker.kill()
