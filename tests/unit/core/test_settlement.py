from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from schemas.records import Attribution, Movement, ReportLine, Tenant
from streams.core import InvariantBroken, keys, settle
from streams.core.settlement import SEEN_KEPT_MS
from streams.core.state import Flow, decode, encode
from tests.unit.core.world import T0, TENANT, World

DAY_MS = 86_400_000
WHO = Attribution(actor_kind="provider", actor_id="northpay", request_id="req")
MIDNIGHT = T0 - T0 % DAY_MS


def _world(**schedule) -> World:
    world = World(settle, topic="settlement.inputs")
    world.put(Tenant(tenant=TENANT, version=1, **schedule))
    return world


def _movement(name: str, amount_minor: int = 100, *, at: int = MIDNIGHT + 1000, kind: str = "capture") -> Movement:
    return Movement(
        movement_id=f"mv_{name}",
        tenant=TENANT,
        provider="northpay",
        currency="EUR",
        kind=kind,
        amount_minor=amount_minor,
        payment_id="pi_1",
        object_id="ch_1",
        event_id="evt_1",
        occurred_ms=at,
        attribution=WHO,
    )


def _types(decision):
    return [event.type.rpartition(".")[2] for event in decision.events]


def test_a_window_opens_with_its_first_movement_and_closes_after_cut_off_and_grace():
    """Not one millisecond before; the close carries totals and postings that balance, and frees the state."""
    world = _world(settlement_grace_ms=5000)
    first = world.put(_movement("a", 1000))
    assert _types(first) == ["opened", "movement_added"]
    assert (first.events[0].opens_ms, first.events[0].closes_ms) == (MIDNIGHT, MIDNIGHT + DAY_MS)
    world.put(_movement("b", -300, kind="refund"))
    world.put(_movement("c", 100, kind="refund_failure"))
    world.put(_movement("d", -30, kind="fee"))
    world.put(_movement("e", -50, kind="dispute"))
    assert world.tick(MIDNIGHT + DAY_MS + 4999).events == []
    (closed,) = world.tick(MIDNIGHT + DAY_MS + 5000).events
    assert (closed.type, closed.status, closed.closed_ms) == (
        "settlement_window.closed",
        "closed",
        MIDNIGHT + DAY_MS + 5000,
    )
    totals = closed.totals
    assert (totals.movements, totals.captured_minor, totals.refunded_minor, totals.fees_minor) == (5, 1000, 200, 30)
    assert (totals.other_minor, totals.net_minor) == (-50, 720)
    assert [(leg.account, leg.amount_minor) for leg in closed.postings] == [
        ("tenant_payable:acme", 720),
        ("payout_in_transit:acme", -720),
    ]
    assert [event.sequence for event in world.events] == list(range(1, 8))
    assert [event.previous_event_id for event in world.events] == ["", *(one.event_id for one in world.events[:-1])]
    assert world.tick(MIDNIGHT + 2 * DAY_MS).events == []
    assert not any(key.startswith((b"w/", b"o/")) for key in world.view.data)


def test_a_negative_net_is_legal_and_a_zero_net_posts_nothing():
    """More refunded than captured: the tenant owes, the same accounts the other way; nothing left: no postings."""
    world = _world()
    world.put(_movement("a", -300, kind="refund"))
    assert world.events[-1].type == "balance.overdrawn"
    restored, closed = world.tick(MIDNIGHT + DAY_MS).events
    assert restored.type == "balance.restored"
    assert [leg.amount_minor for leg in closed.postings] == [-300, 300]
    world.put(_movement("b", 300, at=MIDNIGHT + DAY_MS))
    world.put(_movement("c", -300, at=MIDNIGHT + DAY_MS, kind="refund"))
    assert world.tick(MIDNIGHT + 2 * DAY_MS).events[0].postings == ()


def test_a_late_movement_goes_to_the_window_open_now_and_names_the_one_it_missed():
    """Its own window is closed, or was never opened but is over: both are late; in the grace it is not."""
    world = _world(settlement_grace_ms=5000)
    opened = world.put(_movement("a")).events[0]
    world.tick(MIDNIGHT + DAY_MS + 4999)
    graced = world.put(_movement("b", at=MIDNIGHT + DAY_MS - 1)).events[0]
    assert (graced.late, graced.window_id) == (False, opened.window_id)
    world.tick(MIDNIGHT + DAY_MS + 5000)
    late = world.put(_movement("c", at=MIDNIGHT + DAY_MS - 1)).events[-1]
    assert (late.late, late.missed_window_id) == (True, opened.window_id)
    assert late.opens_ms == MIDNIGHT + DAY_MS
    older = world.put(_movement("d", at=MIDNIGHT - 5 * DAY_MS)).events
    assert [event.type for event in older] == ["settlement_window.movement_added"]
    assert older[0].late
    assert older[0].missed_window_id not in {"", opened.window_id}


