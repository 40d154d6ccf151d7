"""Payouts of the simulated providers: in transit, then paid or failed, now and then back; under each key at most one."""

from __future__ import annotations

import contextlib
import sqlite3

import aiohttp
import pytest

from connectors.providers.base import NotFound, Operation, OperationKind, OutcomeKind
from connectors.providers.simulator._books import Books
from tests.unit.providers._world import client_of, simulated_world

TIMEOUT_S = 60.0
SHORT_S = 0.3


def payout(key: str = "po_1_payout_1", *, destination: str = "", amount_minor: int = 600) -> Operation:
    """A payout of 6.00 EUR."""
    return Operation(
        kind=OperationKind.PAYOUT,
        idempotency_key=key,
        payment_reference="acme/po_1",
        amount_minor=amount_minor,
        currency="EUR",
        destination=destination or None,
    )


async def test_a_payout_is_in_transit_and_then_paid(tmp_path):
    """The same answer for the same key, until its time has come."""
    async with simulated_world(tmp_path) as world, client_of(world.url()) as provider:
        first = await provider.perform(payout(), timeout_s=TIMEOUT_S)
        assert (first.kind, first.amount_minor, first.currency) == (OutcomeKind.PAYOUT_IN_TRANSIT, 600, "EUR")
        assert first.definite
        assert not first.settled
        assert await provider.perform(payout(), timeout_s=TIMEOUT_S) == first
        world.clock.now_ms += 1_000
        paid = await provider.inquire(payout(), timeout_s=TIMEOUT_S)
        assert (paid.kind, paid.reference) == (OutcomeKind.PAID_OUT, first.reference)
        assert await provider.notices(after=0, timeout_s=TIMEOUT_S) == []


@pytest.mark.parametrize(
    ("destination", "kind", "code"),
    [
        ("ba_test_instant", OutcomeKind.PAID_OUT, None),
        ("ba_test_accountClosed", OutcomeKind.PAYOUT_FAILED, "account_closed"),
        ("ba_elsewhere", OutcomeKind.REFUSED, "no_account"),
        ("ba_test_wrongAmount", OutcomeKind.INTEGRITY_FAILURE, "amount_mismatch"),
    ],
)
async def test_the_destination_decides(tmp_path, destination, kind, code):
    """What the provider answers at once."""
    async with simulated_world(tmp_path) as world, client_of(world.url()) as provider:
        found = await provider.perform(payout(destination=destination), timeout_s=TIMEOUT_S)
        assert (found.kind, found.code) == (kind, code)


async def test_a_payout_comes_back_after_it_was_paid(tmp_path):
    """It is told of once, by a notice that names it; one that fails in transit is not."""
    async with simulated_world(tmp_path) as world, client_of(world.url()) as provider:
        await provider.perform(payout(destination="ba_test_returned"), timeout_s=TIMEOUT_S)
        await provider.perform(payout("other", destination="ba_test_pendsThenFails"), timeout_s=TIMEOUT_S)
        world.clock.now_ms += 1_000
        paid = await provider.inquire(payout(destination="ba_test_returned"), timeout_s=TIMEOUT_S)
        assert paid.kind is OutcomeKind.PAID_OUT
        failed = await provider.inquire(payout("other", destination="ba_test_pendsThenFails"), timeout_s=TIMEOUT_S)
        assert (failed.kind, failed.code) == (OutcomeKind.PAYOUT_FAILED, "could_not_process")
        assert await provider.notices(after=0, timeout_s=TIMEOUT_S) == []
        world.clock.now_ms += 2_000
        (told,) = await provider.notices(after=0, timeout_s=TIMEOUT_S)
        assert (told.payout, told.status, told.reason) == (paid.reference, "failed", "no_account")
        assert (told.payment_reference, told.amount_minor, told.currency) == ("acme/po_1", 600, "EUR")
        assert await provider.notices(after=told.number, timeout_s=TIMEOUT_S) == []


