"""murmur2 as every Kafka client computes it."""

from __future__ import annotations

import random

from aiokafka.partitioner import murmur2 as reference

from schemas.partitioner import murmur2, partition_of


def test_it_equals_another_clients_own():
    """2,000 keys of every length hash as aiokafka's implementation (a port of Java's) hashes them."""
    rng = random.Random(5)
    keys = [rng.randbytes(length % 70) for length in range(2_000)]
    assert [murmur2(key) for key in keys] == [reference(key) & 0x7FFFFFFF for key in keys]


def test_it_gives_every_partition_its_share():
    """Keys of payments spread over all partitions."""
    assert {partition_of(f"acme/pi_{number}".encode(), 8) for number in range(200)} == set(range(8))
