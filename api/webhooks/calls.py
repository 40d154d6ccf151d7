"""One attempt: signs a body, posts it to an endpoint, says what came of it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from typing import Final

import aiohttp
import msgspec

from api.webhooks import addresses, signing
from api.webhooks.errors import AddressRefused

USER_AGENT: Final = "Clearline/1.0 (+webhooks)"
RESPONSE_BYTES_MAX = 64 * 1024
"""How much of an answer is read: nothing of it is used, but a connection can be kept only when its answer was read to its end."""
HEADER_BYTES_MAX = 8_190
FAILURE_CHARS_MAX = 200


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an attempt. `status_code` 0: no answer; `failure` empty: accepted. Nothing of the answer's body is in it."""

    status_code: int = 0
    failure: str = ""
    duration_ms: int = 0

    @property
    def accepted(self) -> bool:
        """Whether the endpoint took the event: any 2xx."""
        return not self.failure


class Caller:
    """Posts to endpoints; made and closed on an event loop. Never follows a redirect, sends no cookies, uses no proxy of the environment."""

    def __init__(self, *, allow_loopback: bool, timeout_s: float) -> None:
        self._allow_loopback, self._timeout_s = allow_loopback, timeout_s
        self._session = aiohttp.ClientSession(
            connector=addresses.connector(allow_loopback=allow_loopback),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            auto_decompress=False,  # an answer is not used, so there is no reason to let it grow
            trust_env=False,
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            headers={"User-Agent": USER_AGENT},
            skip_auto_headers=("Accept-Encoding",),
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def post(self, url: str, body: bytes, *, secrets: Sequence[str], now_s: int | None = None) -> Answer:
        """
        Post a body, signed with each secret at the time of this attempt; within `timeout_s`, whatever the endpoint does.

        Raises `BadSecret` and `ValueError` for secrets that can't sign; everything an endpoint can do is an `Answer`.
        """
        began = time.monotonic()
        header = signing.header(body, secrets, timestamp_s=int(time.time()) if now_s is None else now_s)
        try:
            addresses.check_url(url, allow_loopback=self._allow_loopback)
            status = await self._status(url, body, header)
        except AddressRefused as refused:
            return _failed(str(refused), began)
        except TimeoutError:
            return _failed(f"no answer within {self._timeout_s:g} s", began)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failed(_reason(error), began)
        if 200 <= status < 300:
            return Answer(status_code=status, duration_ms=_since(began))
        what = "redirects are not followed" if 300 <= status < 400 else "not accepted"
        return _failed(f"answered {status}: {what}", began, status=status)

    async def _status(self, url: str, body: bytes, header: str) -> int:
        headers = {"Content-Type": "application/json; charset=utf-8", signing.HEADER: header}
        # The session's own time-out does not count while a name is being resolved for somebody else.
        async with asyncio.timeout(self._timeout_s):
            answer = await self._session.post(url, data=body, headers=headers, allow_redirects=False)
            try:
                await self._read(answer)
            finally:
                answer.close() if not answer.content.at_eof() else answer.release()
            return answer.status

    @staticmethod
    async def _read(answer: aiohttp.ClientResponse) -> None:
        """Read to the end or to the limit, whichever comes first. What is cut off then counts as read: the status has been said."""
        left = RESPONSE_BYTES_MAX
        while left > 0:
            part = await answer.content.read(left)
            if not part:
                return
            left -= len(part)


def _failed(failure: str, began: float, *, status: int = 0) -> Answer:
    return Answer(status_code=status, failure=failure[:FAILURE_CHARS_MAX], duration_ms=_since(began))


def _since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)


def _reason(error: BaseException) -> str:
    """Why there was no answer, in words of ours: an endpoint's own words could hold anything."""
    match error:
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, AddressRefused):
            return str(error.os_error)
        case aiohttp.ClientConnectorCertificateError() | ssl.SSLCertVerificationError():
            return "its certificate is not valid"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return "no TLS connection could be made"
        case aiohttp.ClientConnectorDNSError():
            return "its host name is not known"
        case aiohttp.ClientConnectorError() | ConnectionRefusedError():
            return "no connection could be made"
        case aiohttp.ServerDisconnectedError() | ConnectionResetError() | aiohttp.ClientPayloadError():
            return "it ended the connection before it had answered"
        case aiohttp.ClientResponseError():
            return "its answer is not HTTP, or has headers that are too long"
        case _:
            return f"{type(error).__name__}"
