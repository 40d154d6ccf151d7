"""Consumer lag as `clearline status --lag` reads it from a real broker."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from infra.cli._lag import lag_by_group
from infra.supervisor import free_ports
from tests._kafka import KafkaService

pytestmark = pytest.mark.integration


def test_lag_is_what_is_not_committed(kafka: KafkaService) -> None:
    """Of 10 records over two partitions with 3 committed, a group is 7 behind; one that committed all is 0 behind."""
    # Only so many groups are looked at, in order, and other tests of this broker may have left more than that.
    topic, slow, quick = kafka.topic("lag", partitions=2), f"0-{kafka.name('slow')}", f"0-{kafka.name('quick')}"
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for number in range(10):
        producer.produce(topic, value=b"x", partition=number % 2)
    assert producer.flush(60) == 0
    for group, offsets in ((slow, (3, 0)), (quick, (5, 5))):
        consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group, "enable.auto.commit": False})
        positions = [TopicPartition(topic, partition, offset) for partition, offset in enumerate(offsets)]
        consumer.commit(offsets=positions, asynchronous=False)
        consumer.close()
    lag = lag_by_group(kafka.bootstrap, {})
    assert lag is not None
    assert (lag[slow], lag[quick]) == (7, 0)


def test_no_broker_is_no_answer() -> None:
    """Where no broker answers, the lag is unknown, not zero."""
    [port] = free_ports(1)
    assert lag_by_group(f"127.0.0.1:{port}", {}) is None
