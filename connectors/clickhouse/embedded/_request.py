"""What an HTTP request says beside its body: SQL in the URL, credentials, settings, parameters, session, formats."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from connectors.clickhouse.embedded import errors, limits
from connectors.clickhouse.embedded.users import credentials

# Query parameters that are not settings.
_RESERVED: Final = frozenset(
    [
        "query",
        "user",
        "password",
        "database",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "close_session",
        "default_format",
        "compress",
        "decompress",
        "client_protocol_version",
        "quota_key",
        "role",
        "stacktrace",
        "buffer_size",
        "wait_end_of_query",
        "readonly",
    ]
)
_PARAMETER: Final = "param_"
_SETTING_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_UNKNOWN_SETTING: Final = (115, "UNKNOWN_SETTING")
_COMPRESSION_SETTING: Final = "enable_http_compression"
_TRUE: Final = frozenset({"1", "true"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The request line and headers of one query, taken apart."""

    query: bytes
    query_id: str
    credentials: tuple[str, str] | None
    database: str
    default_format: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    session_id: str
    session_timeout_s: float
    session_check: bool
    close_session: bool
    compressed: bool
    blocks_in: bool
    blocks_out: bool
    wait_end: bool
    read_only: bool


def read_request(request: web.Request) -> Asked:
    """Take a request apart. Raises QueryError."""
    query, headers = request.query, request.headers
    settings, parameters = _settings(query), _parameters(query)
    if request.content_type == "multipart/form-data":
        raise errors.QueryError(
            errors.NOT_IMPLEMENTED, "multipart/form-data (external tables) is not supported; send the SQL as the body"
        )
    return Asked(
        query=query.get("query", "").encode("utf-8", "surrogateescape"),
        query_id=_bounded(
            "query_id", query.get("query_id", "") or headers.get("X-ClickHouse-Query-Id", ""), limits.QUERY_ID_CHARS_MAX
        ),
        credentials=credentials(headers, query),
        database=query.get("database", "") or headers.get("X-ClickHouse-Database", ""),
        default_format=headers.get("X-ClickHouse-Format") or query.get("default_format", ""),
        settings=settings,
        parameters=parameters,
        session_id=query.get("session_id", ""),
        session_timeout_s=_number(
            "session_timeout", query.get("session_timeout", str(limits.SESSION_TIMEOUT_DEFAULT_S))
        ),
        session_check=query.get("session_check", "0") in _TRUE,
        close_session=query.get("close_session", "0") in _TRUE,
        compressed=settings.get(_COMPRESSION_SETTING, "0") in _TRUE,
        blocks_in=query.get("decompress", "0") in _TRUE,
        blocks_out=query.get("compress", "0") in _TRUE,
        wait_end=query.get("wait_end_of_query", "0") in _TRUE,
        read_only=request.method == "GET" or query.get("readonly", "0") not in ("", "0"),
    )


def _settings(query: Mapping[str, str]) -> dict[str, str]:
    settings = {
        name: value for name, value in query.items() if name not in _RESERVED and not name.startswith(_PARAMETER)
    }
    for name in settings:
        if not _SETTING_NAME.match(name):
            raise errors.QueryError(_UNKNOWN_SETTING, f"Unknown setting '{name}'")
    return settings


def _parameters(query: Mapping[str, str]) -> dict[str, str]:
    parameters = {name.removeprefix(_PARAMETER): value for name, value in query.items() if name.startswith(_PARAMETER)}
    if len(parameters) > limits.PARAMETERS_MAX:
        raise errors.QueryError(
            errors.BAD_ARGUMENTS, f"{len(parameters)} parameters are given; the limit is {limits.PARAMETERS_MAX}"
        )
    for name in parameters:
        if not _SETTING_NAME.match(name):
            raise errors.QueryError(errors.BAD_ARGUMENTS, f"'{name}' can't be the name of a parameter")
    return parameters


def _bounded(name: str, value: str, limit: int) -> str:
    if len(value) > limit or not value.isprintable():
        raise errors.QueryError(errors.BAD_ARGUMENTS, f"{name} may have {limit} printable characters")
    return value


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise errors.QueryError(errors.INVALID_SESSION_TIMEOUT, f"{name} is not a number: '{value}'") from None
