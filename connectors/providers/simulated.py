"""The client of one simulated provider: HTTP answers to outcomes, at one boundary."""

from __future__ import annotations

import asyncio
import re
from typing import Literal

import aiohttp
import msgspec
from yarl import URL

from connectors.providers.base import (
    DeclineKind,
    NotFound,
    Notice,
    Operation,
    OperationKind,
    Outcome,
    OutcomeKind,
    unknown,
    verified,
)

CONNECTIONS_MAX = 128
KEEP_ALIVE_S = 15.0
ANSWER_BYTES_MAX = 16_384
PAGE_BYTES_MAX = 1_000_000
MESSAGE_CHARACTERS_MAX = 500

_PATHS = {
    OperationKind.CAPTURE: "charges/{}/captures",
    OperationKind.VOID: "charges/{}/voids",
    OperationKind.INCREMENT: "charges/{}/increments",
    OperationKind.REFUND: "charges/{}/refunds",
    OperationKind.SUBMIT_EVIDENCE: "disputes/{}/evidence",
    OperationKind.ACCEPT_DISPUTE: "disputes/{}/acceptances",
}
_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,255}")  # goes into a path, so it must not be able to leave its place there
_DEFINITE_STATUSES = frozenset({200, 402, 422})


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider's bodies hold; anything else in them is ignored, anything missing or of another type makes them unreadable."""

    status: Literal[
        "authorized",
        "captured",
        "voided",
        "incremented",
        "refunded",
        "refund_pending",
        "refund_failed",
        "requires_action",
        "evidence_submitted",
        "dispute_accepted",
        "payout_in_transit",
        "paid_out",
        "payout_failed",
        "declined",
        "refused",
    ]
    reference: str = ""
    amount_minor: int | None = None
    currency: str | None = None
    fee_minor: int | None = None
    code: str = ""
    message: str = ""
    decline_kind: DeclineKind | None = None
    action_url: str = ""
    settlement_amount_minor: int | None = None
    settlement_currency: str | None = None
    fx_rate: str | None = None


class _NotFoundBody(msgspec.Struct, frozen=True, kw_only=True):
    status: Literal["not_found"]
    closed: bool
    idempotency_key: str


