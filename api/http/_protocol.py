"""uvicorn's HTTP/1.1, in the API's own words where a request is none, and with an end to how long one may take to come."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.http.errors import INVALID, ApiError, Unreadable, encode, headers_of
from api.http.wire import made_request_id

READ_S = 60.0
"""From a request's first byte, or a connection's beginning, to the request's last byte; a body of the largest size takes a slow line a fifth of that."""
HEAD_BYTES_MAX = 32_768
"""Of a request's first line and headers together."""

log = logging.getLogger("clearline.api")


class TooSlow(ApiError):
    """The request did not come whole in time; nothing was begun."""

    status, type, code = 408, INVALID, "request_timeout"
    should_retry = True

    def __init__(self) -> None:
        super().__init__(f"The request was not here after {READ_S:.0f} s. Nothing was begun; retry with the same key.")


class Protocol(H11Protocol):
    """One connection. uvicorn itself answers malformed requests with a word that SDKs don't know, and waits for slow ones for ever."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, and wait for a request."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; the clock runs while a request is not whole."""
        super().data_received(data)
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP (`msg` is uvicorn's word for it), where an answer hasn't begun, and end the connection."""
        del msg
        self._end(
            Unreadable("The request is no HTTP/1.1 that can be read: see its first line, headers, length and chunks.")
        )

    def _watch(self) -> None:
        """Have the clock run where bytes of a request are missing, and only there."""
        missing = self.conn.their_state in (h11.IDLE, h11.SEND_BODY) and not self.transport.is_closing()
        if not missing:
            self._unwatch()
        elif self._late is None:
            self._late = self.loop.call_later(READ_S, self._too_slow)

    def _unwatch(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_slow(self) -> None:
        self._late = None
        if self.transport.is_closing():
            return
        nothing_came = self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        if nothing_came:
            self.transport.close()
        else:
            self._end(TooSlow())

    def _end(self, error: ApiError) -> None:
        """Tell the caller where that is possible, one line, and close. Whoever waits for the rest is told that nobody is there."""
        request_id = made_request_id()
        log.info("request_id=%s method=- path=- status=%d code=%s", request_id, error.status, error.code)
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in _answer(error, request_id):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _answer(error: ApiError, request_id: str) -> tuple[h11.Event, ...]:
    body = encode(error)
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Request-Id": request_id,
        **headers_of(error),
        "Connection": "close",
    }
    encoded: list[Any] = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return h11.Response(status_code=error.status, headers=encoded), h11.Data(data=body), h11.EndOfMessage()
