"""The errors of the embedded warehouse, each with the code, name and HTTP status a ClickHouse server gives it.

WarehouseError            what goes wrong here, at start or in a request
├── StartError            the process can't start: directory locked, port in use, bad users; the text says what to do
└── QueryError            one request failed: `code`, `name`, `status`; its text is ClickHouse's
    └── TooBusyError      202, retry later (HTTP 503 with Retry-After)
"""

from __future__ import annotations

import re
from typing import Final

# Codes as in ClickHouse's src/Common/ErrorCodes.cpp; the ones that this server raises by itself.
BAD_ARGUMENTS: Final = (36, "BAD_ARGUMENTS")
INCORRECT_DATA: Final = (117, "INCORRECT_DATA")
UNKNOWN_FORMAT: Final = (73, "UNKNOWN_FORMAT")
SYNTAX_ERROR: Final = (62, "SYNTAX_ERROR")
NOT_IMPLEMENTED: Final = (48, "NOT_IMPLEMENTED")
TIMEOUT_EXCEEDED: Final = (159, "TIMEOUT_EXCEEDED")
READONLY: Final = (164, "READONLY")
QUERY_IS_TOO_LARGE: Final = (229, "QUERY_IS_TOO_LARGE")
TOO_MANY_SIMULTANEOUS_QUERIES: Final = (202, "TOO_MANY_SIMULTANEOUS_QUERIES")
NOT_ENOUGH_SPACE: Final = (243, "NOT_ENOUGH_SPACE")
SESSION_NOT_FOUND: Final = (372, "SESSION_NOT_FOUND")
SESSION_IS_LOCKED: Final = (373, "SESSION_IS_LOCKED")
INVALID_SESSION_TIMEOUT: Final = (374, "INVALID_SESSION_TIMEOUT")
QUERY_WAS_CANCELLED: Final = (394, "QUERY_WAS_CANCELLED")
TOO_MANY_ROWS_OR_BYTES: Final = (396, "TOO_MANY_ROWS_OR_BYTES")
SETTING_CONSTRAINT_VIOLATION: Final = (452, "SETTING_CONSTRAINT_VIOLATION")
ACCESS_DENIED: Final = (497, "ACCESS_DENIED")
AUTHENTICATION_FAILED: Final = (516, "AUTHENTICATION_FAILED")
CANNOT_DECOMPRESS: Final = (271, "CANNOT_DECOMPRESS")
UNKNOWN_EXCEPTION: Final = (1002, "UNKNOWN_EXCEPTION")
UNKNOWN_COMPRESSION_METHOD: Final = (89, "UNKNOWN_COMPRESSION_METHOD")

# HTTP statuses by code, as in ClickHouse's src/Server/HTTP/exceptionCodeToHTTPStatus.cpp; all others are 500.
_STATUSES: Final[dict[int, int]] = {
    194: 401,  # REQUIRED_PASSWORD
    **dict.fromkeys(
        (192, 193, 516, 512, 497), 403
    ),  # UNKNOWN_USER, WRONG_PASSWORD, AUTHENTICATION_FAILED, roles, ACCESS_DENIED
    **dict.fromkeys((6, 25, 26, 27, 38, 41, 72, 376, 441, 675, 676), 400),  # CANNOT_PARSE_*
    **dict.fromkeys(
        (8, 15, 16, 36, 37, 44, 53, 62, 117, 123, 167, 168, 223, 321, 427), 400
    ),  # syntax, types, columns, arguments
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511), 404),  # UNKNOWN_*
    159: 408,  # TIMEOUT_EXCEEDED
    229: 413,  # QUERY_IS_TOO_LARGE
    48: 501,  # NOT_IMPLEMENTED
    **dict.fromkeys((209, 76, 439), 503),  # SOCKET_TIMEOUT, CANNOT_OPEN_FILE, CANNOT_SCHEDULE_TASK
    202: 503,  # ours: a server says 500; clients retry a 503
}

_LEADING_CODE = re.compile(r"\ACode: (\d+)\. DB::Exception: ")
_TRAILING_NAME = re.compile(r"\.? ?\(([A-Z][A-Z0-9_]+)\)\s*\Z")
_TRAILING_VERSION = re.compile(r" ?\(version [^()]*(\([^()]*\))?\)\.?\s*\Z")


class WarehouseError(Exception):
    """Anything that goes wrong in the embedded warehouse."""


class StartError(WarehouseError):
    """The process can't start; the text says why and what to do."""


class QueryError(WarehouseError):
    """One request failed. `code` and `name` are ClickHouse's, `status` is the HTTP status ClickHouse gives them."""

    def __init__(self, kind: tuple[int, str], message: str) -> None:
        super().__init__(message)
        self.code, self.name = kind
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status of this code."""
        return _STATUSES.get(self.code, 500)

    def text(self, *, version: str) -> str:
        """Return the error as a ClickHouse server writes it into a body."""
        message = self.message if self.message.endswith((".", "?", "!")) else self.message + "."
        return f"Code: {self.code}. DB::Exception: {message} ({self.name}) (version {version} (official build))"


class TooBusyError(QueryError):
    """More queries than the server takes; the same request may succeed a moment later."""

    def __init__(self, message: str) -> None:
        super().__init__(TOO_MANY_SIMULTANEOUS_QUERIES, message)


def from_engine(text: str) -> QueryError:
    """Make a QueryError of what the engine said.

    The engine wraps some errors twice, each time with a code in front and a name (and a version) behind:
    the innermost code, the last name and the bare message are kept.
    """
    code, name, message = 0, "", text.strip()
    start = message.find("Code: ")
    if start > 0 and "DB::Exception" not in message[:start]:
        message = message[start:]
    while (match := _LEADING_CODE.match(message)) is not None:
        code, message = int(match.group(1)), message[match.end() :]
    trimmed = True
    while trimmed:
        trimmed = False
        if (version := _TRAILING_VERSION.search(message)) is not None:
            message, trimmed = message[: version.start()], True
        elif (named := _TRAILING_NAME.search(message)) is not None:
            name, message, trimmed = name or named.group(1), message[: named.start()], True
    kind = (code, name or UNKNOWN_EXCEPTION[1]) if code else UNKNOWN_EXCEPTION
    return QueryError(kind, message.strip() or "the engine gave no reason")
