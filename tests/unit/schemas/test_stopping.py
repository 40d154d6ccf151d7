"""How a process ends: its status and its last line, by what it ended of."""

import logging

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas import stopping
from schemas.environment import VariableError
from schemas.errors import MasterKeysUnusable, TopicUnread

log = logging.getLogger("clearline.test")


class Wrong(Exception):
    """A setting is wrong."""


class Own(stopping.Stopped):
    """A package's own reason to stop."""


ENDS = [
    (VariableError(variable="CLEARLINE_WORKER", value="", reason="is empty", remedy="name it"), 1, "name it"),
    (MasterKeysUnusable("unreadable"), 1, "CLEARLINE_MASTER_KEY"),
    (Wrong("the setting is 7; 8 would do"), 1, "the setting is 7; 8 would do"),
    (Own("no more; start again"), 2, "no more; start again"),
    (TopicUnread("a/0 could not be read"), 2, "a/0 could not be read"),
    (KafkaException(KafkaError(KafkaError._TIMED_OUT, "slow")), 2, "Kafka: slow; check the broker"),
    (ValueError("a bug"), 2, "stopped by a fault; what was open is done again"),
    (stopping.Fenced("taken over"), 3, "taken over; give each helper a CLEARLINE_WORKER of its own"),
]


@pytest.mark.parametrize(("error", "status", "line"), ENDS, ids=[type(error).__name__ for error, *_ in ENDS])
def test_whatever_ends_a_process_gives_a_status_and_a_line(caplog, error, status, line):
    """1: a setting is wrong; 2: it can't go on; 3: another has its place. The last line says what to do."""

    def run():
        raise error

    ended = stopping.status(run, log=log, called="helper", refused=Wrong, kept="what was open is done again")
    assert ended == status
    assert caplog.records[-1].levelname == "CRITICAL"
    assert line in caplog.records[-1].getMessage()


def test_one_that_was_told_to_stop_ends_well(caplog):
    """0, and it says that it stopped."""
    caplog.set_level(logging.INFO)
    assert stopping.status(lambda: None, log=log, called="helper", refused=Wrong, kept="") == 0
    assert caplog.messages == ["stopped"]


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        (KafkaError.FENCED_INSTANCE_ID, stopping.Fenced, "another process with this CLEARLINE_WORKER"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, stopping.Stopped, "make the topics"),
        (KafkaError._FATAL, stopping.Stopped, "start again"),
    ],
)
def test_what_a_consumer_cannot_go_on_after_ends_its_process(code, error, says):
    """Also the event of a fatal error whose `fatal()` says no: a consumer that is finished is not polled for ever."""
    event = KafkaError(code, "said by the client")
    assert not event.fatal()
    with pytest.raises(error, match=says):
        stopping.check(event, log)


def test_what_the_client_mends_by_itself_is_only_said(caplog):
    """A broker that is away is a warning."""
    stopping.check(KafkaError(KafkaError._TRANSPORT, "gone"), log)
    assert caplog.messages == ["Kafka: gone"]
