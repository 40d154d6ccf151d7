"""The chaos verifier's oracle of money, on records of converted payments too."""

import pytest

from schemas import codec
from schemas.records import PayoutEvent, PayoutObject, PayoutTransaction, Tenant
from streams.core import settle
from streams.runtime import Record
from tests.chaos.books import Books, check_payable
from tests.chaos.checks import Check
from tests.unit.chaos._recorded import Recording
from tests.unit.core.world import TENANT, World

PAYOUTS = "no payout is of more than was settled and not paid out"
GONE = "nothing follows a customer's deletion, and no method is left with it"
ONCE = "a payout takes its amount once, and gives it back once where it failed or was called off"
DISPUTES = "withdrawn by disputes = movements of disputes, in every currency"
EARNED = "balance transactions = movements = windows, for every tenant and currency"
CAPTURED = "captured − refunded = movements = closed windows, in every currency"


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
    for of in ("converted", "plain"):
        world.notify("needs_response", of=of, dispute=f"of {of}", amount_minor=600, withdrawn_minor=600)
    world.notify("won", of="plain", dispute="of plain", amount_minor=600, withdrawn_minor=0)
    return world


def test_converted_payments_are_counted_where_they_settled(world):
    """Payments, movements and windows agree in both currencies."""
    checks = _told(world)
    assert all(check.holds for check in checks.values()), [str(check) for check in checks.values()]
    assert {name for name, check in checks.items() if not check.count} == {PAYOUTS, ONCE, GONE}


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
        broken = {name: check for name, check in _told(world, without=index).items() if not check.holds}
        assert broken.keys() == {CAPTURED, EARNED}, index
        assert all(world.movements[index].currency in check.problems[0] for check in broken.values())


def test_a_lost_movement_of_a_dispute_is_found(world):
    """Taken or given back, converted or not; a lost fee differs from the balance transactions."""
    for index, movement in enumerate(world.movements):
        broken = {name for name, check in _told(world, without=index).items() if not check.holds}
        if movement.kind in {"dispute", "dispute_reversal"}:
            assert broken == {DISPUTES, EARNED}, index
        elif movement.kind not in {"capture", "refund"}:
            assert broken == {EARNED}, index
    kinds = {movement.kind for movement in world.movements}
    assert kinds == {"capture", "refund", "fee", "reserve", "dispute", "dispute_reversal"}


@pytest.mark.parametrize(
    ("status", "moved", "holds"),
    [
        ("pending", (-5,), True),
        ("paid", (-5,), True),
        ("failed", (-5, 5), True),
        ("canceled", (-5, 5), True),
        ("paid", (-5, -5), False),
        ("paid", (-5, 5), False),
        ("failed", (-5,), False),
        ("canceled", (-5, 5, 5), False),
        ("failed", (-5, 4), False),
    ],
)
def test_a_payout_that_takes_or_gives_back_otherwise_is_found(status, moved, holds):
    """Twice taken, given back though it was paid, not given back, given back twice, another amount."""
    checks: dict[str, Check] = {}
    books = Books(lambda name: checks.setdefault(name, Check(name)))
    for number, minor in enumerate(moved, 1):
        event = PayoutEvent(
            payout_id="po_1",
            sequence=number,
            to_status=status,
            payout=PayoutObject(id="po_1", amount_minor=5, currency="EUR"),
            transaction=PayoutTransaction(amount_minor=minor, currency="EUR"),
        )
        books.take(_record("settlement.events", number, event))
    books.finish()
    assert (checks[ONCE].holds, checks[ONCE].count) == (holds, 1)


def test_what_may_be_paid_out_is_held_against_clickhouse():
    """Windows less payouts, for each tenant, provider and currency; one that ClickHouse has alone differs too."""
    log = Recording().log
    left = ("acme", "northpay", "EUR")
    wrong = check_payable(log, {})
    assert not wrong.holds
    minor = int(wrong.problems[0].split(": ")[1].split(" on")[0].replace(",", ""))
    assert minor > 0
    assert check_payable(log, {left: minor}).holds
    assert not check_payable(log, {left: minor - 1}).holds
    assert not check_payable(log, {left: minor, ("acme", "southpay", "EUR"): 1}).holds
