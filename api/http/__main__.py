"""`python -m api.http --port P`: serves the API until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator

import uvicorn
from confluent_kafka import KafkaException

from api.customers import routes as customers
from api.customers.keyring import Keyring
from api.customers.resolve import Resolver
from api.http import belongings
from api.http._protocol import HEAD_BYTES_MAX, Protocol
from api.http._tables import Tables, TablesNotRead
from api.http.app import application
from api.http.browsers import Browsers
from api.http.commands import DEADLINE_S, Commands
from api.http.crowd import Crowd
from api.http.limits import Uses
from api.http.service import Service
from api.identity import oidc, sign_in
from api.identity import routes as identity
from api.identity.log import ConfigurationLog
from api.identity.people import People
from api.payouts import routes as payouts
from api.reads import search
from api.reads.routes import handlers
from api.reads.service import Reads
from api.webhooks import _settings as webhooks_settings
from api.webhooks import deliveries
from api.webhooks import resource as endpoints
from api.webhooks.book import Book
from api.webhooks.errors import ConfigurationError, WebhooksStopped
from schemas import deadman, environment, logs
from schemas.clients import client_config
from schemas.errors import MasterKeysUnusable
from schemas.sealing import read_master_keys

DEFAULT_PORT = 8780
CONNECTIONS_MAX = 5_000
"""Beyond what may wait for payments; requests on further ones are refused with 503."""
SHUTDOWN_S = 8
"""The supervisor kills after 10 s; a command still unanswered then has its effect all the same."""
BACKLOG = 1_024

log = logging.getLogger("clearline.api")


class _Server(uvicorn.Server):
    """uvicorn, except that SIGTERM and SIGINT end it with status 0 instead of being raised again after it has ended."""

    failure: BaseException | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            log.info("ready: http://%s:%d", *listener.getsockname()[:2])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


async def _serve(settings: environment.Environment, listener: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    server: _Server | None = None
    failures: list[BaseException] = []

    def failed(error: BaseException) -> None:
        def end() -> None:
            failures.append(error)
            if server is not None:
                server.should_exit = True

        loop.call_soon_threadsafe(end)

    extra = dict(settings.kafka_config)
    tables = Tables(settings.kafka, extra, failed=failed)
    commands = Commands(settings.kafka, extra, failed=failed)
    reads = Reads(settings, failed=failed)
    configuration = ConfigurationLog(settings.kafka, extra, tables)
    issuer = sign_in.settings(os.environ, default_url="http://{}:{}".format(*listener.getsockname()[:2]))
    people = (
        None
        if issuer is None
        else sign_in.SignIn(oidc.Issuer(issuer), tables, configuration, internal_token=settings.internal_token)
    )
    loopback = webhooks_settings.allow_loopback(os.environ)
    master = None if settings.master_key is None else read_master_keys(settings.master_key)
    book = Book(client_config(settings.kafka, extra))
    keyring = Keyring(settings.kafka, extra, master, failed=failed)
    try:
        await tables.start()
        await commands.start()
        await reads.start()
        await keyring.start()
        await asyncio.to_thread(book.start)
        log.info("%d keys; replies on partition %d; deadline %.0f s", len(tables.keys), commands.partition, DEADLINE_S)
        service = Service(
            keys=tables.keys,
            tenants=tables.tenants,
            commands=commands,
            payments=reads.payments,
            objects=reads,
            replied=reads.landed.note,
            resolve=Resolver(reads.customers, reads.payments).resolve,
            people=People(tables),
            uses=Uses(commands.tell_use, known_ms=tables.used_ms),
            browsers=Browsers(settings.internal_token),
        )
        crowd = Crowd(
            application(
                service,
                ready=lambda: "Kafka is lost" if failures else "",
                handlers=(*handlers(service, reads), *sign_in.handlers(people)),
                # Each resource gives its own routes.
                routes=(
                    *belongings.routes(service, reads),
                    *search.routes(reads),
                    *customers.routes(commands, reads, keyring),
                    *identity.routes(
                        service,
                        tables,
                        configuration,
                        reads,
                        os.environ,
                        paying=payouts.routes(commands, reads, tables.tenants),
                    ),
                    *payouts.operators(commands, reads, tables),
                    *endpoints.routes(book, master=master, allow_loopback=loopback),
                    *deliveries.routes(book, reads, client_config(settings.kafka, extra)),
                ),
            ),
            connections=lambda: 0 if server is None else len(server.server_state.connections),
            most=CONNECTIONS_MAX,
        )
        config = uvicorn.Config(
            crowd,
            http=Protocol,
            ws="none",
            h11_max_incomplete_event_size=HEAD_BYTES_MAX,
            log_config=None,
            access_log=False,
            # What it warns of are outsiders' mistakes, each of which has a line of ours.
            log_level="error",
            lifespan="off",
            backlog=BACKLOG,
            timeout_graceful_shutdown=SHUTDOWN_S,
            server_header=False,
        )
        server = _Server(config)
        if not failures:
            await server.serve(sockets=[listener])
    finally:
        await commands.close()
        await reads.close()
        if people is not None:
            await people.issuer.close()
        await asyncio.to_thread(keyring.close)
        await asyncio.to_thread(tables.close)
        await asyncio.to_thread(book.close)
    if failures:
        log.critical(
            "Kafka can't be used any more: %s; see the broker's log; the supervisor starts this again", failures[0]
        )
        return 1
    return 0


def main() -> int:
    """The command line; 0 when it was told to end."""
    parser = argparse.ArgumentParser(prog="python -m api.http", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port; 0 takes a free one and says which")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    arguments = parser.parse_args()
    logs.start("api")
    deadman.arm()
    try:
        settings = environment.read()
        listener = _listen(arguments.host, arguments.port)
    except environment.VariableError as error:
        log.critical("%s; %s", error, error.remedy)
        return 1
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        remedy = f"stop what listens there (`ss -ltnp 'sport = :{arguments.port}'` names it), or give another --port"
        log.critical("can't listen on %s:%d: %s; %s", arguments.host, arguments.port, reason, remedy)
        return 1
    try:
        status = asyncio.run(_serve(settings, listener))
    except (TablesNotRead, ConfigurationError, MasterKeysUnusable, WebhooksStopped) as error:
        log.critical("%s", error)
        return 1
    except environment.VariableError as said:
        log.critical("%s; %s", said, said.remedy)
        return 1
    except KafkaException as error:
        log.critical("Kafka at %s: %s; start it, or set CLEARLINE_KAFKA", settings.kafka, error.args[0])
        return 1
    log.info("ended")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
