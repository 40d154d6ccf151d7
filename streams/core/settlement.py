"""The fold of settlement: every movement in exactly one window; a window closes when the log's time has passed it, for good; payouts.

A flow is a tenant's money at one provider in one currency. Movements come exactly once, through the lifecycle's own
transaction, so no memory of them is needed for our own sake. One that somebody appends again by hand is recognised by its
time and id for a day (`SEEN_KEPT_MS`), which costs one small key a movement and is pruned by ticks.
"""

from __future__ import annotations

from msgspec.structs import replace

from schemas.currencies import AMOUNT_MINOR_MAX, EXPONENTS
from schemas.records import (
    Attribution,
    ClockTick,
    Movement,
    MovementKind,
    PayoutCommand,
    PayoutResult,
    SettlementEvent,
    Tenant,
    WindowMovement,
    WindowTotals,
)
from streams.core import checks, ids, keys, ledger, payout_commands, tenants, windows
from streams.core.decision import Decision, Input, View
from streams.core.errors import InvariantBroken, Refused
from streams.core.ledger import Postings
from streams.core.payouts import Money
from streams.core.state import Clock, Flow, TenantState, Window, decode, encode

SEEN_KEPT_MS = 86_400_000
CLOSES_PER_TICK_MAX = 1_000
"""Bounds the work of one tick; what is left is for the next one."""
FORGETS_PER_TICK_MAX = 5_000

_SYSTEM = Attribution(actor_kind="system", actor_id="settlement")

_SIGNS: dict[MovementKind, int] = {
    "capture": 1,
    "refund_failure": 1,
    "dispute": -1,
    "dispute_reversal": 1,
    "reserve": -1,
    "reserve_release": 1,
}
"""
Which way money of a kind moves, as the tenant sees it. Fees (which may be returned), adjustments and refunds (of which a
converted one may come to less than the tenant had paid for it) go either way.
"""


def settle(view: View, input: Input) -> Decision:  # noqa: A002 - what it is called everywhere here
    """
    What follows from one record of settlement.inputs.

    An input that breaks its contract comes back with `refused` set. Raises `StateUnreadable` and `InvariantBroken`
    only: the partition must stop.
    """
    message = input.message
    decision = Decision()
    try:
        if isinstance(message, Movement):
            _check(message)
            _Flow(view, input, decision, (message.tenant, message.provider, message.currency)).add(message)
        elif isinstance(message, ClockTick):
            _tick(view, input, message, decision)
        elif isinstance(message, PayoutCommand):
            return payout_commands.command(view, input, message)
        elif isinstance(message, PayoutResult):
            return payout_commands.result(view, input, message)
        elif isinstance(message, Tenant):
            payout_commands.learn(view, message, decision)
            tenants.learn(view, message, decision)
        else:
            name = type(message).__name__
            decision.refused = Refused(
                reason="wrong_record", field="", message=f"{name} is not settled by this version."
            )
    except Refused as refused:
        return Decision(refused=refused)
    return decision


def _check(movement: Movement) -> None:
    amount_minor = movement.amount_minor
    if not 0 < len(movement.movement_id) <= checks.KEY_CHARS_MAX:
        raise Refused(reason="invalid_field", field="movement_id", message="A movement has an id.")
    if "/" in movement.provider or not movement.provider:
        raise Refused(reason="invalid_field", field="provider", message="A movement names its provider.")
    if movement.currency not in EXPONENTS:
        raise Refused(reason="unknown_currency", field="currency", message="currency must be an active ISO 4217 code.")
    if movement.kind == "unrecognized":
        raise Refused(reason="invalid_field", field="kind", message="This version does not know this kind of movement.")
    if not 0 < abs(amount_minor) <= AMOUNT_MINOR_MAX or amount_minor * _SIGNS.get(movement.kind, amount_minor) < 0:
        message = (
            "A movement's amount is not zero, and signed as the tenant sees it: captures positive, disputes negative."
        )
        raise Refused(reason="invalid_amount", field="amount_minor", message=message)
    if not windows.TIME_MS_MIN <= movement.occurred_ms <= windows.TIME_MS_MAX:
        raise Refused(reason="invalid_field", field="occurred_ms", message="occurred_ms is no time of this calendar.")


