"""The unit of a transaction: records in, state changes and outputs out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from streams.runtime.config import BATCH_OUTPUT_BYTES_MAX, BATCH_OUTPUTS_MAX, REJECTION_BYTES_MAX
from streams.runtime.errors import OutputOversized, PoisonRecord, StreamsError
from streams.runtime.record import RECORD_OVERHEAD_BYTES, Headers, Output, Record
from streams.runtime.state import StateView

Handler = Callable[[Record, "Context"], None]
Rejection = Callable[[Record, PoisonRecord], Output]


class Stop(msgspec.Struct, frozen=True):
    """A partition stops at this record because its handler failed unexpectedly."""

    record: Record
    error: BaseException


class Context:
    """What a handler may touch: its partition's state, its outputs, the record in hand."""

    __slots__ = ("_batch", "record", "store")

    record: Record

    def __init__(self, batch: Batch, store: StateView) -> None:
        self._batch = batch
        self.store = store

    @property
    def epoch(self) -> int:
        """Grows whenever work of this task was dropped: what a handler remembers of before may never have been committed."""
        return self._batch.epoch

    def emit(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
    ) -> None:
        """
        Produce a record in the batch's transaction, after everything emitted before it.

        Without a timestamp it carries that of the record in hand: time is the input's. `OutputOversized`, a
        `PoisonRecord`, if a topic wouldn't take it.
        """
        batch = self._batch
        output = Output(
            topic, value, key, partition, headers, self.record.timestamp_ms if timestamp_ms is None else timestamp_ms
        )
        size_bytes = RECORD_OVERHEAD_BYTES + (len(value) if value is not None else 0) + (len(key) if key else 0)
        if headers:
            size_bytes = output.size_bytes()
        limit = batch.rejection_bytes_max if topic == batch.rejected_topic else batch.output_bytes_max
        if size_bytes > limit:
            raise OutputOversized(f"output of {size_bytes} bytes to {topic} exceeds {limit}")
        batch.outputs.append(output)
        batch.output_bytes += size_bytes


class Batch:
    """
    Records of one transaction.

    A processor or a Faust agent calls `run` exactly once. What `run` leaves behind (`outputs`, `positions`, `stops`,
    the views' changes) is committed by the task.
    """

    __slots__ = (
        "_finished",
        "_rejection",
        "_settled",
        "_started",
        "_views",
        "epoch",
        "output_bytes",
        "output_bytes_max",
        "outputs",
        "positions",
        "processed",
        "records",
        "rejected",
        "rejected_topic",
        "rejection_bytes_max",
        "stops",
        "taken",
    )  # fmt: skip

    def __init__(
        self,
        records: Sequence[Record],
        views: Mapping[int, StateView],
        *,
        rejection: Rejection | None,
        output_bytes_max: int,
        rejected_topic: str | None = None,
        rejection_bytes_max: int = REJECTION_BYTES_MAX,
        epoch: int = 0,
    ) -> None:
        self.records = records
        self.epoch = epoch
        self.outputs: list[Output] = []
        self.output_bytes = 0
        self.output_bytes_max = output_bytes_max
        self.rejected_topic = rejected_topic
        self.rejection_bytes_max = rejection_bytes_max
        # The next offset of each topic partition, and the partitions that stop, with their record.
        self.positions: dict[tuple[str, int], int] = {}
        self.stops: dict[int, Stop] = {}
        self.rejected = 0
        # Records looked at, and those of them that take effect when the batch commits.
        self.taken = 0
        self.processed = 0
        self._views = views
        self._rejection = rejection
        self._started = False
        self._finished = False
        self._settled: Callable[[BaseException | None], None] | None = None

    @property
    def finished(self) -> bool:
        """Whether `run` came to its end."""
        return self._finished

    def run(self, handler: Handler) -> None:
        """
        Call the handler for each record in order.

        A `PoisonRecord` undoes that record's changes and outputs, and sends the rejection instead. Any other exception
        is a bug: it stops the record's partition there, and the other partitions go on. Errors of the runtime itself
        fail the batch.
        """
        if self._started:
            raise RuntimeError("a batch runs once; take the next one from the channel")
        self._started = True
        try:
            self._run(handler)
        except StreamsError as error:
            # With a shell waiting, the error is the task's business and the agent goes on with the next batch.
            if not self.settle(error):
                raise
        except BaseException as error:
            self.settle(error)
            raise
        else:
            self._finished = True
            self.settle(None)

    def _run(self, handler: Handler) -> None:
        contexts = {number: Context(self, view) for number, view in self._views.items()}
        stops, outputs, positions = self.stops, self.outputs, self.positions
        for record in self.records:
            self.taken += 1
            context = contexts[record.partition]
            if stops and record.partition in stops:
                continue
            context.record = record
            mark, mark_bytes = len(outputs), self.output_bytes
            try:
                handler(record, context)
            except PoisonRecord as poison:
                self._undo(context, mark, mark_bytes)
                if not self._reject(record, poison, context):
                    continue
            except StreamsError:
                raise
            except Exception as bug:  # noqa: BLE001 -- whatever it is, money must not be skipped
                self._undo(context, mark, mark_bytes)
                stops[record.partition] = Stop(record, bug)
                continue
            context.store.release()
            positions[record.topic, record.partition] = record.offset + 1
            self.processed += 1
            if len(outputs) >= BATCH_OUTPUTS_MAX or self.output_bytes >= BATCH_OUTPUT_BYTES_MAX:
                break

    def _undo(self, context: Context, mark: int, mark_bytes: int) -> None:
        context.store.rollback()
        del self.outputs[mark:]
        self.output_bytes = mark_bytes

    def _reject(self, record: Record, poison: PoisonRecord, context: Context) -> bool:
        """Put the rejection in the record's place; a rejection that fails stops the partition like any bug."""
        try:
            if self._rejection is None:
                raise poison  # noqa: TRY301 -- nobody said where rejected records go
            rejection = self._rejection(record, poison)
            context.emit(
                rejection.topic,
                rejection.value,
                key=rejection.key,
                partition=rejection.partition,
                headers=rejection.headers,
                timestamp_ms=rejection.timestamp_ms or record.timestamp_ms,
            )
        except Exception as bug:  # noqa: BLE001
            self.stops[record.partition] = Stop(record, bug)
            return False
        self.rejected += 1
        return True

    def on_settled(self, settled: Callable[[BaseException | None], None]) -> None:
        """Call back once, when the batch has run or failed; used by shells that hand the batch to another thread."""
        self._settled = settled

    def settle(self, error: BaseException | None) -> bool:
        """Tell whoever waits; only the first call counts, and says so."""
        if (settled := self._settled) is None:
            return False
        self._settled = None
        settled(error)
        return True
