"""Avro's primitives as functions over tables, for the code that `_compiled` makes.

They take the usual value quickly and raise something for any other; `codec` then turns to its exact path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Encoder = Callable[[Any], bytes]
"""A value's Avro body. Raises anything when the value is not right, or merely unusual."""

Decoder = Callable[[bytes, int], tuple[Any, int]]
"""The value that starts at a position, and the position after it, which may lie beyond the end when bytes are missing."""

SMALL = 8192
"""Numbers below it, of either sign, and lengths below it are looked up."""

PAIR = 1 << 14
LAST_SHIFT = 63  # of a tenth byte, which holds the last bit of 64
TOO_LONG = "a number of more than 64 bits"
INT_MIN, INT_MAX = -(2**31), 2**31 - 1
LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1


def varint(value: int) -> bytes:
    """An unsigned number in groups of seven bits."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> bytes:
    """Avro's `int` and `long`, of any size."""
    return varint((value << 1) ^ (value >> 63))


# Python's negative indices make one list serve both signs: SIGNED[-3] is the third from the end.
SIGNED = [zigzag(value) for value in range(SMALL)] + [zigzag(value) for value in range(-SMALL, 0)]
LENGTH = [zigzag(value) for value in range(SMALL)]
LAST = [varint(value) for value in range(PAIR)]
MORE = [bytes((value & 0x7F | 0x80, value >> 7 | 0x80)) for value in range(PAIR)]
SMALL_VALUE = [(byte >> 1) ^ -(byte & 1) for byte in range(0x80)]


def write_long(value: int, *, lowest: int = LONG_MIN, highest: int = LONG_MAX) -> bytes:
    """Avro's `long`, within the given bounds."""
    if value.__class__ is not int:  # bool is a subclass, and no number to Avro
        raise TypeError(value)
    if not lowest <= value <= highest:
        message = f"{value} does not fit"
        raise OverflowError(message)
    rest = (value << 1) ^ (value >> 63)
    # Two groups of seven bits a step: times in ms since the epoch take three.
    parts = []
    while rest >= PAIR:
        parts.append(MORE[rest & (PAIR - 1)])
        rest >>= 14
    parts.append(LAST[rest])
    return b"".join(parts)


def write_int(value: int) -> bytes:
    """Avro's `int`."""
    return write_long(value, lowest=INT_MIN, highest=INT_MAX)


def write_text(value: str) -> bytes:
    """Avro's `string`."""
    encoded = value.encode()
    return LENGTH[len(encoded)] + encoded


def write_data(value: bytes) -> bytes:
    """Avro's `bytes`."""
    if not isinstance(value, bytes):
        raise TypeError(value)
    return write_long(len(value)) + value


def write_array(values: tuple[Any, ...], encode: Encoder) -> bytes:
    """Avro's `array`, not empty, in one block."""
    if not isinstance(values, tuple | list):
        raise TypeError(values)
    return LENGTH[len(values)] + b"".join(map(encode, values)) + b"\0"


def write_map(values: dict[str, Any], encode: Encoder) -> bytes:
    """Avro's `map`, not empty, in one block."""
    if not isinstance(values, dict):
        raise TypeError(values)
    return LENGTH[len(values)] + b"".join([write_text(key) + encode(value) for key, value in values.items()]) + b"\0"


def refuse(value: object) -> bytes:
    """An expression that raises."""
    raise TypeError(value)


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """Avro's `int` and `long`."""
    # Unrolled up to three bytes, the size of most amounts; the constants take away the bits that say 'more follows'.
    second = data[at + 1] if data[at] >= 0x80 else -1
    if second < 0:
        return SMALL_VALUE[data[at]], at + 1
    if second < 0x80:
        rest = data[at] + (second << 7) - 0x80
        return (rest >> 1) ^ -(rest & 1), at + 2
    third = data[at + 2]
    if third < 0x80:
        rest = data[at] + (second << 7) + (third << 14) - 0x4080
        return (rest >> 1) ^ -(rest & 1), at + 3
    return read_long_rest(data, at + 3, data[at] + (second << 7) + (third << 14) - 0x204080)


def read_long_rest(data: bytes, at: int, rest: int) -> tuple[int, int]:
    """The number whose first three bytes gave `rest`."""
    shift = 21
    while (byte := data[at]) >= 0x80:
        rest += (byte - 0x80) << shift
        shift += 7
        at += 1
        if shift > LAST_SHIFT:
            raise ValueError(TOO_LONG)
    rest += byte << shift
    if rest >> 64:
        raise ValueError(TOO_LONG)
    return (rest >> 1) ^ -(rest & 1), at + 1


def read_length(data: bytes, at: int) -> tuple[int, int]:
    """A length, never negative."""
    length, at = read_long(data, at)
    if length < 0:
        message = "a negative length"
        raise ValueError(message)
    return length, at


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """Avro's `string`."""
    length, at = read_length(data, at)
    return data[at : at + length].decode(), at + length


def read_data(data: bytes, at: int) -> tuple[bytes, int]:
    """Avro's `bytes`."""
    length, at = read_length(data, at)
    return data[at : at + length], at + length


def read_block(data: bytes, at: int) -> tuple[int, int]:
    """How many items follow; a negative count is followed by the block's size in bytes, of no use to us."""
    count, at = read_long(data, at)
    if count < 0:
        _, at = read_long(data, at)
        count = -count
    return count, at


def read_array(data: bytes, at: int, decode: Decoder) -> tuple[tuple[Any, ...], int]:
    """Avro's `array`."""
    values: list[Any] = []
    while data[at]:
        count, at = read_block(data, at)
        for _ in range(count):
            value, at = decode(data, at)
            values.append(value)
    return tuple(values), at + 1


def read_map(data: bytes, at: int, decode: Decoder) -> tuple[dict[str, Any], int]:
    """Avro's `map`."""
    values: dict[str, Any] = {}
    while data[at]:
        count, at = read_block(data, at)
        for _ in range(count):
            key, at = read_text(data, at)
            values[key], at = decode(data, at)
    return values, at + 1
