"""What a process logs: one line an event, in UTC; of errors that are not ours the kind and the place, never the words.

Who writes a line chooses each value in it, but not what an outsider's error says: that repeats whatever it was made of
(`ValueError: invalid literal for int(): '4242…'`, a malformed request's own bytes, a request's headers). So an error's words are shown
where they are ours, the operating system's or Kafka's; of any other its type and, in tracebacks, the code's lines, which hold no values.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, TextIO

OWN = frozenset({"api", "connectors", "infra", "schemas", "streams"})
"""Packages whose errors are written by us: what they say is chosen (docs/operations.md)."""
CHAIN_MAX = 8
"""Causes and parts of an error that are shown."""

_KAFKA_MODULE = "cimpl"
_ASYNCIO = "asyncio"
_NUMBER = (int, float)
_CLICKHOUSE_NAME = re.compile(r"\(([A-Z][A-Z0-9_]{2,63})\)")


def words(error: BaseException) -> str:
    """What may be logged of an error: `Kind: its words`, or `Kind` alone where the words are an outsider's."""
    said = _said(error)
    name = _name(error)
    return f"{name}: {said}" if said else name


def _name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _said(error: BaseException) -> str:
    package = type(error).__module__.partition(".")[0]
    if package in OWN:
        return str(error)
    if package == _KAFKA_MODULE and error.args:
        # A KafkaException holds a KafkaError, whose words are librdkafka's or the broker's.
        inner = error.args[0]
        return str(inner.str()) if hasattr(inner, "str") else ""
    if isinstance(error, OSError) and isinstance(error.strerror, str) and isinstance(error.errno, int):
        return error.strerror
    return ""


def error_name(text: str) -> str:
    """ClickHouse's name of an error, such as CANNOT_PARSE_TEXT, out of its text, which repeats rows and queries; nothing else of it."""
    names = _CLICKHOUSE_NAME.findall(text)
    return names[-1] if names else "no name"


def trace(error: BaseException) -> str:
    """A traceback with its causes, the oldest first, in which `words` stand for what errors say."""
    return "\n".join(part.rstrip("\n") for part in _parts(error))


def _parts(error: BaseException) -> Iterator[str]:
    chain: list[tuple[BaseException, str]] = []
    seen: set[int] = set()
    current: BaseException | None = error
    link = ""
    while current is not None and id(current) not in seen and len(chain) < CHAIN_MAX:
        seen.add(id(current))
        chain.append((current, link))
        if current.__cause__ is not None:
            current, link = current.__cause__, "which was the cause of:"
        elif not current.__suppress_context__:
            current, link = current.__context__, "and while that was handled:"
        else:
            current = None
    for one, following in reversed(chain):
        if one.__traceback__ is not None:
            yield "Traceback (most recent call last):"
            yield "".join(traceback.format_tb(one.__traceback__))
        yield words(one)
        if isinstance(one, BaseExceptionGroup):
            for number, inner in enumerate(one.exceptions[:CHAIN_MAX], 1):
                yield f"part {number} of {len(one.exceptions)}:"
                yield from _parts(inner)
        if following:
            yield following


class _Shown(str):
    """An error as an argument of a line: `%s` and `%r` both show only what may be shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _argument(value: object) -> object:
    if not isinstance(value, BaseException):
        return value
    ours = type(value).__module__.partition(".")[0] in OWN
    return _Shown(value) if ours and str(value) else _Shown(words(value))


class Lines(logging.Formatter):
    """Times in UTC; errors by `words` and `trace`; asyncio's own lines without the arguments of what it tells of."""

    converter = staticmethod(time.gmtime)

    def formatException(self, ei: object) -> str:  # noqa: N802 - the base class's name
        """The traceback of an error, without outsiders' words."""
        assert isinstance(ei, tuple)
        return trace(ei[1]) if isinstance(ei[1], BaseException) else ""

    def format(self, record: logging.LogRecord) -> str:
        """One event; its traceback below it."""
        shown = logging.makeLogRecord(record.__dict__)
        shown.exc_text = None  # another formatter may have left its own
        if record.name == _ASYNCIO:
            # It shows handles and tasks, and with them the arguments of callbacks and what errors say.
            shown.msg = str(record.msg).partition("\n")[0]
            shown.args = _mapped(
                record.args, lambda value: value if isinstance(value, _NUMBER) else type(value).__name__
            )
        else:
            shown.args = _mapped(record.args, _argument)
        return super().format(shown)


def _mapped(args: object, shown: Callable[[object], object]) -> Any:
    if isinstance(args, Mapping):
        return {name: shown(value) for name, value in args.items()}
    return tuple(map(shown, args)) if isinstance(args, tuple) else args


def start(component: str, *, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Begin a process's logging, with `component` in each line; also what ends a thread or the process is told by `trace`."""
    handler = logging.StreamHandler(sys.stdout if stream is None else stream)
    handler.setFormatter(Lines(f"%(asctime)s %(levelname)s {component} %(message)s"))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    tell_ends()


def tell_ends() -> None:
    """Have errors that nobody catches written to stderr by `trace`."""
    sys.excepthook = _ended
    threading.excepthook = _thread_ended


def _ended(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        return
    sys.stderr.write(trace(error) + "\n")


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        name = ended.thread.name if ended.thread is not None else "a thread"
        sys.stderr.write(f"{name} ended\n{trace(ended.exc_value)}\n")
