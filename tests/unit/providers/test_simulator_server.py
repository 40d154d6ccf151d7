"""The simulator's HTTP face: what it refuses, what it shows, and that it survives being killed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest

from connectors.providers.errors import BooksError
from connectors.providers.simulator._requests import BODY_BYTES_MAX
from connectors.providers.simulator.server import PAGE_MAX
from tests.unit.providers._world import authorize, client_of, http, simulated_world

GOOD = {"amount_minor": 1_000, "currency": "USD", "payment_method": "pm_card_visa", "payment_reference": "acme/pi_1"}
READY = re.compile(r"ready: .* at (http://127\.0\.0\.1:\d+)")
TIMEOUT_S = 60.0


async def _posted(world, body: bytes, *, key: str | None = "key-1", path: str = "/northpay/v1/authorizations"):
    headers = {} if key is None else {"Idempotency-Key": key}
    async with http() as session, session.post(world.base_url + path, data=body, headers=headers) as response:
        return response.status, json.loads(await response.read())


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 0},
        {"amount_minor": -5},
        {"amount_minor": 10.5},
        {"amount_minor": 10**18},
        {"currency": "usd"},
        {"currency": "US"},
        {"payment_method": ""},
        {"payment_reference": "x" * 256},
        {"card_number": "4242"},
    ],
)
async def test_bad_parameters_are_refused_and_nothing_is_remembered(tmp_path, changes):
    """A request that can't be carried out is a 400 that says what is wrong, and its key stays free."""
    async with simulated_world(tmp_path) as world:
        status, body = await _posted(world, json.dumps({**GOOD, **changes}).encode())
        assert (status, body["code"]) == (400, "invalid_request")
        assert body["message"]
        assert (await _posted(world, json.dumps(GOOD).encode()))[0] == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"amount_minor": 1}'])
async def test_unreadable_bodies_are_refused(tmp_path, body):
    """A body that isn't the JSON object expected is a 400."""
    async with simulated_world(tmp_path) as world:
        assert (await _posted(world, body))[0] == 400
        assert world.failures == []


@pytest.mark.parametrize("key", [None, "", "k" * 256])
async def test_an_operation_needs_a_key(tmp_path, key):
    """Without an idempotency key of a sensible length nothing is done."""
    async with simulated_world(tmp_path) as world:
        status, body = await _posted(world, json.dumps(GOOD).encode(), key=key)
        assert (status, body["code"]) == (400, "idempotency_key_invalid")


async def test_too_large_bodies_are_refused(tmp_path):
    """A body beyond the limit is a 413."""
    async with simulated_world(tmp_path) as world:
        assert (await _posted(world, b" " * (BODY_BYTES_MAX + 1)))[0] == 413


async def test_a_reused_key_is_a_typed_conflict(tmp_path):
    """The same key with other parameters is a 409 with a code of its own."""
    async with simulated_world(tmp_path) as world:
        await _posted(world, json.dumps(GOOD).encode())
        status, body = await _posted(world, json.dumps({**GOOD, "amount_minor": 2}).encode())
        assert (status, body["code"]) == (409, "idempotency_key_reused")


@pytest.mark.parametrize(
    "path", ["/", "/northpay", "/nobody/v1/health", "/northpay/v2/health", "/northpay/v1/charges/x/capture"]
)
async def test_unknown_paths_are_404(tmp_path, path):
    """What isn't there says so."""
    async with simulated_world(tmp_path) as world, http() as session, session.get(world.base_url + path) as response:
        assert response.status == 404


async def test_charges_are_paged(tmp_path):
    """The books are read a page at a time, each charge once, in order; a page larger than the limit is refused."""
    async with simulated_world(tmp_path) as world, client_of(world.url()) as provider, http() as session:
        for number in range(5):
            await provider.perform(authorize(f"key-{number}"), timeout_s=TIMEOUT_S)
        seen, after, more = [], 0, True
        while more:
            async with session.get(f"{world.url()}/charges?after={after}&limit=2") as response:
                page = await response.json()
            seen += [charge["key"] for charge in page["data"]]
            more, after = page["has_more"], page["data"][-1]["sequence"]
        assert seen == [f"key-{number}" for number in range(5)]
        async with session.get(f"{world.url()}/charges?limit={PAGE_MAX + 1}") as response:
            assert response.status == 400


async def test_a_customer_completes_a_challenge_over_http(tmp_path):
    """The address in a requires_action answer takes the customer's outcome."""
    async with simulated_world(tmp_path) as world, client_of(world.url()) as provider:
        operation = authorize(payment_method="pm_card_authenticationRequired")
        found = await provider.perform(operation, timeout_s=TIMEOUT_S)
        status, body = await _posted(world, b'{"outcome": "succeeded"}', key=None, path=found.action_url)
        assert (status, body["status"]) == (200, "captured")
        assert (await provider.inquire(operation, timeout_s=TIMEOUT_S)).kind == "captured"


async def test_nothing_is_answered_that_could_not_be_committed(tmp_path, monkeypatch):
    """When the books can't be written, the connection ends without an answer and the simulator is told to stop."""
    async with simulated_world(tmp_path) as world, client_of(world.url()) as provider:
        with monkeypatch.context() as patch:

            def full() -> None:
                raise BooksError("disk full")

            patch.setattr(world.books, "commit", full)
            found = await provider.perform(authorize(), timeout_s=TIMEOUT_S)
        assert (found.kind, found.code) == ("unknown", "connection_failed")
        assert [type(failure) for failure in world.failures] == [BooksError]


class _Process:
    """A simulator process on a directory, at a free port."""

    def __init__(self, directory) -> None:
        command = [sys.executable, "-m", "connectors.providers.simulator", "--data", str(directory), "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if found := READY.search(line):
                self.base_url = found[1]
                return
        raise AssertionError("the simulator ended before it was ready")

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        self.process.stdout.read()
        code = self.process.wait(60)
        self.process.stdout.close()
        return code


async def test_an_answered_charge_survives_kill_9(tmp_path):
    """What a provider answered, it knows after being killed and started again; SIGTERM then ends it with 0."""
    first = _Process(tmp_path)
    try:
        async with client_of(f"{first.base_url}/northpay/v1") as provider:
            answers = [await provider.perform(authorize(f"key-{number}"), timeout_s=TIMEOUT_S) for number in range(50)]
    finally:
        first.end(signal.SIGKILL)
    second = _Process(tmp_path)
    try:
        async with client_of(f"{second.base_url}/northpay/v1") as provider:
            found = [await provider.inquire(authorize(f"key-{number}"), timeout_s=TIMEOUT_S) for number in range(50)]
    finally:
        code = second.end(signal.SIGTERM)
    assert found == answers
    assert code == 0
