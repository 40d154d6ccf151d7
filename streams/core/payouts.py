"""A payout's small machine, and what of a flow may be paid out: both live where windows close, so that no money goes twice.

What is settled and not taken yet can be paid out: the nets of closed windows, less what payouts took and did not give
back. A payout takes its amount the moment it is made, long before a provider is asked for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec.structs import replace

from schemas.records import (
    Attribution,
    PayoutEvent,
    PayoutObject,
    PayoutOutcome,
    PayoutProposal,
    PayoutRequest,
    PayoutResult,
    PayoutStatus,
    PayoutTransaction,
    PayoutTransactionType,
)
from streams.core import checks, ids, keys, ledger
from streams.core.decision import Decision, Input, View
from streams.core.errors import InvariantBroken
from streams.core.ledger import Postings
from streams.core.state import Payout, PayoutMoney, decode, encode

MATURING_MAX = 1_000
"""Closed windows of a flow that wait for their money to be available; beyond it the newest are taken together."""

OPERATION = "payout"
"""What request ids call it."""

Flow = tuple[str, str, str]
"""Tenant, provider and currency."""

Signal = Literal["due", "cancel", "proven"] | PayoutOutcome
"""`proven`: two operators say that it was paid after all."""

_NO_RESULT = PayoutResult()
_SYSTEM = "settlement"


class Money:
    """What of a flow's settled money was taken by payouts, and what may not be taken yet, while an input works on it."""

    def __init__(self, view: View, of: Flow) -> None:
        self._key = keys.payout_money(*of)
        value = view.get(self._key)
        self._before = self.state = PayoutMoney() if value is None else decode(PayoutMoney, value)

    def payable_minor(self, closed_net_minor: int, now_ms: int) -> int:
        """What may be paid out now, of all closed windows' nets; negative when more was paid out than is settled since."""
        waiting_minor = sum(net_minor for due_ms, net_minor in self.state.maturing if due_ms > now_ms)
        return closed_net_minor - waiting_minor - self.state.taken_minor

    def take(self, amount_minor: int) -> None:
        """A payout takes so much, or, negative, gives it back. Raises `InvariantBroken`."""
        taken_minor = self.state.taken_minor + amount_minor
        if taken_minor < 0:
            message = f"payouts of {self._key!r} would have given back more than they took"
            raise InvariantBroken(message)
        self.state = replace(self.state, taken_minor=taken_minor)

    def mature(self, net_minor: int, *, due_ms: int, now_ms: int) -> None:
        """A window has closed whose net may be paid out from then on; a loss counts at once."""
        waiting = tuple(one for one in self.state.maturing if one[0] > now_ms)
        if net_minor > 0 and due_ms > now_ms:
            if len(waiting) >= MATURING_MAX:
                last = waiting[-1]
                waiting = (*waiting[:-1], (max(last[0], due_ms), last[1] + net_minor))
            else:
                waiting = (*waiting, (due_ms, net_minor))
        self.state = replace(self.state, maturing=waiting)

    def save(self, decision: Decision) -> None:
        """Write it, where it has changed."""
        if self.state != self._before:
            decision.writes.append((self._key, encode(self.state)))


