"""A bounded hand-over of an answer from the thread that runs a query to the event loop that sends it."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Final

from connectors.clickhouse.embedded import errors, limits
from connectors.clickhouse.embedded.engine import Answer

_END: Final = None


class Head:
    """The first thing in a pipe when a query succeeds: its output format, if it has output, and the counts known so far."""

    def __init__(self, *, fmt: str | None, answer: Answer) -> None:
        self.format, self.answer = fmt, answer


class AbandonedError(Exception):
    """The client has gone, or takes nothing any more: the query has nobody to answer."""


Item = Head | bytes | errors.QueryError | None


class Pipe:
    """Made on the loop; `put` is called by one other thread, `get` and `abandon` on the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Item] = asyncio.Queue(limits.ANSWER_CHUNKS_AHEAD)
        self.abandoned = False

    def put(self, item: Item) -> None:
        """Hand one item over, waiting for room. Raises AbandonedError."""
        if self.abandoned:
            raise AbandonedError
        waiting = asyncio.run_coroutine_threadsafe(self._queue.put(item), self._loop)
        try:
            waiting.result(limits.STALLED_CLIENT_S)
        except (TimeoutError, concurrent.futures.CancelledError):
            waiting.cancel()
            self.abandoned = True
            raise AbandonedError from None
        if self.abandoned:
            raise AbandonedError

    async def get(self) -> Item:
        """Take the next item; None is the end."""
        return await self._queue.get()

    def abandon(self) -> None:
        """Take nothing any more: the thread's next `put` raises, one that waits is let go."""
        self.abandoned = True
        while not self._queue.empty():
            self._queue.get_nowait()
