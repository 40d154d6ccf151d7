"""What is told of a warehouse that refuses or is away: nothing of the query."""

from __future__ import annotations

import logging
import socket

import pytest
from aiohttp import web

from api.reads.errors import Unavailable
from api.reads.warehouse import Warehouse
from schemas import logs
from schemas.environment import Warehouse as Place

PASSWORD = "zq-password-of-the-warehouse"
VALUE = "zq-value-of-a-query"


async def asked(handler, caplog) -> str:
    """Everything that is logged of a query to a warehouse that behaves like this."""
    runner = web.ServerRunner(web.Server(handler, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    place = Place(host="127.0.0.1", port=port, user="u", password=PASSWORD, database="d", secure=False)
    warehouse = Warehouse(place)
    await warehouse.start()
    try:
        with caplog.at_level(logging.DEBUG), pytest.raises(Unavailable) as raised:
            await warehouse.rows("SELECT {p:UInt64}", {"p": VALUE})
    finally:
        await warehouse.close()
        await runner.cleanup()
    return "\n".join([*lines(caplog), logs.trace(raised.value)])


def lines(caplog) -> list[str]:
    """What the API's own logger wrote, as its process writes it."""
    formatter = logs.Lines("%(message)s")
    found = [formatter.format(record) for record in caplog.records if record.name == "clearline.api"]
    assert found
    return found


async def test_a_refusal_is_told_by_number_and_name(caplog) -> None:
    """ClickHouse's text repeats the value that it can't read; its number and name say as much to whoever mends it."""

    async def refuse(request):
        text = f"Code: 457. DB::Exception: Value {VALUE} cannot be parsed as UInt64 for 'p'. (BAD_QUERY_PARAMETER) (version 25)"
        return web.Response(status=400, text=text)

    told = await asked(refuse, caplog)
    assert VALUE not in told
    assert "(400): 457 BAD_QUERY_PARAMETER" in told


async def test_an_answer_that_is_no_http_is_told_without_the_request(caplog) -> None:
    """The client's error has the request in it, with its headers and so the password."""

    async def garble(request):
        request.transport.write(b"HTTP/1.1 OK perhaps\r\n\r\n")
        request.transport.close()
        return web.Response()

    told = await asked(garble, caplog)
    assert VALUE not in told
    assert "Authorization" not in told
    assert "ClientResponseError" in told or "ServerDisconnectedError" in told


async def test_a_warehouse_that_is_away_is_told_in_the_systems_words(caplog) -> None:
    """Nobody listens, and the line says that."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = Place(
            host="127.0.0.1", port=taken.getsockname()[1], user="u", password=PASSWORD, database="d", secure=False
        )
        warehouse = Warehouse(place)
        await warehouse.start()
        try:
            with pytest.raises(Unavailable):
                await warehouse.rows("SELECT 1", {})
        finally:
            await warehouse.close()
    assert "ClientConnectorError: " in lines(caplog)[0]
