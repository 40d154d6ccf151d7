"""More connections than may be open: each request is answered at once, in the API's own words, and nothing is begun."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Any

from api.http.errors import ApiError, encode

ALWAYS = ("/health",)
"""Answered all the same: who watches the process must not take a crowd for a death."""
_REQUEST_ID_BYTES = 10

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
        error, request_id = Crowded(), f"req_{secrets.token_hex(_REQUEST_ID_BYTES)}"
        body = encode(error)
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "request-id": request_id,
            "retry-after": str(error.retry_after_s),
            "stripe-should-retry": "true",
            "connection": "close",
        }
        log.warning("request_id=%s status=503 code=%s", request_id, error.code)
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": error.status, "headers": encoded})
        await send({"type": "http.response.body", "body": body})
