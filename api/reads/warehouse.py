"""ClickHouse's HTTP interface as the API uses it: one query, its parameters bound by the server, rows as JSON."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import msgspec

from api.reads.errors import WAREHOUSE_BACK_S, Unavailable
from schemas.environment import Warehouse as Place
from schemas.logs import error_name, words

CONNECTIONS_MAX = 16
ANSWER_TIMEOUT_S = 15
QUERY_TIME_MAX_S = 10
ANSWER_BYTES_MAX = 64 * 1024 * 1024

_ERROR_CODE = re.compile(rb"Code: ([0-9]{1,6})\b")

Parameter = str | int | Sequence[str]

log = logging.getLogger("clearline.api")
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Warehouse:
    """Reads only. `{name:Type}` in a query stands for a parameter; nothing of a request is ever part of a statement."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the connections' pool."""
        place = self._place
        credentials = base64.b64encode(f"{place.user}:{place.password}".encode()).decode()
        self._session = aiohttp.ClientSession(
            f"{'https' if place.secure else 'http'}://{place.host}:{place.port}",
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
            timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S),
            headers={"Authorization": f"Basic {credentials}"},
            trust_env=False,
        )

    async def close(self) -> None:
        """Close them."""
        if self._session is not None:
            await self._session.close()

    async def rows(self, sql: str, parameters: Mapping[str, Parameter]) -> list[dict[str, Any]]:
        """The rows. Raises `Unavailable` whatever the reason: callers can do nothing else about it."""
        assert self._session is not None, "start before rows"
        query = {
            "database": self._place.database,
            "default_format": "JSONEachRow",
            "output_format_json_quote_64bit_integers": "0",
            "max_execution_time": str(QUERY_TIME_MAX_S),
            **{f"param_{name}": bound(value) for name, value in parameters.items()},
        }
        try:
            async with self._session.post("/", params=query, data=sql.encode(), allow_redirects=False) as answer:
                body = await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("the warehouse is away: %s", error)
            raise Unavailable(f"the warehouse is away: {words(error)}", retry_after_s=WAREHOUSE_BACK_S) from error
        if status != 200:
            # Its text repeats values of the query.
            log.error("the warehouse refused a query (%d): %s", status, _error_told(body))
            raise Unavailable(f"the warehouse answered {status}", retry_after_s=WAREHOUSE_BACK_S)
        if len(body) > ANSWER_BYTES_MAX:
            raise Unavailable(f"the warehouse answered with {len(body)} bytes")
        try:
            return [_decode(line) for line in body.splitlines() if line]
        except msgspec.DecodeError as error:  # ClickHouse appends an error's text when it comes amid the rows
            raise Unavailable("the warehouse broke off amid its answer", retry_after_s=WAREHOUSE_BACK_S) from error


def _error_told(body: bytes) -> str:
    """ClickHouse's number and name of an error, such as `27 CANNOT_PARSE_TEXT`, out of its text; nothing else of it."""
    code = _ERROR_CODE.search(body)
    return f"{code[1].decode() if code else '-'} {error_name(body.decode('utf-8', 'replace'))}"


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})
_QUOTED_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})


def bound(value: Parameter) -> str:
    """A parameter as ClickHouse reads it from a URL: escaped as in TSV, arrays with quotes."""
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, int):
        return str(value)
    # An array is text first (unescaped once as TSV), and then quoted strings.
    quoted = ",".join(f"'{one.translate(_QUOTED_ESCAPES)}'" for one in value)
    return f"[{quoted}]".translate(_ESCAPES)
