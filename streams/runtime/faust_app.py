"""A Faust app whose agents are fed by exactly-once tasks."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

import faust
import msgspec
from faust.app.base import BootStrategy
from faust.worker import Worker

from schemas import deadman, logs
from streams.runtime import faults
from streams.runtime.batch import Rejection
from streams.runtime.config import TaskConfig
from streams.runtime.errors import StreamsError
from streams.runtime.faust_source import Source, Topology
from streams.runtime.table import GlobalTable

logger = logging.getLogger(__name__)

EXIT_FAILED = 70  # EX_SOFTWARE

LOG_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s"


class _NoFaustKafka(BootStrategy):
    """Agents, web, timers and sensors; Kafka is the tasks' business."""

    enable_kafka = enable_kafka_producer = enable_kafka_consumer = False


class RuntimeAgent(faust.Agent):
    """An agent that tells its source when it crashes or is cancelled, so that no batch waits for it."""

    async def _execute_actor(self, coro: Any, aref: Any) -> None:
        try:
            await super()._execute_actor(coro, aref)
        finally:
            app = cast("RuntimeApp", self.app)
            for source in app.sources:
                if source.channel is self.channel:
                    source.agent_left(aref.crash_reason)


class RuntimeWorker(Worker):
    """Ends with the status and the last line that a supervisor needs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Faust's spinner takes over the log handler's level, so that nothing below WARNING would be seen.
        self.spinner = None

    def execute_from_commandline(self) -> NoReturn:
        """Run until stopped; status 0 after a signal, `EXIT_FAILED` after a failed task."""
        deadman.arm()
        logs.tell_ends()
        try:
            super().execute_from_commandline()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        failure = cast("RuntimeApp", self.app).failure
        logging.shutdown()
        sys.stdout.flush()
        if failure is not None:
            # Ours say what to do; of another's error only what may be logged.
            said = str(failure) if isinstance(failure, StreamsError) else logs.words(failure)
            print(f"worker ends: {said}", file=sys.stderr)
            status = EXIT_FAILED
        sys.stderr.flush()
        # A client's thread may still wait for a broker that is gone; interpreter shutdown would wait for it, too.
        os._exit(status)


class RuntimeApp(faust.App):
    """A `faust.App` with `source`: see `make_app`."""

    BootStrategy = _NoFaustKafka

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.sources: list[Source] = []
        self.failure: BaseException | None = None
        super().__init__(*args, **kwargs)

    def source(
        self,
        name: str,
        *,
        sources: Sequence[str],
        changelog: str | None = None,
        rejected: str | None = None,
        rejection: Rejection | None = None,
        tables: Sequence[GlobalTable[Any]] = (),
        topology: Topology | None = None,
        **limits: Any,
    ) -> Source:
        """
        A task whose batches go to the agent of `source.channel`; `limits` are fields of `TaskConfig`.

        `topology` checks the topics before the group is joined, in `check_topology`'s place: it may promise replicas.
        """
        config = msgspec.structs.replace(
            self.task_defaults, name=name, sources=tuple(sources), changelog=changelog, rejected=rejected, **limits
        )
        source = Source(self, config, rejection=rejection, tables=tables, topology=topology)
        self.sources.append(source)
        return source

    task_defaults: TaskConfig

    def on_init_dependencies(self) -> list[Any]:
        """Faust's services, then the sources, which need the agents."""
        return [*super().on_init_dependencies(), *self.sources]

    async def on_first_start(self) -> None:
        """Faust makes its data directory, but not the ones above it."""
        self.conf.datadir.mkdir(parents=True, exist_ok=True)
        await super().on_first_start()

    async def on_start(self) -> None:
        """Open the channels, which otherwise Faust's own consumer would do."""
        await super().on_start()
        self.flow_control.resume()

    async def stop(self) -> None:
        """Drain the sources while their agents are still there, then stop everything."""
        await asyncio.gather(*(source.drain() for source in self.sources))
        await super().stop()

    def source_failed(self, source: Source, failure: BaseException) -> None:
        """A task can't go on: end the process, its supervisor starts another."""
        if self.failure is None:
            self.failure = failure
            logger.error("task %s failed, the worker ends: %s", source.config.name, failure)
            self._failing = asyncio.ensure_future(self.crash(failure))


def make_app(
    name: str,
    *,
    instance: str,
    bootstrap: str,
    directory: Path,
    client: Mapping[str, str | int | float | bool] | None = None,
    **settings: Any,
) -> RuntimeApp:
    """
    The configured app: `faust -A <module> worker --web-port N` runs it.

    `name` is the application in group and transactional ids; `instance` is unique among its running workers and stable
    over restarts; state lies in `directory/state/<instance>`. `settings` are further Faust settings.
    """
    faults.arm_from_environment()
    app = RuntimeApp(
        name,
        broker="kafka://" + bootstrap,
        store="memory://",
        datadir=directory / "faust" / instance,
        web_enabled=True,
        worker_redirect_stdouts=False,
        Agent=RuntimeAgent,
        Worker=RuntimeWorker,
        logging_config=log_settings(),
        **settings,
    )
    app.task_defaults = TaskConfig(
        name="default",
        application=name,
        instance=instance,
        sources=("unset",),
        bootstrap=bootstrap,
        state_directory=directory / "state" / instance,
        client=client or {},
    )
    _add_views(app)
    return app


def log_settings(level: str = "INFO") -> dict[str, Any]:
    """One line an event, UTC, to stderr."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "format": LOG_FORMAT,
                "datefmt": "%Y-%m-%dT%H:%M:%S",
                "()": "schemas.logs.Lines",
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {"streams": {"level": level}},
    }


def _add_views(app: RuntimeApp) -> None:
    @app.page("/health")
    async def health(self: Any, _request: Any) -> Any:
        """Every task's partitions, restores, stops, lag and counters; 503 until ready and while a partition stands."""
        tasks = [source.status() for source in app.sources]
        ready = app.failure is None and all(task.ready for task in tasks)
        healthy = app.failure is None and all(task.healthy for task in tasks)
        body: dict[str, Any] = {
            "ready": ready,
            "healthy": healthy,
            "failure": str(app.failure) if app.failure else None,
        }
        body["tasks"] = [
            msgspec.to_builtins(task)
            | {"ready": task.ready, "healthy": task.healthy, "lag": sum(part.lag for part in task.partitions)}
            for task in tasks
        ]
        return self.json(body, status=200 if ready and healthy else 503)

    @app.page("/live")
    async def live(self: Any, _request: Any) -> Any:
        """200 as long as the process answers."""
        return self.json({"live": True})
