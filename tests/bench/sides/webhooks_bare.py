"""The floor of sending webhooks: a loop that signs bodies and posts them with aiohttp, knows nothing of Kafka and keeps nothing."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import aiohttp

from api.webhooks import signing


async def main(bodies: list[bytes], urls: list[str], at_once: int, secret: str) -> None:
    """Post each to each address."""
    left = iter([(url, body) for body in bodies for url in urls])
    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def post() -> None:
            for url, body in left:
                header = signing.header(body, [secret], timestamp_s=int(time.time()))
                headers = {"Content-Type": "application/json; charset=utf-8", signing.HEADER: header}
                async with session.post(url, data=body, headers=headers) as answer:
                    await answer.read()
                    assert answer.status == 200, answer.status

        await asyncio.gather(*(post() for _ in range(at_once)))


if __name__ == "__main__":
    urls = sys.argv[3:]
    asyncio.run(main(Path(sys.argv[1]).read_bytes().splitlines(), urls, int(sys.argv[2]), os.environ["BENCH_SECRET"]))