def _tick(view: View, input: Input, tick: ClockTick, decision: Decision) -> None:  # noqa: A002
    if tick.time_ms <= _now_ms(view):
        return
    decision.writes.append((keys.CLOCK, encode(Clock(tick.time_ms))))
    flows: dict[tuple[str, str, str], _Flow] = {}
    for count, (mark, _) in enumerate(view.range(keys.OPEN_PREFIX)):
        due_ms, window_key = keys.open_window_parts(mark)
        if due_ms > tick.time_ms or count == CLOSES_PER_TICK_MAX:
            break
        of = keys.window_parts(window_key)
        if of not in flows:
            flows[of] = _Flow(view, input, decision, of)
        flows[of].close(window_key, tick.time_ms)
        decision.writes.append((mark, None))
    for flow in flows.values():
        flow.check()
        flow.save()
        flow.pay_out(tick.time_ms)
    payout_commands.ask_due(view, input, tick.time_ms, decision)
    for count, (mark, _) in enumerate(view.range(keys.SEEN_PREFIX)):
        if keys.seen_time(mark) > tick.time_ms - SEEN_KEPT_MS or count == FORGETS_PER_TICK_MAX:
            break
        decision.writes.append((mark, None))


def _now_ms(view: View) -> int:
    value = view.get(keys.CLOCK)
    return 0 if value is None else decode(Clock, value).time_ms


