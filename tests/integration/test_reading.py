"""Reading partitions to an end: what is committed, all of it, and nothing beyond."""

from contextlib import contextmanager

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas import reading
from schemas.clients import client_config, transactional_config
from schemas.errors import TopicUnread

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

REQUEST_S = 60.0


@pytest.fixture
def settings(kafka):
    """The settings of any client."""
    return client_config(kafka.bootstrap)


@contextmanager
def transaction(kafka, topic, *records, commit=True):
    """(partition, value) pairs, written in a transaction that is open as long as the block, and then ended."""
    producer = Producer(transactional_config(kafka.bootstrap, kafka.name("reading"), timeout_ms=120_000))
    producer.init_transactions(REQUEST_S)
    producer.begin_transaction()
    for partition, value in records:
        producer.produce(topic, value, b"key", partition=partition)
    assert producer.flush(REQUEST_S) == 0
    yield
    (producer.commit_transaction if commit else producer.abort_transaction)(REQUEST_S)


def values(settings, until, **options):
    """What is read, by partition."""
    found = {}
    for (_, partition), offset, message in reading.read(settings, until, group="test.reading", **options):
        found.setdefault(partition, []).append((offset, message.value()))
    return found


def test_everything_that_is_committed_is_read_and_what_was_aborted_is_not(kafka, settings):
    """Each partition is read to its end, in order, also where the end is behind aborted records and markers."""
    topic = kafka.topic("reading", partitions=3)
    with transaction(kafka, topic, (0, b"a"), (1, b"b")):
        pass
    with transaction(kafka, topic, (0, b"never"), (1, b"never"), commit=False):
        pass
    with transaction(kafka, topic, (1, b"c"), (1, b"d")):
        pass
    ends = reading.ends(settings, {(topic, partition) for partition in range(3)})
    assert ends == {(topic, 0): 4, (topic, 1): 7, (topic, 2): 0}
    assert values(settings, ends) == {0: [(0, b"a")], 1: [(0, b"b"), (4, b"c"), (5, b"d")]}


def test_an_open_transaction_is_waited_for_and_not_passed_over(kafka, settings):
    """The end is behind what is still open: reading to it fails by name while that lasts, and then has it."""
    topic = kafka.topic("reading")
    with transaction(kafka, topic, (0, b"before")):
        pass
    with transaction(kafka, topic, (0, b"open")):
        ends = reading.ends(settings, {(topic, 0)})
        readable = reading.ends(settings, {(topic, 0)}, open_too=False)
        assert (ends, readable) == ({(topic, 0): 3}, {(topic, 0): 2})
        assert values(settings, readable) == {0: [(0, b"before")]}
        with pytest.raises(TopicUnread, match=f"{topic}/0 could not be read"):
            values(settings, ends, stalled_s=1)
    assert values(settings, ends) == {0: [(0, b"before"), (2, b"open")]}


def test_only_what_was_asked_for_is_read(kafka, settings):
    """From an offset to before another one, though there is more; nothing at all where there is nothing between."""
    topic = kafka.topic("reading", partitions=2)
    with transaction(kafka, topic, *((partition, b"%d" % number) for partition in (0, 1) for number in range(5))):
        pass
    until = {(topic, 0): 4, (topic, 1): 2}
    assert values(settings, until, starts={(topic, 0): 1, (topic, 1): 2}) == {0: [(1, b"1"), (2, b"2"), (3, b"3")]}
    assert values(settings, {}) == {}
    assert reading.ends(settings, ()) == {}


def test_what_was_deleted_at_the_beginning_is_not_waited_for(kafka, settings):
    """A partition begins with its first record that is there; one that has none left is at its end."""
    topic = kafka.topic("reading", partitions=2)
    with transaction(kafka, topic, *((partition, b"%d" % number) for partition in (0, 1) for number in range(3))):
        pass
    ends = reading.ends(settings, {(topic, 0), (topic, 1)})
    gone = [TopicPartition(topic, 0, 2), TopicPartition(topic, 1, ends[topic, 1])]
    admin = AdminClient(settings)  # kept in a name: its futures never end once it is gone
    for deleted in admin.delete_records(gone, operation_timeout=REQUEST_S).values():
        deleted.result(REQUEST_S)
    assert values(settings, ends) == {0: [(2, b"2")]}


def test_a_topic_that_is_not_there_is_an_error_of_kafka(kafka, settings):
    """Nobody waits for a topic that nobody made."""
    place = (kafka.name("reading"), 0)
    with pytest.raises(KafkaException):
        reading.ends(settings, {place})