def test_a_movement_is_taken_once():
    """The same movement again, while its window is open and after it closed, changes nothing; a day later it is forgotten."""
    world = _world()
    world.put(_movement("a"))
    assert world.put(_movement("a")).writes == []
    world.tick(MIDNIGHT + DAY_MS)
    assert world.put(_movement("a")).writes == []
    assert world.put(_movement("b")).events
    world.tick(MIDNIGHT + 1000 + DAY_MS + SEEN_KEPT_MS)
    assert not any(key.startswith(b"s/") for key in world.view.data)


def test_windows_of_tenants_providers_and_currencies_are_apart():
    """Each has its own sequence and its own windows; one tick closes them all."""
    world = _world()
    for provider in ("northpay", "southpay"):
        for currency in ("EUR", "JPY"):
            decision = world.put(replace(_movement(f"{provider}{currency}"), provider=provider, currency=currency))
            assert [event.sequence for event in decision.events] == [1, 2]
    closed = world.tick(MIDNIGHT + DAY_MS).events
    assert len({(event.provider, event.currency, event.window_id) for event in closed}) == 4
    assert {event.sequence for event in closed} == {3}


def test_a_new_schedule_does_not_make_windows_overlap():
    """A changed cut-off: movements of a window that is open stay in it, the next window starts where it ends."""
    world = _world(timezone="UTC", settlement_cutoff="00:00")
    first = world.put(_movement("a", at=MIDNIGHT + 1000)).events[0]
    world.put(Tenant(tenant=TENANT, version=2, timezone="UTC", settlement_cutoff="18:00"))
    same = world.put(_movement("b", at=MIDNIGHT + 20 * 3_600_000)).events[0]
    assert same.window_id == first.window_id
    after = world.put(_movement("c", at=MIDNIGHT + DAY_MS + 1)).events[0]
    assert after.type == "settlement_window.opened"
    assert (after.opens_ms, after.closes_ms) == (first.closes_ms, MIDNIGHT + DAY_MS + 18 * 3_600_000)
    before = world.put(_movement("d", at=MIDNIGHT - 1)).events[0]
    assert before.closes_ms == first.opens_ms


def test_a_first_movement_within_the_grace_is_not_late():
    """The cut-off has passed, the grace has not, and no window was opened yet: it opens its own, which then closes in time."""
    world = _world(settlement_grace_ms=5000)
    world.tick(MIDNIGHT + DAY_MS + 4999)
    opened, added = world.put(_movement("a")).events
    assert (opened.opens_ms, added.late) == (MIDNIGHT, False)
    assert _types(world.tick(MIDNIGHT + DAY_MS + 5000)) == ["closed"]


def test_a_window_of_a_new_schedule_starts_where_the_closed_one_ended():
    """The new schedule's business day would reach back into a day that is closed; it is cut short instead."""
    world = _world(settlement_cutoff="00:00")
    world.put(_movement("a"))
    closed = world.tick(MIDNIGHT + DAY_MS).events[0]
    world.put(Tenant(tenant=TENANT, version=2, settlement_cutoff="18:00"))
    opened, added = world.put(_movement("b", at=MIDNIGHT + DAY_MS + 1)).events
    assert (opened.opens_ms, opened.closes_ms) == (closed.closes_ms, MIDNIGHT + DAY_MS + 18 * 3_600_000)
    assert not added.late


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("movement_id", "", "invalid_field"),
        ("provider", "a/b", "invalid_field"),
        ("currency", "EURO", "unknown_currency"),
        ("kind", "unrecognized", "invalid_field"),
        ("amount_minor", 0, "invalid_amount"),
        ("amount_minor", -1, "invalid_amount"),
        ("occurred_ms", 0, "invalid_field"),
        ("occurred_ms", 2**62, "invalid_field"),
        ("tenant", "nobody", "unknown_tenant"),
    ],
)
def test_a_movement_that_breaks_its_contract_is_refused(field, value, reason):
    """Typed, naming the field, and nothing changes; a report line is not settled by this version."""
    world = _world()
    decision = world.put(replace(_movement("a"), **{field: value}))
    assert (decision.refused.reason, decision.refused.field) == (reason, field)
    assert world.put(ReportLine()).refused.reason == "wrong_record"
    assert world.put(Tenant(tenant=TENANT, version=9, timezone="Nowhere")).refused.field == "timezone"


