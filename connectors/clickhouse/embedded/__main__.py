"""`python -m connectors.clickhouse.embedded --data DIR --port P`: the embedded warehouse as a process."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Final

import click
from aiohttp import web

from connectors.clickhouse.embedded import errors, limits
from connectors.clickhouse.embedded.engine import Engine
from connectors.clickhouse.embedded.server import Warehouse
from connectors.clickhouse.embedded.users import Users, read_users
from schemas import environment, logs

_log = logging.getLogger("warehouse")

USERS_VARIABLE: Final = "CLEARLINE_WAREHOUSE_USERS"
FAILED: Final = 1


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), required=True, help="Directory of the warehouse; made if missing."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8123,
    show_default=True,
    help="0: any free port, named in the ready line.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--allow-remote", is_flag=True, help="Listen on an address that other machines can reach. Traffic is not encrypted."
)
def main(*, data: Path, port: int, host: str, allow_remote: bool) -> None:
    """Serve ClickHouse's HTTP interface over an embedded engine.

    Users come from CLEARLINE_CLICKHOUSE (its user may write, `reader` with the same password may read) and from
    CLEARLINE_WAREHOUSE_USERS, a JSON list of {"name", "password", "role": "admin" | "writer" | "reader"}.
    """
    logs.start("warehouse")
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    status = 0
    try:
        target = environment.warehouse(os.environ.get(environment.CLICKHOUSE) or environment.DEFAULT_CLICKHOUSE)
        users = read_users(owner=target.user, password=target.password, configured=os.environ.get(USERS_VARIABLE, ""))
        _check_address(host, users=users, allowed=allow_remote)
        engine = Engine(data.expanduser().absolute(), database=target.database)
        asyncio.run(_serve(engine, users=users, host=host, port=port))
        engine.close()
    except environment.VariableError as error:
        _log.critical("%s; %s", error, error.remedy)
        status = FAILED
    except errors.WarehouseError as error:
        _log.critical("%s", error)
        status = FAILED
    logging.shutdown()
    sys.stdout.flush()
    # The engine's threads and static destructors have nothing left to do: everything is closed. Leaving without them
    # can't hang or crash.
    os._exit(status)


def _check_address(host: str, *, users: Users, allowed: bool) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise errors.StartError(
            f"--host {host} is not an address; give 127.0.0.1, ::1 or one of this machine's"
        ) from None
    if loopback:
        return
    if not allowed:
        raise errors.StartError(f"--host {host} can be reached from other machines; add --allow-remote if you mean it")
    if names := users.without_password():
        raise errors.StartError(f"--host {host}: these users have no password: {', '.join(names)}; give each one first")


async def _serve(engine: Engine, *, users: Users, host: str, port: int) -> None:
    warehouse = Warehouse(engine, users=users)
    runner = web.AppRunner(
        warehouse.application(),
        handler_cancellation=True,
        auto_decompress=False,
        max_line_size=limits.HEADER_LINE_BYTES_MAX,
        access_log=None,
        shutdown_timeout=limits.LEAVE_WAIT_S,
    )
    await runner.setup()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise errors.StartError(
                f"can't listen on {host}:{port} ({error.strerror}); stop what uses it, or give another --port"
            ) from None
        _log.info(
            "ready on http://%s:%d, database %s, engine %s", *runner.addresses[0][:2], engine.database, engine.version
        )
        await stop.wait()
        _log.info("stopping")
        await warehouse.drain()
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await runner.cleanup()
    warehouse.close()
    _log.info("stopped")


if __name__ == "__main__":
    main()
