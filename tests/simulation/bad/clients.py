"""Wrong clients: the engine is the real one, but what it relies on is switched off, as a careless setting would."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from streams.runtime.errors import StreamsError
from streams.runtime.record import Output
from tests.simulation.bad.tasks import Believing
from tests.simulation.clients import SimClients, SimConsumer, SimProducer, SimReader
from tests.simulation.cluster import Engine
from tests.simulation.log import TopicPartition

# Records that are on their way for longer make a rare fault one that is found within some hundred seeds.
UNFLUSHED_MS_MAX = 60


class _NoGeneration(SimProducer):
    """Offsets without the group's metadata: who was replaced commits all the same."""

    def _check_member(self, group_metadata: object) -> None:
        pass


class _Unfenced(_NoGeneration):
    """A new transactional id each time, so nobody's transaction is ended by a successor."""

    def __init__(self, clients: SimClients, turn: int) -> None:
        super().__init__(clients, turn)
        self.transactional_id = f"{self.transactional_id}-{self.name}"


class _HalfFenced(_NoGeneration):
    """Of the two producers that take turns only the first has a lasting transactional id: the second's transaction is ended by nobody."""

    def __init__(self, clients: SimClients, turn: int) -> None:
        super().__init__(clients, turn)
        if turn:
            self.transactional_id = f"{self.transactional_id}-{self.name}"


class _OffsetsApart(SimProducer):
    """Offsets are committed by the consumer, as if it were at-least-once, after the transaction."""

    def __init__(self, clients: SimClients, turn: int) -> None:
        super().__init__(clients, turn)
        self._after: dict[TopicPartition, int] = {}

    def send_offsets(self, offsets: Mapping[TopicPartition, int], group_metadata: object, *, timeout_ms: int) -> None:
        self._after = dict(offsets)

    def commit(self, *, timeout_ms: int) -> None:
        super().commit(timeout_ms=timeout_ms)
        self._call(
            "commit offsets", lambda: self._broker.groups.commit(self._group, self._after), timeout_ms=timeout_ms
        )


class _Unflushed(SimProducer):
    """Offsets are added while records of the transaction are still on their way."""

    adding = False

    def send_offsets(self, offsets: Mapping[TopicPartition, int], group_metadata: object, *, timeout_ms: int) -> None:
        self.adding = True
        super().send_offsets(offsets, group_metadata, timeout_ms=timeout_ms)
        self.adding = False

    def _flush(self, timeout_ms: int) -> None:
        if not self.adding:
            super()._flush(timeout_ms)

    def _ship_soon(self, delay_ms: int = 0) -> None:
        super()._ship_soon(delay_ms + self._world.random.randrange(UNFLUSHED_MS_MAX))


class _ChangelogApart(SimProducer):
    """State is published outside the transaction, at once."""

    def produce(self, outputs: Sequence[Output], *, track_last: bool = False) -> None:
        if not track_last:
            return super().produce(outputs, track_last=track_last)
        self._expect_alive()
        for output in outputs:
            number = self._broker.partition_for(output)
            entry = self._broker.append(
                output.topic, output.key, output.value, partition=number, timestamp_ms=output.timestamp_ms
            )
            self._delivered[output.topic, number] = entry.offset
        return None


class _Stubborn(SimProducer):
    """
    One producer for ever: after a commit without an answer it is told to abort, and used again.

    With transactions v1 the next transaction has the same epoch, and a late EndTxn commits it half.
    """

    kept: dict[str, SimProducer]

    def close(self) -> None:
        pass


class _StubbornClients(SimClients):
    producer_class = _Stubborn

    def producer(self, turn: int) -> SimProducer:
        kept: dict[int, SimProducer] = self.__dict__.setdefault("_kept", {})
        if turn not in kept:
            made = kept[turn] = super().producer(turn)
            made.init_transactions = partial(self._again, made, made.init_transactions)  # type: ignore[method-assign]
        return kept[turn]

    def _again(self, kept: SimProducer, init: Callable[..., None], *, timeout_ms: int) -> None:
        if kept.pid < 0:
            init(timeout_ms=timeout_ms)
            return
        if kept.in_transaction:
            try:
                kept.abort(timeout_ms=timeout_ms)
            except StreamsError:
                kept._queue.clear()
                kept._failed = None
                kept.in_transaction = False


class _Dirty(SimConsumer):
    """isolation.level=read_uncommitted."""

    uncommitted = True


class _Unstable(SimConsumer):
    """Committed offsets without require_stable: an open transaction's are not waited for."""

    def _offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        known = self._broker.groups.group(self._group).offsets
        return {pair: known.get(pair) for pair in partitions}


class _StableEnd(SimReader):
    """Restores to the last stable offset, which may lie before committed records whose marker is late (KAFKA-10167)."""

    def end(self, number: int) -> int:
        return self._broker.topics[self._topic].partitions[number].stable(self._broker.world.now_ms)


def _with(
    *,
    consumer: type[SimConsumer] = SimConsumer,
    producer: type[SimProducer] = SimProducer,
    reader: type[SimReader] = SimReader,
) -> type[SimClients]:
    return type(
        "BadClients",
        (SimClients,),
        {"consumer_class": consumer, "producer_class": producer, "reader_class": reader},
    )


CLIENTS: tuple[Engine, ...] = (
    Engine(name="commit after revoke", clients=_with(producer=_NoGeneration)),
    Engine(name="no fencing", clients=_with(producer=_Unfenced)),
    Engine(name="one of two producers fenced", clients=_with(producer=_HalfFenced)),
    Engine(name="offsets outside the transaction", clients=_with(producer=_OffsetsApart)),
    Engine(name="changelog outside the transaction", clients=_with(producer=_ChangelogApart)),
    Engine(name="producer reused after an indefinite answer", clients=_StubbornClients),
    Engine(name="reads uncommitted", clients=_with(consumer=_Dirty)),
    # Harmless where the state knows its positions and an open transaction is whole in the log: so without the former.
    Engine(name="offsets that are not stable", clients=_with(consumer=_Unstable), task=Believing),
    Engine(name="offsets before the records, and not stable", clients=_with(consumer=_Unstable, producer=_Unflushed)),
    Engine(name="restore to the last stable offset", clients=_with(reader=_StableEnd)),
)
