"""Goal: reads say what is true. Method: a whole stack with two workers, commands over Kafka, reads as the API makes them."""

from __future__ import annotations

import asyncio
import signal
import time

import aiohttp
import msgspec
import psutil
import pytest

from api.http.commands import Commands
from api.http.errors import InvalidRequest, NoAnswer, NotFound
from api.http.keys import Identity
from api.http.service import Caller
from api.reads.errors import Unavailable
from api.reads.service import OBJECTS, Reads
from schemas import codec
from schemas.ids import payment_id
from schemas.partitioner import partition_of
from schemas.records import Attribution, PaymentCommand
from schemas.views import PaymentView
from tests.integration._runtime_kit import committed_records

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DEADLINE_S = 120.0
TENANTS = ("acme", "globex")


def caller(tenant: str) -> Caller:
    """Somebody with a secret key of the tenant."""
    who = Identity(tenant=tenant, key_id="key_1", kind="secret", livemode=False, scopes=(), api_version="")
    return Caller(identity=who, version="2026-10-28.endive", request_id="req_1", idempotency_key="", traceparent="")


def command(tenant: str, key: str, kind: str = "create", **fields) -> PaymentCommand:
    """A command under an idempotency key of its own; `of` names the create's key."""
    who = Attribution(actor_kind="api_key", actor_id="key_1", request_id=f"req_{key}", idempotency_key=key)
    of = fields.pop("of", key)
    if kind == "create":
        fields = {"amount_minor": 1_000, "currency": "EUR", "payment_method": "pm_card_visa", "confirm": True, **fields}
    return PaymentCommand(tenant=tenant, payment_id=payment_id(tenant, of), kind=kind, attribution=who, **fields)


async def everything(reads: Reads, who: Caller, kind: str, *, backwards: bool) -> list[dict]:
    """All pages of three, in the list's own order."""
    found: list[dict] = []
    cursor: dict[str, str] = {}
    if backwards:  # from the last one, which is found by going forwards
        whole = await everything(reads, who, kind, backwards=False)
        if not whole:
            return []
        found, cursor = [whole[-1]], {"ending_before": whole[-1]["id"]}
    while True:
        page = await reads.page(kind, who, f"/v1/{kind}", {"limit": "3", **cursor})
        found = page["data"] + found if backwards else found + page["data"]
        if not page["has_more"]:
            return found
        cursor = {"ending_before": page["data"][0]["id"]} if backwards else {"starting_after": page["data"][-1]["id"]}


async def test_reads_are_true(make_stack):
    """Reads see what was replied, lists hold what the topic holds, nobody sees another tenant's, a zombie shows nothing old."""
    running = make_stack(workers=2)
    failures: list[BaseException] = []
    reads = Reads(running.read, failed=failures.append)
    commands = Commands(running.read.kafka, {}, failed=failures.append)
    await reads.start()
    await commands.start()
    try:
        await _own_writes(commands, reads)
        await _lists(running, commands, reads)
        await _isolation(reads)
        await _zombie(running, commands, reads)
    finally:
        await commands.close()
        await reads.close()
    assert failures == []


async def _own_writes(commands: Commands, reads: Reads) -> None:
    """Each of 300 creates, 16 at once, is read as its reply says, right after the reply."""
    gate = asyncio.Semaphore(16)

    async def one(number: int) -> None:
        tenant = TENANTS[number % 2]
        async with gate:
            reply = await commands.ask(command(tenant, f"own-{number}", amount_minor=1_000 + number, confirm=False))
            view = await reads.payments.get(tenant, reply.payment_id)
            reads.landed.note(reply)
        assert reply.error is None
        assert view is not None, f"payment {number} was answered and is not there"
        assert view.payment == reply.payment
        assert view.position > reply.cause_offset

    await asyncio.gather(*(one(number) for number in range(300)))


