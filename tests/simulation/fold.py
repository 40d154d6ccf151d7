"""What the inputs say should be there: the handlers run over the committed log once more, from nothing, without a runtime."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from streams.runtime import POSITIONS_KEY, Output, PoisonRecord, Record
from tests.simulation.broker import Broker
from tests.simulation.cluster import APPLICATION, SPECS, TaskSpec
from tests.simulation.scheduler import EPOCH_MS

# A source partition: the task that reads it, and its number.
Source = tuple[str, int]

# What an output is, byte for byte; intake stamps its own time, which is left out (None).
Content = tuple[bytes | None, bytes | None, int | None]


class Expected(msgspec.Struct):
    """One output that has to be there exactly once."""

    source: Source
    index: int
    content: Content


class _Store:
    """State in a dict, with what a refused record takes back."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self._before: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.data.get(key)

    def range(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(pair for pair in self.data.items() if pair[0].startswith(prefix)))

    def put(self, key: bytes, value: bytes) -> None:
        self._before.setdefault(key, self.data.get(key))
        self.data[key] = value

    def delete(self, key: bytes) -> None:
        self._before.setdefault(key, self.data.get(key))
        self.data.pop(key, None)

    def settle(self, *, refused: bool) -> None:
        for key, value in self._before.items() if refused else ():
            if value is None:
                self.data.pop(key, None)
            else:
                self.data[key] = value
        self._before.clear()


class _Context:
    """What a handler may touch."""

    def __init__(self) -> None:
        self.store = _Store()
        self.outputs: list[Output] = []
        self.record: Record

    def emit(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: tuple[()] = (),
        timestamp_ms: int | None = None,
    ) -> None:
        time_ms = self.record.timestamp_ms if timestamp_ms is None else timestamp_ms
        self.outputs.append(Output(topic, value, key, partition, headers, time_ms))


class _Clock:
    """Nobody compares the time that intake stamps."""

    @staticmethod
    def wall_ms() -> int:
        return EPOCH_MS


class Fold:
    """Everything that follows from the inputs which the groups have committed."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.outputs: dict[tuple[str, int], dict[Content, Expected]] = {}
        self.state: dict[Source, dict[bytes, bytes]] = {}
        self.inputs = 0
        self.repeated: list[str] = []
        for spec in SPECS:
            offsets = broker.groups.group(f"{APPLICATION}-{spec.name}").offsets
            for number in range(len(broker.topics[spec.source].partitions)):
                self._fold(spec, number, offsets.get((spec.source, number), 0))

    def _fold(self, spec: TaskSpec, number: int, end: int) -> None:
        source = spec.name, number
        log = self.broker.topics[spec.source].partitions[number]
        tables = spec.tables()
        for table in tables:
            for part in self.broker.topics[table.topic].partitions:
                table._take(list(part.committed()))
        handler = spec.handler(tables, _Clock(), len(self.broker.topics[spec.source].partitions))  # type: ignore[arg-type]
        context = _Context()
        for record in log.committed(end):
            self.inputs += 1
            context.record = record
            mark = len(context.outputs)
            try:
                handler(record, context)  # type: ignore[arg-type]
            except PoisonRecord as poison:
                context.store.settle(refused=True)
                del context.outputs[mark:]
                made = spec.rejection(record, poison)
                context.emit(
                    made.topic, made.value, key=made.key, timestamp_ms=made.timestamp_ms or record.timestamp_ms
                )
            else:
                context.store.settle(refused=False)
        for index, output in enumerate(context.outputs):
            pair = output.topic, self.broker.partition_for(output)
            stamped = None if spec.name == "intake" and output.topic not in _REJECTED else output.timestamp_ms
            content = output.key, output.value, stamped
            expected = self.outputs.setdefault(pair, {})
            if content in expected:
                self.repeated.append(f"{pair}: {content[1]!r:.80}")
            expected[content] = Expected(source, index, content)
        self.state[source] = context.store.data
        if end:
            self.state[source][POSITIONS_KEY] = b'{"%s":%d}' % (spec.source.encode(), end)


_REJECTED = ("records.rejected",)
