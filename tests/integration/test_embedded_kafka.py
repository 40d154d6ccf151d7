"""The embedded Kafka serves what the product needs, survives kills, and tells why it does not start."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests._kafka import KafkaService

pytestmark = pytest.mark.integration
DEADLINE_S = 90


def _produce_transaction(kafka: KafkaService, topic: str, values: list[bytes], *, transactional_id: str) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": transactional_id})
    producer.init_transactions(DEADLINE_S)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    producer.commit_transaction(DEADLINE_S)


def _read_all(kafka: KafkaService, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": kafka.name("read"), "isolation.level": "read_committed"}
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        messages = consumer.consume(count, DEADLINE_S)
        assert all(message.error() is None for message in messages)
        return [message.value() for message in messages]
    finally:
        consumer.close()


def test_a_transaction_is_read_back(any_kafka):
    """What one transaction wrote, a reader of committed data reads in order."""
    topic = any_kafka.topic("transaction")
    values = [b"1", b"2", b"3"]
    _produce_transaction(any_kafka, topic, values, transactional_id=any_kafka.name("t"))
    assert _read_all(any_kafka, topic, 3) == values


def test_committed_records_survive_a_kill(kafka_broker):
    """After SIGKILL and a start the broker serves on the same port, with what was committed before."""
    topic = kafka_broker.topic("kill")
    before = kafka_broker.bootstrap
    _produce_transaction(kafka_broker, topic, [b"before"], transactional_id=kafka_broker.name("t"))
    kafka_broker.broker.kill()
    assert not kafka_broker.broker.is_alive()
    kafka_broker.broker.start()
    assert kafka_broker.broker.bootstrap == before
    _produce_transaction(kafka_broker, topic, [b"after"], transactional_id=kafka_broker.name("t"))
    assert _read_all(kafka_broker, topic, 2) == [b"before", b"after"]
