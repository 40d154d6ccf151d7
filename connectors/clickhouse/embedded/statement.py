"""What a request asks: one statement, its verb and output format, and where inserted data begins in the bytes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from connectors.clickhouse.embedded import errors
from connectors.clickhouse.embedded._lexer import Token, tokens

# After one of these a name is an expression or a table, so FORMAT there is a name and not the clause.
_BEFORE_A_NAME: Final = frozenset(
    [
        "SELECT",
        "DISTINCT",
        "FROM",
        "JOIN",
        "WHERE",
        "PREWHERE",
        "HAVING",
        "QUALIFY",
        "AND",
        "OR",
        "NOT",
        "BY",
        "AS",
        "ON",
        "USING",
        "IN",
        "LIKE",
        "ILIKE",
        "BETWEEN",
        "IS",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
        "INTO",
        "TABLE",
        "LIMIT",
        "OFFSET",
        "SET",
        "WITH",
        "UNION",
        "ALL",
        "EXCEPT",
        "INTERSECT",
        "INTERVAL",
        "GLOBAL",
        "ANY",
    ]
)
_AFTER_FORMAT: Final = ("SETTINGS", "INTO", "PARALLEL")
_VALUES_FORMAT: Final = "Values"

# Blocks of these can be put one after another; all others have a header, a footer or a separator around the whole.
STREAMED_FORMATS: Final = frozenset(
    [
        "native",
        "rowbinary",
        "tabseparated",
        "tsv",
        "tabseparatedraw",
        "tsvraw",
        "raw",
        "csv",
        "jsoneachrow",
        "jsonlines",
        "ndjson",
        "jsoncompacteachrow",
        "jsonstringseachrow",
    ]
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """One statement: `sql` is its text without data, FORMAT kept; `data_at` is where inserted data begins in what was parsed.

    `format_at` is the offset of the FORMAT (or VALUES) clause in `sql`, its end where there is none. `input_spans` are the
    calls of the table function input(): where its name begins, its bracket opens and its bracket has closed.
    """

    verb: str
    sql: bytes
    format: str | None
    format_at: int
    data_at: int | None = None
    selects: bool = False
    whole: bool = False  # totals or a format setting: an answer that must not be cut into blocks
    outfile: bool = False
    input_spans: tuple[tuple[int, int, int], ...] = ()

    @property
    def inserts_data(self) -> bool:
        """Whether the bytes after the statement are rows to insert."""
        return self.data_at is not None

    @property
    def streams(self) -> bool:
        """Whether this reads rows, as SELECT does, so that its answer can be had block by block or in a file."""
        return self.selects and self.verb != "INSERT" and not self.outfile

    def without_format(self) -> bytes:
        """Return the text before the FORMAT (or VALUES) clause."""
        return self.sql[: self.format_at].rstrip()


def parse(text: bytes) -> Statement:
    """Find the verb, the format and the start of data in `text`. Raises QueryError when there is no statement in it."""
    found: list[Token] = []
    for token in tokens(text):
        found.append(token)
        if not found[0].word("INSERT"):
            continue
        if (statement := _insert_with_data(text, found)) is not None:
            return statement
    if not found or found[0].mark(";"):
        raise errors.QueryError(errors.SYNTAX_ERROR, "Empty query")
    while found[-1].mark(";"):
        found.pop()
    return _plain(text, found)


def _plain(text: bytes, found: list[Token]) -> Statement:
    verb = next((token.text.upper() for token in found if not token.mark("(")), "")
    end = found[-1].end
    at = _format_clause(found)
    if verb == "INSERT" and not _selects(found):  # INSERT INTO t, and all of the rows are elsewhere
        sql = text[:end] + b" FORMAT Values"
        return Statement(verb=verb, sql=sql, format=_VALUES_FORMAT, format_at=end, data_at=len(text))
    return Statement(
        verb=verb,
        sql=text[:end],
        format=None if at is None else found[at + 1].text,
        format_at=end if at is None else found[at].start,
        selects=verb in ("SELECT", "WITH", "FROM") or verb == "INSERT",
        whole=any(_whole(token) for token in found),
        outfile=any(one.word("INTO") and two.word("OUTFILE") for one, two in pairwise(found)),
        input_spans=_input_spans(found) if verb == "INSERT" else (),
    )


def _whole(token: Token) -> bool:
    if not token.name:
        return False
    lower = token.text.lower()
    return lower in ("totals", "extremes") or lower.startswith(("output_format_", "format_"))


def _format_clause(found: list[Token]) -> int | None:
    """Index of the FORMAT clause that ends the statement: FORMAT name [SETTINGS … | INTO OUTFILE …]."""
    for at in range(len(found) - 2, 0, -1):
        if not _opens_format(found, at):
            continue
        after = found[at + 2] if at + 2 < len(found) else None
        if after is None or after.word(*_AFTER_FORMAT):
            return at
    return None


def _opens_format(found: list[Token], at: int) -> bool:
    token, before, name = found[at], found[at - 1], found[at + 1]
    if not (token.word("FORMAT") and token.depth == 0 and name.name):
        return False
    return (
        before.mark(")")
        or before.mark("]")
        or before.mark("}")
        or before.mark("*")
        or not (before.kind == "mark" or before.word(*_BEFORE_A_NAME))
    )


def _selects(found: list[Token]) -> bool:
    """Whether an INSERT takes its rows from a query, and not from data after it."""
    return any(
        token.word("SELECT", "WITH", "FROM", "WATCH")
        and not before.word("INTO", "TABLE")
        and not before.mark(".")
        and (token.depth == 0 or before.mark("("))
        for before, token in pairwise(found)
    )


def _insert_with_data(text: bytes, found: list[Token]) -> Statement | None:
    """Decide, at the newest token, whether an INSERT's data begins behind it."""
    last = found[-1]
    selects = _selects(found)
    if len(found) > 3 and _opens_format(found, len(found) - 2):
        spans = _input_spans(found)
        if selects and not spans:
            return None
        return Statement(
            verb="INSERT",
            sql=text[: last.end],
            format=last.text,
            format_at=found[-2].start,
            data_at=_data_start(text, last.end),
            selects=selects,
            input_spans=spans,
        )
    before = found[-2] if len(found) > 2 else None
    if before is None or selects or not (last.word("VALUES") and last.depth == 0):
        return None
    if before.word("INTO", "TABLE") or before.mark("."):
        return None
    return Statement(verb="INSERT", sql=text[: last.end], format=_VALUES_FORMAT, format_at=last.start, data_at=last.end)


def _data_start(text: bytes, position: int) -> int:
    """Skip blanks and one line end after the format's name, as ClickHouse's parser does: what follows is data, byte for byte."""
    while text[position : position + 1] in (b" ", b"\t", b"\f"):
        position += 1
    if text[position : position + 1] == b";":
        position += 1
    if text[position : position + 1] == b"\r":
        position += 1
    if text[position : position + 1] == b"\n":
        position += 1
    return position


def _input_spans(found: list[Token]) -> tuple[tuple[int, int, int], ...]:
    spans = []
    for at, (token, bracket) in enumerate(pairwise(found)):
        if token.name and token.text == "input" and bracket.mark("("):
            closing = next((one for one in found[at + 2 :] if one.mark(")") and one.depth == bracket.depth), None)
            if closing is not None:
                spans.append((token.start, bracket.end, closing.end))
    return tuple(spans)
