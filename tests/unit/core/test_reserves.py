import pytest
from msgspec.structs import replace

from schemas.records import FeeRule, Tenant
from streams.core import keys, reserves, settle
from streams.core.settlement import totals
from streams.core.state import Flow, Window, decode
from tests.unit.core.books import audit
from tests.unit.core.world import T0, TENANT, World

DAY_MS = 86_400_000
RESERVED = Tenant(tenant=TENANT, version=1, reserve_basis_points=1_000, reserve_days=90)


def _captured(tenant=RESERVED, **fields):
    world = World(tenant=tenant)
    world.create()
    world.answer(world.requests[-1], "captured", **fields)
    return world


def _marks(world):
    return [key for key in world.view.data if key.startswith(keys.RESERVE_PREFIX)]


def test_a_tenth_of_a_capture_is_kept_and_released_on_its_day():
    """1.00 of 10.00 for 90 days to the millisecond: postings, movement and balance transaction of both, by one event each."""
    world = _captured(provider_fee_minor=30)
    event = world.events[-1]
    assert [(leg.account, leg.amount_minor) for leg in event.postings[-2:]] == [
        ("tenant_payable:acme", 100),
        ("tenant_reserve:acme", -100),
    ]
    charge, kept = event.balance_transactions
    assert (charge.type, charge.net_minor) == ("charge", 970)
    assert (kept.type, kept.gross_minor, kept.fee_minor, kept.source) == ("reserve", -100, 0, event.charge.id)
    assert [(one.kind, one.amount_minor) for one in world.movements] == [
        ("capture", 1000),
        ("fee", -30),
        ("reserve", -100),
    ]
    audit(world)
    assert not world.tick(T0 + 90 * DAY_MS - 1).events
    (released,) = world.tick(T0 + 90 * DAY_MS).events
    assert released.type == "payment_intent.reserve_released"
    assert (released.from_status, released.to_status) == ("succeeded", "succeeded")
    assert (released.attribution.actor_kind, released.attribution.reason) == ("system", "reserve_due")
    assert [(leg.account, leg.amount_minor) for leg in released.postings] == [
        ("tenant_reserve:acme", 100),
        ("tenant_payable:acme", -100),
    ]
    (told,) = released.balance_transactions
    assert (told.type, told.net_minor, told.source) == ("reserve_release", 100, event.charge.id)
    assert (world.movements[-1].kind, world.movements[-1].amount_minor) == ("reserve_release", 100)
    assert not world.payment().reserves
    assert not _marks(world)
    audit(world)
    assert not world.tick(T0 + 200 * DAY_MS).events


@pytest.mark.parametrize(
    ("basis_points", "amount_minor", "kept_minor"),
    [(1_000, 1005, 100), (1_000, 1015, 102), (1, 1000, 0), (10_000, 1000, 970), (0, 1000, 0)],
    ids=["half to even down", "half to even up", "less than a minor unit", "all but the fee", "none"],
)
def test_shares_are_rounded_half_to_even_and_leave_the_fee(basis_points, amount_minor, kept_minor):
    """As fees are; nothing is said of a reserve of nothing."""
    world = World(tenant=replace(RESERVED, reserve_basis_points=basis_points))
    world.create(amount_minor=amount_minor)
    world.answer(world.requests[-1], "captured", provider_fee_minor=30)
    assert sum(one.amount_minor for one in world.payment().reserves) == kept_minor
    assert len(_marks(world)) == (kept_minor > 0)
    audit(world)


def test_a_fee_that_leaves_nothing_leaves_no_reserve():
    """A provider's fee above the amount makes the balance negative by itself; nothing more is kept."""
    world = _captured(provider_fee_minor=1200)
    assert not world.payment().reserves
    audit(world)


def test_each_part_of_a_capture_is_kept_until_its_own_day_and_one_tick_releases_all_that_are_due():
    """Two parts a day apart are released a day apart, or together when time has passed both; in the same millisecond, too."""
    for apart_ms, late in ((DAY_MS, False), (1, False), (DAY_MS, True), (0, True)):
        world = World(tenant=RESERVED)
        world.create(capture_method="manual")
        world.answer(world.requests[-1], "authorized")
        world.send("capture", "c1", of="k1", amount_minor=400, final_capture=False)
        world.answer(world.requests[-1], "captured")
        world.time_ms += apart_ms
        world.send("capture", "c2", of="k1")
        world.answer(world.requests[-1], "captured")
        assert [one.amount_minor for one in world.payment().reserves] == [40, 60]
        if not late:
            assert world.tick(T0 + 90 * DAY_MS).movements[0].amount_minor == 40
            assert world.tick(T0 + 90 * DAY_MS + apart_ms).movements[0].amount_minor == 60
        else:
            (movement,) = world.tick(T0 + 91 * DAY_MS).movements
            assert movement.amount_minor == 100
        assert not _marks(world)
        audit(world)


