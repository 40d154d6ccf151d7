"""Which HTTP answers are definite: only the provider's own, about this key, readable."""

from __future__ import annotations

import json

import pytest
from aiohttp import web

from connectors.providers.base import NotFound, OperationKind, Outcome, OutcomeKind
from connectors.providers.simulated import ANSWER_BYTES_MAX
from tests.unit.providers._world import authorize, client_of, follow_up, served

TIMEOUT_S = 60.0
GOOD = {"status": "captured", "reference": "ch_1", "amount_minor": 1_999, "currency": "USD", "fee_minor": 10}


async def _asked(status: int, body: bytes) -> Outcome:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=status, body=body, headers={"Location": "/elsewhere"})

    async with served(answer) as url, client_of(url) as provider:
        return await provider.perform(authorize(), timeout_s=TIMEOUT_S)


async def test_the_good_answer_is_read():
    """The answer that the cases below damage is a definite one."""
    assert (await _asked(200, json.dumps(GOOD).encode())).kind is OutcomeKind.CAPTURED


@pytest.mark.parametrize(
    "status", [201, 204, 301, 302, 307, 400, 401, 403, 404, 408, 409, 425, 429, 500, 502, 503, 504]
)
async def test_other_statuses_are_unknown(status):
    """Whatever its body says, an answer with a status the provider doesn't use for its word on a key is unknown."""
    assert (await _asked(status, json.dumps({**GOOD, "status": "refused"}).encode())).kind is OutcomeKind.UNKNOWN


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"\xff\xfe",
        b"[]",
        b"null",
        json.dumps(GOOD).encode()[:-3],
        json.dumps({**GOOD, "status": "done"}).encode(),
        json.dumps({**GOOD, "amount_minor": 19.99}).encode(),
        json.dumps({**GOOD, "amount_minor": "1999"}).encode(),
        json.dumps({"status": "declined", "code": "x"}).encode(),
        json.dumps({**GOOD, "padding": "x" * 2 * ANSWER_BYTES_MAX}).encode(),
    ],
)
async def test_unreadable_bodies_are_unknown(body):
    """A body that isn't exactly an answer, or is too long to be one, is unknown; it never raises."""
    assert (await _asked(200, body)).kind is OutcomeKind.UNKNOWN


async def test_an_answer_without_an_amount_is_an_integrity_failure():
    """A capture that doesn't say of how much is not believed."""
    body = json.dumps({"status": "captured", "reference": "ch_1"}).encode()
    assert (await _asked(200, body)).kind is OutcomeKind.INTEGRITY_FAILURE


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"status": "not_found", "closed": True, "idempotency_key": "key-1"}, NotFound(closed=True)),
        ({"status": "not_found", "closed": False, "idempotency_key": "key-1"}, NotFound(closed=False)),
    ],
)
async def test_the_providers_own_not_found_counts(body, expected):
    """A 404 about this very key, from the provider, is believed."""
    assert await _inquired(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        {"status": "not_found", "closed": True, "idempotency_key": "another"},
        {"status": "not_found", "idempotency_key": "key-1"},
        {"error": "not found"},
        "404",
    ],
)
async def test_any_other_404_is_unknown(body):
    """A proxy's 404, or one about another key, would let a second provider charge: it is unknown."""
    found = await _inquired(body)
    assert isinstance(found, Outcome)
    assert found.kind is OutcomeKind.UNKNOWN


async def test_a_not_found_is_closed_only_where_closing_was_asked():
    """A provider that claims a closed key in answer to a plain inquiry isn't taken at its word."""
    body = {"status": "not_found", "closed": True, "idempotency_key": "key-1"}
    assert await _inquired(body, close=False) == NotFound(closed=False)


async def _inquired(body: object, *, close: bool = True) -> Outcome | NotFound:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=404, body=json.dumps(body).encode())

    async with served(answer) as url, client_of(url) as provider:
        return await provider.inquire(authorize(), timeout_s=TIMEOUT_S, close=close)


async def test_keys_are_escaped():
    """An idempotency key with reserved characters arrives as it is."""
    seen: list[tuple[str, str]] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        seen.append((request.rel_url.raw_path, request.query.get("idempotency_key", "")))
        return web.Response(status=500)

    async with served(answer) as url, client_of(f"{url}/v1") as provider:
        await provider.inquire(authorize("a&b=c d/ü"), timeout_s=TIMEOUT_S)
    assert seen == [("/v1/operations", "a&b=c d/ü")]


@pytest.mark.parametrize("reference", ["../../x", "x/../y", "x?y", "x#y", "", "x" * 256, ".."])
async def test_a_strange_reference_is_never_sent(reference):
    """A charge reference that could leave its place in the path reaches no address; the outcome is left to an inquiry."""
    seen: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        seen.append(request.path)
        return web.Response(status=200, body=json.dumps({**GOOD, "status": "voided"}).encode())

    async with served(answer) as url, client_of(f"{url}/v1") as provider:
        found = await provider.perform(follow_up(OperationKind.VOID, reference, "key-2"), timeout_s=TIMEOUT_S)
        assert (found.kind, seen) == (OutcomeKind.UNKNOWN, [])
        assert (await provider.perform(follow_up(OperationKind.VOID, "ch_1", "key-3"), timeout_s=TIMEOUT_S)).kind is (
            OutcomeKind.VOIDED
        )
    assert seen == ["/v1/charges/ch_1/voids"]
