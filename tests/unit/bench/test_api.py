from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from tests.bench import api
from tests.bench.ground import BenchError


async def test_every_request_is_asked_once_and_so_many_at_once() -> None:
    """The rate's loop asks each number once, with never more than `AT_ONCE` under way."""
    asked: list[int] = []
    under_way = most = 0

    async def ask(number: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        asked.append(number)
        under_way -= 1

    assert await api.per_second(ask, 500) > 0
    assert sorted(asked) == list(range(500))
    assert most == api.AT_ONCE


async def test_a_late_answer_counts_from_when_it_was_due() -> None:
    """A server that is busy makes later requests wait too, and their times say so: they run from when each was due."""
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def ask(number: int) -> None:
        if number == 0:
            loop.call_later(0.2, gate.set)
        await gate.wait()

    found = await api.times_ms(ask, 5, per_s=1_000)
    assert len(found) == 5
    assert min(found) > 100


@pytest.mark.parametrize(("status", "body"), [(402, {"error": {}}), (200, {"id": "pi_1", "status": "processing"})])
async def test_what_is_no_success_ends_the_measurement(status, body) -> None:
    """A payment that did not succeed is no figure; stripe-mock's fixture may be in any status."""

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    server = web.AppRunner(app := web.Application())
    app.router.add_post("/v1/payment_intents", answer)
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{server.addresses[0][1]}"
    try:
        async with api.Side(url, ["sk_test_x"]) as side:
            with pytest.raises(BenchError):
                await side.pay(0)
        if status == 200:
            async with api.Mock(url, ["sk_test_x"]) as mock:
                await mock.pay(0)
                assert mock.made == ["pi_1"]
    finally:
        await server.cleanup()
