"""The producing side of a process: records and offsets become visible in one transaction, or not at all.

Where the offsets go, the consumer group's metadata goes too, also with a transaction that moves none: that is what fences a process which was
replaced while it slept (KIP-447).

Producers can take turns. After a commit the broker still writes markers, and refuses that producer's next transaction until it is through;
librdkafka asks again after 20 ms. There is never more than one transaction open, so what readers see is as with one producer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from schemas.clients import transactional_config, turn_id
from schemas.stopping import Fenced, Stopped

TRANSACTION_TIMEOUT_MS = 15_000
STEP_DEADLINE_S = 15.0
HANGING_AFTER_S = 20.0
"""librdkafka's send_offsets_to_transaction ignores its time-out while the group's coordinator is down, and may never return (librdkafka #5456,
#5511). A step that takes longer than this is taken for lost; by then the broker has timed the transaction out."""
ABORTS_IN_A_ROW_MAX = 10
CLIENT_LOG_LEVEL = 2  # librdkafka's own lines on stderr: critical ones only, the rest comes through exceptions

_PAUSE_S = 0.05
_FENCED = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.PRODUCER_FENCED,
    }
)


class Produce(NamedTuple):
    """One record to be written. `value` None: what the key had is gone. `partition` -1: by the key."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int = -1
    headers: tuple[tuple[str, bytes], ...] = ()


class Aborted(Exception):
    """The transaction can't be committed; it has had no effect."""


class Transactions:
    """
    A transactional producer that either commits or says that it did not.

    Raises `Fenced` and `Stopped`: after an answer that leaves open whether a commit happened, only a new producer is safe.
    """

    def __init__(
        self,
        kafka: dict[str, Any],
        *,
        transactional_id: str,
        record_bytes_max: int,
        turns: int = 1,
        timeout_ms: int = TRANSACTION_TIMEOUT_MS,
        logger: logging.Logger | None = None,
    ) -> None:
        extra = {**kafka, "message.max.bytes": record_bytes_max, "log_level": CLIENT_LOG_LEVEL}
        said: dict[str, Any] = {} if logger is None else {"logger": logger}
        self._producers: list[Producer] = []
        self._turn = 0
        self._step_began: float | None = None
        self._aborts_in_a_row = 0
        for turn in range(turns):
            name = turn_id(transactional_id, turn)
            settings = transactional_config(kafka["bootstrap.servers"], name, timeout_ms=timeout_ms, extra=extra)
            self._producers.append(Producer(settings, **said))
            # Whoever had the id before is fenced from here on, and what it left open has ended.
            self._step(self._producers[turn].init_transactions, STEP_DEADLINE_S)

    @property
    def _producer(self) -> Producer:
        return self._producers[self._turn]

    def commit(self, records: Iterable[Produce], *, offsets: Sequence[TopicPartition] = (), group: Any = None) -> bool:
        """
        Commit, all or nothing. False: it was aborted, after a pause that grows; come again after polling the consumer.

        1. begin; 2. produce, and wait for all to be taken; 3. send the offsets under the group's metadata, where there is one; 4. commit.
        """
        try:
            self._step(self._producer.begin_transaction)
            for record in records:
                self._produce(record)
            # First everything is in the log: whoever takes over waits for it there, even if the group's coordinator forgets what is pending.
            self._flush()
            if group is not None:
                self._step(self._producer.send_offsets_to_transaction, list(offsets), group, STEP_DEADLINE_S)
            self._step(self._producer.commit_transaction, STEP_DEADLINE_S, repeatable=False)
        except Aborted as cause:
            self._abort(cause)
            return False
        self._aborts_in_a_row = 0
        self._turn = (self._turn + 1) % len(self._producers)
        return True

    def hangs(self) -> bool:
        """Whether a step has been under way for so long that it won't end; from any thread."""
        began = self._step_began
        return began is not None and time.monotonic() - began > HANGING_AFTER_S

    def _produce(self, record: Produce) -> None:
        topic, key, value, partition, headers = record
        while True:
            try:
                self._producer.produce(topic, value, key, partition=partition, headers=list(headers))
            except BufferError:  # the client's queue is full
                self._producer.poll(_PAUSE_S)
            else:
                return

    def _flush(self) -> None:
        if left := self._producer.flush(STEP_DEADLINE_S):
            raise Aborted(f"{left} records were not taken in {STEP_DEADLINE_S:.0f} s")

    def _abort(self, cause: Aborted) -> None:
        self._aborts_in_a_row += 1
        if self._aborts_in_a_row > ABORTS_IN_A_ROW_MAX:
            message = f"{self._aborts_in_a_row} transactions in a row were aborted, the last one because of {cause}"
            raise Stopped(message) from cause
        self._step(self._producer.abort_transaction, STEP_DEADLINE_S, repeatable=False)
        time.sleep(_PAUSE_S * self._aborts_in_a_row)

    def _step(self, call: Callable[..., object], *arguments: Any, repeatable: bool = True) -> None:
        """One call of the producer, its errors mapped to ours; a retriable one is repeated until a deadline, unless it may have had an effect."""
        deadline = time.monotonic() + STEP_DEADLINE_S
        while True:
            self._step_began = time.monotonic()
            try:
                call(*arguments)
            except KafkaException as exception:
                error = exception.args[0]
                if error.code() in _FENCED:
                    raise Fenced(f"another process took over: {error.str()}") from exception
                if error.txn_requires_abort() and not error.fatal():
                    raise Aborted(error.str()) from exception
                if error.fatal() or not (repeatable and error.retriable()) or time.monotonic() > deadline:
                    raise Stopped(f"Kafka: {error.str()}; check the broker, then start again") from exception
                time.sleep(_PAUSE_S)
            else:
                return
            finally:
                self._step_began = None