@pytest.mark.parametrize("destination", ["ba_test_dropAfterPaying", "ba_test_error500AfterPaying", "ba_test_timeout"])
async def test_an_answer_that_got_lost_is_found_and_nothing_is_paid_twice(tmp_path, destination):
    """Unknown, an inquiry finds it, and asking again under the same key makes none; the books tell."""
    async with simulated_world(tmp_path) as world, client_of(world.url()) as provider:
        asked = payout(destination=destination)
        assert (await provider.perform(asked, timeout_s=SHORT_S)).kind is OutcomeKind.UNKNOWN
        assert (await provider.inquire(asked, timeout_s=TIMEOUT_S)).kind is OutcomeKind.PAYOUT_IN_TRANSIT
        await provider.perform(asked, timeout_s=SHORT_S)
        assert len(world.books.payouts("northpay", after=0, limit=10)) == 1
        assert world.books.payouts_made_twice() == []


async def test_a_payout_that_never_arrived_can_be_ruled_out(tmp_path):
    """Its key is closed, and then nothing happens under it any more."""
    async with simulated_world(tmp_path) as world, client_of(world.url()) as provider:
        asked = payout(destination="ba_test_error500")
        assert (await provider.perform(asked, timeout_s=TIMEOUT_S)).kind is OutcomeKind.UNKNOWN
        assert await provider.inquire(asked, timeout_s=TIMEOUT_S, close=True) == NotFound(closed=True)
        late = await provider.perform(payout(), timeout_s=TIMEOUT_S)
        assert (late.kind, late.code) == (OutcomeKind.REFUSED, "key_closed")
        assert world.books.payouts("northpay", after=0, limit=10) == []


async def test_the_books_are_open_to_who_checks(tmp_path):
    """Sums per currency, a page of payouts, and references that were paid twice."""
    async with simulated_world(tmp_path) as world, client_of(world.url()) as provider:
        for number in (1, 2):
            await provider.perform(payout(f"key-{number}", destination="ba_test_instant"), timeout_s=TIMEOUT_S)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{world.base_url}/summary") as answer:
                summary = await answer.json()
            async with session.get(f"{world.url()}/payouts?limit=1") as answer:
                page = await answer.json()
        assert summary["payouts"] == [
            {
                "provider": "northpay",
                "currency": "EUR",
                "payouts": 2,
                "paid_minor": 1200,
                "in_transit_minor": 0,
                "failed_minor": 0,
            }
        ]
        assert summary["payouts_made_twice"] == [["acme/po_1", 2]]
        assert (page["has_more"], page["data"][0]["state"]) == (True, "paid")


@pytest.mark.parametrize(
    "body",
    [
        {"amount_minor": 5, "currency": "EUR"},
        {"amount_minor": 0, "currency": "EUR", "payment_reference": "acme/po_1"},
        {"amount_minor": 5, "currency": "EUR", "payment_reference": "acme/po_1", "payment_method": "pm_card_visa"},
        {"amount_minor": 5, "currency": "EUR", "payment_reference": "acme/po_1", "destination": "b" * 256},
    ],
)
async def test_a_payout_that_makes_no_sense_is_refused(tmp_path, body):
    """400, and nothing in the books."""
    async with simulated_world(tmp_path) as world, aiohttp.ClientSession() as session:
        async with session.post(f"{world.url()}/payouts", json=body, headers={"Idempotency-Key": "k"}) as answer:
            assert answer.status == 400
        assert world.books.payouts("northpay", after=0, limit=10) == []


def test_books_of_before_there_were_payouts_are_still_read(tmp_path):
    """Their notices have no payout; the column is added, and what was there stays."""
    path = tmp_path / "books.sqlite"
    Books(path).close_file()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("ALTER TABLE notices DROP COLUMN payout")
        database.execute(
            "INSERT INTO notices VALUES ('northpay',1,'n','acme/pi_1','ch','dp',1,'won',5,'EUR',0,0,'',0,7)"
        )
    books = Books(path)
    assert [(one.notice_id, one.payout) for one in books.notices("northpay", after=0, limit=5)] == [("n", "")]
    books.close_file()
