"""One embedded Kafka broker: the default of the product and of the tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.kafka import _jars, _ports, _startup
from infra.kafka._node import DEFAULT_HEAP_MB, Node, new_cluster_id
from infra.kafka._readiness import DEFAULT_DEADLINE_S, wait_until_serving
from infra.kafka.errors import KafkaError, PortInUse

__all__ = ["Broker", "prepare_quick_starts"]

PORT_TRIES = 5


def prepare_quick_starts() -> None:
    """Fetches the jars and makes, once per user, the cache that halves the start of `quick` brokers (some 15 s).

    Raises JarsUnavailable. A cache that cannot be made is done without.
    """

    def train(directory: Path, option: str) -> None:
        with contextlib.suppress(KafkaError), Broker(directory, quick=True, jvm_options=[option]):
            pass  # started, serving, and stopped in order, which is when Java writes the cache

    _startup.ensure_cache(_jars.ensure_jars(), train)


class Broker:
    """One broker on `data_dir`, listening on 127.0.0.1 only.

    `port` and `controller_port` 0 choose free ones, which stay the same over restarts of this object. `quick` starts
    faster and runs slower (for tests). `settings` add to or replace server.properties. Data survives stop, kill and a
    new object on the same directory; if this process dies, the broker is killed.
    """

    def __init__(
        self,
        data_dir: Path | str,
        *,
        port: int = 0,
        controller_port: int = 0,
        heap_mb: int = DEFAULT_HEAP_MB,
        quick: bool = False,
        settings: Mapping[str, str] | None = None,
        java: Path | None = None,
        jars_dir: Path | None = None,
        jvm_options: Sequence[str] = (),
    ) -> None:
        self._node = Node(
            Path(data_dir),
            heap_mb=heap_mb,
            quick=quick,
            settings=settings,
            java=java,
            jars_dir=jars_dir,
            jvm_options=jvm_options,
        )
        self._asked = (port, controller_port)
        self._ports: tuple[int, int] | None = None

    @property
    def port(self) -> int:
        """The client port; 0 before the first start if none was asked for."""
        return self._ports[0] if self._ports else self._asked[0]

    @property
    def bootstrap(self) -> str:
        """`bootstrap.servers` for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The broker's process id while it runs."""
        return self._node.pid

    @property
    def log_file(self) -> Path:
        """The broker's own log."""
        return self._node.log_file

    def start(self, *, deadline_s: float = DEFAULT_DEADLINE_S) -> None:
        """Starts the broker and returns when it serves.

        Raises PortInUse, DataDirectoryInUse, DataDirectoryUnusable, JarsUnavailable, JavaUnusable, DiskFull,
        BrokerExited, NotReady; nothing runs after an error.
        """
        for attempt in range(PORT_TRIES):
            first_start = self._ports is None
            try:
                self._start_once(deadline_s)
            except PortInUse:
                # Only ports that we chose and nobody was told of yet may change.
                if not first_start or all(self._asked) or attempt == PORT_TRIES - 1:
                    raise
                self._ports = None
            else:
                return

    def _start_once(self, deadline_s: float) -> None:
        with self._killed_on_error():
            if self._ports is None:
                chosen = _ports.free_ports(2)
                self._ports = self._asked[0] or chosen[0], self._asked[1] or chosen[1]
            port, controller_port = self._ports
            if not self.is_alive():
                _ports.require_free(*self._ports)
            self._node.start(
                port=port,
                controller_port=controller_port,
                voters={self._node.node_id: controller_port},
                cluster_id=new_cluster_id(),
            )
            self.wait_ready(deadline_s=deadline_s)

    def wait_ready(self, *, deadline_s: float = DEFAULT_DEADLINE_S) -> None:
        """Returns when the broker serves: metadata, every leader, both coordinators. Raises as `start` does."""
        wait_until_serving({self._node.node_id: self.bootstrap}, deadline_s=deadline_s, check=self._node.check)

    def stop(self) -> None:
        """Ends the broker in order."""
        self._node.stop()

    def kill(self) -> None:
        """Ends the broker with SIGKILL."""
        self._node.kill()

    def is_alive(self) -> bool:
        """Whether its process runs."""
        return self._node.is_alive()

    @contextlib.contextmanager
    def _killed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
