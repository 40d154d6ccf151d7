"""Payments and customers as they stand: asked of the worker that holds them, wherever that is by now."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TypeVar

import aiohttp
import msgspec

from api.reads.errors import Unavailable
from api.reads.owners import Owners
from schemas.views import CustomerView, PaymentView

DEADLINE_S = 10.0
"""A rebalance with little to restore is over by then."""
CONNECTIONS_MAX = 64
WAITING_MAX = 2_000
ANSWER_TIMEOUT_S = 3.0
ANSWER_BYTES_MAX = 4_000_000
RETRY_FIRST_S = 0.02
RETRY_MAX_S = 0.5

_View = TypeVar("_View")

_decode = msgspec.json.Decoder(PaymentView).decode
_decode_customer = msgspec.json.Decoder(CustomerView).decode
log = logging.getLogger("clearline.api")


class Owned:
    """Asks the workers that hold what is wanted; safe for any number of tasks of one loop."""

    def __init__(self, owners: Owners, *, token: str, deadline_s: float = DEADLINE_S) -> None:
        self._owners, self._deadline_s = owners, deadline_s
        self._headers = {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None
        self._waiting = 0

    async def start(self) -> None:
        """Open the connections' pool."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
            timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S),
            headers=self._headers,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close them."""
        if self._session is not None:
            await self._session.close()

    async def _fetch(
        self, path: str, candidates: Callable[[], list[str]], decode: Callable[[bytes], _View]
    ) -> _View | None:
        """What a worker's view at that path shows; None where it isn't there. Raises `Unavailable`."""
        if self._waiting >= WAITING_MAX:
            raise Unavailable("more reads wait than may")
        self._waiting += 1
        try:
            return await self._patiently(path, candidates, decode)
        finally:
            self._waiting -= 1

    async def _patiently(
        self, path: str, candidates: Callable[[], list[str]], decode: Callable[[bytes], _View]
    ) -> _View | None:
        end_s = time.monotonic() + self._deadline_s
        pause_s, trouble = RETRY_FIRST_S, "no worker says that it holds it"
        while True:
            for url in candidates():
                status, found = await self._ask(f"{url}{path}", decode)
                if status == 200:
                    return found
                if status == 404:
                    return None
                trouble = f"{url} answered {status or 'nothing'}"
            if time.monotonic() + pause_s >= end_s:
                log.warning("a worker's view was not read: %s", trouble)
                raise Unavailable(trouble)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_MAX_S)

    async def _ask(self, url: str, decode: Callable[[bytes], _View]) -> tuple[int, _View | None]:
        """Status and view; status 0 when there was no answer that can be used."""
        assert self._session is not None, "start before get"
        try:
            async with self._session.get(url, allow_redirects=False) as answer:
                if answer.status != 200:
                    return answer.status, None
                body = await answer.content.read(ANSWER_BYTES_MAX + 1)
                while len(body) <= ANSWER_BYTES_MAX and (more := await answer.content.read(ANSWER_BYTES_MAX)):
                    body += more
        except (aiohttp.ClientError, TimeoutError):
            return 0, None
        try:
            return 200, decode(body)
        except msgspec.MsgspecError as error:
            log.error("a worker answered what can't be read: %s", error)  # noqa: TRY400 - its text says it
            return 0, None


class Payments(Owned):
    """Payments as they stand."""

    async def get(self, tenant: str, payment_id: str) -> PaymentView | None:
        """
        The payment with its charges, refunds and disputes; None where the tenant has no such.

        It includes everything that anybody could know of it when this was called. Raises `Unavailable`.
        """
        partition = self._owners.partition(tenant, payment_id)
        path = f"/payments/{tenant}/{payment_id}"
        view = await self._fetch(path, lambda: self._owners.candidates(partition), _decode)
        # Asked for by its key; checked all the same, since what follows shows it to this tenant.
        assert view is None or view.tenant == tenant, "a worker answered with another tenant's payment"
        assert view is None or view.payment.id == payment_id, "a worker answered with another payment"
        return view


class Customers(Owned):
    """Customers, saved payment methods and setup intents as they stand."""

    async def get(self, tenant: str, object_id: str) -> CustomerView | None:
        """The object; None where the tenant has no such. As current as a payment is. Raises `Unavailable`."""
        partition = self._owners.partition_of_customers(tenant)
        path = f"/customers/{tenant}/{object_id}"
        view = await self._fetch(path, lambda: self._owners.candidates_for_customers(partition), _decode_customer)
        assert view is None or view.tenant == tenant, "a worker answered with another tenant's customer"
        return view
