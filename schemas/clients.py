"""How every Kafka client of ours is configured, whatever it is for."""

from __future__ import annotations

from typing import Any

CLIENT_TIMEOUT_MS = 30_000

# librdkafka's own default partitioner is CRC32; Java's, Python's and JavaScript's clients use murmur2. All of ours
# must agree, since co-partitioning decides which worker holds a payment.
PARTITIONER = "murmur2_random"

# A consumer whose queue is full looks again after this. librdkafka's default of a second bounds its rate by what fits into
# the queue: with 50,000 records, at most some 60,000 a second, however fast they are taken.
FETCH_QUEUE_BACKOFF_MS = 2

# Producers that take turns: the broker has long ended the transaction before last, so more would not help.
TURNS = 2

# What a consumer that gathers waits for, unless its time is up before: more than a moment's traffic.
GATHERED_BYTES = 1_000_000


def client_config(bootstrap: str, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """Settings of any librdkafka client; `extra` carries TLS and SASL and wins."""
    return {"bootstrap.servers": bootstrap, "allow.auto.create.topics": False, **(extra or {})}


def producer_config(bootstrap: str, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """Settings of a producer that loses and doubles nothing within a session of its own."""
    return {
        **client_config(bootstrap),
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": PARTITIONER,
        **(extra or {}),
    }


def transactional_config(
    bootstrap: str, transactional_id: str, *, timeout_ms: int, extra: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Settings of a transactional producer. The short retry back-off makes a commit 4.5 ms instead of 47 ms."""
    return {
        **producer_config(bootstrap),
        "transactional.id": transactional_id,
        "transaction.timeout.ms": timeout_ms,
        "linger.ms": 0,
        "retry.backoff.ms": 1,
        "retry.backoff.max.ms": 2,
        **(extra or {}),
    }


def turn_id(transactional_id: str, turn: int) -> str:
    """Id of the producer of that turn, where several take turns (docs/decisions/0003): the first has the plain one. No name of ours has a colon."""
    return f"{transactional_id}:{turn}" if turn else transactional_id


def gathering(duration_ms: int) -> dict[str, Any]:
    """Settings of a consumer that nobody waits for: the broker answers it after so long with all there is, not with each record.

    Under a trickle its batches, and where it has them its transactions, are fewer and larger.
    """
    return {"fetch.min.bytes": GATHERED_BYTES, "fetch.wait.max.ms": duration_ms}


def consumer_config(bootstrap: str, group: str, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """Settings of a consumer: committed records only, offsets committed by hand, from the beginning at first."""
    return {
        **client_config(bootstrap),
        "group.id": group,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "fetch.queue.backoff.ms": FETCH_QUEUE_BACKOFF_MS,
        **(extra or {}),
    }