class _Flow:
    """One flow while an input works on it."""

    def __init__(self, view: View, input: Input, decision: Decision, of: tuple[str, str, str]) -> None:  # noqa: A002
        self.view, self.input, self.decision = view, input, decision
        self.tenant, self.provider, self.currency = tenant, provider, currency = of
        self.digest = ids.input_digest(input.topic, input.partition, input.offset)
        self.key = keys.flow(tenant, provider, currency)
        value = view.get(self.key)
        self.state = Flow() if value is None else decode(Flow, value)
        self.closed: set[bytes] = set()
        self.last_closed = ""
        self.money = Money(view, of)

    def add(self, movement: Movement) -> None:
        """Put a movement into its window, or, when that is closed or due, into the one that is open now."""
        tenant = tenants.known(self.view, self.tenant)
        if tenant is None:
            raise Refused(reason="unknown_tenant", field="tenant", message="This tenant is not known here.")
        seen_key = keys.seen(self.tenant, self.provider, self.currency, movement.occurred_ms, movement.movement_id)
        if self.view.get(seen_key) is not None:
            return
        now_ms = _now_ms(self.view)
        time_ms = movement.occurred_ms
        opens_ms, closes_ms = self._bounds(tenant, time_ms)
        window = self._window_at(time_ms, opens_ms, closes_ms)
        missed = ""
        if window is None and (time_ms < self.state.closed_until_ms or closes_ms + tenant.grace_ms <= now_ms):
            missed = ids.window_id(self.tenant, self.provider, self.currency, opens_ms)
            time_ms = max(now_ms, self.state.closed_until_ms)
            opens_ms, closes_ms = self._bounds(tenant, time_ms)
            window = self._window_at(time_ms, opens_ms, closes_ms)
        if window is None:
            window = self._open(time_ms, opens_ms, closes_ms, tenant.grace_ms, movement.attribution)
        if window.status != "open" or not window.opens_ms <= time_ms < window.closes_ms:
            message = f"P6: {window.window_id} is not for {movement.movement_id}"
            raise InvariantBroken(message)
        window = _with(window, movement)
        before_minor = self.state.net_minor - self.state.closed_net_minor
        self.state = replace(self.state, net_minor=self.state.net_minor + movement.amount_minor)
        self._record(
            "settlement_window.movement_added",
            window,
            attribution=movement.attribution,
            movement=movement,
            missed_window_id=missed,
        )
        after_minor = self.state.net_minor - self.state.closed_net_minor
        self._tell_of_overdraft(window, before_minor, after_minor, movement.attribution)
        self.decision.writes.append((self._window_key(window), encode(window)))
        self.decision.writes.append((seen_key, b"\x01"))
        self.save()

    def _tell_of_overdraft(self, window: Window, before_minor: int, after_minor: int, attribution: Attribution) -> None:
        """Say when what a tenant has earned here and was not settled falls below zero, and when it no longer is."""
        if (before_minor < 0) != (after_minor < 0):
            event_type = "balance.overdrawn" if after_minor < 0 else "balance.restored"
            self._record(event_type, window, attribution=attribution)

    def close(self, window_key: bytes, closed_ms: int) -> None:
        """Close a window for good and post what it comes to."""
        value = self.view.get(window_key)
        if value is None:
            message = f"a window that was to close is not there: {window_key!r}"
            raise InvariantBroken(message)
        window = decode(Window, value)
        if window.status != "open":
            message = f"P6: {window.window_id} was to close twice"
            raise InvariantBroken(message)
        net_minor = totals(window).net_minor
        before_minor = self.state.net_minor - self.state.closed_net_minor
        # Before the window closes: nothing may follow that.
        self._tell_of_overdraft(window, before_minor, before_minor - net_minor, _SYSTEM)
        self.state = replace(
            self.state,
            closed_until_ms=max(self.state.closed_until_ms, window.closes_ms),
            closed_net_minor=self.state.closed_net_minor + net_minor,
        )
        self._record(
            "settlement_window.closed",
            replace(window, status="closed"),
            attribution=_SYSTEM,
            closed_ms=closed_ms,
            postings=ledger.settle(self.tenant, net_minor, self.currency),
        )
        tenant = tenants.known(self.view, self.tenant)
        if tenant is not None and tenant.available_delay_ms:
            self.money.mature(net_minor, due_ms=window.closes_ms + tenant.available_delay_ms, now_ms=closed_ms)
        self.closed.add(window_key)
        self.last_closed = window.window_id
        self.decision.writes.append((window_key, None))

    def check(self) -> None:
        """P6: all movements ever are the closed windows' nets and the open windows'. Raises `InvariantBroken`."""
        still_open_minor = sum(
            totals(decode(Window, value)).net_minor
            for key, value in self.view.range(self._windows_prefix)
            if key not in self.closed
        )
        if self.state.net_minor != self.state.closed_net_minor + still_open_minor:
            message = (
                f"P6: {self.tenant}/{self.provider}/{self.currency} moved {self.state.net_minor}, but its windows hold "
                f"{self.state.closed_net_minor} closed and {still_open_minor} open"
            )
            raise InvariantBroken(message)

    def pay_out(self, now_ms: int) -> None:
        """Pay out what can be, where the tenant wants that done at every close."""
        payable_minor = self.money.payable_minor(self.state.closed_net_minor, now_ms)
        of = (self.tenant, self.provider, self.currency)
        made = payout_commands.make_automatic(
            self.view,
            self.input,
            self.decision,
            of,
            money=self.money,
            payable_minor=payable_minor,
            window_id=self.last_closed,
        )
        if not made:
            self.money.save(self.decision)

    def save(self) -> None:
        """Write the flow's state."""
        self.decision.writes.append((self.key, encode(self.state)))

    def _bounds(self, tenant: TenantState, time_ms: int) -> tuple[int, int]:
        return windows.bounds(time_ms, timezone=tenant.timezone, cutoff=tenant.cutoff, interval_ms=tenant.interval_ms)

    @property
    def _windows_prefix(self) -> bytes:
        return keys.windows(self.tenant, self.provider, self.currency)

    def _window_key(self, window: Window) -> bytes:
        return keys.window(self.tenant, self.provider, self.currency, window.opens_ms)

    def _window_at(self, time_ms: int, opens_ms: int, closes_ms: int) -> Window | None:
        """The open window that holds the time, None when there is none yet."""
        value = self.view.get(keys.window(self.tenant, self.provider, self.currency, opens_ms))
        if value is not None:
            window = decode(Window, value)
            if window.closes_ms == closes_ms:
                return window
        # None, or one of an earlier schedule: then bounds are not what this schedule says.
        for _, value in self.view.range(self._windows_prefix):
            window = decode(Window, value)
            if window.opens_ms <= time_ms < window.closes_ms:
                return window
        return None

    def _open(self, time_ms: int, opens_ms: int, closes_ms: int, grace_ms: int, attribution: Attribution) -> Window:
        """A new window, cut short where windows of an earlier schedule are in its way."""
        opens_ms = max(opens_ms, self.state.closed_until_ms)
        for _, value in self.view.range(self._windows_prefix):
            other = decode(Window, value)
            if other.closes_ms <= time_ms:
                opens_ms = max(opens_ms, other.closes_ms)
            else:
                closes_ms = min(closes_ms, other.opens_ms)
        window = Window(
            ids.window_id(self.tenant, self.provider, self.currency, opens_ms), opens_ms, closes_ms, grace_ms
        )
        self._record("settlement_window.opened", window, attribution=attribution)
        self.decision.writes.append((keys.open_window(closes_ms + grace_ms, self._window_key(window)), b"\x01"))
        return window

    def _record(
        self,
        event_type: str,
        window: Window,
        *,
        attribution: Attribution,
        movement: Movement | None = None,
        missed_window_id: str = "",
        closed_ms: int = 0,
        postings: Postings = (),
    ) -> None:
        events = self.decision.events
        event_id = ids.event_id(self.digest, len(events))
        before = self.state
        self.state = replace(before, sequence=before.sequence + 1, last_event_id=event_id)
        events.append(
            SettlementEvent(
                event_id=event_id,
                type=event_type,
                tenant=self.tenant,
                provider=self.provider,
                currency=self.currency,
                window_id=window.window_id,
                sequence=self.state.sequence,
                previous_event_id=before.last_event_id,
                occurred_ms=self.input.time_ms,
                opens_ms=window.opens_ms,
                closes_ms=window.closes_ms,
                closed_ms=closed_ms,
                status=window.status,
                movement=None if movement is None else _as_held(movement),
                late=missed_window_id != "",
                missed_window_id=missed_window_id,
                totals=totals(window),
                postings=ledger.balanced(postings),
                attribution=attribution,
                cause_topic=self.input.topic,
                cause_partition=self.input.partition,
                cause_offset=self.input.offset,
                ordinal=len(events),
            )
        )


