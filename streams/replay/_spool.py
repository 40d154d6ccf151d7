"""Topics onto which several inputs' partitions write: parted once by the input partition that caused each record."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import lz4.frame
import msgspec

from schemas import codec, contracts
from schemas.catalogue import CUSTOMERS_INPUTS, PAYMENTS_INPUTS, PROVIDER_REQUESTS, SETTLEMENT_INPUTS
from schemas.errors import DecodingError
from schemas.partitioner import partition_of
from schemas.records import (
    CustomerCommand,
    CustomerReply,
    Movement,
    PayoutEvent,
    PayoutReply,
    PayoutRequest,
    Rejection,
    Reply,
    SettlementEvent,
)
from schemas.records import Record as Message
from streams.runtime import Record

LIFECYCLE = "lifecycle"
SETTLEMENT = "settlement"
CUSTOMERS = "customers"
_FOLD_OF_INPUTS = {
    PAYMENTS_INPUTS.name: LIFECYCLE,
    SETTLEMENT_INPUTS.name: SETTLEMENT,
    CUSTOMERS_INPUTS.name: CUSTOMERS,
}
_TAKES_ANYTHING = (SETTLEMENT_INPUTS.name, CUSTOMERS_INPUTS.name)
"""Inputs that others than folds write as well: who reads them refuses what does not belong there."""

_PAYOUT_REQUESTS = frozenset(
    b"\x00" + contract.id.to_bytes(4, "big")
    for contract in contracts.all_contracts()
    if contract.record == PayoutRequest.__name__
)
_HEADER_BYTES = 5

_CHUNK_RECORDS = 200
_CHUNK_BYTES = 256 * 1024
_LENGTH_BYTES = 4
_KEYS_CACHED = 100_000

Owner = tuple[str, int]
"""A fold and its input partition."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Record]).decode


class Unowned(Exception):
    """A record that no fold of ours can have written."""


@lru_cache(maxsize=_KEYS_CACHED)
def partition_for(key: bytes, partitions: int) -> int:
    """murmur2, remembered: settlement's keys are few."""
    return partition_of(key, partitions)


def owner(record: Record, *, partitions: int) -> Owner | None:
    """Whose output it is; None for what others write onto the same topic. Raises `Unowned`."""
    if record.topic == PROVIDER_REQUESTS.name and not is_payout_request(record):
        return None  # a payment's: its partition is that of its inputs, and compared as it stands
    try:
        message = codec.decode(record.value)
    except DecodingError as error:
        if record.topic in _TAKES_ANYTHING:
            return None
        raise Unowned(str(error)) from error
    if (cause := _cause_by_key(message)) is not None:
        fold, key = cause
        return fold, partition_of(key.encode(), partitions)
    if isinstance(message, Reply | CustomerReply | PayoutReply | SettlementEvent | PayoutEvent):
        return _within(message.cause_topic, message.cause_partition, partitions)
    if isinstance(message, Rejection):
        if message.component not in (LIFECYCLE, SETTLEMENT, CUSTOMERS):
            return None
        return _within(message.source_topic, message.source_partition, partitions)
    if record.topic in _TAKES_ANYTHING:
        return None
    raise Unowned(f"a {type(message).__name__} does not belong on {record.topic}")


def _cause_by_key(message: Message) -> tuple[str, str] | None:
    """The fold and the key of what caused a record that tells only that; None for any other."""
    if isinstance(message, Movement):
        return LIFECYCLE, f"{message.tenant}/{message.payment_id}"
    if isinstance(message, CustomerCommand) and message.kind == "save_method":  # by the payment that succeeded
        return LIFECYCLE, f"{message.tenant}/{message.payment_id}"
    if isinstance(message, PayoutRequest):
        return SETTLEMENT, f"{message.tenant}/{message.provider}/{message.currency}"
    return None


def is_payout_request(record: Record) -> bool:
    """Whether settlement made this request, and not a payment."""
    return (record.value or b"")[:_HEADER_BYTES] in _PAYOUT_REQUESTS


def _within(topic: str, partition: int, partitions: int) -> Owner:
    fold = _FOLD_OF_INPUTS.get(topic)
    if fold is None or not 0 <= partition < partitions:
        raise Unowned(f"it names {topic}/{partition} as its cause, which is no input partition")
    return fold, partition


def path_of(directory: Path, topic: str, partition: int, of: Owner) -> Path:
    """The file of one topic partition's records that one input partition caused."""
    return directory / topic / str(partition) / f"{of[0]}-{of[1]}"


class Spool:
    """Parts one topic partition; memory is bounded by a chunk an owner."""

    def __init__(self, directory: Path, topic: str, partition: int) -> None:
        self._make: Callable[[Owner], Path] = lambda of: path_of(directory, topic, partition, of)
        self._chunks: dict[Owner, tuple[list[Record], list[int]]] = {}
        self._files: dict[Owner, BinaryIO] = {}

    def add(self, of: Owner, record: Record) -> None:
        """Append to the owner's file."""
        records, size_bytes = self._chunks.setdefault(of, ([], [0]))
        records.append(record)
        size_bytes[0] += len(record.value or b"")
        if len(records) >= _CHUNK_RECORDS or size_bytes[0] >= _CHUNK_BYTES:
            self._flush(of)

    def _flush(self, of: Owner) -> None:
        records, _ = self._chunks.pop(of)
        file = self._files.get(of)
        if file is None:
            path = self._make(of)
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._files[of] = path.open("wb")
        chunk = lz4.frame.compress(_encode(records))
        file.write(len(chunk).to_bytes(_LENGTH_BYTES, "big") + chunk)

    def close(self) -> None:
        """Write what is left."""
        for of in list(self._chunks):
            self._flush(of)
        for file in self._files.values():
            file.close()


def spooled(path: Path) -> Iterator[Record]:
    """The records of a file, in order; none where there is no file."""
    if not path.exists():
        return
    with path.open("rb") as file:
        while header := file.read(_LENGTH_BYTES):
            data: Any = lz4.frame.decompress(file.read(int.from_bytes(header, "big")))
            yield from _decode(data)


def merged_rejections(paths: list[Path]) -> Iterator[Record]:
    """Rejections of one owner from all partitions, in the order of their inputs: a lost key scatters them."""
    return heapq.merge(*(spooled(path) for path in paths), key=_source_offset)


def _source_offset(record: Record) -> int:
    message = codec.decode(record.value)
    assert isinstance(message, Rejection)
    return message.source_offset
