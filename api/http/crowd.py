"""More connections than may be open: each request is answered at once, in the API's own words, and nothing is begun."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from api.http.errors import ApiError, encode, headers_of
from api.http.wire import made_request_id

ALWAYS = ("/health",)
"""Answered all the same: who watches the process must not take a crowd for a death."""

log = logging.getLogger("clearline.api")


class Crowded(ApiError):
    """More connections are open than may be; nothing was begun."""

    status, code = 503, "overloaded"
    should_retry, retry_after_s = True, 1

    def __init__(self) -> None:
        super().__init__("Too many connections are open. Nothing was begun; retry in a moment, on fewer connections.")


class Crowd:
    """The ASGI application behind a door. `connections` says how many are open; uvicorn's own limit answers with no word that SDKs know."""

    def __init__(self, application: Any, *, connections: Callable[[], int], most: int) -> None:
        self._application, self._connections, self._most = application, connections, most

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let it through, or answer 503 and close the connection."""
        if scope["type"] != "http" or scope["path"] in ALWAYS or self._connections() <= self._most:
            await self._application(scope, receive, send)
            return
        error, request_id = Crowded(), made_request_id()
        body = encode(error)
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Request-Id": request_id,
            **headers_of(error),
            "Connection": "close",
        }
        log.warning("request_id=%s status=503 code=%s", request_id, error.code)
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": error.status, "headers": encoded})
        await send({"type": "http.response.body", "body": body})
