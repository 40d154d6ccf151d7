"""Requests to the simulated providers, read and checked before they reach the books."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec
from aiohttp import web

from connectors.providers.simulator._terms import Kind, Request
from schemas.currencies import EXPONENTS

BODY_BYTES_MAX = 262_144
KEY_CHARACTERS_MAX = 255
REFERENCE_CHARACTERS_MAX = 255
AMOUNT_MINOR_MAX = 10**15
EVIDENCE_TEXTS_MAX = 30

Shape = TypeVar("Shape")


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of an operation."""

    amount_minor: int
    currency: str
    payment_method: str = ""
    payment_reference: str = ""
    capture: bool = False
    final: bool = True
    evidence: dict[str, str] = {}
    settlement_currency: str = ""
    destination: str = ""


class Close(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of an inquiry that closes the key."""

    idempotency_key: str


class Challenge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a customer does."""

    outcome: Literal["succeeded", "failed"]


class Problem(msgspec.Struct, frozen=True):
    """An answer that is no operation's."""

    code: str
    message: str
    status: str = "error"


class Refusal(Exception):
    """A request answered before it reaches the books."""

    def __init__(self, http_status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.http_status, self.problem = http_status, Problem(code=code, message=message)


read_body = msgspec.json.Decoder(Body).decode
read_close = msgspec.json.Decoder(Close).decode
read_challenge = msgspec.json.Decoder(Challenge).decode


async def body_of(request: web.BaseRequest) -> bytes:
    """All of it, up to a limit. Raises `Refusal`, as everything here."""
    if (request.content_length or 0) > BODY_BYTES_MAX:
        raise Refusal(413, "body_too_large", f"At most {BODY_BYTES_MAX} bytes.")
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise Refusal(413, "body_too_large", f"At most {BODY_BYTES_MAX} bytes.")
    return bytes(body)


def parsed(read: Callable[[bytes], Shape], body: bytes) -> Shape:
    """A body as its reader gives it."""
    try:
        return read(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refusal(400, "invalid_request", str(error)) from error


def checked_key(key: str) -> str:
    """An idempotency key."""
    if not 0 < len(key) <= KEY_CHARACTERS_MAX or not key.isprintable():
        raise Refusal(
            400,
            "idempotency_key_invalid",
            f"An idempotency key of 1 to {KEY_CHARACTERS_MAX} printable characters is needed.",
        )
    return key


def checked(body: Body, kind: Kind, charge: str) -> Request:
    """The operation that is asked for, of a charge or a dispute where it is of one."""
    if not (
        len(body.currency) == 3 and body.currency.isascii() and body.currency.isupper() and body.currency.isalpha()
    ):
        raise Refusal(400, "invalid_request", "currency: an ISO 4217 code in upper case is needed.")
    if body.settlement_currency and body.settlement_currency not in EXPONENTS:
        raise Refusal(400, "invalid_request", "settlement_currency: an ISO 4217 code in upper case, or none.")
    if not ((kind == "void" and body.amount_minor == 0) or 0 < body.amount_minor <= AMOUNT_MINOR_MAX):
        raise Refusal(400, "invalid_request", f"amount_minor: from 1 to {AMOUNT_MINOR_MAX}.")
    if max(map(len, (body.payment_reference, body.payment_method, charge))) > REFERENCE_CHARACTERS_MAX:
        raise Refusal(400, "invalid_request", f"references have at most {REFERENCE_CHARACTERS_MAX} characters.")
    if kind == "authorize" and not (body.payment_reference and body.payment_method):
        raise Refusal(400, "invalid_request", "payment_reference and payment_method are needed.")
    if kind == "payout":
        _check_payout(body)
    elif body.destination:
        raise Refusal(400, "invalid_request", "destination: of a payout only.")
    elif kind != "authorize" and (body.payment_method or body.payment_reference or body.capture):
        raise Refusal(400, "invalid_request", "a follow-up has no payment method, payment reference or capture.")
    if len(body.evidence) > EVIDENCE_TEXTS_MAX or (body.evidence and kind != "submit_evidence"):
        raise Refusal(400, "invalid_request", f"evidence: at most {EVIDENCE_TEXTS_MAX} texts, for a dispute only.")
    return Request(
        kind=kind,
        amount_minor=body.amount_minor,
        currency=body.currency,
        payment_reference=body.payment_reference,
        payment_method=body.payment_method,
        capture=body.capture,
        charge=charge,
        final=body.final,
        evidence=body.evidence,
        settlement_currency=body.settlement_currency,
        destination=body.destination,
    )


def _check_payout(body: Body) -> None:
    if not body.payment_reference:
        raise Refusal(400, "invalid_request", "payment_reference is needed.")
    if body.payment_method or body.capture or body.settlement_currency:
        raise Refusal(400, "invalid_request", "a payout has no payment method, capture or settlement_currency.")
    if len(body.destination) > REFERENCE_CHARACTERS_MAX:
        raise Refusal(400, "invalid_request", f"references have at most {REFERENCE_CHARACTERS_MAX} characters.")


def number_of(request: web.BaseRequest, name: str, default: int, maximum: int) -> int:
    """A number in the query."""
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= maximum):
        raise Refusal(400, "invalid_request", f"{name}: a number from 0 to {maximum}.")
    return int(text)
