"""ClickHouse's HTTP interface on aiohttp, over the embedded engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, Final

from aiohttp import web

from connectors.clickhouse.embedded import errors, limits
from connectors.clickhouse.embedded._call import Call, Judge, Work
from connectors.clickhouse.embedded._compression import Encoder, encoder
from connectors.clickhouse.embedded._pipe import Head, Item, Pipe
from connectors.clickhouse.embedded._rendering import Renderer
from connectors.clickhouse.embedded._request import Asked, read_request
from connectors.clickhouse.embedded.engine import Answer, Engine
from connectors.clickhouse.embedded.policy import Policy
from connectors.clickhouse.embedded.sessions import Session, Sessions
from connectors.clickhouse.embedded.users import User, Users

_log = logging.getLogger(__name__)

_OK: Final = "Ok.\n"
_TEXT: Final = "text/plain; charset=UTF-8"
_SESSION_SWEEP_S: Final = 5.0
_CONTENT_TYPES: Final[dict[str, str]] = {
    "json": "application/json; charset=UTF-8",
    "jsoncompact": "application/json; charset=UTF-8",
    "jsoneachrow": "application/x-ndjson; charset=UTF-8",
    "csv": "text/csv; charset=UTF-8; header=absent",
    "csvwithnames": "text/csv; charset=UTF-8; header=present",
    "csvwithnamesandtypes": "text/csv; charset=UTF-8; header=present",
    "tabseparated": "text/tab-separated-values; charset=UTF-8",
    "tsv": "text/tab-separated-values; charset=UTF-8",
    "tabseparatedwithnames": "text/tab-separated-values; charset=UTF-8",
    "tabseparatedwithnamesandtypes": "text/tab-separated-values; charset=UTF-8",
    "xml": "application/xml; charset=UTF-8",
}
_BINARY: Final = ("native", "rowbinary", "parquet", "arrow", "orc", "avro", "msgpack", "bsoneachrow", "protobuf")


class Warehouse:
    """The HTTP application. `users` may ask; `engine` answers; a bounded number of threads runs the queries."""

    def __init__(self, engine: Engine, *, users: Users) -> None:
        self._engine, self._users = engine, users
        self._judge = Judge(
            policy=Policy(table_functions=engine.table_functions, functions=engine.functions), renderer=Renderer()
        )
        self._threads = ThreadPoolExecutor(limits.CONCURRENT_QUERIES_MAX, thread_name_prefix="query")
        self._health_thread = ThreadPoolExecutor(1, thread_name_prefix="health")
        self._slots = asyncio.Semaphore(limits.CONCURRENT_QUERIES_MAX)
        self._queued = 0
        self._draining = False
        self._spooled_bytes = 0
        self._sessions = Sessions(engine)
        self._works: set[asyncio.Future[None]] = set()

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application()
        app.router.add_get("/ping", self._ping)
        app.router.add_get("/replicas_status", self._ping)
        app.router.add_get("/health", self._health)
        app.router.add_get("/", self._query)
        app.router.add_post("/", self._query)
        app.cleanup_ctx.append(self._sweeping)
        return app

    async def drain(self) -> None:
        """Take no more queries, let those that run end for a while, and kill the rest, writes too.

        Raises WarehouseError when the engine does not let go of one.
        """
        self._draining = True
        if not await self._all_ended(limits.DRAIN_WAIT_S):
            await asyncio.to_thread(self._engine.kill_all)
            if not await self._all_ended(limits.CLOSE_WAIT_S):
                raise errors.WarehouseError(
                    f"{len(self._works)} queries did not stop; leaving without them, which loses nothing acknowledged"
                )

    async def _all_ended(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._works:
                    await asyncio.wait(set(self._works))
        return not self._works

    def close(self) -> None:
        """Close sessions and threads. Nothing runs any more."""
        self._sessions.close()
        self._threads.shutdown()
        self._health_thread.shutdown()

    async def _sweeping(self, _app: web.Application) -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await asyncio.sleep(_SESSION_SWEEP_S)
                self._sessions.expire()

        task = asyncio.create_task(sweep())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.Response(text=_OK, headers={"Content-Type": _TEXT})

    async def _health(self, _request: web.Request) -> web.Response:
        """200 when the engine answers a query, whatever else waits."""

        def ask() -> None:
            connection = self._engine.connect()
            try:
                connection.run("SELECT 1")
            finally:
                connection.close()

        try:
            await asyncio.get_running_loop().run_in_executor(self._health_thread, ask)
        except errors.QueryError as error:
            return web.json_response({"status": "failed", "reason": error.message}, status=503)
        return web.json_response(
            {"status": "ok", "engine": self._engine.version, "queries": len(self._works), "queued": self._queued}
        )

    # --- one request

    async def _query(self, request: web.Request) -> web.StreamResponse:
        query_id = str(uuid.uuid4())
        try:
            if request.method == "GET" and not request.query_string:
                return await self._ping(request)
            asked = read_request(request)
            query_id = asked.query_id or query_id
            user = self._authenticated(asked)
            with tempfile.SpooledTemporaryFile(limits.SPOOL_MEMORY_BYTES, dir=str(self._engine.spool)) as body:
                async with self._spooled(request, body):
                    return await self._worked(request, asked, user=user, body=body, query_id=query_id)
        except errors.QueryError as error:
            return self._failure(error, query_id=query_id, anonymous="Authorization" not in request.headers)

    def _authenticated(self, asked: Asked) -> User:
        if asked.credentials is None:
            raise errors.QueryError(
                errors.AUTHENTICATION_FAILED,
                "default: Authentication failed: give a user and a password (basic authentication)",
            )
        name, password = asked.credentials
        return self._users.authenticate(name, password)

    @contextlib.asynccontextmanager
    async def _spooled(self, request: web.Request, body: IO[bytes]) -> AsyncIterator[None]:
        """Take the whole body as it comes, compressed or not, before anything of it is looked at."""
        size = 0
        try:
            async for chunk in request.content.iter_any():
                size += len(chunk)
                self._spooled_bytes += len(chunk)
                if size > limits.BODY_BYTES_MAX:
                    raise errors.QueryError(
                        errors.QUERY_IS_TOO_LARGE,
                        f"The body is larger than {limits.BODY_BYTES_MAX} bytes: send it in parts",
                    )
                if self._spooled_bytes > limits.SPOOLED_BYTES_MAX:
                    raise errors.TooBusyError("The server holds as many bytes of requests as it may; try again")
                try:
                    body.write(chunk)
                except OSError as error:
                    raise errors.QueryError(
                        errors.NOT_ENOUGH_SPACE, f"The body can't be spooled: {error.strerror}"
                    ) from None
            body.seek(0)
            yield
        finally:
            self._spooled_bytes -= size

    async def _worked(
        self, request: web.Request, asked: Asked, *, user: User, body: IO[bytes], query_id: str
    ) -> web.StreamResponse:
        await self._slot()
        session: Session | None = None
        try:
            if asked.session_id:
                session = self._sessions.take(
                    user=user.name,
                    session_id=asked.session_id,
                    timeout_s=asked.session_timeout_s,
                    must_exist=asked.session_check,
                )
        except BaseException:
            self._slots.release()
            raise
        chosen = encoder(
            accepted=request.headers.get("Accept-Encoding", ""), wanted=asked.compressed, blocks=asked.blocks_out
        )
        pipe = Pipe()
        call = Call(
            user=user,
            query_id=query_id,
            query=asked.query,
            body=body,
            encoding=request.headers.get("Content-Encoding", ""),
            blocks=asked.blocks_in,
            database=asked.database,
            settings=asked.settings,
            parameters=asked.parameters,
            default_format=asked.default_format,
            read_only=asked.read_only,
            wait_end=asked.wait_end,
            session=session,
        )
        work = Work(call, engine=self._engine, judge=self._judge, encoder=chosen, pipe=pipe)
        done = asyncio.get_running_loop().run_in_executor(self._threads, work.run)
        self._works.add(done)

        def ended(future: asyncio.Future[None]) -> None:
            self._works.discard(future)
            self._slots.release()
            if session is not None:
                self._sessions.give_back(session, close=asked.close_session)

        done.add_done_callback(ended)
        try:
            return await self._sent(request, pipe, chosen, query_id=query_id)
        except BaseException:
            pipe.abandon()
            await asyncio.shield(asyncio.to_thread(work.cancel))
            raise
        finally:
            # The thread reads the body: it must not be closed before the thread has ended.
            await asyncio.shield(_ended(done, pipe))

    async def _slot(self) -> None:
        """Wait for a thread, within limits. Raises TooBusyError."""
        if self._draining:
            raise errors.TooBusyError("The server is shutting down")
        if self._slots.locked() and self._queued >= limits.QUEUED_QUERIES_MAX:
            raise errors.TooBusyError(
                f"Too many simultaneous queries. {limits.CONCURRENT_QUERIES_MAX} run and {self._queued} wait already"
            )
        self._queued += 1
        try:
            async with asyncio.timeout(limits.QUEUE_WAIT_S):
                await self._slots.acquire()
        except TimeoutError:
            raise errors.TooBusyError(
                f"Too many simultaneous queries. Waited {limits.QUEUE_WAIT_S:g} s while {limits.CONCURRENT_QUERIES_MAX} run"
            ) from None
        finally:
            self._queued -= 1

    # --- answers

    async def _sent(self, request: web.Request, pipe: Pipe, chosen: Encoder, *, query_id: str) -> web.StreamResponse:
        started = time.perf_counter_ns()
        head = await pipe.get()
        if isinstance(head, errors.QueryError):
            return self._failure(head, query_id=query_id)
        assert isinstance(head, Head)
        headers = self._headers(query_id) | {
            "X-ClickHouse-Summary": _summary(head.answer, elapsed_ns=time.perf_counter_ns() - started),
        }
        headers |= (
            {"Content-Type": _TEXT}
            if head.format is None
            else {
                "Content-Type": _content_type(head.format),
                "X-ClickHouse-Format": head.format,
            }
        )
        first = await pipe.get()
        if chosen.encoding and isinstance(first, bytes):
            headers["Content-Encoding"] = chosen.encoding
        second = await pipe.get() if isinstance(first, bytes) else first
        for item in (first, second):
            if isinstance(item, errors.QueryError):  # nothing has gone out: the status can still say it
                return self._failure(item, query_id=query_id)
        if second is None:  # all of it is here: an answer of known length
            return web.Response(body=first if isinstance(first, bytes) else b"", headers=headers)
        tag = secrets.token_hex(8)
        response = web.StreamResponse(headers=headers | {"X-ClickHouse-Exception-Tag": tag})
        await response.prepare(request)
        for item in (first, second):
            await self._write(request, response, item, chosen, tag)
        while (following := await pipe.get()) is not None:
            await self._write(request, response, following, chosen, tag)
        with contextlib.suppress(ConnectionError):
            await response.write_eof()
        return response

    async def _write(
        self, request: web.Request, response: web.StreamResponse, item: Item, chosen: Encoder, tag: str
    ) -> None:
        if isinstance(item, bytes):
            await response.write(item)
        elif isinstance(item, errors.QueryError):
            # The status has gone out as 200: say it in the body as ClickHouse does, and break the connection so that
            # no client takes what came for the whole.
            text = item.text(version=self._engine.version)
            block = f"\r\n__exception__\r\n{tag}\r\n{text}\n{len(text.encode()) + 1} {tag}\r\n__exception__\r\n"
            await response.write(chosen.encode(block.encode()) + chosen.finish())
            if request.transport is not None:
                request.transport.close()

    def _headers(self, query_id: str) -> dict[str, str]:
        return {
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Server-Display-Name": self._engine.host,
            "X-ClickHouse-Timezone": self._engine.timezone,
        }

    def _failure(self, error: errors.QueryError, *, query_id: str, anonymous: bool = False) -> web.Response:
        headers = self._headers(query_id) | {"X-ClickHouse-Exception-Code": str(error.code), "Content-Type": _TEXT}
        status = error.status
        if isinstance(error, errors.TooBusyError):
            headers["Retry-After"] = str(limits.RETRY_AFTER_S)
        if (
            anonymous
            and error.code == errors.AUTHENTICATION_FAILED[0]
            and error.message.startswith("default: Authentication failed: give")
        ):
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
            status = 401
        return web.Response(text=error.text(version=self._engine.version) + "\n", status=status, headers=headers)


async def _ended(done: asyncio.Future[Any], pipe: Pipe) -> None:
    """Wait for the thread, taking whatever it still hands over."""
    while not done.done():
        pipe.abandon()
        await asyncio.wait([done], timeout=0.05)


def _content_type(fmt: str) -> str:
    lower = fmt.lower()
    if lower.startswith(_BINARY):
        return "application/octet-stream"
    return _CONTENT_TYPES.get(lower, _TEXT)


def _summary(answer: Answer, *, elapsed_ns: int) -> str:
    counts: Mapping[str, int] = {
        "read_rows": answer.rows_read,
        "read_bytes": answer.bytes_read,
        "written_rows": answer.rows_written,
        "written_bytes": answer.bytes_written,
        "total_rows_to_read": 0,
        "result_rows": answer.result_rows or answer.rows_written,
        "result_bytes": len(answer.body),
        "elapsed_ns": elapsed_ns,
    }
    return json.dumps({name: str(count) for name, count in counts.items()}, separators=(",", ":"))
