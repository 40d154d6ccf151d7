"""
The Faust shell: an agent is fed with batches that a `Task` reads and commits in a thread of its own.

    thread   task.step ── poll ── batch ─┐                        ┌─ transaction
    loop                                 └─ channel ── agent.run ─┘

Faust starts agents, web, timers and sensors; its own Kafka client stays off, because its exactly-once mode isn't.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

import faust
from mode import Service
from mode.utils.queues import ThrowableQueue

from schemas.logs import words
from streams.runtime._ends import Ends
from streams.runtime.batch import Batch, Rejection
from streams.runtime.config import TaskConfig
from streams.runtime.errors import Abortable, Behind, ConfigurationFault, Fatal, StreamsError
from streams.runtime.kafka import KafkaClients, SystemClock
from streams.runtime.seams import TopicReader
from streams.runtime.status import TaskStatus
from streams.runtime.store import RocksStores
from streams.runtime.table import GlobalTable
from streams.runtime.task import Task
from streams.runtime.topology import check_topology

if TYPE_CHECKING:
    from streams.runtime.faust_app import RuntimeApp

logger = logging.getLogger(__name__)

# A stop waits this long for the batch in hand and its commit; processes have 10 s between SIGTERM and SIGKILL.
STOP_TIMEOUT_S = 8.0

# How often a batch looks whether its agent has started, before the first one.
SUBSCRIBER_WAIT_S = 0.02

# A question waits in such steps for the commit that is about to be applied, and for an answer of the broker so long.
READ_STEP_S = 0.001
ENDS_TIMEOUT_MS = 5_000

T = TypeVar("T")


Topology = Callable[[KafkaClients, TaskConfig], None]
"""Raises `ConfigurationFault` when the topics are not what was promised."""


class BatchQueue(ThrowableQueue[Any]):
    """The agent's queue: when the agent asks for the next batch, the one before must have been run."""

    given: Batch | None = None

    def get_nowait(self) -> Any:
        """The next event."""
        self._expect_settled()
        event = super().get_nowait()
        self.given = event.value
        return event

    async def get(self) -> Any:
        """Wait for the next event."""
        self._expect_settled()
        return await super().get()

    def _expect_settled(self) -> None:
        if self.given is not None:
            self.given.settle(Abortable("the agent went on without running its batch: call batch.run(handler)"))
            self.given = None


class BatchChannel(faust.Channel[Batch]):
    """An in-process channel of batches for one agent."""

    @property
    def queue(self) -> ThrowableQueue[Any]:
        """The queue behind this iterator of the channel."""
        if self._queue is None:
            self._queue = BatchQueue(maxsize=1, flow_control=self.app.flow_control, clear_on_resume=True)
        return self._queue


