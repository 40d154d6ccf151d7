"""The sender as one process: an event loop with the attempts, and beside it two threads, one for the queue and one for what comes of attempts."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from api.webhooks import notices
from api.webhooks._settings import Settings
from api.webhooks._transactions import QUIET
from api.webhooks.attempts import Attempts, Outcome, lane_of
from api.webhooks.book import Book
from api.webhooks.calls import Caller
from api.webhooks.errors import ConfigurationError, WebhooksError, WebhooksStopped
from api.webhooks.health import Health
from api.webhooks.lanes import Lanes
from api.webhooks.parked import Parked
from api.webhooks.pump import Pump
from api.webhooks.queue import SOURCES, Queue
from schemas.catalogue import (
    WEBHOOKS_ATTEMPTS,
    WEBHOOKS_DELIVERIES,
    WEBHOOKS_ENDPOINTS,
    WEBHOOKS_HEALTH,
    WEBHOOKS_PENDING,
)
from schemas.sealing import MasterKeys

DRAIN_S = 4.0
"""How long attempts under way may take to end when the process is told to stop; what is cut off is made again at the next start."""
THREADS_END_S = 4.0
WATCH_EVERY_S = 1.0
METADATA_DEADLINE_S = 30.0

_NEEDED = (WEBHOOKS_ENDPOINTS, WEBHOOKS_ATTEMPTS, WEBHOOKS_HEALTH)
_ALIKE = (*SOURCES, WEBHOOKS_DELIVERIES, WEBHOOKS_PENDING)

log = logging.getLogger("clearline.webhooks")


def check_topics(kafka: dict[str, Any]) -> None:
    """See that the topics are there and co-partitioned. Raises `ConfigurationError`."""
    admin = AdminClient(kafka, logger=QUIET)
    try:
        found = admin.list_topics(timeout=METADATA_DEADLINE_S).topics
    except KafkaException as error:
        message = f"no answer from Kafka at {kafka['bootstrap.servers']}: {error.args[0].str()}; start it, or set CLEARLINE_KAFKA"
        raise ConfigurationError(message) from error
    missing = [topic.name for topic in (*_ALIKE, *_NEEDED) if topic.name not in found]
    if missing:
        raise ConfigurationError(f"topics are missing: {', '.join(missing)}; make the topics of the catalogue first")
    counts = {topic.name: len(found[topic.name].partitions) for topic in _ALIKE}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise ConfigurationError(
            f"topics that go together need as many partitions each; {said}: add to the smaller ones"
        )


class Sender:
    """Everything of one process, from `run` until it is told to stop."""

    def __init__(
        self,
        kafka: dict[str, Any],
        *,
        worker: str,
        settings: Settings,
        master: MasterKeys | None,
        allow_loopback: bool,
        data: Path,
    ) -> None:
        self._settings, self._schedule = settings, settings.schedule
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._unready = {"queue", "attempts"}
        self._judged: set[str] = set()
        self._judging: set[asyncio.Task[None]] = set()
        self._threads: list[threading.Thread] = []
        self._book = Book(kafka)
        self._parked = Parked(data)
        self._health = Health(kafka, promised_s=settings.schedule.promised_s, failed=self._failed)
        self._caller = Caller(allow_loopback=allow_loopback, timeout_s=settings.timeout_s)
        self._pump = Pump(
            kafka,
            worker=worker,
            settings=settings,
            parked=self._parked,
            book=self._book,
            health=self._health,
            wake=lambda lanes: self._soon(self._lanes.wake, lanes),
            abandoned=lambda outcome: self._soon(self._judge, outcome),
            ready=lambda: self._soon(self._ready, "attempts"),
        )
        self._queue = Queue(
            kafka,
            worker=worker,
            session_timeout_s=settings.session_timeout_s,
            ready=lambda: self._soon(self._ready, "queue"),
        )
        attempts = Attempts(self._caller, self._book, master=master, schedule=settings.schedule, emit=self._pump.emit)
        self._lanes = Lanes(
            self._parked,
            attempt=attempts.attempt,
            unsettled=lambda: self._pump.unsettled,
            attempts_max=settings.attempts_max,
            attempts_per_endpoint_max=settings.attempts_per_endpoint_max,
            failed=self._end,
        )

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT. Raises what a supervisor should see."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(signum, self._end)
        await asyncio.to_thread(self._book.start)
        await asyncio.to_thread(self._health.start)
        self._thread("queue", self._queue.run)
        self._thread("attempts", self._pump.run)
        watching = asyncio.create_task(self._watch())
        calling = asyncio.create_task(self._lanes.run())
        calling.add_done_callback(self._lanes_ended)
        try:
            await self._ended
            self._queue.stop()
            await self._lanes.drain(deadline_s=DRAIN_S)
            self._pump.stop()
            await self._join()
        finally:
            watching.cancel()
            self._queue.stop()
            self._pump.stop()
            await self._caller.aclose()

    def _thread(self, name: str, body: Callable[[], None]) -> None:
        def run() -> None:
            try:
                body()
            except BaseException as error:  # noqa: BLE001 - whatever ends a thread ends the process
                self._failed(error)

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    async def _join(self) -> None:
        deadline = time.monotonic() + THREADS_END_S
        for thread in self._threads:
            await asyncio.to_thread(thread.join, max(deadline - time.monotonic(), 0))
        if any(thread.is_alive() for thread in self._threads):
            raise WebhooksStopped("Kafka did not take the last transaction in time; what was open is done again")

    async def _watch(self) -> None:
        """End the process when Kafka's client hangs; its thread can't be helped."""
        while not (self._queue.hangs() or self._pump.hangs()):  # noqa: ASYNC110 - it is other threads' progress
            await asyncio.sleep(WATCH_EVERY_S)
        self._end(WebhooksStopped("Kafka's client doesn't come back from a transaction; start again, nothing is lost"))

    def _end(self, error: BaseException | None = None) -> None:
        if not self._ended.done():
            self._ended.set_exception(error) if error else self._ended.set_result(None)

    def _failed(self, error: BaseException) -> None:
        self._soon(self._end, error)

    def _soon(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call on the loop; from any thread, also when the loop has ended already."""
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            log.debug("the loop has ended")

    def _lanes_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end(error)

    def _ready(self, part: str) -> None:
        if self._unready:
            self._unready.discard(part)
            if not self._unready:
                log.info("ready")

    # -- endpoints that are dead ------------------------------------------------------------------------------------------------

    def _judge(self, outcome: Outcome) -> None:
        """A delivery was abandoned: if nothing else was accepted for as long, its endpoint is dead."""
        lane = lane_of(outcome.delivery)
        dead = self._schedule.is_dead(
            accepted_ms=self._health.accepted_ms(lane),
            failing_since_ms=outcome.delivery.queued_ms,
            now_ms=time.time_ns() // 1_000_000,
        )
        if dead and lane not in self._judged:
            self._judged.add(lane)
            task = asyncio.create_task(self._disable(lane, outcome))
            self._judging.add(task)
            task.add_done_callback(self._judging.discard)

    async def _disable(self, lane: str, outcome: Outcome) -> None:
        one = outcome.delivery
        hours = self._settings.schedule.promised_s / 3600
        reason = f"nothing was accepted for {hours:g} hours; the last attempt: {one.failure}"
        try:
            disabled = await self._book.change(
                one.tenant,
                lambda endpoints: notices.disabled(
                    endpoints, one.endpoint_id, reason=reason, partition=outcome.partition
                ),
            )
        except WebhooksError as error:
            log.warning("%s could not be disabled: %s; the next delivery that is abandoned will try again", lane, error)
        else:
            if disabled:
                log.warning("%s is disabled: %s", lane, reason)
        finally:
            self._judged.discard(lane)
