"""The seam to payment providers: what is asked of one, what it may answer, and what each answer permits.

An `Outcome` is either *definite* (the provider itself said what became of the operation) or `unknown`. Only definite outcomes let a payment
go on, and only a definite *no* (`declined`, `refused`) lets routing try another provider.

Everything short of the provider's own readable answer about this idempotency key is `unknown`: a time-out, a connection that broke, a 5xx, a
body that can't be read, and also a connection that was refused. The last sent nothing *now*, but an earlier try under the same key, by a
gateway that crashed or was replaced since, may have charged.

`inquire` ends the doubt. A plain inquiry may answer `NotFound(closed=False)`, and that proves nothing: a request still on its way may arrive
after it. `inquire(close=True)` makes the provider close the key in the same step, so that whatever arrives later under it has no effect.
`NotFound(closed=True)` is therefore a definite *no*.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Protocol

import msgspec

from schemas.currencies import AMOUNT_MINOR_MAX

RATE_DIGITS_MAX = 12
"""Of a rate, before and after its point together: fewer than a card number has."""
_RATE = re.compile(r"[0-9]+(?:\.[0-9]+)?")


class OperationKind(StrEnum):
    """What a provider can be asked to do."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    INCREMENT = "increment"
    REFUND = "refund"
    SUBMIT_EVIDENCE = "submit_evidence"
    ACCEPT_DISPUTE = "accept_dispute"
    PAYOUT = "payout"


class OutcomeKind(StrEnum):
    """What can have become of an operation."""

    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    VOIDED = "voided"
    INCREMENTED = "incremented"
    REFUNDED = "refunded"
    REFUND_PENDING = "refund_pending"
    REFUND_FAILED = "refund_failed"
    REQUIRES_ACTION = "requires_action"
    EVIDENCE_SUBMITTED = "evidence_submitted"
    DISPUTE_ACCEPTED = "dispute_accepted"
    PAYOUT_IN_TRANSIT = "payout_in_transit"
    PAID_OUT = "paid_out"
    PAYOUT_FAILED = "payout_failed"
    DECLINED = "declined"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    INTEGRITY_FAILURE = "integrity_failure"


class DeclineKind(StrEnum):
    """Whether the same payment method may succeed later (soft) or not (hard)."""

    SOFT = "soft"
    HARD = "hard"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing asked of one provider; everything a provider compares under its idempotency key is in here.

    `amount_minor` is in minor units of `currency` (ISO 4217). `charge_reference` is the provider's own name of the charge that a capture,
    void, increment or refund follows up, or of the dispute that is responded to; `payment_method` is a token and belongs to `authorize`, as does
    `capture`. A capture that is not `final_capture` keeps the rest authorised. An increment's amount is that of the whole authorisation after it. `evidence` belongs to `submit_evidence`. With a
    `settlement_currency` a provider that can converts what the operation takes or gives back to that currency. `destination` is a token of
    the account that a payout goes to, None for the one that the provider has on file.
    """

    kind: OperationKind
    idempotency_key: str
    payment_reference: str
    amount_minor: int
    currency: str
    payment_method: str | None = None
    capture: bool = False
    charge_reference: str | None = None
    final_capture: bool = True
    evidence: dict[str, str] = {}
    settlement_currency: str | None = None
    destination: str | None = None


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider tells of its own accord: how a dispute stands, in absolute figures, or (with a `payout`) that a payout came back.

    `number` is its place among all that the provider tells, from 1; `sequence` that among what it tells about this dispute.
    Amounts are in minor units of `currency`: disputed, taken back so far (all in all), charged for it (all in all).
    """

    number: int
    notice_id: str
    payment_reference: str
    charge: str
    dispute: str
    sequence: int
    status: str
    amount_minor: int
    currency: str
    withdrawn_minor: int
    fee_minor: int
    reason: str
    evidence_due_ms: int
    occurred_ms: int
    payout: str = ""
    """The provider's own id of the payout that it tells of; `status` and `reason` are then the payout's."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an operation.

    `reference` is the provider's own name of the effect: of the charge (`authorize`, `capture`, `void`) or of the refund. `amount_minor` and
    `currency` are what the *provider* reports; `fee_minor` is its fee for a capture, in the same currency. `code` and `message` say why, for every kind that is
    not a plain success; `decline_kind` only for `declined`. `action_url` is where a customer completes a challenge.

    Where the provider has converted, `settlement_amount_minor` is what the amount came to in `settlement_currency`, in which `fee_minor` is then
    too, and `fx_rate` says in decimals how much of it one unit of `currency` was. All three are the provider's facts; nothing here computes them.
    """

    kind: OutcomeKind
    reference: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    fee_minor: int | None = None
    code: str | None = None
    message: str | None = None
    decline_kind: DeclineKind | None = None
    action_url: str | None = None
    settlement_amount_minor: int | None = None
    settlement_currency: str | None = None
    fx_rate: str | None = None

    @property
    def definite(self) -> bool:
        """Whether the provider has said its word on this operation (that on a pending refund, a challenge or a payout in transit is still to come)."""
        return self.kind is not OutcomeKind.UNKNOWN

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be learnt by inquiring."""
        return self.kind not in _UNSETTLED

    @property
    def permits_failover(self) -> bool:
        """Whether this operation certainly had no effect, so that another provider may be tried."""
        return self.kind in (OutcomeKind.DECLINED, OutcomeKind.REFUSED)


class NotFound(msgspec.Struct, frozen=True):
    """The provider has no operation under the key; only when the key was closed can none appear later."""

    closed: bool


class Provider(Protocol):
    """One payment provider. Implementations never raise for what the network or the provider does; cancellation passes through."""

    @property
    def name(self) -> str:
        """The name it is configured and recorded under."""
        ...

    async def perform(self, operation: Operation, *, timeout_s: float) -> Outcome:
        """Ask for the operation under its idempotency key; answers within `timeout_s`, with `unknown` if need be."""
        ...

    async def inquire(self, operation: Operation, *, timeout_s: float, close: bool = False) -> Outcome | NotFound:
        """Ask what became of the operation's key, and with `close` see to it that nothing can if nothing has."""
        ...

    async def notices(self, *, after: int, timeout_s: float) -> list[Notice] | None:
        """What the provider has told beyond notice number `after`, in order, a page at a time; None when it can't be asked now."""
        ...

    async def aclose(self) -> None:
        """Give back connections."""
        ...


