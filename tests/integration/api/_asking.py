"""Requests by hand, so that a test sees status, headers and the very bytes; and the API within the test's own process, to count in."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from api.http import __main__ as server
from api.http.commands import Commands
from api.identity.log import ConfigurationLog
from api.reads.payments import Payments
from api.reads.warehouse import Warehouse
from schemas import environment
from tests.integration.api._answers import look

TIMEOUT_S = 90


@dataclass(frozen=True)
class Answered:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body's object."""
        return json.loads(self.body)


def ask(
    port: int,
    key: str,
    method: str,
    path: str,
    given: list[tuple[str, str]] | dict[str, str] | None = None,
    **headers: str,
) -> Answered:
    """
    One request on a connection of its own, whose answer is looked at (`_answers`).

    `headers` with underscores for dashes; an empty key sends none.
    """
    encoded = urllib.parse.urlencode(given or [])
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if key:
        sent["Authorization"] = f"Bearer {key}"
    body = None
    if method == "POST":
        body, sent["Content-Type"] = encoded, "application/x-www-form-urlencoded"
    elif encoded:
        path += f"?{encoded}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body=body, headers=sent)
        given_back = connection.getresponse()
        answered = {name.lower(): value for name, value in given_back.getheaders()}
        answer = Answered(given_back.status, answered, given_back.read())
    finally:
        connection.close()
    url = f"http://127.0.0.1:{port}{path}"
    look(method, url, body or "", status=answer.status, headers=answer.headers, body=answer.body)
    return answer


class Counting:
    """How often the API asked each of those behind it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def take(self) -> dict[str, int]:
        """What was counted since the last time."""
        taken, self.counts = dict(self.counts), Counter()
        return taken


@contextlib.contextmanager
def counted(patch: Any) -> Iterator[Counting]:
    """Counts every call that leaves the process for an answer; `patch` is pytest's monkeypatch."""
    counting = Counting()
    for kind, name in (
        (Warehouse, "rows"),
        (Payments, "_patiently"),  # a question; how often a busy worker is asked again says nothing of anybody
        (Commands, "ask"),
        (ConfigurationLog, "write"),
    ):
        whole = getattr(kind, name)

        def asked(*given: Any, _whole: Any = whole, _name: str = f"{kind.__name__}.{name}", **more: Any) -> Any:
            counting.counts[_name] += 1
            return _whole(*given, **more)

        patch.setattr(kind, name, asked)
    yield counting


def _wait_until_ready(port: int, outcome: list[int]) -> None:
    """Ask until the API answers; it listens before it serves, and reads its tables before that."""
    deadline = time.monotonic() + TIMEOUT_S
    while not outcome and time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ask(port, "", "GET", "/ready").status == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"the API is not ready: {outcome}")


@contextlib.contextmanager
def served(environ: dict[str, str], patch: Any) -> Iterator[int]:
    """The API on a thread of this process, whole, with what surrounds it in the environment; its port."""
    started: list[Any] = []
    outcome: list[int] = []

    @contextlib.contextmanager
    def nothing(self: Any) -> Iterator[None]:
        started.append(self)  # signals are for the main thread, which is the test's
        yield

    patch.setattr(server._Server, "capture_signals", nothing)
    listener = server._listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    settings = environment.read(environ)

    def run() -> None:
        outcome.append(asyncio.run(server._serve(settings, listener)))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        _wait_until_ready(port, outcome)
        yield port
    finally:
        for one in started:
            one.should_exit = True
        thread.join(TIMEOUT_S)
    assert outcome == [0]
