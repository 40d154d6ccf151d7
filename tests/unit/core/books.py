"""An auditor who knows nothing of the fold's code: it reads what was said and moved, and checks what must be true."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import Any

from schemas.currencies import EXPONENTS
from streams.core.state import Payment, decode
from tests.unit.core.world import World


def audit(world: World) -> None:
    """Check everything that was ever said in this world."""
    events = world.events
    _chains(events)
    accounts = _accounts(events)
    _money(events, world.movements, accounts, scheduled=bool(world.tenant.fees))
    _balances(events, world.movements)
    _conversions(events)
    _reserves(world, accounts)
    _captures(events)
    _causes(world)


def _chains(events: list[Any]) -> None:
    last: dict[str, Any] = {}
    ids = [event.event_id for event in events]
    assert len(ids) == len(set(ids))
    for event in events:
        before = last.get(event.payment_id)
        assert event.sequence == (before.sequence + 1 if before else 1)
        assert event.previous_event_id == (before.event_id if before else "")
        assert event.from_status == (before.to_status if before else "none")
        assert event.payment.status == event.to_status
        assert event.attribution.actor_kind != "unrecognized"
        assert event.attribution.request_id
        last[event.payment_id] = event


def _accounts(events: list[Any]) -> dict[tuple[str, str], int]:
    accounts: dict[tuple[str, str], int] = defaultdict(int)
    for event in events:
        by_currency: dict[str, int] = defaultdict(int)
        for leg in event.postings:
            by_currency[leg.currency] += leg.amount_minor
            accounts[leg.account, leg.currency] += leg.amount_minor
        assert not any(by_currency.values()), event
    return accounts


def _money(events: list[Any], movements: list[Any], accounts: dict[tuple[str, str], int], *, scheduled: bool) -> None:
    tenants: dict[tuple[str, str], int] = defaultdict(int)
    providers: dict[tuple[str, str], int] = defaultdict(int)
    known = {event.event_id for event in events}
    ids = [movement.movement_id for movement in movements]
    assert len(ids) == len(set(ids))
    for movement in movements:
        assert movement.event_id in known
        tenants[movement.tenant, movement.currency] += movement.amount_minor
        own = movement.kind in {"adjustment", "reserve", "reserve_release"} or (scheduled and movement.kind == "fee")
        if not own:
            providers[movement.provider, movement.currency] += movement.amount_minor
    owed: dict[tuple[str, str], int] = defaultdict(int)
    for (account, currency), balance in accounts.items():
        kind, owner = account.split(":")
        if kind == "tenant_payable":
            assert -balance == tenants.pop((owner, currency), 0), account
        elif kind in {"provider_receivable", "fx_conversion", "refund_pending", "provider_disputed", "provider_costs"}:
            owed[owner, currency] += balance
        if kind in {"authorization_hold", "provider_stray", "provider_disputed"}:
            assert balance >= 0, account
        elif kind in {"refund_pending", "stray_owed", "authorized_funds", "platform_fees", "tenant_reserve"}:
            assert balance <= 0, account
    assert not any(tenants.values())
    for of in owed.keys() | providers.keys():
        assert owed.get(of, 0) == providers.get(of, 0), of


def _conversions(events: list[Any]) -> None:
    """Stated amounts are their rate's, what is posted is what was stated, and nothing converted is left without a rate."""
    for event in events:
        legs = [leg for leg in event.postings if leg.account.startswith("fx_conversion:")]
        if event.fx is None:
            assert not legs or all(one.exchange_rate for one in event.balance_transactions), event
            continue
        fx = event.fx
        assert fx.from_currency == event.payment.currency != fx.to_currency
        exact = Fraction(fx.from_minor, 10 ** EXPONENTS[fx.from_currency]) * Fraction(fx.rate)
        assert abs(fx.to_minor - exact * 10 ** EXPONENTS[fx.to_currency]) < 1
        assert all(one.currency == fx.to_currency and one.exchange_rate for one in event.balance_transactions)
        if event.refund is None:
            assert {leg.currency: leg.amount_minor for leg in legs} == {
                currency: minor
                for currency, minor in ((fx.from_currency, -fx.from_minor), (fx.to_currency, fx.to_minor))
                if minor
            }
    refunds: dict[str, list[Any]] = defaultdict(list)
    for event in events:
        if event.refund is not None:
            refunds[event.refund.id].append(event)
    for refund, told in refunds.items():
        _refund_comes_out(refund, told)


