"""Goal: whatever comes over a socket is answered in Stripe's form or not at all, in one line of log. Method: the whole application behind uvicorn, raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from api.http import _protocol, keys
from api.http._protocol import HEAD_BYTES_MAX, Protocol
from api.http.app import application
from api.http.service import Service
from api.http.wire import BODY_BYTES_MAX
from schemas import logs
from schemas.records import Attribution

DEADLINE_S = 60
KEY, MADE = keys.make("acme", now_ms=1, who=Attribution())
VALUE = "zqvalue"
HEAD = f"POST /v1/payment_intents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"


class Nobody:
    """What is behind the parameters; no request here gets so far."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is asked for a malformed request")


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """The application on a port."""
    table = keys.KeyTable()
    table.put(MADE.key_id, MADE)
    nobody: Any = Nobody()
    service = Service(
        keys=table, tenants={}, commands=nobody, payments=nobody, objects=nobody, replied=lambda _reply: None
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    config = uvicorn.Config(
        application(service, ready=lambda: ""),
        http=Protocol,
        ws="none",
        h11_max_incomplete_event_size=HEAD_BYTES_MAX,
        log_config=None,
        log_level="error",
        access_log=False,
        lifespan="off",
    )
    server = uvicorn.Server(config)
    with contextlib.ExitStack() as stack:
        stack.callback(listener.close)
        server.capture_signals = contextlib.nullcontext  # they are pytest's
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


async def said(raw: bytes, *, ends: bool = False) -> bytes:
    """All that is answered to these bytes until the server closes; `ends`: the sender closes its half first."""
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw)
        if ends:
            writer.write_eof()
        answered = await reader.read()
        writer.close()
        return answered


def lines(caplog) -> list[str]:
    """Everything that was logged, as a process writes it."""
    formatter = logs.Lines("%(message)s")
    return [line for one in caplog.records for line in formatter.format(one).splitlines()]


def told(caplog) -> str:
    """The one line that was logged, with nothing of what was sent."""
    (line,) = lines(caplog)
    for one in (VALUE, KEY, KEY[8:24]):
        assert one not in line
    return line


def error_of(answered: bytes) -> tuple[int, dict[str, Any]]:
    """The status and error of the one answer."""
    head, _, body = answered.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert headers["content-type"] == "application/json"
    assert headers["request-id"].startswith("req_")
    assert int(headers["content-length"]) == len(body), "one answer and no more"
    return int(head.split()[1]), json.loads(body)["error"]


@pytest.fixture(autouse=True)
def everything(caplog) -> None:
    """Whatever any library says is seen."""
    caplog.set_level(logging.INFO)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


