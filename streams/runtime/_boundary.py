"""The one place where errors of the Kafka client become ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from streams.runtime.errors import Abortable, ConfigurationFault, Fatal, Fenced, Indefinite, Retriable, StreamsError

# A message read or delivered has a topic, a partition and an offset; the client's stubs say None for its error events.
Message = Any

# Admin answers come from the client's thread; this bounds the wait for them above the requests' own time-outs.
FUTURE_TIMEOUT_S = 30

_FENCED = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.TRANSACTION_COORDINATOR_FENCED,
}
_TIMED_OUT = {KafkaError._TIMED_OUT, KafkaError._TIMED_OUT_QUEUE, KafkaError._MSG_TIMED_OUT}
_CONFIGURATION = {
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError._INVALID_ARG,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.INVALID_TRANSACTION_TIMEOUT,
    KafkaError.INVALID_SESSION_TIMEOUT,
    KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    KafkaError.UNSUPPORTED_VERSION,
}
# The member is no longer of the group's generation: forget the batch and join again.
_GENERATION = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.INVALID_PRODUCER_ID_MAPPING,
}
# What librdkafka reports for information while it reconnects by itself.
INFORMATION = {
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError._PARTITION_EOF,
    KafkaError._MAX_POLL_EXCEEDED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
}


def mapped(error: KafkaError, *, doing: str) -> StreamsError:
    """The runtime's error for a client's error; the message names what was being done."""
    code, text = error.code(), f"{doing}: {error.str()} ({error.name()})"
    if code in _FENCED:
        return Fenced(f"{text}; another process runs as this instance, or this one slept past its time-outs")
    if code in _CONFIGURATION:
        return ConfigurationFault(f"{text}; check the Kafka address, credentials, ACLs and time-outs")
    if code in _TIMED_OUT:
        return Indefinite(text)
    if code in _GENERATION or error.txn_requires_abort():
        return Abortable(text)
    if error.fatal():
        return Fatal(f"{text}; start the process again")
    if error.retriable() or code in INFORMATION:
        return Retriable(text)
    return Abortable(text)


@contextlib.contextmanager
def boundary(doing: str) -> Iterator[None]:
    """Run one client call; what it raises leaves as one of our errors."""
    try:
        yield
    except KafkaException as exception:
        error = exception.args[0] if exception.args else None
        if isinstance(error, KafkaError):
            raise mapped(error, doing=doing) from exception
        raise Abortable(f"{doing}: {exception}") from exception
    except RuntimeError as error:
        # The client object is closed already.
        raise Abortable(f"{doing}: {error}") from error


def result_of(future: Any) -> Any:
    """An admin future's result; a wait that outlasts the request's own time-out is a time-out too."""
    try:
        return future.result(timeout=FUTURE_TIMEOUT_S)
    except TimeoutError as error:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from error
