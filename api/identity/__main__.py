"""`python -m api.identity --port P`: the issuer for development, until SIGTERM. It believes everybody: never for production."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal

from aiohttp import web

from api.identity.local_issuer import LocalIssuer
from api.identity.oidc import is_loopback
from schemas import deadman, logs

DEFAULT_PORT = 8790
CLIENT_ID = "clearline-development"

log = logging.getLogger("clearline.identity")


async def _serve(host: str, port: int, client_id: str) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    runner = None
    try:
        # The port may be chosen as it is bound, and the issuer's name has it.
        listener = await loop.create_server(asyncio.Protocol, host, port)
        port = listener.sockets[0].getsockname()[1]
        listener.close()
        await listener.wait_closed()
        issuer = LocalIssuer(f"http://{host}:{port}", client_id=client_id)
        runner = web.AppRunner(issuer.application(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        log.warning("this issuer believes everybody: for development on this machine, never for production")
        log.info("ready: %s", issuer.url)
        await ended.wait()
    finally:
        if runner is not None:
            await runner.cleanup()


def main() -> int:
    """The command line; 0 when it was told to end."""
    parser = argparse.ArgumentParser(prog="python -m api.identity", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port; 0 takes a free one and says which")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on, this machine's own only")
    parser.add_argument("--client-id", default=CLIENT_ID, help="the one client that it knows")
    arguments = parser.parse_args()
    logs.start("identity")
    if not is_loopback(arguments.host):
        log.critical(
            "this issuer believes everybody and listens on this machine only; take 127.0.0.1, or a real issuer"
        )
        return 1
    deadman.arm()
    try:
        asyncio.run(_serve(arguments.host, arguments.port, arguments.client_id))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        log.critical("can't listen on %s:%d: %s; give another --port", arguments.host, arguments.port, reason)
        return 1
    log.info("ended")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