def _refund_comes_out(refund: str, events: list[Any]) -> None:
    """A converted refund costs the tenant what the provider says in the end; one that failed, nothing at all."""
    paid = sum(
        leg.amount_minor
        for event in events
        for leg in event.postings
        if leg.account.startswith("fx_conversion:") and leg.currency != event.payment.currency
    )
    stated = [event.fx.to_minor for event in events if event.fx is not None]
    last = events[-1].refund.status
    if last == "failed":
        assert paid == 0, refund
    elif last == "succeeded" and stated:
        assert paid == -stated[-1], refund


def _reserves(world: World, accounts: dict[tuple[str, str], int]) -> None:
    """What is kept in reserve is what payments hold of it, each part marked with its day."""
    kept: dict[str, int] = defaultdict(int)
    for key, value in world.view.range(b"p/"):
        payment = decode(Payment, value)
        for one in payment.reserves:
            conversion = payment.attempts[one.attempt - 1].conversion
            kept[payment.currency if conversion is None else conversion.currency] += one.amount_minor
            assert b"z/" + one.due_ms.to_bytes(8, "big") + key in world.view.data
    for (account, currency), balance in accounts.items():
        if account.startswith("tenant_reserve:"):
            assert -balance == kept.pop(currency, 0)
    assert not kept


def _balances(events: list[Any], movements: list[Any]) -> None:
    """Balance transactions tell of each event what its movements tell of it, and are net of their fees."""
    moved: dict[str, int] = defaultdict(int)
    for movement in movements:
        moved[movement.event_id] += movement.amount_minor
    ids = [one.id for event in events for one in event.balance_transactions]
    assert len(ids) == len(set(ids))
    for event in events:
        for one in event.balance_transactions:
            assert one.net_minor == one.gross_minor - one.fee_minor
            assert one.available_on_ms >= event.occurred_ms
        assert sum(one.net_minor for one in event.balance_transactions) == moved[event.event_id], event


def _captures(events: list[Any]) -> None:
    charges: dict[str, dict[str, Any]] = defaultdict(dict)
    for event in events:
        payment, charge = event.payment, event.charge
        assert payment.amount_refunded_minor >= 0 <= payment.amount_disputed_minor
        assert payment.amount_received_minor >= payment.amount_refunded_minor + payment.amount_disputed_minor
        assert payment.amount_minor >= payment.amount_received_minor + payment.amount_capturable_minor
        assert bool(payment.due_ms) == (event.to_status in {"requires_action", "requires_capture"})
        assert payment.amount_minor >= payment.amount_received_minor
        if charge is not None:
            charges[event.payment_id][charge.id] = charge
        captured = [
            one for one in charges[event.payment_id].values() if one.outcome == "captured" and one.status == "succeeded"
        ]
        assert len(captured) <= 1, "P3"
        if event.to_status == "succeeded":
            assert payment.amount_received_minor == captured[0].amount_captured_minor > 0


def _causes(world: World) -> None:
    for entry, decision in zip(world.inputs, world.decisions, strict=True):
        for ordinal, event in enumerate(decision.events):
            assert (event.cause_topic, event.cause_partition, event.cause_offset) == (
                entry.topic,
                entry.partition,
                entry.offset,
            )
            assert event.ordinal == ordinal
            assert event.occurred_ms == entry.time_ms
