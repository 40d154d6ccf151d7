"""
Two producers that take turns, a transaction each.

After a commit the broker still writes the transaction's markers; until it is through, it refuses that producer's next
transaction, and librdkafka asks again after 20 ms. Meanwhile the other producer's may begin:

    producer 0   ── begin ── records, offsets ── commit │ (markers)             ── begin ── ...
    producer 1                                          └ begin ── records, offsets ── commit │ (markers)

There is never more than one open: the next begins when the one before is known to be committed. So what a reader of
committed records sees, and what a successor finds, is as with one producer, but that a transaction's marker may come behind
the next one's records. The group keeps the offsets that were added last, whichever marker comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.clients import TURNS
from streams.runtime.record import Output
from streams.runtime.seams import Clients, TopicPartition, TransactionalProducer


class Turns:
    """A `TransactionalProducer` of several, each with a transactional id of its own."""

    def __init__(self, clients: Clients) -> None:
        self._producers: list[TransactionalProducer] = []
        try:
            for turn in range(TURNS):
                self._producers.append(clients.producer(turn))
        except BaseException:
            self.close()
            raise
        self._turn = self._committed = 0

    @property
    def _current(self) -> TransactionalProducer:
        return self._producers[self._turn]

    def init_transactions(self, *, timeout_ms: int) -> None:
        """Fence the earlier producers of all turns and end what they left open, before anything is read."""
        for producer in self._producers:
            producer.init_transactions(timeout_ms=timeout_ms)

    def begin(self) -> None:
        """Start a transaction."""
        self._current.begin()

    def produce(self, outputs: Sequence[Output], *, track_last: bool = False) -> None:
        """Hand records over in order."""
        self._current.produce(outputs, track_last=track_last)

    def delivered_offset(self, topic: str, partition: int) -> int:
        """Offset of the last tracked record of this partition in the transaction that was committed."""
        return self._producers[self._committed].delivered_offset(topic, partition)

    def send_offsets(self, offsets: Mapping[TopicPartition, int], group_metadata: object, *, timeout_ms: int) -> None:
        """Add the group's next offsets, after everything produced is in the log."""
        self._current.send_offsets(offsets, group_metadata, timeout_ms=timeout_ms)

    def commit(self, *, timeout_ms: int) -> None:
        """Commit; only then it is the next one's turn."""
        self._current.commit(timeout_ms=timeout_ms)
        self._committed, self._turn = self._turn, (self._turn + 1) % TURNS

    def abort(self, *, timeout_ms: int) -> None:
        """Make everything since `begin` void."""
        self._current.abort(timeout_ms=timeout_ms)

    def close(self) -> None:
        """Drop the clients without waiting for anything."""
        for producer in self._producers:
            producer.close()
