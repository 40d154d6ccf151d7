"""Errors of the client become ours; settings are what exactly-once needs."""

from __future__ import annotations

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.runtime import TaskConfig, errors
from streams.runtime.kafka import KafkaClients, boundary, consumer_settings, mapped, producer_settings, reader_settings

CONFIG = TaskConfig(
    name="count", application="app", instance="a-1", sources=("in",), client={"security.protocol": "SSL"}
)


@pytest.mark.parametrize(
    ("code", "fatal", "retriable", "abort", "expected"),
    [
        (KafkaError._FENCED, True, False, False, errors.Fenced),
        (KafkaError.PRODUCER_FENCED, False, False, False, errors.Fenced),
        (KafkaError.INVALID_PRODUCER_EPOCH, False, False, True, errors.Fenced),
        (KafkaError.FENCED_INSTANCE_ID, True, False, False, errors.Fenced),
        (KafkaError._TIMED_OUT, False, True, False, errors.Indefinite),
        (KafkaError._MSG_TIMED_OUT, False, False, True, errors.Indefinite),
        (KafkaError.ILLEGAL_GENERATION, False, False, True, errors.Abortable),
        (KafkaError.UNKNOWN_MEMBER_ID, False, False, False, errors.Abortable),
        (KafkaError.MSG_SIZE_TOO_LARGE, False, False, True, errors.Abortable),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, False, False, True, errors.ConfigurationFault),
        (KafkaError.COORDINATOR_LOAD_IN_PROGRESS, False, True, False, errors.Retriable),
        (KafkaError._TRANSPORT, False, False, False, errors.Retriable),
        (KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, True, False, False, errors.Fatal),
        (KafkaError.UNKNOWN, False, False, False, errors.Abortable),
    ],
)
def test_every_kind_of_error_has_its_place_in_the_tree(code, fatal, retriable, abort, expected):
    """Fencing and time-outs win over the client's own flags; what nobody knows aborts."""
    error = KafkaError(code, "why", fatal=fatal, retriable=retriable, txn_requires_abort=abort)
    assert type(mapped(error, doing="committing")) is expected
    assert "committing: why" in str(mapped(error, doing="committing"))


def test_the_boundary_lets_nothing_of_the_client_through():
    """Its exceptions, and those of a closed client, leave as ours with their cause."""
    with pytest.raises(errors.Indefinite) as caught, boundary("committing"):
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
    assert isinstance(caught.value.__cause__, KafkaException)
    with pytest.raises(errors.Abortable), boundary("polling"):
        raise RuntimeError("Consumer closed")


def test_settings_that_exactly_once_stands_on():
    """Committed reads, no automatic commits or resets, static membership, murmur2, stable ids, short transactions."""
    consumer, producer, reader = consumer_settings(CONFIG), producer_settings(CONFIG), reader_settings(CONFIG)
    for reading in (consumer, reader):
        assert reading["isolation.level"] == "read_committed"
        assert reading["enable.auto.commit"] is False
        assert reading["auto.offset.reset"] == "error"
    assert (consumer["group.id"], consumer["group.instance.id"]) == ("app-count", "a-1")
    assert consumer["partition.assignment.strategy"] == "range"
    assert producer["transactional.id"] == "app-count-a-1"
    assert producer["partitioner"] == "murmur2_random"
    assert producer["transaction.timeout.ms"] == 15_000
    for settings in (consumer, producer, reader):
        assert settings["security.protocol"] == "SSL"
        assert settings["allow.auto.create.topics"] is False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a b"}, "letters, digits"),
        ({"instance": ""}, "letters, digits"),
        ({"sources": ()}, "at least one source"),
        ({"sources": ("in", "in")}, "each named once"),
        ({"changelog": "in"}, "its own changelog"),
        ({"batch_records_max": 0}, "1 to 100,000"),
        ({"call_timeout_ms": 15_000}, "below transaction_timeout_ms"),
        ({"poll_interval_max_ms": 90_000}, "must exceed batch_timeout_ms"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(changes, message):
    """Each refusal says what is wrong with which value."""
    good = {"name": "count", "application": "app", "instance": "a", "sources": ("in",)}
    with pytest.raises(errors.ConfigurationFault, match=message):
        TaskConfig(**good | changes)


def test_a_reader_has_an_admin_client_of_its_own():
    """What one restore's admin client ran into can't hold up the next one."""
    clients = KafkaClients(
        TaskConfig(name="count", application="test", instance="a", sources=("in",), bootstrap="127.0.0.1:1")
    )
    readers = [clients.reader("changelog") for _ in range(2)]
    assert readers[0]._admin is not readers[1]._admin
    for reader in readers:
        reader.close()


def test_a_task_that_gathers_lets_the_broker_collect_and_others_do_not():
    """The broker answers with the first record, or after the time with all there is; an absurd time is refused."""
    config = TaskConfig(name="count", application="test", instance="a", sources=("in",))
    assert consumer_settings(config)["fetch.wait.max.ms"] == 100
    assert "fetch.min.bytes" not in consumer_settings(config)
    gathers = consumer_settings(msgspec.structs.replace(config, gather_ms=50))
    assert (gathers["fetch.wait.max.ms"], gathers["fetch.min.bytes"]) == (50, 1_000_000)
    with pytest.raises(errors.ConfigurationFault, match="gather_ms"):
        msgspec.structs.replace(config, gather_ms=-1)
