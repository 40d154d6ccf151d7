"""Asks providers for what they tell of their own accord, and appends it to the input log together with how far it was read.

One gateway does it at a time: the one that has the first partition of provider.requests. Its transactional producer fences
whoever did it before, and the cursors are read after that, so that each notice is appended once, whatever is killed when. (The
fold knows notices by their ids as well.)
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillRunning
from typing import Any

from confluent_kafka import KafkaException, Producer

from connectors.providers.base import Notice, Provider
from connectors.providers.gateway import _translation
from schemas import reading
from schemas.catalogue import GATEWAY_CURSORS
from schemas.clients import transactional_config
from schemas.errors import TopicUnread

STEP_DEADLINE_S = 30.0
TRANSACTION_TIMEOUT_MS = 15_000
HANGS_AFTER_S = 300.0
_MARGIN_S = 5.0

log = logging.getLogger("clearline.gateway")


class Cursors:
    """How far each provider's notices were read, and the one producer that may move that on. Raises `TopicUnread` and `KafkaException`."""

    def __init__(self, kafka: dict[str, Any], *, transactional_id: str) -> None:
        settings = transactional_config(
            kafka["bootstrap.servers"], transactional_id, timeout_ms=TRANSACTION_TIMEOUT_MS, extra=kafka
        )
        self._producer = Producer(settings)
        self._producer.init_transactions(STEP_DEADLINE_S)
        self._read = restore(kafka)

    def after(self, provider: str) -> int:
        """Number of the last notice that was appended; 0 before the first."""
        return self._read.get(provider, 0)

    def append(self, provider: str, notices: list[Notice]) -> None:
        """Append notices and the cursor behind them, all or nothing. After an error nobody knows which: start anew."""
        last = notices[-1].number
        self._producer.begin_transaction()
        for told in notices:
            topic, key, value = _translation.notice(provider, told)
            self._producer.produce(topic, value, key)
        self._producer.produce(GATEWAY_CURSORS.name, b"%d" % last, provider.encode())
        self._producer.commit_transaction(STEP_DEADLINE_S)
        self._read[provider] = last


def restore(kafka: dict[str, Any]) -> dict[str, int]:
    """The cursors as they are committed. Raises `TopicUnread` and `KafkaException`."""
    ends = reading.ends(kafka, {(GATEWAY_CURSORS.name, 0)})
    held = reading.read(kafka, ends, group="gateway.restore")
    return {(message.key() or b"").decode(): int(message.value() or b"0") for _, _, message in held}


class Notices:
    """The thread that asks. `may_ask` says whether it is this gateway's turn."""

    def __init__(
        self,
        kafka: dict[str, Any],
        *,
        group: str,
        providers: Mapping[str, Provider],
        loop: asyncio.AbstractEventLoop,
        may_ask: Callable[[], bool],
        timeout_s: float,
        every_s: float,
    ) -> None:
        self._kafka, self._transactional_id = kafka, f"{group}-notices"
        self._providers, self._loop, self._may_ask = providers, loop, may_ask
        self._timeout_s, self._every_s = timeout_s, every_s
        self._stop = threading.Event()
        self._cursors: Cursors | None = None
        self._busy_since: float | None = None

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stop.set()

    def hangs(self) -> bool:
        """Whether Kafka's client has not come back for longer than any step may take."""
        since = self._busy_since
        return since is not None and time.monotonic() - since > HANGS_AFTER_S

    def run(self) -> None:
        """Ask again and again; what can't be done now is done later. Never raises for Kafka or a provider."""
        while not self._stop.is_set():
            self._busy_since = time.monotonic()
            try:
                more = self._may_ask() and self._round()
            except (KafkaException, TopicUnread) as error:
                log.warning("notices: Kafka: %s; asking again from the committed cursors", error)
                self._cursors, more = None, False
            self._busy_since = None
            if not more:
                self._stop.wait(self._every_s)

    def _round(self) -> bool:
        """Ask each provider once; whether any of them told something."""
        if self._cursors is None:
            self._cursors = Cursors(self._kafka, transactional_id=self._transactional_id)
        told_any = False
        for name, provider in self._providers.items():
            notices = self._ask(provider, self._cursors.after(name))
            if notices and not self._stop.is_set():
                self._cursors.append(name, notices)
                log.info("%s told of %d notices, up to number %d", name, len(notices), notices[-1].number)
                told_any = True
        if not self._may_ask():
            self._cursors = None  # somebody else may have gone on from here
        return told_any

    def _ask(self, provider: Provider, after: int) -> list[Notice] | None:
        asked: Future[list[Notice] | None] = asyncio.run_coroutine_threadsafe(
            provider.notices(after=after, timeout_s=self._timeout_s), self._loop
        )
        try:
            return asked.result(self._timeout_s + _MARGIN_S)
        except (StillRunning, asyncio.CancelledError):
            asked.cancel()
            return None
