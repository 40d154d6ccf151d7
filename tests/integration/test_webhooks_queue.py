"""The queue of webhook deliveries on a real broker: each event once for each endpoint that should hear of it, whatever fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from api.webhooks import types
from api.webhooks.queue import GROUP, SOURCES, Queue
from infra.kafka import Broker
from schemas import codec
from schemas.catalogue import PAYMENTS_EVENTS, WEBHOOKS_DELIVERIES, WEBHOOKS_ENDPOINTS, WEBHOOKS_PENDING
from schemas.clients import client_config, consumer_config, producer_config, transactional_config
from schemas.records import PaymentEvent, PaymentObject, WebhookDelivery, WebhookEndpoint

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DEADLINE_S = 120.0
PARTITIONS = 3
HELPER = Path(__file__).with_name("_webhooks_queue.py")


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory):
    """A broker of this module's own, because the topics have fixed names."""
    directory = tmp_path_factory.mktemp("webhooks-kafka")
    broker = Broker(directory, quick=True)
    try:
        broker.start()
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        new = [
            NewTopic(topic.name, topic.partitions or PARTITIONS, 1, config=topic.config())
            for topic in (*SOURCES, WEBHOOKS_DELIVERIES, WEBHOOKS_ENDPOINTS, WEBHOOKS_PENDING)
        ]
        for future in admin.create_topics(new).values():
            future.result(DEADLINE_S)
        yield broker.bootstrap
    finally:
        broker.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def house(bootstrap):
    """A tenant of this test's own."""
    return House(bootstrap)


class House:
    """One test's tenant: its endpoints, events and what was queued for it."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.tenant = f"t{uuid.uuid4().hex[:10]}"
        self.worker = "w"  # one static member: no test waits for the session of the one before

    def endpoint(self, name: str, *, enabled_events: tuple[str, ...] = ("*",), **changes) -> None:
        """Write an endpoint, acknowledged by the broker."""
        fields = {"endpoint_id": name, "tenant": self.tenant, "status": "enabled", "enabled_events": enabled_events}
        record = WebhookEndpoint(**{**fields, **changes})
        producer = Producer(producer_config(self.bootstrap))
        producer.produce(WEBHOOKS_ENDPOINTS.name, codec.encode(record), f"{self.tenant}/{name}".encode())
        assert producer.flush(DEADLINE_S) == 0

    def events(self, count: int, *, first: int = 0, abort: bool = False) -> list[str]:
        """Write events of as many payments in one transaction, as the lifecycle does; their ids."""
        producer = Producer(transactional_config(self.bootstrap, uuid.uuid4().hex, timeout_ms=60_000))
        producer.init_transactions(DEADLINE_S)
        producer.begin_transaction()
        ids = []
        for number in range(first, first + count):
            event = PaymentEvent(
                event_id=f"evt_{self.tenant}_{number}",
                type="payment_intent.created",
                tenant=self.tenant,
                payment_id=f"pi_{number}",
                sequence=1,
                occurred_ms=1,
                payment=PaymentObject(id=f"pi_{number}"),
            )
            producer.produce(PAYMENTS_EVENTS.name, codec.encode(event), f"{self.tenant}/pi_{number}".encode())
            ids.append(event.event_id)
        producer.abort_transaction(DEADLINE_S) if abort else producer.commit_transaction(DEADLINE_S)
        return ids

    def queued(self) -> list[WebhookDelivery]:
        """All committed deliveries of this tenant, as they stand on the topic."""
        reader = Consumer(consumer_config(self.bootstrap, f"test-{uuid.uuid4().hex}", {"enable.partition.eof": True}))
        found, left = [], set(range(PARTITIONS))
        try:
            reader.assign([TopicPartition(WEBHOOKS_DELIVERIES.name, number, 0) for number in left])
            deadline = time.monotonic() + DEADLINE_S
            while left:
                assert time.monotonic() < deadline, f"partitions {left} could not be read to their ends"
                for message in reader.consume(1_000, 0.5):
                    if message.error() is not None:
                        left.discard(message.partition())
                        continue
                    delivery = codec.decode(message.value())
                    if delivery.tenant == self.tenant:
                        assert message.partition() == delivery.source_partition
                        assert message.key() == f"{self.tenant}/{delivery.payment_id}".encode()
                        found.append(delivery)
        finally:
            reader.close()
        return found

    def wait_queued(self, ids: list[str], *endpoints: str) -> None:
        """Wait until everything is queued, and see that nothing is twice, missing or somebody else's."""
        expected = sorted((one, name) for one in ids for name in endpoints)
        deadline = time.monotonic() + DEADLINE_S
        while True:
            found = sorted((one.event_id, one.endpoint_id) for one in self.queued())
            if len(found) >= len(expected) or time.monotonic() > deadline:
                assert found == expected
                return
            time.sleep(0.1)

    def running(self, worker: str | None = None):
        """A queue on a thread of this process."""
        return _Thread(
            Queue(client_config(self.bootstrap), worker=worker or self.worker, session_timeout_s=6, ready=lambda: None)
        )

    def process(self) -> subprocess.Popen[str]:
        """A queue as a process that can be killed, from when it has partitions."""
        command = [sys.executable, str(HELPER), self.bootstrap, self.worker]
        started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert started.stdout.readline() == "ready\n"
        return started