@pytest.mark.parametrize(
    ("kind", "signs"),
    [
        ("capture", {1}),
        ("refund", {1, -1}),
        ("refund_failure", {1}),
        ("fee", {1, -1}),
        ("dispute", {-1}),
        ("dispute_reversal", {1}),
        ("adjustment", {1, -1}),
        ("reserve", {-1}),
        ("reserve_release", {1}),
    ],
)
def test_money_of_a_kind_moves_one_way_or_either(kind, signs):
    """A converted refund may come to less than the tenant had paid for it; a reserve is kept, and its release given back."""
    taken = {sign for sign in (1, -1) if _world().put(_movement("a", 5 * sign, kind=kind)).refused is None}
    assert taken == signs


def test_windows_that_do_not_sum_to_the_ledger_stop_the_partition():
    """P6 is asserted at every close: a flow whose movements are not what its windows hold raises."""
    world = _world()
    world.put(_movement("a"))
    key = keys.flow(TENANT, "northpay", "EUR")
    world.view.data[key] = encode(replace(decode(Flow, world.view.data[key]), net_minor=101))
    with pytest.raises(InvariantBroken, match="P6"):
        world.tick(MIDNIGHT + DAY_MS)


def _check_windows(events, sent):
    held: set[str] = set()
    bounds: dict[str, tuple[int, int]] = {}
    closed: dict[str, int] = {}
    sums: dict[str, int] = {}
    for event in events:
        assert event.window_id not in closed, "a closed window changed"
        bounds[event.window_id] = (event.opens_ms, event.closes_ms)
        if event.movement is not None:
            held.add(event.movement.movement_id)
            sums[event.window_id] = sums.get(event.window_id, 0) + event.movement.amount_minor
            assert event.late != (event.opens_ms <= event.movement.occurred_ms < event.closes_ms)
        if event.status == "closed":
            closed[event.window_id] = event.totals.net_minor
    assert closed == sums
    assert held == {movement.movement_id for movement in sent}
    assert all(one[1] <= other[0] for one, other in pairwise(sorted(bounds.values())))


@settings(derandomize=True, deadline=None, max_examples=60, database=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("move"), st.integers(-3 * DAY_MS, 6 * DAY_MS), st.integers(-50, 50)),
            st.tuples(st.just("tick"), st.integers(0, 2 * DAY_MS), st.none()),
            st.tuples(st.just("again"), st.integers(0, 30), st.none()),
            st.tuples(
                st.just("schedule"), st.sampled_from(("00:00", "18:00", "09:30")), st.sampled_from((0, 3_600_000))
            ),
        ),
        max_size=40,
    )
)
def test_every_movement_is_in_exactly_one_window(steps):
    """P6 in random order, with repetitions, lateness and changed schedules: taken once, windows disjoint, closed ones final."""
    world = _world(settlement_grace_ms=60_000)
    sent: list[Movement] = []
    now = MIDNIGHT
    for number, (what, first, second) in enumerate(steps):
        if what == "move":
            kind = "adjustment"
            sent.append(_movement(f"{number}", second or 7, at=MIDNIGHT + first, kind=kind))
            world.put(sent[-1])
        elif what == "again" and sent:
            world.put(sent[first % len(sent)])
        elif what == "tick":
            now += first
            world.tick(now)
        elif what == "schedule":
            world.put(
                Tenant(
                    tenant=TENANT,
                    version=number + 2,
                    settlement_cutoff=first,
                    settlement_grace_ms=second,
                    timezone="America/New_York",
                )
            )
    world.tick(now + 60 * DAY_MS)
    _check_windows(world.events, sent)
    again = World(settle, topic="settlement.inputs")
    for entry in world.inputs:
        again.time_ms = entry.time_ms
        again.put(entry.message)
    assert again.events == world.events
    assert again.view.data == world.view.data
