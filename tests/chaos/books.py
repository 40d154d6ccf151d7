"""Sequence and money, kept from the committed records alone, so that a handler's bug does not excuse itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from schemas import catalogue
from schemas.records import CustomerEvent, Movement, PaymentEvent, PayoutEvent, Posting, SettlementEvent, WindowTotals
from streams.runtime import Record
from tests.chaos.checks import Check, any_of
from tests.chaos.log import Log


class Books:
    """Sequence and money, from the committed events alone."""

    def __init__(self, check: Callable[[str], Check]) -> None:
        self._sequence = check("events are numbered without a gap and chained")
        self._balanced = check("every event's postings are balanced in every currency")
        self._money = check("captured − refunded = movements = closed windows, in every currency")
        self._disputed = check("withdrawn by disputes = movements of disputes, in every currency")
        self._earned = check("balance transactions = movements = windows, for every tenant and currency")
        self._covered = check("no payout is of more than was settled and not paid out")
        self._gone = check("nothing follows a customer's deletion, and no method is left with it")
        self._deleted: set[tuple[str, str]] = set()
        self._owners: dict[tuple[str, str], str] = {}
        self._once = check("a payout takes its amount once, and gives it back once where it failed or was called off")
        self._payouts: dict[tuple[str, str], PayoutEvent] = {}
        self._transacted: Counter[tuple[str, str]] = Counter()
        self._left: Counter[tuple[str, str, str]] = Counter()
        self._last: dict[tuple[str, str], tuple[int, str]] = {}
        self._net: dict[tuple[str, str], tuple[str, int]] = {}
        self._converted: dict[tuple[str, str], tuple[str, int]] = {}
        self._windows: dict[str, tuple[str, str, WindowTotals]] = {}
        self._moved: Counter[str] = Counter()
        self._withdrawn: dict[tuple[str, str], tuple[str, int]] = {}
        self._converted_disputes: dict[tuple[str, str], tuple[str, int]] = {}
        self._taken: Counter[str] = Counter()
        self._told: Counter[tuple[str, str]] = Counter()
        self._flowed: Counter[tuple[str, str]] = Counter()

    def take(self, record: Record) -> None:
        """One committed record of events or requests."""
        message = any_of(record)
        if isinstance(message, PaymentEvent):
            self._payment(message)
        elif isinstance(message, SettlementEvent):
            flow = (message.tenant, f"{message.provider}/{message.currency}")
            self._chain(flow, message.sequence, message.event_id, message.previous_event_id)
            self._balance(message.event_id, message.postings)
            if message.type == "settlement_window.closed" and message.totals is not None:
                self._left[message.tenant, message.provider, message.currency] += message.totals.net_minor
            if message.totals is not None:
                self._windows[message.window_id] = (message.tenant, message.currency, message.totals)
        elif isinstance(message, PayoutEvent):
            self._payout(message)
        elif isinstance(message, CustomerEvent):
            self._customer(message)

    def _customer(self, event: CustomerEvent) -> None:
        of = event.tenant, event.object_id
        self._chain(of, event.sequence, event.event_id, event.previous_event_id)
        self._gone.count += event.customer is not None
        if of in self._deleted:
            self._gone.fault(f"{event.type} of {'/'.join(of)}, which was deleted before")
        if event.customer is not None and event.customer.deleted:
            self._deleted.add(of)
        if event.method is not None:
            self._owners[of] = event.method.customer

    def _payment(self, event: PaymentEvent) -> None:
        of = event.tenant, event.payment_id
        self._chain(of, event.sequence, event.event_id, event.previous_event_id)
        self._balance(event.event_id, event.postings)
        if (payment := event.payment) is not None:
            net_minor = payment.amount_received_minor - payment.amount_refunded_minor
            self._net[of] = (payment.currency, net_minor)
        if (dispute := event.dispute) is not None:
            self._withdrawn[event.tenant, dispute.id] = (dispute.currency, dispute.withdrawn_minor)
        for told in event.balance_transactions:
            self._told[event.tenant, told.currency] += told.net_minor
            if told.exchange_rate and told.type in ("charge", "refund", "refund_failure"):
                _add(self._converted, of, told.currency, told.gross_minor)
            elif told.exchange_rate and told.type in ("dispute", "dispute_reversal"):
                _add(self._converted_disputes, (event.tenant, told.source), told.currency, -told.gross_minor)

    def _payout(self, event: PayoutEvent) -> None:
        self._chain((event.tenant, event.payout_id), event.sequence, event.event_id, event.previous_event_id)
        self._balance(event.event_id, event.postings)
        self._payouts[event.tenant, event.payout_id] = event
        if event.transaction is not None:
            self._transacted[event.tenant, event.payout_id] += event.transaction.amount_minor
            flow = event.tenant, event.provider, event.currency
            self._left[flow] += event.transaction.amount_minor
            if event.type == "payout.created":
                self._covered.count += 1
                if self._left[flow] < 0:
                    self._covered.fault(f"{event.payout_id} takes {-self._left[flow]} more than {flow} has settled")

    def movement(self, movement: Movement) -> None:
        """One committed movement."""
        if movement.kind in ("capture", "refund", "refund_failure"):
            self._moved[movement.currency] += movement.amount_minor
        elif movement.kind in ("dispute", "dispute_reversal"):
            self._taken[movement.currency] -= movement.amount_minor
        self._flowed[movement.tenant, movement.currency] += movement.amount_minor

    def finish(self) -> None:
        """Once everything was taken."""
        self._finish_captured()
        self._finish_disputed()
        self._finish_earned()
        for (tenant, method), customer in self._owners.items():
            if (tenant, customer) in self._deleted:
                self._gone.fault(f"{method} is still with {customer} of {tenant}, which was deleted")
        for of, last in self._payouts.items():
            self._once.count += 1
            amount_minor = 0 if last.payout is None else last.payout.amount_minor
            expected_minor = -amount_minor if last.to_status in ("pending", "in_transit", "paid") else 0
            if self._transacted[of] != expected_minor:
                self._once.fault(
                    f"{'/'.join(of)} is {last.to_status}, and its transactions sum to {self._transacted[of]}"
                )

    def _finish_disputed(self) -> None:
        withdrawn: Counter[str] = Counter()
        for currency, minor in (self._withdrawn | self._converted_disputes).values():
            withdrawn[currency] += minor
        for currency in sorted(withdrawn.keys() | self._taken.keys()):
            self._disputed.count += 1
            if withdrawn[currency] != self._taken[currency]:
                self._disputed.fault(
                    f"{currency}: disputes {withdrawn[currency]:,}, movements {self._taken[currency]:,}"
                )

    def _finish_earned(self) -> None:
        settled: Counter[tuple[str, str]] = Counter()
        for tenant, currency, totals in self._windows.values():
            settled[tenant, currency] += totals.net_minor
        for of in sorted(self._told.keys() | self._flowed.keys() | settled.keys()):
            self._earned.count += 1
            figures = self._told[of], self._flowed[of], settled[of]
            if len(set(figures)) != 1:
                self._earned.fault(
                    f"{'/'.join(of)}: told {figures[0]:,}, movements {figures[1]:,}, windows {figures[2]:,}"
                )

    def _finish_captured(self) -> None:
        paid: Counter[str] = Counter()
        for currency, net in (self._net | self._converted).values():  # as it settled, where that is another currency
            paid[currency] += net
        settled: Counter[str] = Counter()
        for _, currency, totals in self._windows.values():
            settled[currency] += totals.captured_minor - totals.refunded_minor
        for currency in sorted(paid.keys() | settled.keys() | self._moved.keys()):
            self._money.count += 1
            figures = paid[currency], self._moved[currency], settled[currency]
            if len(set(figures)) != 1:
                self._money.fault(
                    f"{currency}: payments {figures[0]:,}, movements {figures[1]:,}, windows {figures[2]:,}"
                )

    def _chain(self, of: tuple[str, str], sequence: int, event_id: str, previous: str) -> None:
        self._sequence.count += 1
        before, before_id = self._last.get(of, (0, ""))
        if sequence != before + 1 or previous != before_id:
            self._sequence.fault(
                f"{'/'.join(of)}: event {sequence} after {previous!r} follows event {before} ({before_id!r})"
            )
        self._last[of] = (sequence, event_id)

    def _balance(self, event_id: str, postings: tuple[Posting, ...]) -> None:
        sums: Counter[str] = Counter()
        for leg in postings:
            sums[leg.currency] += leg.amount_minor
        self._balanced.count += 1
        if wrong := {currency: amount for currency, amount in sums.items() if amount}:
            self._balanced.fault(f"{event_id}: {wrong}")


def check_payable(log: Log, told: Mapping[tuple[str, str, str], int]) -> Check:
    """`told`: what may be paid out of each tenant, provider and currency, as ClickHouse has it."""
    check = Check("closed windows − payouts = what ClickHouse says may be paid out")
    left: Counter[tuple[str, str, str]] = Counter()
    topic = catalogue.SETTLEMENT_EVENTS.name
    for partition in log.partitions(topic):
        for record in log.records(topic, partition):
            event = any_of(record)
            if isinstance(event, SettlementEvent) and event.type == "settlement_window.closed" and event.totals:
                left[event.tenant, event.provider, event.currency] += event.totals.net_minor
            elif isinstance(event, PayoutEvent) and event.transaction is not None:
                left[event.tenant, event.provider, event.currency] += event.transaction.amount_minor
    for of in sorted(left.keys() | told.keys()):
        check.count += 1
        if left[of] != told.get(of, 0):
            check.fault(f"{'/'.join(of)}: {left[of]:,} on the topic, {told.get(of, 0):,} in ClickHouse")
    return check


def _add(sums: dict[tuple[str, str], tuple[str, int]], of: tuple[str, str], currency: str, minor: int) -> None:
    sums[of] = (currency, sums.get(of, (currency, 0))[1] + minor)