def wait_until(true) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.1)


def forgotten(bootstrap: str) -> bool:
    """Set the group's offsets back to the beginning; False while its static member's session lasts."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    held = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP)])[GROUP].result(60).topic_partitions
    back = [TopicPartition(PAYMENTS_EVENTS.name, where.partition, 0) for where in held]
    assert len(back) == PARTITIONS, "the queue has committed on every partition"
    try:
        made = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP, back)])[GROUP].result(60)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.NON_EMPTY_GROUP:
            raise
        return False
    return all(where.error is None for where in made.topic_partitions)


class _Thread:
    """Runs a queue; at the end of a `with` it has ended, and without an error."""

    def __init__(self, queue: Queue) -> None:
        self._queue, self._error = queue, None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._queue.run()
        except BaseException as error:
            self._error = error

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exception) -> None:
        self._queue.stop()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        assert self._error is None, self._error


def test_each_event_once_for_each_endpoint(house):
    """Every committed event is queued once for each endpoint that asked for it: not for others, other tenants', or from aborted transactions."""
    other = House(house.bootstrap)
    other.endpoint("we_other")
    house.endpoint("we_all")
    house.endpoint("we_created", enabled_events=("payment_intent.created",))
    house.endpoint("we_refunds", enabled_events=("refund.created",))
    house.endpoint("we_disabled", status="disabled")
    with house.running():
        ids = house.events(20)
        house.events(20, first=100, abort=True)
        ids += house.events(20, first=200)
        house.wait_queued(ids, "we_all", "we_created")
    assert other.queued() == []
    for one in house.queued():
        assert codec.decode(one.event).event_id == one.event_id
        assert one.delivery_id == types.delivery_id(one.event_id, one.endpoint_id)


def test_an_acknowledged_endpoint_hears_what_happens_after(house):
    """An endpoint hears of the very next event after it was acknowledged, though the queue is at work on others."""
    with house.running():
        expected = []
        for number in range(20):
            house.endpoint(f"we_{number}", enabled_events=("payment_intent.created",))
            [event_id] = house.events(1, first=number)
            expected.append((event_id, f"we_{number}"))
        wait_until(lambda: set(expected) <= {(one.event_id, one.endpoint_id) for one in house.queued()})


def test_killed_again_and_again(house):
    """`kill -9` amid the work, several times: nothing is queued twice, nothing is left out."""
    house.endpoint("we_1")
    house.endpoint("we_2")
    ids: list[str] = []
    for round_number in range(3):
        process = house.process()
        try:
            before = len(house.queued())
            ids += house.events(400, first=1_000 * round_number)
            wait_until(lambda before=before: len(house.queued()) > before)  # it is at it
        finally:
            process.kill()
            process.wait(DEADLINE_S)
            process.stdout.close()
    with house.running():
        house.wait_queued(ids, "we_1", "we_2")


def test_a_coordinator_that_forgot_is_not_believed(house):
    """When the group's offsets are gone or old, the position in the pending topic counts, and nothing is queued twice."""
    house.endpoint("we_1")
    with house.running():
        ids = house.events(50)
        house.wait_queued(ids, "we_1")
    wait_until(lambda: forgotten(house.bootstrap))
    with house.running():
        ids += house.events(5, first=500)
        house.wait_queued(ids, "we_1")