def test_a_payment_that_expires_in_the_same_tick_is_released_by_the_next_one():
    """A decision changes a payment once: the rest of the authorisation is given up first, then the reserve is released."""
    world = World(tenant=replace(RESERVED, reserve_days=1, capture_days=1))
    world.create(capture_method="manual")
    world.answer(world.requests[-1], "authorized")
    world.send("capture", "c1", of="k1", amount_minor=400, final_capture=False)
    world.answer(world.requests[-1], "captured")
    first = world.tick(T0 + 2 * DAY_MS)
    assert [event.type for event in first.events] == ["charge.expired"]
    second = world.tick(T0 + 2 * DAY_MS + 1)
    assert [event.type for event in second.events] == ["payment_intent.reserve_released"]
    assert not _marks(world)
    audit(world)


def test_one_tick_releases_so_many_at_most_and_the_next_ones_the_rest(monkeypatch):
    """The work of a tick is bounded, and none is forgotten."""
    monkeypatch.setattr(reserves, "RELEASES_PER_TICK_MAX", 2)
    world = World(tenant=RESERVED)
    for number in range(5):
        world.create(f"k{number}")
        world.answer(world.requests[-1], "captured")
    released = [len(world.tick(T0 + 90 * DAY_MS + extra).events) for extra in range(4)]
    assert released == [2, 2, 1, 0]
    audit(world)


def test_a_refund_or_a_lost_dispute_leaves_the_reserve_until_its_day():
    """They are paid from what was earned, which falls below zero; the reserve makes it whole on its day."""
    world = _captured()
    world.send("refund", "r1", of="k1")
    world.answer(world.requests[-1], "refunded")
    assert [one.amount_minor for one in world.payment().reserves] == [100]
    assert sum(one.amount_minor for one in world.movements) == -100
    world.tick(T0 + 90 * DAY_MS)
    assert sum(one.amount_minor for one in world.movements) == 0
    audit(world)
    world = _captured()
    world.notify("lost", withdrawn_minor=1000)
    assert [one.amount_minor for one in world.payment().reserves] == [100]
    world.tick(T0 + 90 * DAY_MS)
    assert sum(one.amount_minor for one in world.movements) == 0
    audit(world)


def test_a_changed_configuration_is_for_captures_after_it():
    """What was kept under earlier terms is released under them."""
    world = _captured()
    world.put(replace(RESERVED, version=2, reserve_basis_points=0, reserve_days=0))
    world.create("k2")
    world.answer(world.requests[-1], "captured")
    assert not world.payment("k2").reserves
    assert len(world.tick(T0 + 90 * DAY_MS).events) == 1
    audit(world)


def test_a_converted_capture_s_reserve_is_of_what_it_came_to():
    """Kept, moved and released in the currency that the charge settled in."""
    tenant = replace(RESERVED, settlement_currency="JPY", fees=(FeeRule(currency="JPY", basis_points=100),))
    world = _captured(tenant, fx_rate="162.37")
    assert [(one.kind, one.amount_minor, one.currency) for one in world.movements] == [
        ("capture", 1624, "JPY"),
        ("fee", -16, "JPY"),
        ("reserve", -162, "JPY"),
    ]
    world.tick(T0 + 90 * DAY_MS)
    assert (world.movements[-1].amount_minor, world.movements[-1].currency) == (162, "JPY")
    audit(world)


def test_a_window_pays_the_reserve_out_when_it_was_released():
    """The capture's window closes with 9.00, the release's with 1.00; both count it under other."""
    world = _captured()
    settlement = World(settle, topic="settlement.inputs")
    settlement.put(world.inputs[0].message)
    for movement in world.movements:
        settlement.put(movement)
    settlement.tick(T0 + 2 * DAY_MS)
    for movement in world.tick(T0 + 90 * DAY_MS).movements:
        settlement.put(movement)
    settlement.tick(T0 + 92 * DAY_MS)
    closed = [event.totals for event in settlement.events if event.type == "settlement_window.closed"]
    assert [(one.captured_minor, one.other_minor, one.net_minor) for one in closed] == [
        (1000, -100, 900),
        (0, 100, 100),
    ]
    value = settlement.view.get(keys.flow(TENANT, "northpay", "EUR"))
    assert decode(Flow, value).net_minor == 1000
    assert not [totals(decode(Window, one)) for _, one in settlement.view.range(b"w/")]
