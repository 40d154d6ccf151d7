"""murmur2, the partitioner that every producer of ours agrees on, so that a wrong one can be noticed."""

from __future__ import annotations

import struct

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF
_WORD = struct.Struct("<I")


def murmur2(data: bytes) -> int:
    """The 32-bit hash as Java's Kafka client computes it, with the sign bit cleared."""
    value = _SEED ^ len(data)
    whole = len(data) & ~3
    for (word,) in _WORD.iter_unpack(data[:whole]):
        mixed = (word * _MULTIPLIER) & _MASK
        mixed = ((mixed ^ (mixed >> 24)) * _MULTIPLIER) & _MASK
        value = ((value * _MULTIPLIER) & _MASK) ^ mixed
    if whole != len(data):
        value = ((value ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER) & _MASK
    value = ((value ^ (value >> 13)) * _MULTIPLIER) & _MASK
    return (value ^ (value >> 15)) & _POSITIVE


def partition_of(key: bytes, partitions: int) -> int:
    """The partition on which a record with this key belongs."""
    return murmur2(key) % partitions