async def _lists(running, commands: Commands, reads: Reads) -> None:
    for tenant in TENANTS:
        for number in range(7):
            reply = await commands.ask(command(tenant, f"paid-{number}", customer=f"cus_{number % 2}"))
            assert reply.payment is not None
            assert reply.payment.status == "succeeded", reply
            refund = command(tenant, f"back-{number}", "refund", of=f"paid-{number}", amount_minor=100)
            reply = await commands.ask(refund)
            assert reply.error is None
            reads.landed.note(reply)
        who = caller(tenant)
        refunds = await everything(reads, who, "refunds", backwards=False)
        assert len(refunds) == 7, "a list right after the replies lacks what they told of"
    topic = [codec.decode(one.value()) for one in committed_records(running.read.kafka, "payments.events")]
    for tenant in TENANTS:
        who = caller(tenant)
        told = [event for event in topic if event.tenant == tenant]
        expected = {
            "payment_intents": {event.payment_id for event in told},
            "charges": {event.charge.id for event in told if event.charge},
            "refunds": {event.refund.id for event in told if event.refund},
            "disputes": set(),
            "balance_transactions": {one.id for event in told for one in event.balance_transactions},
        }
        for kind, ids in expected.items():
            forwards = await everything(reads, who, kind, backwards=False)
            assert [one["id"] for one in await everything(reads, who, kind, backwards=True)] == [
                one["id"] for one in forwards
            ]
            assert len(forwards) == len(ids)
            assert {one["id"] for one in forwards} == ids
        times = [one["created"] for one in await everything(reads, who, "balance_transactions", backwards=False)]
        assert times == sorted(times, reverse=True)
        some = await reads.page(
            "payment_intents",
            who,
            "/v1/payment_intents",
            {"customer": "cus_1", "limit": "100", "expand": {"0": "data.latest_charge.balance_transaction"}},
        )
        assert len(some["data"]) == 3
        assert {one["latest_charge"]["balance_transaction"]["object"] for one in some["data"]} == {
            "balance_transaction"
        }
        with pytest.raises(InvalidRequest):
            await reads.page("refunds", who, "/v1/refunds", {"starting_after": "re_1", "ending_before": "re_2"})


async def _isolation(reads: Reads) -> None:
    """Each tenant's ids are, to the other one, as if they did not exist: alone, as cursors and as filters."""
    mine, other = (caller(tenant) for tenant in TENANTS)
    for kind in OBJECTS:
        page = await reads.page(kind, mine, f"/v1/{kind}", {"limit": "5"})
        for one in page["data"]:
            with pytest.raises(NotFound):
                await reads.retrieve(kind, other, one["id"], {})
            assert (await reads.retrieve(kind, mine, one["id"], {}))["id"] == one["id"]
            with pytest.raises(InvalidRequest, match="No such object"):
                await reads.page(kind, other, f"/v1/{kind}", {"starting_after": one["id"]})
    of = (await reads.page("charges", mine, "/v1/charges", {}))["data"][0]
    for kind in ("charges", "refunds", "disputes"):
        found = await reads.page(kind, other, f"/v1/{kind}", {"payment_intent": of["payment_intent"]})
        assert found["data"] == []
    found = await reads.page("balance_transactions", other, "/v1/balance_transactions", {"source": of["id"]})
    assert found["data"] == []


async def _zombie(running, commands: Commands, reads: Reads) -> None:
    """
    A worker that slept while another took its payments over and changed them never shows them as they were.

    It is asked itself, at once when it wakes, before it can have heard of its loss.
    """
    url = f"http://127.0.0.1:{running.workers[1]}"
    address = next(one for one in reads.owners._addresses.values() if one.worker == "worker-1")
    assert address.url.rstrip("/") == url
    count = running.read.partitions
    keys = [f"own-{number}" for number in range(0, 300, 2)]  # acme's
    held = [
        key for key in keys if partition_of(f"acme/{payment_id('acme', key)}".encode(), count) in address.partitions
    ]
    assert held, "both workers hold partitions"
    process = psutil.Process(running.stack.process("worker-1").pid)
    process.send_signal(signal.SIGSTOP)
    try:
        changed = [await _patiently(commands, reads, key) for key in held[:20]]
    finally:
        process.send_signal(signal.SIGCONT)
    headers = {"Authorization": f"Bearer {running.read.internal_token}"}
    statuses = []
    async with aiohttp.ClientSession(headers=headers) as session:
        for reply in changed * 5:
            async with session.get(f"{url}/payments/acme/{reply.payment_id}") as answer:
                statuses.append(answer.status)
                if answer.status == 200:
                    view = msgspec.json.decode(await answer.read(), type=PaymentView)
                    assert view.payment.status == "canceled", "a zombie showed what was"
        async with session.get(f"{url}/payments/acme/x", headers={"Authorization": "Bearer no"}) as answer:
            assert answer.status == 401
    assert set(statuses) <= {200, 421, 503}
    for reply in changed:
        view = await reads.payments.get("acme", reply.payment_id)
        assert view is not None
        assert view.payment.status == "canceled"


async def _patiently(commands: Commands, reads: Reads, key: str):
    """Cancel a payment and read it, again until both are answered: the takeover lasts for the session time-out."""
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            reply = await commands.ask(command("acme", f"cancel-{key}", "cancel", of=key))
            assert reply.error is None
            view = await reads.payments.get("acme", reply.payment_id)
        except (NoAnswer, Unavailable):
            assert time.monotonic() < end
            continue
        assert view is not None
        assert view.payment.status == "canceled"
        return reply
