"""Makes the simulated clients of one task, and reads changelogs and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streams.runtime.config import TaskConfig
from streams.runtime.record import Record
from tests.history import Recorder
from tests.simulation.broker import Broker
from tests.simulation.consumer import SimConsumer
from tests.simulation.network import Network
from tests.simulation.producer import SimProducer
from tests.simulation.scheduler import Crash, Process

__all__ = ["SimClients", "SimConsumer", "SimProducer", "SimReader"]


class SimReader:
    """Reads one topic outside any group."""

    def __init__(self, clients: SimClients, topic: str) -> None:
        self.clients = clients
        self._network, self._process, self._broker = clients.network, clients.process, clients.broker
        self._topic = topic
        self._positions: dict[int, int] = {}

    def topic_id(self) -> str:
        """Id of the topic's incarnation."""
        return self._broker.topics[self._topic].topic_id

    def partitions(self) -> tuple[int, ...]:
        """The topic's partitions."""
        return tuple(range(len(self._broker.topics[self._topic].partitions)))

    def end_offsets(self, partitions: Sequence[int], *, timeout_ms: int) -> dict[int, int]:
        """Offsets after the last record, committed or not."""
        return self._network.call(
            self._process,
            f"asking for the ends of {self._topic}",
            lambda: {number: self.end(number) for number in partitions},
            timeout_ms=timeout_ms,
            coordinator=False,
        )

    def end(self, number: int) -> int:
        """The end that a restore reads to."""
        return self._broker.topics[self._topic].partitions[number].high_watermark(self._broker.world.now_ms)

    def assign(self, positions: Mapping[int, int]) -> None:
        """Start reading."""
        assert not self._positions, "a reader is assigned once"
        self._positions = dict(positions)

    def read(self, *, records_max: int, timeout_ms: int) -> list[Record]:
        """Records that are there, waiting for a first one."""
        world = self._broker.world
        deadline_ms = world.now_ms + timeout_ms
        while True:
            world.sleep(world.random.randrange(3))
            if not self._process.alive:
                raise Crash
            records = self._take(records_max)
            if records or world.now_ms >= deadline_ms:
                return records
            world.sleep(max(1, min(20, deadline_ms - world.now_ms)))

    def _take(self, records_max: int) -> list[Record]:
        world, random = self._broker.world, self._broker.world.random
        records: list[Record] = []
        if not self._network.reached(self._process, coordinator=False):
            return records
        for number, position in self._positions.items():
            log = self._broker.topics[self._topic].partitions[number]
            wanted = min(records_max - len(records), 1 + random.randrange(40))
            taken, self._positions[number] = log.read(position, world.now_ms, records_max=max(0, wanted))
            records.extend(taken)
        return records

    def position(self, partition: int) -> int:
        """Offset up to which everything was returned."""
        return self._positions[partition]

    def close(self) -> None:
        """Drop the client."""


class SimClients:
    """The clients of one task in one process."""

    consumer_class: type[SimConsumer] = SimConsumer
    producer_class: type[SimProducer] = SimProducer
    reader_class: type[SimReader] = SimReader

    def __init__(self, config: TaskConfig, process: Process, network: Network, recorder: Recorder) -> None:
        self.config, self.process, self.network, self.recorder = config, process, network, recorder
        self.broker: Broker = network.broker
        self.made = 0

    def consumer(self) -> SimConsumer:
        """A new member of the task's group."""
        self.made += 1
        return self.consumer_class(self)

    def producer(self, turn: int) -> SimProducer:
        """A new producer of this instance's transactional id of that turn."""
        self.made += 1
        return self.producer_class(self, turn)

    def reader(self, topic: str) -> SimReader:
        """A reader of a changelog or a table."""
        return self.reader_class(self, topic)

    @property
    def name(self) -> str:
        """A name for the newest client, unique in the run."""
        return f"{self.process.name}/{self.config.name}/{self.made}"
