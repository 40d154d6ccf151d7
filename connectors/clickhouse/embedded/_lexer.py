"""ClickHouse's tokens, in bytes, so that offsets hold where binary data follows the SQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

WORD: Final = "word"  # a bare word: keyword or identifier
QUOTED: Final = "quoted"  # `identifier` or "identifier"
STRING: Final = "string"  # 'text' or $tag$text$tag$
NUMBER: Final = "number"
MARK: Final = "mark"  # one character of punctuation

# A byte-order mark and the Unicode spaces count as white space for ClickHouse, its typographic quotes as quotes.
_TOKEN = re.compile(
    rb"""
      (?P<space>(?:[\x00\t\n\v\f\r\x20]|\xc2[\x85\xa0]|\xe1\xa0\x8e|\xe2\x80[\x80-\x8d\xa8\xa9]|\xe2\x81[\x9f\xa0]|\xe3\x80\x80|\xef\xbb\xbf)+)
    | (?P<line>(?:--|\#[\x20!])[^\n]*)
    | (?P<comment>/\*)
    | (?P<string>'(?:[^'\\]|\\.|'')*'|\xe2\x80\x98.*?\xe2\x80\x99|\$(?P<tag>[A-Za-z0-9_]*)\$.*?\$(?P=tag)\$)
    | (?P<quoted>`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*"|\xe2\x80\x9c.*?\xe2\x80\x9d)
    | (?P<number>[0-9][0-9A-Za-z_]*(?:\.[0-9][0-9A-Za-z_]*)?)
    | (?P<word>[A-Za-z_$\x80-\xff][A-Za-z0-9_$\x80-\xff]*)
    | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(rb"/\*|\*/")
_ESCAPE = re.compile(r"\\(.)|``|\"\"", re.DOTALL)
_OPENING: Final = "([{"
_CLOSING: Final = ")]}"


class Token(NamedTuple):
    """One token: kind, text (identifiers without their quotes), where it starts and ends in the bytes, brackets around it."""

    kind: str
    text: str
    start: int
    end: int
    depth: int

    def word(self, *expected: str) -> bool:
        """Whether this is one of these bare words, in any case."""
        return self.kind == WORD and self.text.upper() in expected

    def mark(self, expected: str) -> bool:
        """Whether this is that punctuation."""
        return self.kind == MARK and self.text == expected

    @property
    def name(self) -> bool:
        """Whether this can be an identifier."""
        return self.kind in (WORD, QUOTED)


def tokens(sql: bytes) -> Iterator[Token]:
    """Yield the tokens of `sql` without white space and comments. Nothing is refused: that is the parser's part."""
    position, depth = 0, 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        assert match is not None  # the last alternative takes any byte
        kind, start, position = str(match.lastgroup), position, match.end()
        if kind == "tag":  # the inner group closes last in a heredoc
            kind = STRING
        if kind == "comment":
            position = _comment_end(sql, position)
        if kind in ("space", "line", "comment"):
            continue
        text = match.group().decode("utf-8", "surrogateescape")
        if kind == MARK and text in _CLOSING:
            depth -= 1
        yield Token(kind, _unquoted(text) if kind == QUOTED else text, start, position, depth)
        if kind == MARK and text in _OPENING:
            depth += 1


def _comment_end(sql: bytes, position: int) -> int:
    """Return where a comment ends whose opening has been read; comments nest, as in the SQL standard."""
    level = 1
    while level:
        edge = _COMMENT_EDGE.search(sql, position)
        if edge is None:
            return len(sql)
        level += 1 if edge.group() == b"/*" else -1
        position = edge.end()
    return position


def _unquoted(text: str) -> str:
    return _ESCAPE.sub(lambda match: match.group(1) or match.group()[0], text[1:-1])
