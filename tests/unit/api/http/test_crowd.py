"""More connections than may be open."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import uvicorn

from api.http.crowd import Crowd
from tests.integration.api._answers import look

DEADLINE_S = 60
PATH = "/v1/balance"


async def _within(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


async def _asked(port: int, path: str = PATH) -> tuple[int, dict[str, str], bytes, asyncio.StreamWriter]:
    """A request on a connection that stays open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:] if line)
    body = await reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1]), headers, body, writer


async def _crowded() -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    crowd = Crowd(_within, connections=lambda: len(server.server_state.connections), most=1)
    server = uvicorn.Server(uvicorn.Config(crowd, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        first = await _asked(port)
        assert first[0] == 200
        status, headers, body, second = await _asked(port)
        look("GET", PATH, "", status=status, headers=headers, body=body)
        assert (status, headers["retry-after"], headers["stripe-should-retry"]) == (503, "1", "true")
        assert headers["connection"] == "close"
        assert json.loads(body)["error"]["code"] == "overloaded"
        healthy = await _asked(port, "/health")
        assert healthy[0] == 200
        for one in (first[3], second, healthy[3]):
            one.close()
        while server.server_state.connections:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
        again = await _asked(port)
        assert again[0] == 200
        again[3].close()
    finally:
        server.should_exit = True
        await serving


async def test_a_connection_too_many_is_told_so_in_the_apis_words() -> None:
    """503 as the document has it, with Retry-After, on a connection that ends; health is answered, and who comes later is let in."""
    await asyncio.wait_for(_crowded(), DEADLINE_S)
