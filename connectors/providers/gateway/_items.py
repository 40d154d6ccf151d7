"""What passes between the thread that speaks to Kafka and the event loop that speaks to providers."""

from __future__ import annotations

import msgspec

from connectors.providers.base import Outcome
from connectors.providers.gateway import _translation
from connectors.providers.gateway._translation import Asked
from schemas.catalogue import GATEWAY_PENDING, PAYMENTS_INPUTS, SETTLEMENT_INPUTS
from schemas.transactions import Produce

# gateway.pending holds each request as it was read, in the partition it was read from, with these headers.
HEADER_OFFSET, HEADER_MADE_MS, HEADER_KEY, HEADER_REPORTED = "offset", "made_ms", "key", "reported"

# Beside them, under this key, how far each partition's requests are done: what is committed to the group too, in the same transaction.
POSITION_KEY = b"\xffposition"


class Place(msgspec.Struct, frozen=True):
    """A partition of provider.requests during one assignment to this process, and an offset in it (-1: the partition as such).

    What carries the place of an assignment that has ended is dropped, so that nothing is committed for a partition that was lost meanwhile.
    """

    partition: int
    assignment: int
    offset: int = -1

    def at(self, offset: int) -> Place:
        """The place of an offset."""
        return Place(self.partition, self.assignment, offset)

    @property
    def of_partition(self) -> Place:
        """The place without its offset."""
        return Place(self.partition, self.assignment)


class Reading(msgspec.Struct, frozen=True):
    """A request as it was read from provider.requests."""

    asked: Asked
    place: Place
    offset: int


class Pending(msgspec.Struct, frozen=True):
    """A request as it was found among the pending ones."""

    asked: Asked
    place: Place
    offset: int
    reported: bool


class Item(msgspec.Struct, frozen=True):
    """What becomes visible together: records, and with `marks_done` that the place's offset is done."""

    place: Place
    records: tuple[Produce, ...]
    marks_done: bool


def result_of(asked: Asked, outcome: Outcome, inquiries: int) -> Produce:
    """The `ProviderResult` or `PayoutResult` for an outcome; an inquiry's is that of the request that it asks about."""
    if asked.payout is not None:
        key, value = _translation.payout_result(asked.payout, outcome)
        return Produce(SETTLEMENT_INPUTS.name, key, value)
    request = asked.about or asked.request
    return Produce(PAYMENTS_INPUTS.name, asked.key, _translation.result(request, outcome, inquiries=inquiries))


def parked(asked: Asked, place: Place, *, reported: bool, in_window: bool, result: Produce | None) -> Item:
    """A request moved to, or told about in, the pending topic, with what is reported of it."""
    headers = (
        (HEADER_OFFSET, b"%d" % place.offset),
        (HEADER_MADE_MS, b"%d" % asked.made_ms),
        (HEADER_KEY, asked.key),
        (HEADER_REPORTED, b"%d" % reported),
    )
    pending = Produce(GATEWAY_PENDING.name, asked.request.request_id.encode(), asked.value, place.partition, headers)
    return Item(place, (pending,) if result is None else (result, pending), in_window)


def resolved(asked: Asked, place: Place, *, parked: bool, result: Produce) -> Item:
    """A definite result; of a parked request, with the tombstone that ends its being pending."""
    return _ended(asked, place, (result,), parked=parked)


def done(asked: Asked, place: Place, *, parked: bool) -> Item:
    """The end of an inquiry without a result of its own; of a parked one, with its tombstone."""
    return _ended(asked, place, (), parked=parked)


def _ended(asked: Asked, place: Place, records: tuple[Produce, ...], *, parked: bool) -> Item:
    if not parked:
        return Item(place, records, marks_done=True)
    tombstone = Produce(GATEWAY_PENDING.name, asked.request.request_id.encode(), None, place.partition)
    return Item(place, (*records, tombstone), marks_done=False)


def positioned(place: Place, *, position: int, metadata: str) -> Item:
    """How far a partition is done, said in the pending topic."""
    value = b"%d %s" % (position, metadata.encode())
    return Item(place, (Produce(GATEWAY_PENDING.name, POSITION_KEY, value, place.partition),), marks_done=False)


def position_of(value: bytes) -> tuple[int, str]:
    """Position and metadata that `positioned` wrote."""
    position, _, metadata = value.decode().partition(" ")
    return int(position), metadata
