"""One request's work on a thread of its own: read the body, judge the statement, run it, hand the answer over."""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Final

from connectors.clickhouse.embedded import errors, limits, statement
from connectors.clickhouse.embedded._compression import Encoder, plain_chunks
from connectors.clickhouse.embedded._pipe import AbandonedError, Head, Pipe
from connectors.clickhouse.embedded._rendering import Renderer
from connectors.clickhouse.embedded.engine import (
    Answer,
    Connection,
    Engine,
    Running,
    quoted_name,
    quoted_text,
    too_large,
)
from connectors.clickhouse.embedded.policy import MARK_SETTING, OVERLAY_DATABASE, Policy, check_settings
from connectors.clickhouse.embedded.sessions import Session
from connectors.clickhouse.embedded.statement import STREAMED_FORMATS, Statement
from connectors.clickhouse.embedded.users import READER, User

_log = logging.getLogger(__name__)

DEFAULT_FORMAT: Final = "TabSeparated"
_VERBS_WITH_OUTPUT: Final = frozenset(
    {"SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "CHECK", "KILL"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What one HTTP request asks, before its SQL has been looked at."""

    user: User
    query_id: str
    query: bytes  # the SQL of ?query=; the body follows it after a line break
    body: IO[bytes]
    encoding: str
    blocks: bool
    database: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    default_format: str
    read_only: bool
    wait_end: bool
    session: Session | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Judge:
    """What every call of a server is judged with."""

    policy: Policy
    renderer: Renderer


class Work:
    """Runs one call. `run` is called on a worker thread; `cancel` may be called from another one at any time."""

    def __init__(self, call: Call, *, engine: Engine, judge: Judge, encoder: Encoder, pipe: Pipe) -> None:
        self._call, self._engine, self._judge, self._encoder, self._pipe = call, engine, judge, encoder, pipe
        self._guard = threading.Lock()
        self._running: Running | None = None
        self._cancellable = False
        self._cancelled = False

    def run(self) -> None:
        """Do it all. Whatever happens ends up in the pipe, whose last item is None."""
        with contextlib.suppress(AbandonedError):
            filled = False  # an empty answer stays empty, without an encoding's frame around nothing
            try:
                for item in self._items():
                    if isinstance(item, bytes):
                        if item:
                            filled = True
                            self._pipe.put(self._encoder.encode(item))
                    else:
                        self._pipe.put(item)
                if filled and (rest := self._encoder.finish()):
                    self._pipe.put(rest)
            except errors.QueryError as error:
                self._pipe.put(error)
            except AbandonedError:
                raise
            except Exception:  # noqa: BLE001 - a client must have an answer, and the log the trace
                _log.exception("query %s failed inside the server", self._call.query_id)
                self._pipe.put(errors.QueryError(errors.UNKNOWN_EXCEPTION, "The server failed; its log says why"))
            self._pipe.put(None)

    def cancel(self) -> None:
        """Stop it if it only reads; what writes is finished, as on a ClickHouse server."""
        with self._guard:
            self._cancelled = True
            running = self._running if self._cancellable else None
        if running is not None:
            self._engine.kill(running, reason=_client_gone())

    def _items(self) -> Iterator[Head | bytes]:
        session = self._call.session
        if session is None:
            connection = self._engine.connect()
            try:
                yield from self._asked(connection)
            finally:
                connection.close()
            return
        try:
            yield from self._asked(session.connection)
        except errors.QueryError:
            session.broken = not session.connection.drained()
            raise
        except BaseException:
            session.broken = True
            raise

    def _asked(self, connection: Connection) -> Iterator[Head | bytes]:
        asked, data = self._read()
        sql = self._judged(connection, asked)
        with self._settled(connection, asked) as running:
            try:
                yield from self._answered(connection, asked, sql, data, running)
            except errors.QueryError as error:
                raise running.killed or error from None

    # --- reading and judging

    def _read(self) -> tuple[Statement, Iterator[bytes]]:
        """Read as much of the body as a statement may be long, and find the statement in it; the rest is its data."""
        call = self._call
        chunks = plain_chunks(call.body, encoding=call.encoding, blocks=call.blocks)
        head = bytearray(call.query + b"\n" if call.query else b"")
        for chunk in chunks:
            head += chunk
            if len(head) > limits.QUERY_BYTES_MAX:
                break
        text = bytes(head)
        asked = statement.parse(text[: limits.QUERY_BYTES_MAX])
        if asked.data_at is not None:
            return asked, chain((text[asked.data_at :],), chunks)
        if len(text) > limits.QUERY_BYTES_MAX:
            raise errors.QueryError(
                errors.SYNTAX_ERROR,
                f"Max query size exceeded: the text of a statement may have {limits.QUERY_BYTES_MAX} bytes",
            )
        return asked, iter(())

    def _judged(self, connection: Connection, asked: Statement) -> str:
        """Refuse what this user may not run; return the text. The engine's rendering of it is what is judged."""
        call = self._call
        try:
            sql = asked.sql.decode()
        except UnicodeDecodeError as error:
            raise errors.QueryError(errors.BAD_ARGUMENTS, f"The statement is not UTF-8: {error}") from None
        if "\x00" in sql:
            raise errors.QueryError(errors.SYNTAX_ERROR, "The statement has a zero byte in it")
        rendered = self._judge.renderer.render(connection, sql)
        again = statement.parse(rendered.encode())
        if (again.format or "").lower() != (asked.format or "").lower() or len(again.input_spans) != len(
            asked.input_spans
        ):
            raise errors.QueryError(
                errors.SYNTAX_ERROR, "The statement can be read in two ways; quote the names in it that are keywords"
            )
        reads_only = connection.reads_only(sql)
        if call.read_only and not reads_only:
            raise errors.QueryError(errors.READONLY, f"{call.user.name}: Cannot execute query in readonly mode")
        check_settings(call.user, call.settings)
        self._judge.policy.check(call.user, rendered, reads_only=reads_only)
        self._judge.policy.check_parameters(call.user, call.parameters, rendered)
        if asked.verb == "USE" and rendered.strip("; ").split()[-1] == OVERLAY_DATABASE:
            return f"USE {quoted_name(self._engine.database)}"
        return sql

    # --- settings

    @contextlib.contextmanager
    def _settled(self, connection: Connection, asked: Statement) -> Iterator[Running]:
        """Apply database and settings; put a session's own back afterwards."""
        call = self._call
        path = self._engine.spool / f"{uuid.uuid4().hex}.answer"
        if call.database:
            # Clients that were told none ask for `default`: they get the warehouse's, as if it were called so.
            database = self._engine.database if call.database == OVERLAY_DATABASE else call.database
            connection.run(f"USE {quoted_name(database)}")
        seconds = _seconds(call.settings)
        with self._engine.watched(seconds=seconds + limits.KILL_GRACE_S, path=path) as running:
            wanted = self._wanted(running, seconds)
            before = _current(connection, [name for name in wanted if name != MARK_SETTING]) if call.session else {}
            connection.run(_set_statement(wanted))
            try:
                with self._guard:
                    self._running, self._cancellable = running, asked.verb != "INSERT" and asked.selects
                    if self._cancelled and self._cancellable:
                        raise _client_gone()
                yield running
            finally:
                with self._guard:
                    self._running = None
                path.unlink(missing_ok=True)
                if before and call.user.role != READER:
                    _restore(connection, before)

    def _wanted(self, running: Running, seconds: float) -> dict[str, str]:
        call = self._call
        wanted = dict(call.settings)
        wanted["max_execution_time"] = f"{seconds:g}"
        wanted["max_memory_usage"] = str(limits.QUERY_MEMORY_BYTES_MAX)
        wanted |= call.user.settings
        if call.user.table_filters:
            filters = ", ".join(
                f"{quoted_text(table)}: {quoted_text(sql)}" for table, sql in call.user.table_filters.items()
            )
            wanted["additional_table_filters"] = "{" + filters + "}"
        wanted |= {"implicit_select": "0", "max_query_size": str(limits.QUERY_BYTES_MAX), MARK_SETTING: running.mark}
        if call.user.role == READER or (call.read_only and call.session is None):
            wanted["readonly"] = "2"
        return wanted

    # --- running

    def _answered(
        self, connection: Connection, asked: Statement, sql: str, data: Iterator[bytes], running: Running
    ) -> Iterator[Head | bytes]:
        fmt = asked.format or self._call.default_format or DEFAULT_FORMAT
        if asked.inserts_data:
            insert = self._insert_selected if asked.input_spans else self._insert_rows
            yield Head(fmt=None, answer=insert(connection, asked, data))
        elif asked.streams and fmt.lower() in STREAMED_FORMATS and not self._whole(asked):
            yield from self._streamed(connection, sql, fmt)
        elif asked.streams:
            yield from self._document(connection, asked, fmt, running)
        else:
            answer = connection.run(sql, fmt=fmt, parameters=self._call.parameters)
            if len(answer.body) > limits.SMALL_ANSWER_BYTES_MAX:
                raise too_large()
            yield Head(fmt=fmt if asked.verb in _VERBS_WITH_OUTPUT else None, answer=answer)
            yield answer.body

    def _whole(self, asked: Statement) -> bool:
        return (
            asked.whole
            or self._call.wait_end
            or any(name.startswith(("output_format_", "format_", "extremes")) for name in self._call.settings)
        )

    def _streamed(self, connection: Connection, sql: str, fmt: str) -> Iterator[Head | bytes]:
        """Blocks as they come; the head waits for the first one, so that an early error keeps its HTTP status."""
        with contextlib.closing(connection.stream(sql, fmt=fmt, parameters=self._call.parameters)) as blocks:  # type: ignore[type-var]
            first = next(blocks, b"")
            yield Head(fmt=fmt, answer=Answer())
            yield first
            yield from blocks

    def _document(self, connection: Connection, asked: Statement, fmt: str, running: Running) -> Iterator[Head | bytes]:
        """One whole document, written by the engine into a file: no block's header is repeated and no answer fills the memory."""
        assert running.path is not None
        before, after = asked.sql[: asked.format_at].decode(), asked.sql[asked.format_at :].decode()
        sql = f"{before}\nINTO OUTFILE {quoted_text(str(running.path))} {after or 'FORMAT ' + quoted_name(fmt)}"
        answer = connection.run(sql, parameters=self._call.parameters)
        yield Head(fmt=fmt, answer=answer)
        if running.path.exists():
            if running.path.stat().st_size > limits.DOCUMENT_BYTES_MAX:
                raise too_large()
            with running.path.open("rb") as file:
                yield from iter(lambda: file.read(limits.ANSWER_CHUNK_BYTES), b"")

    def _insert_rows(self, connection: Connection, asked: Statement, data: Iterator[bytes]) -> Answer:
        self._set_parameters(connection)
        assert asked.format is not None
        return connection.insert(asked.without_format().decode(), fmt=asked.format, data=data)

    def _insert_selected(self, connection: Connection, asked: Statement, data: Iterator[bytes]) -> Answer:
        """INSERT … SELECT … FROM input(structure) FORMAT X: the engine has no input(), so the data goes through a private file."""
        path = self._engine.spool / f"{uuid.uuid4().hex}.rows"
        try:
            with path.open("xb") as file:
                for chunk in data:
                    file.write(chunk)
            return connection.run(_with_file(asked, path), parameters=self._call.parameters)
        except OSError as error:
            raise errors.QueryError(errors.NOT_ENOUGH_SPACE, f"The rows can't be spooled: {error.strerror}") from None
        finally:
            path.unlink(missing_ok=True)

    def _set_parameters(self, connection: Connection) -> None:
        """Parameters as settings, for the one way of the engine that takes none."""
        if self._call.parameters:
            connection.run(_set_statement({f"param_{name}": value for name, value in self._call.parameters.items()}))


def _with_file(asked: Statement, path: Path) -> str:
    assert asked.format is not None
    text, place = "", 0
    for name, bracket, end in asked.input_spans:
        structure = asked.sql[bracket : end - 1].decode().strip() or "'auto'"
        text += (
            asked.sql[place:name].decode()
            + f"file({quoted_text(str(path))}, {quoted_text(asked.format)}, {structure}, 'none')"
        )
        place = end
    return text + asked.sql[place : asked.format_at].decode()


def _client_gone() -> errors.QueryError:
    return errors.QueryError(errors.QUERY_WAS_CANCELLED, "The client has gone")


def _seconds(settings: Mapping[str, str]) -> float:
    try:
        asked = float(settings.get("max_execution_time", "0"))
    except ValueError:
        asked = 0
    return min(asked, limits.QUERY_TIME_MAX_S) if asked > 0 else limits.QUERY_TIME_MAX_S


def _set_statement(settings: Mapping[str, str]) -> str:
    return "SET " + ", ".join(f"{name} = {quoted_text(value)}" for name, value in settings.items())


def _current(connection: Connection, names: list[str]) -> dict[str, str | None]:
    """Read the values of settings; None for those that are at their default."""
    listed = ", ".join(quoted_text(name) for name in names)
    rows = connection.run(  # names are checked identifiers and quoted here
        f"SELECT name, value, changed FROM system.settings WHERE name IN ({listed}) FORMAT TabSeparatedRaw"  # noqa: S608 - quoted
    ).body
    parts = (row.split("\t") for row in rows.decode().splitlines())
    return {row[0]: "\t".join(row[1:-1]) if row[-1] == "1" else None for row in parts}


def _restore(connection: Connection, before: Mapping[str, str | None]) -> None:
    with contextlib.suppress(errors.QueryError):
        connection.run(
            "SET "
            + ", ".join(
                f"{name} = {'DEFAULT' if value is None else quoted_text(value)}" for name, value in before.items()
            )
        )
