"""`python -m api.registry --port P`: serves the contracts until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Iterator

import uvicorn

from api.registry.app import application
from schemas import logs
from schemas.contracts import all_contracts
from schemas.errors import ContractFault

DEFAULT_PORT = 8081
SHUTDOWN_S = 5
CONNECTIONS_MAX = 500

log = logging.getLogger("clearline.registry")


class _Server(uvicorn.Server):
    """uvicorn, except that SIGTERM and SIGINT end it with status 0 instead of being raised again after it has ended."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            log.info("ready: %d schemas at http://%s:%d", len(all_contracts()), *listener.getsockname()[:2])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def main() -> int:
    """The command line; 0 when it was told to end."""
    parser = argparse.ArgumentParser(prog="python -m api.registry", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port; 0 takes a free one and says which")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    arguments = parser.parse_args()
    logs.start("registry")
    try:
        all_contracts()
        listener = _listen(arguments.host, arguments.port)
    except ContractFault as error:
        log.critical("%s", error)
        return 1
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        remedy = f"stop what listens there (`ss -ltnp 'sport = :{arguments.port}'` names it), or give another --port"
        log.critical("can't listen on %s:%d: %s; %s", arguments.host, arguments.port, reason, remedy)
        return 1
    config = uvicorn.Config(
        application(),
        log_config=None,
        access_log=False,
        log_level="warning",
        lifespan="off",
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=SHUTDOWN_S,
        server_header=False,
    )
    asyncio.run(_Server(config).serve(sockets=[listener]))
    log.info("ended")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
