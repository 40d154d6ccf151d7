"""The rolling reserve: a part of each capture that a tenant has to wait for, so that refunds and disputes find money.

It is kept until its day whatever becomes of the charge: refunds and lost disputes are paid from what the tenant has
earned, which may fall below zero meanwhile, and what was kept makes it whole again.
"""

from __future__ import annotations

from streams.core import fees, keys, ledger
from streams.core._step import Step
from streams.core.state import Reserve, TenantState

RELEASES_PER_TICK_MAX = 200
"""Bounds the work of one tick; what is left is for the next one."""

_DAY_MS = 86_400_000


def keep(step: Step, terms: TenantState, *, settled_minor: int, fee_minor: int) -> None:
    """Keep the tenant's share of the capture at hand, which came to this less this fee; at most what the fee leaves."""
    share_minor = fees.share_minor(settled_minor, terms.reserve_basis_points, fees.BASIS_POINTS)
    amount_minor = min(share_minor, settled_minor - fee_minor)
    if amount_minor <= 0:
        return
    due_ms = step.input.time_ms + terms.reserve_days * _DAY_MS
    step.postings = (*step.postings, *ledger.reserve(step.tenant, amount_minor, step.settles_in))
    provider = step.the_attempt().provider
    step.move(kind="reserve", amount_minor=-amount_minor, object_id=step.charge_id, provider=provider)
    step.transact("reserve", gross_minor=-amount_minor, fee_minor=0, source=step.charge_id)
    step.changes["reserves"] = (*step.payment.reserves, Reserve(step.number, amount_minor, due_ms))
    step.decision.writes.append((_mark(step, due_ms), b"\x01"))


def release(step: Step, until_ms: int) -> None:
    """The tenant has back what was to be kept until then, by one event; settlement is told."""
    due = [one for one in step.payment.reserves if one.due_ms <= until_ms]
    step.number, step.attempt = due[0].attempt, step.payment.attempts[due[0].attempt - 1]
    amount_minor = sum(one.amount_minor for one in due)
    step.begin()
    step.postings = ledger.reserve_release(step.tenant, amount_minor, step.settles_in)
    provider = step.attempt.provider
    step.move(kind="reserve_release", amount_minor=amount_minor, object_id=step.charge_id, provider=provider)
    step.transact("reserve_release", gross_minor=amount_minor, fee_minor=0, source=step.charge_id)
    step.changes["reserves"] = tuple(one for one in step.payment.reserves if one.due_ms > until_ms)
    status = step.payment.status
    step.record(event_type="payment_intent.reserve_released", from_status=status, to_status=status)
    step.decision.writes.extend((_mark(step, due_ms), None) for due_ms in sorted({one.due_ms for one in due}))


def _mark(step: Step, due_ms: int) -> bytes:
    return keys.reserve(due_ms, keys.payment(step.tenant, step.payment_id))
