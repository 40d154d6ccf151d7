"""`python -m connectors.providers.simulator --data DIR --port P`: simulated payment providers over HTTP."""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import signal
import sys
from pathlib import Path

from aiohttp import web

from connectors.providers.errors import BooksError
from connectors.providers.simulator._books import (
    DEFAULT_DISPUTE_DELAY_MS,
    DEFAULT_RESPONSE_MS,
    Books,
)
from connectors.providers.simulator._payouts import DEFAULT_PAYOUT_DELAY_MS, DEFAULT_RETURN_MS
from connectors.providers.simulator._refunds import DEFAULT_REFUND_DELAY_MS
from connectors.providers.simulator.server import KEEP_ALIVE_S, Simulator
from schemas import logs

DEFAULT_PORT = 8701
SHUTDOWN_S = 3.0
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")

log = logging.getLogger("clearline.simulator")


def _latency(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    try:
        span = int(low), int(high or low)
    except ValueError:
        span = (-1, -1)
    if not 0 <= span[0] <= span[1]:
        raise argparse.ArgumentTypeError("a span of milliseconds such as 5-40")
    return span


def _providers(text: str) -> frozenset[str]:
    names = text.split(",")
    if not all(_NAME.fullmatch(name) for name in names):
        raise argparse.ArgumentTypeError("names in lower case divided by commas, such as northpay,southpay")
    return frozenset(names)


def _refused_currency(text: str) -> tuple[str, str]:
    provider, _, currency = text.partition(":")
    if not (provider and len(currency) == 3):
        raise argparse.ArgumentTypeError("a provider and a currency, such as southpay:KWD")
    return provider, currency


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m connectors.providers.simulator", description="Simulated payment providers over HTTP."
    )
    parser.add_argument("--data", type=Path, required=True, help="directory of the providers' books")
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="port on 127.0.0.1; 0 takes a free one and says which"
    )
    parser.add_argument("--providers", type=_providers, default="northpay,southpay", help="the providers to play")
    parser.add_argument("--seed", type=int, default=0, help="reproduces everything that looks random")
    parser.add_argument(
        "--latency-ms", type=_latency, default="0-0", metavar="MIN-MAX", help="how long an operation takes"
    )
    parser.add_argument(
        "--refuse-currency", type=_refused_currency, action="append", default=[], metavar="PROVIDER:CUR"
    )
    parser.add_argument(
        "--refund-delay-ms", type=int, default=DEFAULT_REFUND_DELAY_MS, help="how long a pending refund pends"
    )
    parser.add_argument(
        "--dispute-delay-ms", type=int, default=DEFAULT_DISPUTE_DELAY_MS, help="how long a customer's bank thinks"
    )
    parser.add_argument(
        "--response-ms", type=int, default=DEFAULT_RESPONSE_MS, help="how long evidence is taken for a dispute"
    )
    parser.add_argument(
        "--payout-delay-ms", type=int, default=DEFAULT_PAYOUT_DELAY_MS, help="how long a payout is in transit"
    )
    parser.add_argument(
        "--return-ms", type=int, default=DEFAULT_RETURN_MS, help="after how long a payout that comes back does so"
    )
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace, books: Books) -> None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end(error: BaseException | None = None) -> None:
        if not ended.done():
            ended.set_exception(error) if error else ended.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    simulator = Simulator(
        books, providers=arguments.providers, seed=arguments.seed, latency_ms=arguments.latency_ms, fail=end
    )
    server = web.Server(simulator.handle, keepalive_timeout=KEEP_ALIVE_S, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", arguments.port, backlog=1024)
    await site.start()
    log.info("ready: %s at http://127.0.0.1:%d", ", ".join(sorted(arguments.providers)), runner.addresses[0][1])
    try:
        await ended
    finally:
        await runner.cleanup()


def main() -> int:
    """Run until a signal; 0 when told to stop, 1 when the books or the port fail."""
    arguments = _arguments()
    logs.start("simulator")
    try:
        arguments.data.mkdir(parents=True, exist_ok=True)
        books = Books(
            arguments.data / "books.sqlite",
            refused_currencies=frozenset(arguments.refuse_currency),
            refund_delay_ms=arguments.refund_delay_ms,
            dispute_delay_ms=arguments.dispute_delay_ms,
            response_ms=arguments.response_ms,
            payout_delay_ms=arguments.payout_delay_ms,
            return_ms=arguments.return_ms,
            seed=arguments.seed,
        )
        asyncio.run(_serve(arguments, books))
        books.close_file()
    except BooksError as error:
        log.critical("%s", error)
        return 1
    except OSError as error:
        log.critical("can't start: %s; choose another --port or --data", error)
        return 1
    except Exception:
        log.critical("stopped by a fault; nothing that was answered is lost, start again", exc_info=True)
        return 1
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
