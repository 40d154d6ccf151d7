"""A receiver of webhooks that accepts everything at once and counts: `python -m tests.bench.sides.receiver` says its port, GET /told its count."""

from __future__ import annotations

import asyncio
import signal

from aiohttp import web

HEAD = 64
"""So many bytes of a body tell its event from every other."""


def application() -> web.Application:
    """Counts what came, and how much of it was not the same again."""
    seen: set[tuple[str, bytes]] = set()
    count = 0

    async def hear(request: web.Request) -> web.Response:
        nonlocal count
        body = await request.read()
        seen.add((request.path, body[:HEAD]))
        count += 1
        return web.Response()

    async def told(_request: web.Request) -> web.Response:
        return web.json_response({"count": count, "distinct": len(seen)})

    made = web.Application()
    made.router.add_get("/told", told)
    made.router.add_post("/{path:.*}", hear)
    return made


async def main() -> None:
    """Run until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    runner = web.AppRunner(application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print("port", runner.addresses[0][1], flush=True)
    await stopped.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
