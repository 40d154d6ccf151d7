"""A statement as the engine's own parser renders it: no comments, no second spelling, nothing to hide behind."""

from __future__ import annotations

import threading
from typing import Final

from connectors.clickhouse.embedded import errors, limits
from connectors.clickhouse.embedded.engine import Connection

_RENDER: Final = "SELECT formatQuerySingleLineOrNull({query:String}) FORMAT TabSeparatedRaw"
_RENDER_OR_FAIL: Final = "SELECT formatQuerySingleLine({query:String}) FORMAT TabSeparatedRaw"
_NULL: Final = ("\\N", "ᴺᵁᴸᴸ", "")
_IN_RENDERING: Final = ": In scope SELECT formatQuerySingleLine("  # how an error of the renderer ends


class Renderer:
    """Renders statements and remembers them, for they repeat. Thread-safe."""

    def __init__(self) -> None:
        self._remembered: dict[str, str] = {}
        self._guard = threading.Lock()

    def render(self, connection: Connection, sql: str) -> str:
        """Return the rendering of one statement. Raises QueryError 62 when it is none, or more than one."""
        with self._guard:
            known = self._remembered.get(sql)
        if known is not None:
            return known
        rendered = _render(connection, sql)
        if len(sql) <= limits.CHECKED_STATEMENT_CHARS:
            with self._guard:
                if len(self._remembered) >= limits.CHECKED_STATEMENTS_MAX:
                    self._remembered.clear()
                self._remembered[sql] = rendered
        return rendered


def _render(connection: Connection, sql: str) -> str:
    parameters = {"query": sql.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")}
    rendered = connection.run(_RENDER, parameters=parameters).body.decode().removesuffix("\n")
    if rendered not in _NULL:
        return rendered
    try:
        connection.run(_RENDER_OR_FAIL, parameters=parameters)
    except errors.QueryError as error:
        raise errors.QueryError((error.code, error.name), error.message.partition(_IN_RENDERING)[0]) from None
    raise errors.QueryError(errors.SYNTAX_ERROR, "Empty query")
