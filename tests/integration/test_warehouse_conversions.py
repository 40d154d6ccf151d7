"""Converted payments and reserves in a real ClickHouse engine: landed as they are, and every proof holds in both currencies."""

import pytest
from msgspec.structs import replace

from schemas.records import Tenant
from streams.core import settle
from tests._database import land
from tests.unit.core.world import TENANT, World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DAY_MS = 86_400_000
CONVERTING = Tenant(tenant=TENANT, version=1, reserve_basis_points=1_000, reserve_days=2, settlement_currency="JPY")


def _lives() -> World:
    """Converted and refunded at another rate, refunded in vain, disputed, not converted; one waits, one came to nothing."""
    world = World(tenant=CONVERTING)
    for name, rate in (("refunded", "162.37"), ("failed", "160"), ("disputed", "155.5"), ("nothing", "0.0001")):
        world.create(name, amount_minor=5_000 if name != "nothing" else 1)
        world.answer(world.requests[-1], "captured", fx_rate=rate, provider_fee_minor=3)
    for name, outcome in (("refunded", "refunded"), ("failed", "refund_failed")):
        world.send("refund", f"r {name}", of=name, amount_minor=1_234)
        world.answer(world.requests[-1], outcome, **({"fx_rate": "171.5"} if outcome == "refunded" else {}))
    world.send("refund", "r pending", of="refunded", amount_minor=100)
    world.notify("needs_response", withdrawn_minor=4_000, of="disputed", provider_fee_minor=1_500)
    world.create("plain", amount_minor=700)
    world.answer(world.requests[-1], "captured", settlement_currency="", provider_fee_minor=5)
    world.tick(world.time_ms + 3 * DAY_MS)
    world.create("yen", amount_minor=700, currency="JPY")
    world.answer(world.requests[-1], "captured")
    return world


def _land(client, world: World) -> None:
    settlement = World(settle, topic="settlement.inputs")
    settlement.put(world.inputs[0].message)
    for movement in world.movements:
        settlement.put(movement)
    settlement.tick(world.time_ms + DAY_MS // 2)
    land(client, {"payments.events": world.events, "settlement.events": settlement.events})


def test_every_proof_holds_for_converted_payments_and_reserves(client):
    """Payments, ledger, windows and balance transactions agree per currency; each conversion stands in its event's row."""
    world = _lives()
    _land(client, world)
    for proof in ("proof_landed", "proof_balanced", "proof_settled", "proof_balances"):
        assert client.rows(f"SELECT * FROM {proof} WHERE NOT holds") == [], proof
    assert {row[0] for row in client.rows("SELECT currency FROM proof_settled")} == {"EUR", "JPY"}
    told = client.rows(
        "SELECT fx_from_minor, fx_from_currency, fx_to_minor, fx_to_currency, fx_rate FROM payment_events"
        " WHERE fx_rate != '' ORDER BY _offset"
    )
    facts = [event.fx for event in world.events if event.fx is not None]
    assert told == [(fx.from_minor, fx.from_currency, fx.to_minor, fx.to_currency, fx.rate) for fx in facts]
    rates = client.rows("SELECT transaction_id, exchange_rate FROM balance_transactions WHERE exchange_rate != ''")
    stated = [one for event in world.events for one in event.balance_transactions if one.exchange_rate]
    assert sorted(rates) == sorted((one.id, one.exchange_rate) for one in stated)


def test_a_conversion_whose_windows_do_not_add_up_is_shown(client):
    """One movement of a converted refund taken away: the proof of settlement no longer holds for that currency."""
    world = _lives()
    for decision in world.decisions:
        if any(event.type == "refund.updated" for event in decision.events):
            decision.movements.clear()
    _land(client, world)
    (broken,) = client.rows("SELECT currency, payments_minor = windows_minor FROM proof_settled WHERE NOT holds")
    assert broken == ("JPY", False)


def test_what_was_landed_before_there_were_conversions_is_as_it_was(client):
    """An event without one has empty columns, and counts in its payment's own currency."""
    world = World(tenant=replace(CONVERTING, settlement_currency=""))
    world.create(amount_minor=700)
    world.answer(world.requests[-1], "captured", provider_fee_minor=5)
    _land(client, world)
    assert client.rows("SELECT DISTINCT fx_rate, fx_to_currency FROM payment_events") == [("", "")]
    assert client.rows("SELECT tenant, currency, payments_minor, holds FROM proof_settled") == [
        (TENANT, "EUR", 700, True)
    ]
