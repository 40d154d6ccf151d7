"""Sequence and money, kept from the committed records alone, so that a handler's bug does not excuse itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from schemas.records import Movement, PaymentEvent, PayoutEvent, Posting, SettlementEvent, WindowTotals
from streams.runtime import Record
from tests.chaos.checks import Check, any_of


class Books:
    """Sequence and money, from the committed events alone."""

    def __init__(self, check: Callable[[str], Check]) -> None:
        self._sequence = check("events are numbered without a gap and chained")
        self._balanced = check("every event's postings are balanced in every currency")
        self._money = check("captured − refunded = movements = closed windows, in every currency")
        self._covered = check("no payout is of more than was settled and not paid out")
        self._left: Counter[tuple[str, str, str]] = Counter()
        self._last: dict[tuple[str, str], tuple[int, str]] = {}
        self._net: dict[tuple[str, str], tuple[str, int]] = {}
        self._converted: dict[tuple[str, str], tuple[str, int]] = {}
        self._windows: dict[str, tuple[str, WindowTotals]] = {}
        self._moved: Counter[str] = Counter()

    def take(self, record: Record) -> None:
        """One committed record of events or requests."""
        message = any_of(record)
        if isinstance(message, PaymentEvent):
            self._chain(
                (message.tenant, message.payment_id), message.sequence, message.event_id, message.previous_event_id
            )
            self._balance(message.event_id, message.postings)
            if (payment := message.payment) is not None:
                net = payment.amount_received_minor - payment.amount_refunded_minor
                self._net[message.tenant, message.payment_id] = (payment.currency, net)
            for told in message.balance_transactions:
                if told.exchange_rate and told.type in ("charge", "refund", "refund_failure"):
                    currency, net = self._converted.get((message.tenant, message.payment_id), (told.currency, 0))
                    self._converted[message.tenant, message.payment_id] = (currency, net + told.gross_minor)
        elif isinstance(message, SettlementEvent):
            flow = (message.tenant, f"{message.provider}/{message.currency}")
            self._chain(flow, message.sequence, message.event_id, message.previous_event_id)
            self._balance(message.event_id, message.postings)
            if message.type == "settlement_window.closed" and message.totals is not None:
                self._left[message.tenant, message.provider, message.currency] += message.totals.net_minor
            if message.totals is not None:
                self._windows[message.window_id] = (message.currency, message.totals)

        elif isinstance(message, PayoutEvent):
            self._payout(message)

    def _payout(self, event: PayoutEvent) -> None:
        self._chain((event.tenant, event.payout_id), event.sequence, event.event_id, event.previous_event_id)
        self._balance(event.event_id, event.postings)
        if event.transaction is not None:
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

    def finish(self) -> None:
        """Once everything was taken."""
        paid: Counter[str] = Counter()
        for currency, net in (self._net | self._converted).values():  # as it settled, where that is another currency
            paid[currency] += net
        settled: Counter[str] = Counter()
        for currency, totals in self._windows.values():
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
