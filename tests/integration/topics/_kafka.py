"""The plainest ways to write and to read, for these tests."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from schemas.clients import consumer_config, producer_config, transactional_config

DEADLINE_S = 120


def read_all(bootstrap, topic):
    """Every committed record now on a topic, as messages, by partition and offset."""
    consumer = Consumer(consumer_config(bootstrap, "test-reader", {"enable.partition.eof": True}))
    messages = []
    try:
        partitions = consumer.list_topics(topic, timeout=DEADLINE_S).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        unread = len(partitions)
        give_up = time.monotonic() + DEADLINE_S
        while unread:
            assert time.monotonic() < give_up
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error() is None:
                messages.append(message)
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF
                unread -= 1
    finally:
        consumer.close()
    return sorted(messages, key=lambda message: (message.partition(), message.offset()))


def write(bootstrap, topic, *records, timestamp_ms=0, partition=-1):
    """Writes (key, value) pairs and waits until they are there."""
    producer = Producer(producer_config(bootstrap))
    for key, value in records:
        producer.produce(topic, value, key, partition, timestamp=timestamp_ms)
    assert producer.flush(DEADLINE_S) == 0


def write_aborted(bootstrap, topic, *records):
    """Writes (key, value) pairs in a transaction that is aborted."""
    producer = Producer(transactional_config(bootstrap, f"test-abort-{topic}", timeout_ms=60_000))
    producer.init_transactions(DEADLINE_S)
    producer.begin_transaction()
    for key, value in records:
        producer.produce(topic, value, key)
    producer.flush(DEADLINE_S)
    producer.abort_transaction(DEADLINE_S)