MALFORMED = {
    "another protocol": f"\x16\x03\x01{VALUE}\r\n\r\n",
    "no version": f"GET /{VALUE}\r\n\r\n",
    "another version": f"GET /?{VALUE} HTTX\r\n\r\n",
    "a header without a colon": f"GET / HTTP/1.1\r\nHost: x\r\n{VALUE} {KEY}\r\n\r\n",
    "a header's name with blanks": f"GET / HTTP/1.1\r\nHost: x\r\n{VALUE} x: y\r\n\r\n",
    "a control character in a header": f"GET / HTTP/1.1\r\nHost: x\r\nX: {VALUE}\x00\r\n\r\n",
    "no Host": f"GET /{VALUE} HTTP/1.1\r\n\r\n",
    "a length that is none": f"{HEAD}Content-Length: {VALUE}\r\n\r\n",
    "a negative length": f"{HEAD}Content-Length: -1\r\n\r\n{VALUE}",
    "two lengths": f"{HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{VALUE}",
    "another transfer coding": f"{HEAD}Transfer-Encoding: gzip\r\n\r\n{VALUE}",
    "headers beyond the limit": f"GET / HTTP/1.1\r\nHost: x\r\nX: {VALUE}{'x' * HEAD_BYTES_MAX}",
    "chunks that are none": f"{HEAD}{FORM}Transfer-Encoding: chunked\r\n\r\n{VALUE}{KEY}\r\n\r\n",
    "a chunk's length that is too large": f"{HEAD}{FORM}Transfer-Encoding: chunked\r\n\r\n{'f' * 30}\r\n{VALUE}",
    "a chunk without its end": f"{HEAD}{FORM}Transfer-Encoding: chunked\r\n\r\n4\r\na={VALUE}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_http_is_a_400_in_stripes_form(raw, caplog) -> None:
    """Before the headers are whole or amid the body: 400, the connection ends, and one line says nothing of it."""
    status, error = error_of(await asyncio.wait_for(said(raw.encode("latin-1")), DEADLINE_S))
    assert (status, error["type"], error["code"]) == (400, "invalid_request_error", "request_unreadable")
    assert VALUE not in error["message"]
    seen = lines(caplog)
    assert seen
    assert not [one for one in seen if "Traceback" in one or VALUE in one or KEY in one]
    # A request whose head was read has a line of its own, since it was taken up.
    assert len(seen) == (2 if "chunk" in raw else 1), seen


UNREADABLE = {
    "a form that is not UTF-8": (FORM, f"description={VALUE}".encode() + b"\xff"),
    "percents that are not UTF-8": (FORM, f"description={VALUE}%ff".encode()),
    "JSON that is none": ("Content-Type: application/json\r\n", f'{{"amount": {VALUE}'.encode()),
    "JSON that is not UTF-8": ("Content-Type: application/json\r\n", b'{"description": "\xff\xfe"}'),
    "nesting beyond the limit": ("Content-Type: application/json\r\n", b'{"a":' + b"[" * 5_000),
    "another type": ("Content-Type: text/xml\r\n", f"<{VALUE}/>".encode()),
    "too many parameters": (FORM, b"&".join(b"a%d=1" % one for one in range(1_500))),
    "a body beyond the limit": (FORM, b"a=" + b"x" * BODY_BYTES_MAX),
}


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize(("kind", "body"), UNREADABLE.values(), ids=UNREADABLE)
async def test_a_body_that_cant_be_read_is_a_400(kind, body, chunked, caplog) -> None:
    """However it comes; the error repeats nothing of it."""
    if chunked:
        parts = [body[at : at + 60_000] for at in range(0, len(body), 60_000)]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        length = "Transfer-Encoding: chunked"
    else:
        sent, length = body, f"Content-Length: {len(body)}"
    head = f"{HEAD}{kind}Connection: close\r\n{length}\r\n\r\n"
    status, error = error_of(await asyncio.wait_for(said(head.encode() + sent), DEADLINE_S))
    assert (status, error["type"], error["code"]) == (400, "invalid_request_error", "request_unreadable")
    assert VALUE not in error["message"]
    assert "status=400 " in told(caplog)


@pytest.mark.parametrize(
    "raw",
    [
        f"{HEAD}{FORM}Content-Length: 900\r\n\r\ndescription={VALUE}",
        f"{HEAD}{FORM}Transfer-Encoding: chunked\r\n\r\n64\r\ndescription={VALUE}",
    ],
    ids=["length", "chunks"],
)
async def test_a_caller_who_goes_away_amid_the_body_is_one_line(raw, caplog) -> None:
    """Nobody is answered, nothing is begun, and it is no failure of ours."""
    assert await asyncio.wait_for(said(raw.encode(), ends=True), DEADLINE_S) == b""
    assert "code=request_incomplete" in told(caplog)


@pytest.mark.parametrize(
    "raw",
    [
        "GET / HT",
        "GET / HTTP/1.1\r\nHost: x\r\nX: y",
        f"{HEAD}{FORM}Content-Length: 900\r\n\r\ndescription={VALUE}",
        f"{HEAD}{FORM}Transfer-Encoding: chunked\r\n\r\n64\r\ndescription={VALUE}",
    ],
    ids=["first line", "headers", "body", "chunks"],
)
async def test_a_request_that_does_not_come_is_not_waited_for(raw, caplog, monkeypatch) -> None:
    """408 in Stripe's form, worth another try; the connection ends."""
    monkeypatch.setattr(_protocol, "READ_S", 0.3)
    status, error = error_of(await asyncio.wait_for(said(raw.encode()), DEADLINE_S))
    assert (status, error["code"]) == (408, "request_timeout")
    assert not [one for one in lines(caplog) if "Traceback" in one or VALUE in one]


async def test_a_connection_that_says_nothing_ends_without_a_word(caplog, monkeypatch) -> None:
    """It is closed as one that rests is, and is no event."""
    monkeypatch.setattr(_protocol, "READ_S", 0.3)
    assert await asyncio.wait_for(said(b""), DEADLINE_S) == b""
    assert lines(caplog) == []


async def test_a_request_that_came_whole_has_all_the_time_it_takes(monkeypatch) -> None:
    """The clock is for what comes, not for what is done: it stops with the last byte, and the connection is used again."""
    monkeypatch.setattr(_protocol, "READ_S", 0.3)
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["body"] == b"a=1"
        entered.set()
        await go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    monkeypatch.setattr("tests.unit.api.http.test_protocol.application", lambda *_given, **_more: slow)
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            entered.clear()
            go_on.clear()
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na=1")
            await asyncio.wait_for(entered.wait(), DEADLINE_S)
            loop = asyncio.get_running_loop()
            loop.call_later(2 * _protocol.READ_S, go_on.set)
            assert (await asyncio.wait_for(reader.readuntil(b"{}"), DEADLINE_S)).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_garbage_behind_an_answer_ends_the_connection(caplog) -> None:
    """What follows a request that was refused before its body was read does no harm: one answer, no traceback."""
    raw = "POST /v1/payment_intents HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw.encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
        assert head.startswith(b"HTTP/1.1 401")
        writer.write(f"{VALUE}\r\n\r\n".encode())
        rest = await asyncio.wait_for(reader.read(), DEADLINE_S)
        writer.close()
    assert json.loads(rest)["error"]["code"] == "api_key_invalid"
    assert not [one for one in lines(caplog) if "Traceback" in one or VALUE in one]
