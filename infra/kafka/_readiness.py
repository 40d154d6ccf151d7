"""Waits until Kafka really serves: asked broker by broker, as clients will meet them."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.kafka.errors import NotReady

DEFAULT_DEADLINE_S = 90.0
REQUEST_TIMEOUT_S = 5.0
PAUSE_S = 0.05
GROUP_PROBE = "clearline.readiness"
INTERNAL_TOPICS = ("__consumer_offsets", "__transaction_state")
# A probe is short and tells its failures by return value; librdkafka's own log lines would alarm for nothing.
QUIET: dict[str, str | int] = {"log_level": 0, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200}


def wait_until_serving(
    addresses: Mapping[int, str],
    *,
    deadline_s: float = DEFAULT_DEADLINE_S,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Returns once every broker serves; `addresses` gives host:port by node id.

    Serving means: asked by itself, each broker's metadata shows all of `addresses`, a live leader for every partition
    and, for the internal topics, all of `addresses` that hold a replica in sync; and each broker leads a client to a
    transaction and a group coordinator that answer. After a start of several brokers one may not know of another yet, and a client
    that hears this drops its requests to the other: hence broker by broker.

    `check` is called between tries and raises when waiting is in vain. Raises NotReady.
    """
    end = time.monotonic() + deadline_s
    missing = "no broker was asked"
    while True:
        check()
        for node_id, address in addresses.items():
            found = _listens(address) or _coordinators(address) or _metadata(node_id, address, addresses)
            if found:
                missing = f"broker {node_id} at {address}: {found}"
                break
        else:
            return
        if time.monotonic() >= end:
            raise NotReady(",".join(addresses.values()), deadline_s=deadline_s, missing=missing)
        time.sleep(PAUSE_S)


def _listens(address: str) -> str:
    """Why nobody answers there, or an empty string; tried first, so that a broker that ended is noticed at once."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), REQUEST_TIMEOUT_S).close()
    except OSError as error:
        return str(error)
    return ""


def _metadata(node_id: int, address: str, expected: Mapping[int, str]) -> str:
    """What this broker's own view of the cluster lacks, or an empty string."""
    admin = AdminClient({**QUIET, "bootstrap.servers": address, "client.id": GROUP_PROBE})
    try:
        metadata = admin.list_topics(timeout=REQUEST_TIMEOUT_S)
    except KafkaException as error:
        return str(error)
    if not str(metadata.orig_broker_name).startswith(f"{address}/"):
        return f"{metadata.orig_broker_name} answered instead"
    return _lacks(metadata, node_id, expected)


def _lacks(metadata: Any, node_id: int, expected: Mapping[int, str]) -> str:
    known = {broker.id for broker in metadata.brokers.values()}
    if node_id not in known or not set(expected) <= known:
        return f"knows of brokers {sorted(known)} only"
    for topic in metadata.topics.values():
        for partition in topic.partitions.values():
            where = f"{topic.topic}[{partition.id}]"
            if partition.leader not in expected:
                return f"{where} has no leader"
            out_of_sync = set(partition.replicas) & set(expected) - set(partition.isrs)
            if topic.topic in INTERNAL_TOPICS and out_of_sync:
                return f"{where} is not in sync on {sorted(out_of_sync)}"
    return ""


def _coordinators(address: str) -> str:
    """What keeps the coordinators from answering to a client that starts at this broker, or an empty string."""
    client = {**QUIET, "bootstrap.servers": address, "client.id": GROUP_PROBE}
    producer = Producer({**client, "transactional.id": f"{GROUP_PROBE}.{uuid.uuid4()}"})
    consumer = Consumer({**client, "group.id": GROUP_PROBE})
    try:
        producer.init_transactions(REQUEST_TIMEOUT_S)
        consumer.committed([TopicPartition(GROUP_PROBE, 0)], timeout=REQUEST_TIMEOUT_S)
    except KafkaException as error:
        return f"coordinators: {error}"
    finally:
        consumer.close()
    return ""