class Source(Service):
    """
    One task as a service of the Faust app.

    Use it as `@app.agent(source.channel)` with `async for batch in batches: batch.run(handle)`, one agent a source.
    """

    abstract = False

    def __init__(
        self,
        app: RuntimeApp,
        config: TaskConfig,
        *,
        rejection: Rejection | None = None,
        tables: Sequence[GlobalTable[Any]] = (),
        topology: Topology | None = None,
        **kwargs: Any,
    ) -> None:
        self.app = app
        self.config = config
        self.channel = BatchChannel(app, maxsize=1)
        self._topology = topology
        self._clients = KafkaClients(config)
        self.task_engine = Task(
            config,
            self._process,
            clients=self._clients,
            stores=RocksStores(config.task_directory),
            clock=SystemClock(),
            rejection=rejection,
            tables=tables,
        )
        self._event_loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment]  # set before the thread starts
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._pending: Batch | None = None
        self._ends = Ends(self._ask_ends)
        self._ends_reader: TopicReader | None = None
        super().__init__(**kwargs)

    def status(self) -> TaskStatus:
        """The task's snapshot."""
        return self.task_engine.status()

    async def read(
        self, partition: int, reader: Callable[[Callable[[bytes], bytes | None]], T], *, timeout_s: float
    ) -> T:
        """
        What `reader` makes of the partition's committed state, linearizable: see `Task.read`.

        First the broker is asked where the changelog ends now, then the store is waited for. A worker that has lost the
        partition without knowing it never gets there, so it can't answer what is old. Raises `NotHeld`, `Behind` after
        `timeout_s`, or what asking the broker raises.
        """
        self.task_engine.read(partition, lambda _get: None)  # no need to ask the broker when it isn't ours anyway
        deadline_s = time.monotonic() + timeout_s
        end = await self._ends.end(partition)
        while True:
            try:
                return self.task_engine.read(partition, reader, end=end)
            except Behind:
                if time.monotonic() >= deadline_s:
                    raise
            await asyncio.sleep(READ_STEP_S)

    def _ask_ends(self, partitions: Sequence[int]) -> dict[int, int]:
        if self._ends_reader is None:
            assert self.config.changelog is not None, "a task without state holds no partition that can be read"
            self._ends_reader = KafkaClients(self.config).reader(self.config.changelog)
        return self._ends_reader.end_offsets(partitions, timeout_ms=ENDS_TIMEOUT_MS)

    async def on_start(self) -> None:
        """Start the task's thread."""
        self._event_loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name=f"task-{self.config.name}", daemon=True)
        self._thread.start()

    async def drain(self) -> bool:
        """Finish the batch in hand, commit, leave; False if that took too long (nothing is lost then either)."""
        self._stopping.set()
        thread = self._thread
        if thread is None:
            return True
        await asyncio.get_running_loop().run_in_executor(None, thread.join, STOP_TIMEOUT_S)
        if thread.is_alive():
            logger.warning(
                "task %s did not stop in %.0f s; its open transaction is aborted", self.config.name, STOP_TIMEOUT_S
            )
        return not thread.is_alive()

    async def on_stop(self) -> None:
        """Stop, if the app hasn't drained us before."""
        await self.drain()

    # In the task's thread

    def _run(self) -> None:
        task = self.task_engine
        failure: BaseException | None = None
        try:
            (self._topology or check_topology)(self._clients, self.config)
            while not self._stopping.is_set():
                task.step()
        except BaseException as error:
            failure = error
            if not isinstance(error, Fatal):
                logger.exception("task %s met a bug of the runtime", self.config.name)
        try:
            task.close()
        except Exception as error:  # noqa: BLE001 -- the process ends with the first failure
            logger.warning("task %s while closing: %s", self.config.name, error)
        if failure is not None:
            try:
                self._event_loop.call_soon_threadsafe(self.app.source_failed, self, failure)
            except RuntimeError:
                logger.critical("task %s failed after the loop had ended: %r", self.config.name, failure)

    def _process(self, batch: Batch) -> None:
        """Hand the batch to the agent and wait until it has run or failed."""
        settled: Future[BaseException | None] = Future()
        batch.on_settled(settled.set_result)
        self._pending = batch
        try:
            asyncio.run_coroutine_threadsafe(self._deliver(batch), self._event_loop)
            error = settled.result(self.config.batch_timeout_ms / 1_000)
        except TimeoutError as error_:
            raise Fatal(
                f"the agent of task {self.config.name} did not finish a batch in {self.config.batch_timeout_ms} ms; "
                "look for a handler that waits or loops, then start again"
            ) from error_
        except RuntimeError as error_:
            raise Abortable(f"the event loop ended: {error_}") from error_
        finally:
            self._pending = None
        if isinstance(error, StreamsError):
            raise error
        if error is not None:
            raise Abortable(f"the agent failed outside its handler: {words(error)}") from error

    # In the event loop

    async def _deliver(self, batch: Batch) -> None:
        try:
            while not self.channel.subscriber_count:  # noqa: ASYNC110 -- Faust tells nobody when an agent subscribes
                await asyncio.sleep(SUBSCRIBER_WAIT_S)
            if self.channel.subscriber_count > 1:
                batch.settle(ConfigurationFault(f"source {self.config.name} feeds one agent with concurrency 1"))
            else:
                await self.channel.send(value=batch)
        except BaseException as error:
            batch.settle(Abortable(f"the batch did not reach its agent: {error!r}"))
            raise

    def agent_left(self, reason: BaseException | None) -> None:
        """The agent crashed or was cancelled: its batch, if any, must not wait for ever."""
        if (batch := self._pending) is not None:
            batch.settle(Abortable(f"the agent ended with its batch unfinished: {reason!r}"))