_UNSETTLED = frozenset(
    {OutcomeKind.UNKNOWN, OutcomeKind.REFUND_PENDING, OutcomeKind.REQUIRES_ACTION, OutcomeKind.PAYOUT_IN_TRANSIT}
)
_EXPECTED: dict[OperationKind, frozenset[OutcomeKind]] = {
    OperationKind.AUTHORIZE: frozenset({OutcomeKind.AUTHORIZED, OutcomeKind.CAPTURED, OutcomeKind.REQUIRES_ACTION}),
    OperationKind.CAPTURE: frozenset({OutcomeKind.CAPTURED}),
    OperationKind.VOID: frozenset({OutcomeKind.VOIDED}),
    OperationKind.INCREMENT: frozenset({OutcomeKind.INCREMENTED}),
    OperationKind.REFUND: frozenset({OutcomeKind.REFUNDED, OutcomeKind.REFUND_PENDING, OutcomeKind.REFUND_FAILED}),
    OperationKind.SUBMIT_EVIDENCE: frozenset({OutcomeKind.EVIDENCE_SUBMITTED}),
    OperationKind.ACCEPT_DISPUTE: frozenset({OutcomeKind.DISPUTE_ACCEPTED}),
    OperationKind.PAYOUT: frozenset({OutcomeKind.PAYOUT_IN_TRANSIT, OutcomeKind.PAID_OUT, OutcomeKind.PAYOUT_FAILED}),
}
_ALWAYS_POSSIBLE = frozenset(
    {OutcomeKind.DECLINED, OutcomeKind.REFUSED, OutcomeKind.UNKNOWN, OutcomeKind.INTEGRITY_FAILURE}
)
_MOVES_OR_HOLDS_MONEY = frozenset(
    {
        OutcomeKind.AUTHORIZED,
        OutcomeKind.INCREMENTED,
        OutcomeKind.CAPTURED,
        OutcomeKind.REFUNDED,
        OutcomeKind.REFUND_PENDING,
        OutcomeKind.REQUIRES_ACTION,
        OutcomeKind.PAYOUT_IN_TRANSIT,
        OutcomeKind.PAID_OUT,
    }
)


def unknown(code: str, message: str) -> Outcome:
    """The outcome of which only the cause of our ignorance is known."""
    return Outcome(kind=OutcomeKind.UNKNOWN, code=code, message=message)


def verified(operation: Operation, outcome: Outcome) -> Outcome:
    """The outcome, held against what was asked; every implementation passes every answer through here.

    An answer of a kind that the operation can't have is unreadable, hence `unknown`. A positive answer about another amount or currency, or
    about none at all, or with a conversion that was not asked for or that can't be read, becomes `integrity_failure` with what was reported: it is held for people and never settled silently. So does a
    charge captured that was only to be authorised. (Authorised when it was to be captured is left as it is: no money moved.)
    """
    kind = outcome.kind
    if kind in _ALWAYS_POSSIBLE:
        return outcome
    if kind not in _EXPECTED[operation.kind]:
        return unknown("unexpected_answer", f"The provider answered '{kind}' to '{operation.kind}'.")
    if kind in _MOVES_OR_HOLDS_MONEY:
        reported, asked = (outcome.amount_minor, outcome.currency), (operation.amount_minor, operation.currency)
        if reported != asked:
            return _integrity_failure(
                outcome,
                code="amount_mismatch",
                message=f"Asked for {asked[0]} {asked[1]}, the provider reports {reported[0]} {reported[1]}.",
            )
        if not _fits(operation, outcome):
            return _integrity_failure(
                msgspec.structs.replace(outcome, settlement_amount_minor=None, settlement_currency=None, fx_rate=None),
                code="conversion_mismatch",
                message=f"Asked to settle in {operation.settlement_currency or operation.currency}, the provider reports something else.",
            )
    if kind is OutcomeKind.CAPTURED and operation.kind is OperationKind.AUTHORIZE and not operation.capture:
        return _integrity_failure(
            outcome, code="captured_unasked", message="Asked to authorise only, the provider reports a capture."
        )
    return outcome


def _fits(operation: Operation, outcome: Outcome) -> bool:
    """Whether a conversion is none, or the one that was asked, whole and readable. Its amount is for the fold to judge, which keeps the charge."""
    stated = (outcome.settlement_amount_minor, outcome.settlement_currency, outcome.fx_rate)
    if stated == (None, None, None):
        return True
    return (
        outcome.settlement_currency is not None
        and outcome.settlement_currency == operation.settlement_currency
        and outcome.settlement_amount_minor is not None
        and 0 <= outcome.settlement_amount_minor <= AMOUNT_MINOR_MAX
        and outcome.fx_rate is not None
        and _RATE.fullmatch(outcome.fx_rate) is not None
        and len(outcome.fx_rate.replace(".", "")) <= RATE_DIGITS_MAX
    )


def _integrity_failure(outcome: Outcome, *, code: str, message: str) -> Outcome:
    return msgspec.structs.replace(outcome, kind=OutcomeKind.INTEGRITY_FAILURE, code=code, message=message)