class PayoutStep:
    """One payout while an input works on it; a signal leads to at most one event."""

    def __init__(
        self,
        view: View,
        input: Input,  # noqa: A002 - what it is called everywhere here
        decision: Decision,
        of: Flow,
        payout_id: str,
        *,
        money: Money | None = None,
        attribution: Attribution | None = None,
        result: PayoutResult = _NO_RESULT,
    ) -> None:
        self.view, self.input, self.decision = view, input, decision
        self.of = self.tenant, self.provider, self.currency = of
        self.payout_id, self.result = payout_id, result
        self.key = keys.payout(*of, payout_id)
        value = view.get(self.key)
        self.payout = None if value is None else decode(Payout, value)
        self._attribution = attribution
        self._money = money
        self._written: int | None = None
        """Where among the decision's writes the payout is."""
        self.postings: Postings = ()
        self.told: tuple[PayoutTransactionType, int] | None = None

    def create(self, payout: Payout) -> Payout:
        """Make it: it takes its money now, and its provider is asked once it is due."""
        if self.payout is not None:
            message = f"{self.payout_id} was to be made twice"
            raise InvariantBroken(message)
        self.postings = ledger.payout(self.provider, self.tenant, payout.amount_minor, self.currency)
        self._move("payout", payout.amount_minor)
        self.decision.writes.append((keys.payout_due(payout.due_ms, self.key), b"\x01"))
        return self.record("payout.created", payout, from_status="unrecognized")

    def signal(self, signal: Signal) -> bool:
        """What time, its tenant or its provider says of it; whether that was news."""
        payout = self.payout
        assert payout is not None
        row = _INDEX.get((payout.status, signal))
        if payout.doubt == "held" and signal in ("in_transit", "unknown", "integrity_failure"):
            return False
        if row is None or (payout.doubt == "held" and row.source == "in_transit"):
            return self._conflict(payout, signal)
        if row.effect is None:
            return False
        changed = row.effect(self, payout)
        if changed == payout and row.to == payout.status:
            return False
        self.record(row.event, replace(changed, status=row.to), from_status=payout.status)
        return True

    def record(
        self, event_type: str, payout: Payout, *, from_status: PayoutStatus, proposal: PayoutProposal | None = None
    ) -> Payout:
        """One event, and the payout as it is after it."""
        events = self.decision.events
        event_id = ids.event_id(self._digest, len(events))
        before_id = payout.last_event_id
        payout = self.payout = replace(payout, sequence=payout.sequence + 1, last_event_id=event_id)
        transaction = None
        if self.told is not None:
            kind, amount_minor = self.told
            transaction = PayoutTransaction(
                id=ids.transaction_id(self._digest, len(events)),
                type=kind,
                amount_minor=amount_minor,
                currency=self.currency,
                available_on_ms=self.input.time_ms,
            )
        events.append(
            PayoutEvent(
                event_id=event_id,
                type=event_type,
                tenant=self.tenant,
                payout_id=self.payout_id,
                provider=self.provider,
                currency=self.currency,
                sequence=payout.sequence,
                previous_event_id=before_id,
                occurred_ms=self.input.time_ms,
                from_status=from_status,
                to_status=payout.status,
                payout=payout_object(self.of, self.payout_id, payout),
                postings=ledger.balanced(self.postings),
                transaction=transaction,
                proposal=proposal,
                attribution=self.attribution(payout),
                cause_topic=self.input.topic,
                cause_partition=self.input.partition,
                cause_offset=self.input.offset,
                ordinal=len(events),
            )
        )
        self._keep(payout)
        if self._money is not None:
            self._money.save(self.decision)
        return payout

    def _keep(self, payout: Payout) -> None:
        """Written once, as it is after the last event."""
        writes = self.decision.writes
        if self._written is None:
            self._written = len(writes)
            writes.append((self.key, encode(payout)))
        else:
            writes[self._written] = (self.key, encode(payout))

    def attribution(self, payout: Payout) -> Attribution:
        """Who caused what happens: whoever sent the input, or time, under the request that made the payout."""
        if self._attribution is not None:
            return self._attribution
        return Attribution(
            actor_kind="system",
            actor_id=_SYSTEM,
            on_behalf_of=self.tenant,
            request_id=payout.request_id,
            idempotency_key=payout.idempotency_key,
        )

    def take(self, kind: PayoutTransactionType, payout: Payout) -> None:
        """The tenant has the amount no longer."""
        self._move(kind, payout.amount_minor)

    def give_back(self, kind: PayoutTransactionType, payout: Payout) -> None:
        """The tenant has the amount again, to be paid out another time."""
        self._move(kind, -payout.amount_minor)

    def _move(self, kind: PayoutTransactionType, amount_minor: int) -> None:
        if self._money is None:
            self._money = Money(self.view, self.of)
        self._money.take(amount_minor)
        self.told = (kind, -amount_minor)

    @property
    def _digest(self) -> str:
        return ids.input_digest(self.input.topic, self.input.partition, self.input.offset)

    def _conflict(self, payout: Payout, signal: Signal) -> bool:
        if signal in ("due", "cancel", "proven"):
            message = f"{self.payout_id} is {payout.status}: {signal} is for others"
            raise InvariantBroken(message)
        if payout.conflict == signal:
            return False
        changed = replace(payout, conflict=signal, failure_message=_words(self))
        self.record("payout.conflict", changed, from_status=payout.status)
        return True


Effect = Callable[[PayoutStep, Payout], Payout]


def _ask(step: PayoutStep, payout: Payout) -> Payout:
    """The provider is asked for it; it can't be canceled any more."""
    number = payout.requests + 1
    _request(step, payout, number)
    return replace(payout, requests=number)


def ask_again(step: PayoutStep, payout: Payout) -> None:
    """The provider is asked what became of the newest request. It has that one's id, so whoever took it for a request would ask for nothing new."""
    _request(step, payout, payout.requests, inquiry=payout.sequence + 1)


def _request(step: PayoutStep, payout: Payout, number: int, *, inquiry: int = 0) -> None:
    step.decision.payout_requests.append(
        PayoutRequest(
            request_id=ids.request_id(step.payout_id, OPERATION, number),
            tenant=step.tenant,
            payout_id=step.payout_id,
            provider=step.provider,
            currency=step.currency,
            amount_minor=payout.amount_minor,
            destination=payout.destination,
            description=payout.description,
            requested_ms=step.input.time_ms,
            inquiry=inquiry,
            attribution=step.attribution(payout),
        )
    )


def _call_off(step: PayoutStep, payout: Payout) -> Payout:
    """The provider never hears of it, and the tenant has the amount again (payout_failed)."""
    step.postings = ledger.payout_failed(step.provider, step.tenant, payout.amount_minor, step.currency)
    step.give_back("payout_cancel", payout)
    step.decision.writes.append((keys.payout_due(payout.due_ms, step.key), None))
    return replace(payout, canceled_by=step.attribution(payout).idempotency_key)


