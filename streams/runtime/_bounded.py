"""Deadlines for client calls that don't always keep their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from streams.runtime.errors import Indefinite

T = TypeVar("T")

# What a call may take beyond the time-out that it was given, before it is given up.
GRACE_S = 3.0

# For closing; the session time-out frees the place of a group member that is left behind.
CLOSE_TIMEOUT_S = 3.0

_Job = tuple[Callable[[], object], "Future[object]"]


class BoundedCalls:
    """
    Runs one client's blocking calls in a daemon thread, one at a time, and gives up on one that doesn't come back.

    librdkafka's `send_offsets_to_transaction` was seen to wait for minutes with a time-out of 12 s when its broker was
    killed and started again. The caller then drops the client; the thread stays behind in its call, and with it that
    client, until the process ends. How many there can be is bounded by the failures in a row that a task survives.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._given_up = False
        threading.Thread(target=_serve, args=(self._jobs,), name=name, daemon=True).start()

    def run(self, call: Callable[[], T], *, timeout_s: float, doing: str) -> T:
        """The call's answer or exception; `Indefinite` if it doesn't come back in time."""
        if self._given_up:
            raise Indefinite(f"{doing}: an earlier call of this client never came back")
        answer: Future[T] = Future()
        self._jobs.put((call, answer))  # type: ignore[arg-type]
        try:
            return answer.result(timeout_s + GRACE_S)
        except TimeoutError as error:
            if answer.done():
                raise
            self._given_up = True
            raise Indefinite(f"{doing}: the client did not keep its time-out of {timeout_s:.0f} s") from error

    def close(self) -> None:
        """End the thread once it is free."""
        self._jobs.put(None)


def close_bounded(close: Callable[[], object], *, doing: str) -> None:
    """Close a client whose own close has no time-out; `Indefinite` if it doesn't end, and then it is left behind."""
    calls = BoundedCalls("closing")
    try:
        calls.run(close, timeout_s=CLOSE_TIMEOUT_S, doing=doing)
    finally:
        calls.close()


def _serve(jobs: queue.SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        call, answer = job
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 -- it belongs to the caller
            answer.set_exception(error)
        else:
            answer.set_result(result)
        del job, call, answer
