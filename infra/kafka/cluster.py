"""Several embedded brokers that replicate each other: for tests of what one broker cannot show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.kafka import _ports
from infra.kafka._node import Node, new_cluster_id
from infra.kafka._readiness import DEFAULT_DEADLINE_S, wait_until_serving
from infra.kafka.errors import PortInUse

__all__ = ["Cluster"]

PORT_TRIES = 5
DEFAULT_BROKERS = 3
MAX_BROKERS = 9
DEFAULT_HEAP_MB = 320
CLUSTER_ID_FILE = "cluster.id"


class Cluster:
    """`brokers` nodes numbered from 1, each broker and controller; topics have three replicas, two in sync suffice.

    Ports are chosen at the first start and stay the same for this object.
    """

    def __init__(
        self,
        data_dir: Path | str,
        *,
        brokers: int = DEFAULT_BROKERS,
        heap_mb: int = DEFAULT_HEAP_MB,
        quick: bool = True,
        settings: Mapping[str, str] | None = None,
        jars_dir: Path | None = None,
    ) -> None:
        if not 1 <= brokers <= MAX_BROKERS:
            raise ValueError(f"brokers must be 1 to {MAX_BROKERS}, not {brokers}")
        self._data_dir = Path(data_dir)
        self._nodes = {
            number: Node(
                self._data_dir / f"broker-{number}",
                node_id=number,
                heap_mb=heap_mb,
                quick=quick,
                settings=settings,
                jars_dir=jars_dir,
            )
            for number in range(1, brokers + 1)
        }
        self._ports: dict[int, tuple[int, int]] = {}

    @property
    def numbers(self) -> list[int]:
        """The brokers' numbers, which are their node ids."""
        return list(self._nodes)

    @property
    def bootstrap(self) -> str:
        """`bootstrap.servers` with every broker of the cluster."""
        return ",".join(self.address(number) for number in self._nodes)

    def address(self, number: int) -> str:
        """host:port of one broker."""
        return f"127.0.0.1:{self._ports[number][0]}"

    def start(self, *, deadline_s: float = DEFAULT_DEADLINE_S) -> None:
        """Starts every broker that does not run and returns when all serve. Raises as `Broker.start` does."""
        for attempt in range(PORT_TRIES):
            first_start = not self._ports
            try:
                self._start_once(deadline_s)
            except PortInUse:
                self.kill()
                if not first_start or attempt == PORT_TRIES - 1:
                    raise
                self._ports = {}
            except BaseException:
                self.kill()
                raise
            else:
                return

    def _start_once(self, deadline_s: float) -> None:
        if not self._ports:
            chosen = _ports.free_ports(2 * len(self._nodes))
            self._ports = dict(zip(self._nodes, zip(chosen[::2], chosen[1::2], strict=True), strict=True))
        for number in self._nodes:
            self._start_node(number)
        self.wait_ready(deadline_s=deadline_s)

    def start_broker(self, number: int, *, deadline_s: float = DEFAULT_DEADLINE_S) -> None:
        """Starts one broker again and returns when it and all others that run serve and are in sync."""
        self._start_node(number)
        self.wait_ready(deadline_s=deadline_s)

    def stop_broker(self, number: int) -> None:
        """Ends one broker in order: its leaderships move first."""
        self._nodes[number].stop()

    def kill_broker(self, number: int) -> None:
        """Ends one broker with SIGKILL."""
        self._nodes[number].kill()

    def is_alive(self, number: int) -> bool:
        """Whether the process of one broker runs."""
        return self._nodes[number].is_alive()

    def pid(self, number: int) -> int | None:
        """The process id of one broker while it runs."""
        return self._nodes[number].pid

    def wait_ready(self, *, deadline_s: float = DEFAULT_DEADLINE_S) -> None:
        """Returns when every broker that runs serves, each asked by itself. Raises as `Broker.start` does."""
        running = [number for number in self._nodes if self.is_alive(number)]

        def check() -> None:
            for number in running:
                self._nodes[number].check()

        wait_until_serving({number: self.address(number) for number in running}, deadline_s=deadline_s, check=check)

    def stop(self) -> None:
        """Ends every broker. The last ones cannot hand over to a majority that is gone, so they are killed."""
        majority = len(self._nodes) // 2 + 1
        for number in self._nodes:
            running = sum(self.is_alive(other) for other in self._nodes)
            if running > majority or len(self._nodes) == 1:
                self.stop_broker(number)
            else:
                self.kill_broker(number)

    def kill(self) -> None:
        """Ends every broker with SIGKILL."""
        for number in self._nodes:
            self.kill_broker(number)

    def _start_node(self, number: int) -> None:
        node = self._nodes[number]
        if node.is_alive():
            return
        port, controller_port = self._ports[number]
        _ports.require_free(port, controller_port)
        node.start(
            port=port,
            controller_port=controller_port,
            voters={other: ports[1] for other, ports in self._ports.items()},
            cluster_id=self._cluster_id(),
        )

    def _cluster_id(self) -> str:
        """The id that all nodes are formatted with, kept beside their directories."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        path = self._data_dir / CLUSTER_ID_FILE
        if not path.exists():
            path.write_text(new_cluster_id(), encoding="ascii")
        return path.read_text(encoding="ascii")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
