"""The chaos verifier's oracle of money, on records of converted payments too."""

import pytest

from schemas import codec
from schemas.records import PayoutEvent, PayoutTransaction, Tenant
from streams.core import settle
from streams.runtime import Record
from tests.chaos.books import Books
from tests.chaos.checks import Check
from tests.unit.core.world import TENANT, World

PAYOUTS = "no payout is of more than was settled and not paid out"


def _record(topic: str, offset: int, message) -> Record:
    return Record(topic, 0, offset, 1, b"key", codec.encode(message))


def _told(world: World, *, without: int | None = None) -> dict[str, Check]:
    """What the oracle says of a world and what settlement makes of it; `without`: a movement that gets lost."""
    checks: dict[str, Check] = {}

    def check(name: str) -> Check:
        return checks.setdefault(name, Check(name))

    books = Books(check)
    settlement = World(settle, topic="settlement.inputs")
    settlement.put(world.inputs[0].message)
    for index, movement in enumerate(world.movements):
        if index != without:
            books.movement(movement)
            settlement.put(movement)
    for topic, events in (("payments.events", world.events), ("settlement.events", settlement.events)):
        for offset, event in enumerate(events):
            books.take(_record(topic, offset, event))
    books.finish()
    return checks


@pytest.fixture
def world():
    """A converted payment refunded in part at another rate, one that is not converted, and one in the settlement currency."""
    world = World(
        tenant=Tenant(tenant=TENANT, version=1, settlement_currency="JPY", reserve_basis_points=500, reserve_days=9)
    )
    world.create("converted")
    world.answer(world.requests[-1], "captured", provider_fee_minor=3)
    world.send("refund", "r", of="converted", amount_minor=400)
    world.answer(world.requests[-1], "refunded", fx_rate="171.5")
    world.create("plain")
    world.answer(world.requests[-1], "captured", settlement_currency="")
    world.create("yen", currency="JPY")
    world.answer(world.requests[-1], "captured")
    return world


def test_converted_payments_are_counted_where_they_settled(world):
    """Payments, movements and windows agree in both currencies."""
    checks = _told(world)
    assert all(check.holds for check in checks.values()), [str(check) for check in checks.values()]
    assert {name for name, check in checks.items() if not check.count} == {PAYOUTS}


def test_a_payout_of_more_than_is_settled_is_found():
    """Its own fold would not make one; the oracle counts for itself."""
    books_checks: dict[str, Check] = {}
    books = Books(lambda name: books_checks.setdefault(name, Check(name)))
    taken = PayoutTransaction(type="payout", amount_minor=-5, currency="EUR")
    event = PayoutEvent(event_id="evt_1", type="payout.created", payout_id="po_1", sequence=1, transaction=taken)
    books.take(_record("settlement.events", 0, event))
    assert not books_checks[PAYOUTS].holds


def test_a_lost_movement_of_a_conversion_is_found(world):
    """Any capture or refund that does not reach settlement makes that currency differ."""
    counted = [i for i, one in enumerate(world.movements) if one.kind in {"capture", "refund"}]
    assert len(counted) > 3
    for index in counted:
        broken = [check for check in _told(world, without=index).values() if not check.holds]
        assert len(broken) == 1, index
        assert world.movements[index].currency in broken[0].problems[0]
