"""Attempts against real receivers that behave and misbehave."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import stripe
from aiohttp import web

from api.webhooks import calls
from api.webhooks.calls import Caller

SECRET = "whsec_" + "s" * 32
BODY = b'{"id":"evt_1","object":"event"}'
LONG_S = 60.0


@contextlib.asynccontextmanager
async def served(handle):
    """A receiver on loopback: its URL."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/hook"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def raw(answer: bytes, *, hold: bool = False):
    """A receiver that answers with these bytes whatever it hears, then ends the connection or holds it: its URL."""
    handlers = set()

    async def handle(reader, writer):
        handlers.add(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            writer.write(answer)
            await writer.drain()
            if hold:
                await reader.read()  # until the caller has gone
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        await asyncio.gather(*handlers)


@pytest.fixture
async def caller():
    """A caller with the development setting and all the time in the world."""
    made = Caller(allow_loopback=True, timeout_s=LONG_S)
    yield made
    await made.aclose()


async def test_accepted_and_signed(caller):
    """An endpoint that answers 2xx has accepted; it got the very bytes, with a signature that the official SDK accepts."""
    seen = []

    async def handle(request):
        seen.append((request.method, request.content_type, await request.read(), request.headers["Stripe-Signature"]))
        return web.Response(status=202)

    async with served(handle) as url:
        answer = await caller.post(url, BODY, secrets=[SECRET])
    assert (answer.accepted, answer.status_code, answer.failure) == (True, 202, "")
    [(method, content_type, body, signature)] = seen
    assert (method, content_type, body) == ("POST", "application/json", BODY)
    assert stripe.Webhook.construct_event(body, signature, SECRET).id == "evt_1"


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
async def test_not_accepted(caller, status):
    """Any answer other than 2xx is a failure, with its status."""

    async def handle(_request):
        return web.Response(status=status, text="secret text of the endpoint")

    async with served(handle) as url:
        answer = await caller.post(url, BODY, secrets=[SECRET])
    assert (answer.accepted, answer.status_code, answer.failure) == (False, status, f"answered {status}: not accepted")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(caller, status):
    """A redirect is a failure, and its target is never called."""
    paths = []

    async def handle(request):
        paths.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with served(handle) as url:
        answer = await caller.post(url, BODY, secrets=[SECRET])
    assert answer.failure == f"answered {status}: redirects are not followed"
    assert paths == ["/hook"]


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"],
    ids=["nothing", "no body", "half a body"],
)  # fmt: skip
async def test_hanging(answer):
    """An endpoint that begins to answer, or doesn't, and then hangs is given up after the time-out."""
    caller = Caller(allow_loopback=True, timeout_s=0.2)
    try:
        async with raw(answer, hold=True) as url:
            assert (await caller.post(url, BODY, secrets=[SECRET])).failure == "no answer within 0.2 s"
    finally:
        await caller.aclose()


async def test_endless_answer(caller):
    """Of an answer that doesn't end only so much is read; the status counts."""
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * (2 * calls.RESPONSE_BYTES_MAX)
    async with raw(endless, hold=True) as url:
        assert (await caller.post(url, BODY, secrets=[SECRET])).accepted


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"", "it ended the connection before it had answered"),
        (b"SMTP ready\r\n\r\n", "its answer is not HTTP, or has headers that are too long"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", "its answer is not HTTP, or has headers that are too long"),
    ],
    ids=["closes", "not HTTP", "long header"],
)  # fmt: skip
async def test_broken_answers(caller, answer, failure):
    """What is no HTTP answer is a failure with a reason in our words."""
    async with raw(answer) as url:
        assert (await caller.post(url, BODY, secrets=[SECRET])).failure == failure


async def test_nobody_there(caller):
    """Nobody listening is a failure."""
    async with raw(b"") as url:
        pass
    assert (await caller.post(url, BODY, secrets=[SECRET])).failure == "no connection could be made"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_without_the_development_setting(host):
    """Without the development setting nothing reaches loopback, by address or by name, with http or https."""
    seen = []

    async def handle(request):
        seen.append(request.path)
        return web.Response()

    caller = Caller(allow_loopback=False, timeout_s=LONG_S)
    try:
        async with served(handle) as url:
            for scheme in ("http", "https"):
                target = url.replace("127.0.0.1", host).replace("http", scheme, 1)
                answer = await caller.post(target, BODY, secrets=[SECRET])
                assert "https://" in answer.failure or "public internet" in answer.failure
    finally:
        await caller.aclose()
    assert seen == []
