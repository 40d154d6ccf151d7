"""The simulated providers' HTTP face.

    POST /{provider}/v1/authorizations                    amount_minor, currency, payment_method, payment_reference, capture, settlement_currency
    POST /{provider}/v1/charges/{charge}/captures         amount_minor, currency
    POST /{provider}/v1/charges/{charge}/voids            amount_minor, currency
    POST /{provider}/v1/charges/{charge}/increments       amount_minor, currency; the amount of the whole authorisation
    POST /{provider}/v1/charges/{charge}/refunds          amount_minor, currency
    POST /{provider}/v1/charges/{charge}/challenge        outcome: succeeded | failed (what a customer does)
    POST /{provider}/v1/disputes/{dispute}/evidence       amount_minor, currency, evidence
    POST /{provider}/v1/disputes/{dispute}/acceptances    amount_minor, currency
    POST /{provider}/v1/payouts                           amount_minor, currency, payment_reference, destination
    GET  /{provider}/v1/notices?after=N&limit=M           what the provider tells of its own accord, a page at a time
    GET  /{provider}/v1/operations?idempotency_key=KEY    what became of an operation
    POST /{provider}/v1/operations/close                  idempotency_key; the same, and closes the key if there is none
    GET  /{provider}/v1/charges?after=N&limit=M           the books, a page at a time; likewise payouts
    GET  /{provider}/v1/summary  /summary  /health        totals; payments held by more than one charge, payouts made twice; readiness

Bodies are JSON. Every operation carries an `Idempotency-Key` header of 1 to 255 characters. Statuses: 200 done or pending, 402 declined by the
issuer, 422 refused before any effect, 409 key used with other parameters, 404 not found, 400 unreadable request, 413 too large.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from typing import TypeVar

import msgspec
from aiohttp import web

from connectors.providers.errors import BooksError
from connectors.providers.simulator._behaviour import (
    FLAKY,
    Fault,
    dice,
    fault_of_inquiry,
    fault_of_try,
    method_of_destination,
)
from connectors.providers.simulator._behaviour import Answer as Fate
from connectors.providers.simulator._books import Books, KeyReused
from connectors.providers.simulator._requests import (
    Problem,
    Refusal,
    body_of,
    checked,
    checked_key,
    number_of,
    parsed,
    read_body,
    read_challenge,
    read_close,
)
from connectors.providers.simulator._terms import Answer, Charge, Kind, Payout, PayoutTotals, Totals

PAGE_DEFAULT, PAGE_MAX = 100, 1_000
KEEP_ALIVE_S = (
    300.0  # longer than our client's, so that it is never the server that closes a connection just being used
)
_HELD_CHECK_S = 0.1

log = logging.getLogger("clearline.simulator")

Result = TypeVar("Result")

_STATUS = {"declined": 402, "refused": 422}
_FOLLOW_UPS: dict[str, Kind] = {
    "captures": "capture",
    "voids": "void",
    "increments": "increment",
    "refunds": "refund",
}
_RESPONSES: dict[str, Kind] = {"evidence": "submit_evidence", "acceptances": "accept_dispute"}


class _Page(msgspec.Struct, frozen=True):
    data: list[Charge] | list[Payout]
    has_more: bool


class _Summary(msgspec.Struct, frozen=True):
    totals: list[Totals]
    payments_held_twice: list[tuple[str, int]]
    payouts: list[PayoutTotals]
    payouts_made_twice: list[tuple[str, int]]


_encode = msgspec.json.Encoder().encode


class Simulator:
    """Request handling over one `Books`; `fail` is called once when the books can't be written."""

    def __init__(
        self,
        books: Books,
        *,
        providers: frozenset[str],
        seed: int = 0,
        latency_ms: tuple[int, int] = (0, 0),
        fail: Callable[[BaseException], None],
    ) -> None:
        self._books, self._providers, self._seed, self._latency_ms, self._fail = (
            books,
            providers,
            seed,
            latency_ms,
            fail,
        )
        self._commit: asyncio.Future[None] | None = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            return await self._route(request)
        except Refusal as refusal:
            return _json(refusal.http_status, refusal.problem)
        except KeyReused:
            return _json(409, Problem(code="idempotency_key_reused", message="The key was used with other parameters."))
        except (BooksError, sqlite3.Error) as error:
            self._fail(error)  # nothing since the last commit was answered, and nothing of it will be
            return _dropped(request)

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:  # noqa: C901, PLR0912 - a table
        parts = request.path.strip("/").split("/")
        if request.method == "GET" and parts in (["health"], ["summary"]):
            return _json(200, {"status": "ok"}) if parts == ["health"] else await self._summary(None)
        if len(parts) < 3 or parts[1] != "v1" or parts[0] not in self._providers:
            raise Refusal(
                404,
                "path_unknown",
                f"No provider answers here; this server plays {', '.join(sorted(self._providers))}.",
            )
        provider, path = parts[0], parts[2:]
        match request.method, path:
            case "POST", ["authorizations"]:
                return await self._operation(request, provider, "authorize", charge="")
            case "POST", ["charges", charge, follow_up] if follow_up in _FOLLOW_UPS:
                return await self._operation(request, provider, _FOLLOW_UPS[follow_up], charge=charge)
            case "POST", ["disputes", dispute, response] if response in _RESPONSES:
                return await self._operation(request, provider, _RESPONSES[response], charge=dispute)
            case "POST", ["payouts"]:
                return await self._operation(request, provider, "payout", charge="")
            case "GET", ["notices"]:
                return await self._notices(request, provider)
            case "POST", ["charges", charge, "challenge"]:
                return await self._challenge(request, provider, charge)
            case "GET", ["operations"]:
                return await self._inquiry(
                    request, provider, checked_key(request.query.get("idempotency_key", "")), close=False
                )
            case "POST", ["operations", "close"]:
                key = checked_key(parsed(read_close, await body_of(request)).idempotency_key)
                return await self._inquiry(request, provider, key, close=True)
            case "GET", ["charges" | "payouts" as what]:
                return await self._listing(
                    request, provider, self._books.charges if what == "charges" else self._books.payouts
                )
            case "GET", ["summary"]:
                return await self._summary(provider)
            case "GET", ["health"]:
                return _json(200, {"status": "ok"})
        raise Refusal(404, "path_unknown", "No such resource.")

    async def _operation(
        self, request: web.BaseRequest, provider: str, kind: Kind, *, charge: str
    ) -> web.StreamResponse:
        key = checked_key(request.headers.get("Idempotency-Key", ""))
        asked = checked(parsed(read_body, await body_of(request)), kind, charge)
        method = asked.payment_method or method_of_destination(asked.destination) or self._method_of(provider, charge)
        number = self._books.next_try(provider, key) if method == FLAKY else 0
        fault = fault_of_try(method, seed=self._seed, key=key, number=number)
        await self._latency(key)
        if fault.wait_before_s:
            await asyncio.sleep(fault.wait_before_s)
        answer = self._whole(lambda: self._books.perform(provider, key, asked)) if fault.effect else None
        await self._durable()
        return await self._given(request, fault, _STATUS.get(answer.status, 200) if answer else 500, answer)

    async def _inquiry(self, request: web.BaseRequest, provider: str, key: str, *, close: bool) -> web.StreamResponse:
        method = self._books.method_of_key(provider, key)
        number = self._books.next_try(provider, key) if method == FLAKY else 0
        fault = fault_of_inquiry(method, seed=self._seed, key=key, number=number)
        look = self._books.close if close else self._books.inquire
        answer = self._whole(lambda: look(provider, key))
        await self._durable()
        if answer is None:
            return _json(404, {"status": "not_found", "closed": close, "idempotency_key": key})
        return await self._given(request, fault, 200, answer)

    async def _given(
        self, request: web.BaseRequest, fault: Fault, status: int, answer: Answer | None
    ) -> web.StreamResponse:
        """The answer as the network lets it through."""
        waited_s = 0.0
        while waited_s < fault.wait_after_s and not _gone(request):
            await asyncio.sleep(_HELD_CHECK_S)
            waited_s += _HELD_CHECK_S
        if fault.answer is Fate.DROPPED or _gone(request):
            return _dropped(request)
        if fault.answer is Fate.ERROR_500 or answer is None:
            return _json(500, Problem(code="internal_error", message="Something went wrong."))
        if fault.answer is Fate.GARBLED:
            return web.Response(status=200, body=b'{"status":"capt', content_type="application/json")
        return _json(status, answer)

    async def _challenge(self, request: web.BaseRequest, provider: str, charge: str) -> web.StreamResponse:
        outcome = parsed(read_challenge, await body_of(request)).outcome
        answer = self._whole(lambda: self._books.complete_challenge(provider, charge, succeeded=outcome == "succeeded"))
        await self._durable()
        if answer is None:
            raise Refusal(404, "charge_unknown", "No such charge.")
        return _json(200, answer)

    async def _notices(self, request: web.BaseRequest, provider: str) -> web.StreamResponse:
        after, limit = number_of(request, "after", 0, 2**62), number_of(request, "limit", PAGE_DEFAULT, PAGE_MAX)
        told = self._whole(lambda: self._books.notices(provider, after=after, limit=limit))
        await self._durable()
        return _json(200, {"data": told})

    async def _listing(
        self, request: web.BaseRequest, provider: str, books: Callable[..., list[Charge] | list[Payout]]
    ) -> web.StreamResponse:
        after, limit = number_of(request, "after", 0, 2**62), number_of(request, "limit", PAGE_DEFAULT, PAGE_MAX)
        await self._durable()
        page = books(provider, after=after, limit=limit + 1)
        return _json(200, _Page(data=page[:limit], has_more=len(page) > limit))

    async def _summary(self, provider: str | None) -> web.StreamResponse:
        await self._durable()
        return _json(
            200,
            _Summary(
                totals=self._books.totals(provider),
                payments_held_twice=self._books.payments_held_twice(),
                payouts=self._books.payout_totals(provider),
                payouts_made_twice=self._books.payouts_made_twice(),
            ),
        )

    @staticmethod
    def _whole(effect: Callable[[], Result]) -> Result:
        """Run an effect on the books; one that broke off half way must never be committed, so it ends the simulator."""
        try:
            return effect()
        except KeyReused:
            raise
        except Exception as error:
            raise BooksError(f"an effect broke off half way ({error!r}); it was not committed") from error

    def _method_of(self, provider: str, charge: str) -> str:
        found = self._books.charge(provider, charge)
        return "" if found is None else found.payment_method

    async def _latency(self, key: str) -> None:
        low_ms, high_ms = self._latency_ms
        if high_ms:
            await asyncio.sleep(
                (low_ms + dice(seed=self._seed, key=key, number=0, purpose="latency") % (high_ms - low_ms + 1)) / 1000
            )

    async def _durable(self) -> None:
        """Return once everything done so far is committed; requests that wait together share one commit."""
        if self._commit is None:
            self._commit = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(self._commit_now, self._commit)
        await asyncio.shield(self._commit)

    def _commit_now(self, waiting: asyncio.Future[None]) -> None:
        self._commit = None
        try:
            self._books.commit()
        except BooksError as error:
            waiting.set_exception(error)
        else:
            waiting.set_result(None)


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=_encode(body), content_type="application/json")


def _gone(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def _dropped(request: web.BaseRequest) -> web.StreamResponse:
    """End the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # goes nowhere
