"""What becomes of a refund: its own small table, beside the payment's, which stays succeeded."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from schemas.records import ProviderOutcome, RefundStatus
from streams.core import checks, conversions, ledger
from streams.core._effects import keep_fee
from streams.core._step import Step
from streams.core.ledger import Postings
from streams.core.state import Refund

Effect = Callable[[Step, Refund], Refund]


def _made(step: Step, refund: Refund) -> Refund:
    """The provider has made it (refunded, fee; fx_difference where it was converted)."""
    provider = step.the_attempt().provider
    settled_minor, difference = _came_to(step, refund)
    step.postings = (
        *ledger.refunded(provider, refund.amount_minor, step.payment.currency),
        *difference,
        *keep_fee(step, provider, refund.id),
    )
    return replace(refund, doubt="", settled_minor=settled_minor)


def _came_to(step: Step, refund: Refund) -> tuple[int, Postings]:
    """What a converted refund came to at its own rate, and the postings for the tenant's gain or loss by that."""
    result = step.result
    if not result.settlement_currency:
        return refund.settled_minor, ()
    provider = step.the_attempt().provider
    step.fx = conversions.fact(result)
    more_minor = result.settlement_amount_minor - refund.settled_minor
    if more_minor:
        step.move(kind="refund", amount_minor=-more_minor, object_id=refund.id, provider=provider)
        step.transact("refund", gross_minor=-more_minor, fee_minor=0, source=refund.id, rate=result.fx_rate)
    postings = ledger.fx_difference(provider, step.tenant, more_minor, step.settles_in)
    return result.settlement_amount_minor, postings


def _failed(step: Step, refund: Refund) -> Refund:
    """The tenant has the money back (refund_failed); settlement is told."""
    provider, tenant, payment = step.the_attempt().provider, step.tenant, step.payment
    if conversions.of(step.attempt) is None:
        postings = ledger.refund_failed(provider, tenant, refund.amount_minor, payment.currency)
    else:
        postings = (
            *ledger.converted_refund(provider, -refund.amount_minor, payment.currency),
            *ledger.converted_out(provider, tenant, refund.settled_minor, step.settles_in),
        )
    return _give_tenant(step, refund, postings)


def _returned(step: Step, refund: Refund) -> Refund:
    """The tenant has the money back (refund_returned); settlement is told."""
    provider, tenant, payment = step.the_attempt().provider, step.tenant, step.payment
    if conversions.of(step.attempt) is None:
        postings = ledger.refund_returned(provider, tenant, refund.amount_minor, payment.currency)
    else:
        postings = (
            *ledger.converted_in(provider, refund.amount_minor, payment.currency),
            *ledger.converted_out(provider, tenant, refund.settled_minor, step.settles_in),
        )
    return _give_tenant(step, refund, postings)


def _give_tenant(step: Step, refund: Refund, postings: Postings) -> Refund:
    """The money, less the fee that had been returned with it."""
    result = step.result
    provider = step.the_attempt().provider
    fee_minor = refund.fee_returned_minor
    amount_minor = refund.amount_minor if conversions.of(step.attempt) is None else refund.settled_minor
    step.postings = (*postings, *ledger.tenant_fee(step.tenant, fee_minor, step.settles_in))
    if amount_minor:
        step.move(kind="refund_failure", amount_minor=amount_minor, object_id=refund.id, provider=provider)
    if fee_minor:
        step.move(kind="fee", amount_minor=-fee_minor, object_id=refund.id, provider=provider)
    step.transact("refund_failure", gross_minor=amount_minor, fee_minor=fee_minor, source=refund.id)
    step.message = checks.safe_text(result.message)
    return replace(refund, doubt="", failure=result.decline_code or result.outcome)


def _pending(step: Step, refund: Refund) -> Refund:
    """The provider has taken it up."""
    del step
    return replace(refund, doubt="")


def _doubt(step: Step, refund: Refund) -> Refund:
    """It waits until the gateway's inquiry has found out."""
    del step
    return replace(refund, doubt="unknown")


def _distrust(step: Step, refund: Refund) -> Refund:
    """It is held for a person to look at; nothing is posted."""
    del step
    return replace(refund, doubt="held")


class RefundRow(msgspec.Struct, frozen=True, kw_only=True):
    """One transition of a refund. `event` empty: no news."""

    source: RefundStatus
    outcomes: tuple[ProviderOutcome, ...]
    to: RefundStatus
    event: str = ""
    effect: Effect | None = None


ROWS: tuple[RefundRow, ...] = (
    RefundRow(source="pending", outcomes=("refunded",), to="succeeded", event="refund.updated", effect=_made),
    RefundRow(source="pending", outcomes=("refund_pending",), to="pending", event="refund.updated", effect=_pending),
    RefundRow(
        source="pending",
        outcomes=("refund_failed", "declined", "refused"),
        to="failed",
        event="refund.failed",
        effect=_failed,
    ),
    RefundRow(source="pending", outcomes=("unknown",), to="pending", event="refund.outcome_unknown", effect=_doubt),
    RefundRow(
        source="pending",
        outcomes=("integrity_failure",),
        to="pending",
        event="refund.integrity_failure",
        effect=_distrust,
    ),
    RefundRow(source="succeeded", outcomes=("refunded", "refund_pending", "unknown"), to="succeeded"),
    RefundRow(source="succeeded", outcomes=("refund_failed",), to="failed", event="refund.failed", effect=_returned),
    RefundRow(
        source="failed", outcomes=("refund_failed", "declined", "refused", "refund_pending", "unknown"), to="failed"
    ),
)
"""Whatever is not listed is a contradiction: refund.conflict, recorded for a person to look at."""

_INDEX = {(row.source, outcome): row for row in ROWS for outcome in row.outcomes}


def take_result(step: Step, refund: Refund, outcome: ProviderOutcome) -> bool:
    """Act on what a provider says of a refund; whether it was news."""
    row = _INDEX.get((refund.status, outcome))
    if refund.doubt == "held":
        if outcome in ("unknown", "refund_pending", "integrity_failure"):
            return False
        row = None
    if row is None:
        return _conflict(step, refund, outcome)
    if row.effect is None or _known(refund, step.result.provider_reference, outcome):
        return False
    step.begin()
    changed = row.effect(step, refund)
    step.refund = replace(changed, status=row.to, reference=step.result.provider_reference or refund.reference)
    step.record(event_type=row.event, from_status=step.payment.status, to_status=step.payment.status)
    return True


def _known(refund: Refund, reference: str, outcome: ProviderOutcome) -> bool:
    """Whether a pending refund hears only what it has heard."""
    if outcome == "unknown":
        return refund.doubt == "unknown"
    return (
        outcome == "refund_pending" and not refund.doubt and not refund.waiting and reference in ("", refund.reference)
    )


def _conflict(step: Step, refund: Refund, outcome: ProviderOutcome) -> bool:
    if refund.conflict == outcome:
        return False
    step.begin()
    step.message = checks.safe_text(step.result.message)
    step.refund = replace(refund, conflict=outcome)
    step.record(event_type="refund.conflict", from_status=step.payment.status, to_status=step.payment.status)
    return True