def totals(window: Window) -> WindowTotals:
    """What the window adds up to."""
    return WindowTotals(
        movements=window.movements,
        captured_minor=window.captured_minor,
        refunded_minor=window.refunded_minor,
        fees_minor=window.fees_minor,
        other_minor=window.other_minor,
        net_minor=window.captured_minor - window.refunded_minor - window.fees_minor + window.other_minor,
    )


def _with(window: Window, movement: Movement) -> Window:
    amount_minor = movement.amount_minor
    count = window.movements + 1
    if movement.kind == "capture":
        return replace(window, movements=count, captured_minor=window.captured_minor + amount_minor)
    if movement.kind in ("refund", "refund_failure"):
        return replace(window, movements=count, refunded_minor=window.refunded_minor - amount_minor)
    if movement.kind == "fee":
        return replace(window, movements=count, fees_minor=window.fees_minor - amount_minor)
    return replace(window, movements=count, other_minor=window.other_minor + amount_minor)


def _as_held(movement: Movement) -> WindowMovement:
    return WindowMovement(
        movement_id=movement.movement_id,
        tenant=movement.tenant,
        provider=movement.provider,
        currency=movement.currency,
        kind=movement.kind,
        amount_minor=movement.amount_minor,
        payment_id=movement.payment_id,
        object_id=movement.object_id,
        event_id=movement.event_id,
        occurred_ms=movement.occurred_ms,
    )
