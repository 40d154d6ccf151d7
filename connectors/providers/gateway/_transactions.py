"""The producing side: results, pending requests and offsets become visible in one transaction, or not at all.

Every transaction carries the consumer group's metadata, also one that only resolves a pending request: that is what fences a gateway
which was replaced while it slept (KIP-447).

Two producers take turns. After a commit the broker still writes markers, and refuses that producer's next transaction until it is through;
librdkafka asks again after 20 ms. There is never more than one transaction open, so what readers see is as with one producer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from connectors.providers.errors import Fenced, GatewayStopped
from connectors.providers.gateway._items import Item
from schemas.catalogue import REJECTION_BYTES_MAX
from schemas.clients import TURNS, transactional_config, turn_id

TRANSACTION_TIMEOUT_MS = 15_000
STEP_DEADLINE_S = 15.0
HANGING_AFTER_S = 20.0
"""librdkafka's send_offsets_to_transaction ignores its time-out while the group's coordinator is down, and may never return (librdkafka #5456,
#5511). A step that takes longer than this is taken for lost; by then the broker has timed the transaction out."""
ABORTS_IN_A_ROW_MAX = 10
CLIENT_LOG_LEVEL = 2  # librdkafka's own lines on stderr: critical ones only, the rest comes through exceptions
_STEP_PAUSE_S = 0.05

_FENCED = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.PRODUCER_FENCED,
    }
)


class _Aborted(Exception):
    """The transaction can't be committed; it is aborted and its items are tried again."""


class Transactions:
    """A transactional producer that either commits items with offsets, or says that it did not.

    Raises `Fenced` or `GatewayStopped` when this process must end: after an answer that leaves open whether a commit happened, only a new
    producer (a new process) is safe.
    """

    def __init__(self, kafka: dict[str, Any], *, transactional_id: str) -> None:
        extra = {**kafka, "message.max.bytes": REJECTION_BYTES_MAX, "log_level": CLIENT_LOG_LEVEL}
        self._producers: list[Producer] = []
        self._turn = 0
        self._step_began: float | None = None
        self._aborts_in_a_row = 0
        for turn in range(TURNS):
            name = turn_id(transactional_id, turn)
            settings = transactional_config(
                kafka["bootstrap.servers"], name, timeout_ms=TRANSACTION_TIMEOUT_MS, extra=extra
            )
            self._producers.append(Producer(settings))
            self._step(self._producers[turn].init_transactions, STEP_DEADLINE_S)

    @property
    def _producer(self) -> Producer:
        return self._producers[self._turn]

    def commit(self, items: Iterable[Item], offsets: Sequence[TopicPartition], group: Any) -> bool:
        """Commit, all or nothing. False: it was aborted, keep the items and come again after polling the consumer.

        1. begin; 2. produce every item's records, in order, and wait for them to be taken; 3. send the offsets under the group's metadata; 4. commit.
        """
        try:
            self._step(self._producer.begin_transaction)
            for item in items:
                for record in item.records:
                    self._producer.produce(
                        record.topic, record.value, record.key, partition=record.partition, headers=list(record.headers)
                    )
            # First everything is in the log: whoever takes over waits for it there, even if the group's coordinator forgets what is pending.
            self._flush()
            self._step(self._producer.send_offsets_to_transaction, list(offsets), group, STEP_DEADLINE_S)
            self._step(self._producer.commit_transaction, STEP_DEADLINE_S, repeatable=False)
        except _Aborted as aborted:
            self._abort(aborted)
            return False
        self._aborts_in_a_row = 0
        self._turn = (self._turn + 1) % TURNS
        return True

    def _flush(self) -> None:
        if left := self._producer.flush(STEP_DEADLINE_S):
            raise _Aborted(f"{left} records were not taken in {STEP_DEADLINE_S:.0f} s")

    def _abort(self, cause: _Aborted) -> None:
        self._aborts_in_a_row += 1
        if self._aborts_in_a_row > ABORTS_IN_A_ROW_MAX:
            message = f"{self._aborts_in_a_row} transactions in a row were aborted, the last one because of {cause}"
            raise GatewayStopped(message) from cause
        self._step(self._producer.abort_transaction, STEP_DEADLINE_S, repeatable=False)
        time.sleep(_STEP_PAUSE_S * self._aborts_in_a_row)

    def hangs(self) -> bool:
        """Whether a step has been under way for so long that it won't end; from any thread."""
        began = self._step_began
        return began is not None and time.monotonic() - began > HANGING_AFTER_S

    def _step(self, call: Callable[..., object], *arguments: Any, repeatable: bool = True) -> None:
        """One call of the transactional producer, its errors mapped to ours; a retriable one is repeated until a deadline."""
        deadline = time.monotonic() + STEP_DEADLINE_S
        while True:
            self._step_began = time.monotonic()
            try:
                call(*arguments)
            except KafkaException as exception:
                error = exception.args[0]
                if error.code() in _FENCED:
                    raise Fenced(f"another gateway took over: {error.str()}") from exception
                if error.txn_requires_abort() and not error.fatal():
                    raise _Aborted(error.str()) from exception
                if error.fatal() or not error.retriable() or not repeatable or time.monotonic() > deadline:
                    raise GatewayStopped(f"Kafka: {error.str()}; check the broker, then start again") from exception
                time.sleep(_STEP_PAUSE_S)
            else:
                return
            finally:
                self._step_began = None