_read_answer = msgspec.json.Decoder(_Answer).decode


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page of notices."""

    data: list[Notice]


_read_page = msgspec.json.Decoder(_Page).decode
_read_not_found = msgspec.json.Decoder(_NotFoundBody).decode
_encode = msgspec.json.Encoder().encode


class SimulatedProvider:
    """A `Provider` at `url`, the address of a provider's `/v1`, such as http://127.0.0.1:8701/northpay/v1."""

    def __init__(self, name: str, *, url: str, connections_max: int = CONNECTIONS_MAX) -> None:
        self._name, self._url = name, url.rstrip("/")
        connector = aiohttp.TCPConnector(limit=connections_max, keepalive_timeout=KEEP_ALIVE_S)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json"},
            auto_decompress=False,
        )
        # Built once: URL parsing is a good part of a small request's cost.
        self._authorizations = URL(f"{self._url}/authorizations")
        self._notices = URL(f"{self._url}/notices")
        self._payouts = URL(f"{self._url}/payouts")
        self._operations, self._close = URL(f"{self._url}/operations"), URL(f"{self._url}/operations/close")

    @property
    def name(self) -> str:
        """The name it is configured under."""
        return self._name

    async def aclose(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def perform(self, operation: Operation, *, timeout_s: float) -> Outcome:
        """See `base.Provider.perform`."""
        try:
            url, body = self._request_of(operation)
            async with asyncio.timeout(timeout_s):
                status, answer = await self._ask("POST", url, body=body, key=operation.idempotency_key)
        except TimeoutError:
            return unknown("timed_out", f"No answer within {timeout_s:g} s.")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return unknown("connection_failed", _short(f"{type(error).__name__}: {error}"))
        return verified(operation, _outcome(status, answer))

    async def inquire(self, operation: Operation, *, timeout_s: float, close: bool = False) -> Outcome | NotFound:
        """See `base.Provider.inquire`."""
        key = operation.idempotency_key
        try:
            async with asyncio.timeout(timeout_s):
                if close:
                    status, answer = await self._ask("POST", self._close, body=_encode({"idempotency_key": key}))
                else:
                    status, answer = await self._ask("GET", self._operations.with_query(idempotency_key=key))
        except TimeoutError:
            return unknown("timed_out", f"No answer to an inquiry within {timeout_s:g} s.")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return unknown("connection_failed", _short(f"{type(error).__name__}: {error}"))
        if status == 404:
            return _not_found(answer, key=key, asked_to_close=close)
        return verified(operation, _outcome(status, answer))

    def _request_of(self, operation: Operation) -> tuple[URL, bytes]:
        body: dict[str, object] = {"amount_minor": operation.amount_minor, "currency": operation.currency}
        if operation.settlement_currency:
            body["settlement_currency"] = operation.settlement_currency
        if operation.kind is OperationKind.AUTHORIZE:
            body |= {
                "payment_method": operation.payment_method,
                "payment_reference": operation.payment_reference,
                "capture": operation.capture,
            }
            return self._authorizations, _encode(body)
        if operation.kind is OperationKind.PAYOUT:
            body["payment_reference"] = operation.payment_reference
            if operation.destination:
                body["destination"] = operation.destination
            return self._payouts, _encode(body)
        charge = operation.charge_reference or ""
        if not _REFERENCE.fullmatch(charge):
            raise ValueError("the charge reference is none of this provider's")  # caught above: an inquiry settles it
        if operation.kind is OperationKind.CAPTURE and not operation.final_capture:
            body["final"] = False
        if operation.kind is OperationKind.SUBMIT_EVIDENCE:
            body["evidence"] = operation.evidence
        return URL(f"{self._url}/{_PATHS[operation.kind].format(charge)}"), _encode(body)

    async def notices(self, *, after: int, timeout_s: float) -> list[Notice] | None:
        """See `base.Provider.notices`."""
        try:
            async with asyncio.timeout(timeout_s):
                status, answer = await self._ask(
                    "GET", self._notices.with_query(after=str(after)), bytes_max=PAGE_BYTES_MAX
                )
            return _read_page(answer).data if status == 200 else None
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):  # msgspec's errors are ValueErrors too
            return None

    async def _ask(
        self,
        method: str,
        url: URL,
        *,
        body: bytes | None = None,
        key: str | None = None,
        bytes_max: int = ANSWER_BYTES_MAX,
    ) -> tuple[int, bytes]:
        headers = None if key is None else {"Idempotency-Key": key}
        async with self._session.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
            answer = bytearray()
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > bytes_max:
                    return response.status, b""  # unreadable, hence unknown
            return response.status, bytes(answer)


def _outcome(http_status: int, body: bytes) -> Outcome:
    """The outcome that an HTTP answer states; `unknown` for every one that states none."""
    if http_status not in _DEFINITE_STATUSES:
        # Among these, 409: the key stands for other parameters. What became of *it*, only an inquiry tells.
        return unknown(f"http_{http_status}", _short(body.decode(errors="replace")))
    try:
        answer = _read_answer(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return unknown("unreadable_answer", _short(str(error)))
    kind = OutcomeKind(answer.status)
    if kind is OutcomeKind.DECLINED and answer.decline_kind is None:
        return unknown("unreadable_answer", "A decline that doesn't say whether it is soft or hard.")
    return Outcome(
        kind=kind,
        reference=answer.reference or None,
        amount_minor=answer.amount_minor,
        currency=answer.currency,
        fee_minor=answer.fee_minor,
        code=answer.code or None,
        message=_short(answer.message) or None,
        decline_kind=answer.decline_kind,
        action_url=answer.action_url or None,
        settlement_amount_minor=answer.settlement_amount_minor,
        settlement_currency=answer.settlement_currency,
        fx_rate=answer.fx_rate,
    )


def _not_found(body: bytes, *, key: str, asked_to_close: bool) -> Outcome | NotFound:
    """A 404 counts only when it is the provider's own about this key: a proxy's, or one of a mistyped address, proves nothing."""
    try:
        answer = _read_not_found(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return unknown("unreadable_answer", _short(str(error)))
    if answer.idempotency_key != key:
        return unknown("unreadable_answer", "The answer is about another idempotency key.")
    return NotFound(closed=answer.closed and asked_to_close)


def _short(text: str) -> str:
    return text[:MESSAGE_CHARACTERS_MAX]
