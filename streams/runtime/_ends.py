"""Where a changelog ends now, asked once for all questions that wait: what makes a read see every commit before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

Ask = Callable[[Sequence[int]], dict[int, int]]


class Ends:
    """
    Coalesces questions: one is under way, those that come meanwhile share the next.

    A question never gets an answer that was asked for before it came, or a commit in between could be missed.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._wanted: set[int] = set()
        self._next: asyncio.Future[dict[int, int]] | None = None
        self._asking: asyncio.Task[None] | None = None

    async def end(self, partition: int) -> int:
        """The uncommitted end of the partition, asked for after this call. Raises what asking raises."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        self._wanted.add(partition)
        answer = self._next
        if self._asking is None:
            self._asking = asyncio.create_task(self._answer())
        return (await asyncio.shield(answer))[partition]

    async def _answer(self) -> None:
        try:
            while self._next is not None:
                answer, wanted = self._next, sorted(self._wanted)
                self._next, self._wanted = None, set()
                try:
                    answer.set_result(await asyncio.to_thread(self._ask, wanted))
                except Exception as error:  # noqa: BLE001 -- whoever asked gets it
                    answer.set_exception(error)
                    answer.exception()  # they may all have gone
        finally:
            self._asking = None