def _note(step: PayoutStep, payout: Payout) -> Payout:
    """The provider has taken it up."""
    return replace(payout, doubt="", reference=step.result.provider_reference or payout.reference)


def _doubt(step: PayoutStep, payout: Payout) -> Payout:
    """It waits until the gateway's inquiry has found out."""
    del step
    return replace(payout, doubt="unknown")


def _distrust(step: PayoutStep, payout: Payout) -> Payout:
    """It is held for a person to look at; nothing is posted."""
    return replace(payout, doubt="held", failure_message=_words(step))


def _made(step: PayoutStep, payout: Payout) -> Payout:
    """The provider has made it (paid_out)."""
    step.postings = ledger.paid_out(step.provider, payout.amount_minor, step.currency)
    reference = step.result.provider_reference or payout.reference
    return replace(payout, doubt="", reference=reference, paid_ms=step.input.time_ms)


def _failed(step: PayoutStep, payout: Payout) -> Payout:
    """The tenant has the amount again (payout_failed)."""
    step.postings = ledger.payout_failed(step.provider, step.tenant, payout.amount_minor, step.currency)
    return _why(step, payout)


def _returned(step: PayoutStep, payout: Payout) -> Payout:
    """The money came back to the provider, and the tenant has the amount again (payout_returned)."""
    step.postings = ledger.payout_returned(step.provider, step.tenant, payout.amount_minor, step.currency)
    return _why(step, payout)


def _made_after_all(step: PayoutStep, payout: Payout) -> Payout:
    """The provider had made it: the tenant has the amount no longer (payout, paid_out)."""
    amount_minor = payout.amount_minor
    step.postings = (
        *ledger.payout(step.provider, step.tenant, amount_minor, step.currency),
        *ledger.paid_out(step.provider, amount_minor, step.currency),
    )
    step.take("payout", payout)
    return replace(payout, failure_code="", failure_message="", paid_ms=step.input.time_ms)


def _why(step: PayoutStep, payout: Payout) -> Payout:
    step.give_back("payout_failure", payout)
    result = step.result
    return replace(
        payout,
        doubt="",
        reference=result.provider_reference or payout.reference,
        failure_code=result.failure_code or "could_not_process",
        failure_message=_words(step),
    )


def _words(step: PayoutStep) -> str:
    return checks.safe_text(step.result.message)


class PayoutRow(msgspec.Struct, frozen=True, kw_only=True):
    """One transition of a payout. No effect: no news. What an effect leaves as it was is no news either."""

    source: PayoutStatus
    signals: tuple[Signal, ...]
    to: PayoutStatus
    event: str = ""
    effect: Effect | None = None


ROWS: tuple[PayoutRow, ...] = (
    PayoutRow(source="pending", signals=("due",), to="in_transit", event="payout.updated", effect=_ask),
    PayoutRow(source="pending", signals=("cancel",), to="canceled", event="payout.canceled", effect=_call_off),
    PayoutRow(source="in_transit", signals=("in_transit",), to="in_transit", event="payout.updated", effect=_note),
    PayoutRow(source="in_transit", signals=("unknown",), to="in_transit", event="payout.updated", effect=_doubt),
    PayoutRow(
        source="in_transit", signals=("integrity_failure",), to="in_transit", event="payout.updated", effect=_distrust
    ),
    PayoutRow(source="in_transit", signals=("paid",), to="paid", event="payout.paid", effect=_made),
    PayoutRow(source="in_transit", signals=("failed", "canceled"), to="failed", event="payout.failed", effect=_failed),
    PayoutRow(source="paid", signals=("paid", "in_transit", "unknown"), to="paid"),
    PayoutRow(source="paid", signals=("failed", "canceled"), to="failed", event="payout.failed", effect=_returned),
    PayoutRow(source="failed", signals=("failed", "canceled", "in_transit", "unknown"), to="failed"),
    PayoutRow(source="failed", signals=("proven",), to="paid", event="payout.paid", effect=_made_after_all),
)
"""Whatever else a provider says is a contradiction: payout.conflict, recorded for a person to look at."""

_INDEX = {(row.source, signal): row for row in ROWS for signal in row.signals}


def payout_object(of: Flow, payout_id: str, payout: Payout) -> PayoutObject:
    """The payout as the outside sees it."""
    return PayoutObject(
        id=payout_id,
        amount_minor=payout.amount_minor,
        currency=of[2],
        provider=of[1],
        status=payout.status,
        destination=payout.destination,
        description=payout.description,
        metadata=payout.metadata,
        automatic=payout.window_id != "",
        window_id=payout.window_id,
        provider_reference=payout.reference,
        failure_code=payout.failure_code,
        failure_message=payout.failure_message,
        outcome_unknown=payout.doubt != "",
        doubt=payout.doubt,
        conflict=payout.conflict,
        created_ms=payout.created_ms,
        due_ms=payout.due_ms,
        paid_ms=payout.paid_ms,
    )
