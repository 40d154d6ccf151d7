"""What becomes of a dispute: a table of its own, driven by what the provider tells and by its answers to what it was asked.

A notice states how things are, not what changed: the status, and what is withdrawn and charged all in all. So one that
comes twice or late changes nothing, and one that was missed is made good by the next. What is stated is posted once the
charge is known to be captured, at most what the charge still holds against the tenant; the rest is for people to recover.

Notices name no rate. A converted charge's dispute is posted as the same share of what the charge came to, its fee too.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from schemas.records import Attribution, DisputeStatus, MovementKind, ProviderNotice, ProviderResult
from streams.core import _objects, checks, conversions, fees, idempotency, ids, keys, ledger
from streams.core._step import Step
from streams.core.errors import CommandError, Refused
from streams.core.idempotency import REPLIES_KEPT_MS
from streams.core.ledger import Postings
from streams.core.state import Attempt, Conversion, Dispute, encode

DISPUTES_MAX = 32

INQUIRY: tuple[DisputeStatus, ...] = ("warning_needs_response", "warning_under_review")
CHARGEBACK: tuple[DisputeStatus, ...] = ("needs_response", "under_review")
DECIDED: tuple[DisputeStatus, ...] = ("won", "lost", "prevented")
CLOSED: tuple[DisputeStatus, ...] = ("warning_closed", *DECIDED)
ALL: tuple[DisputeStatus, ...] = (*INQUIRY, *CHARGEBACK, *CLOSED)


class DisputeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of transition. `sources` empty: the dispute is new."""

    sources: tuple[DisputeStatus, ...]
    targets: tuple[DisputeStatus, ...]
    event: str


ROWS: tuple[DisputeRow, ...] = (
    DisputeRow(sources=(), targets=ALL, event="charge.dispute.created"),
    DisputeRow(sources=INQUIRY, targets=(*INQUIRY, *CHARGEBACK), event="charge.dispute.updated"),
    DisputeRow(sources=CHARGEBACK, targets=CHARGEBACK, event="charge.dispute.updated"),
    DisputeRow(sources=INQUIRY, targets=CLOSED, event="charge.dispute.closed"),
    DisputeRow(sources=CHARGEBACK, targets=DECIDED, event="charge.dispute.closed"),
    DisputeRow(sources=("warning_closed",), targets=(*INQUIRY, *CHARGEBACK), event="charge.dispute.reopened"),
    DisputeRow(sources=DECIDED, targets=CHARGEBACK, event="charge.dispute.reopened"),
    DisputeRow(sources=("warning_closed",), targets=CLOSED, event="charge.dispute.closed"),
    DisputeRow(sources=DECIDED, targets=DECIDED, event="charge.dispute.closed"),
)
"""Whatever is not listed (a chargeback that becomes an inquiry) is a contradiction: charge.dispute.conflict; the status stays."""

CONFLICT = "charge.dispute.conflict"

_INDEX: dict[tuple[str, str], str] = {
    (source, target): row.event for row in ROWS for source in row.sources or ("",) for target in row.targets
}


def event_of(source: str, target: str) -> str:
    """What it is called when a dispute goes from one status (empty: it is new) to another."""
    return _INDEX.get((source, target), CONFLICT)


def take_notice(step: Step) -> None:
    """Act on a provider's notice. Raises `Refused` for one about a charge that we never made."""
    notice = step.notice
    seen = keys.notice(step.tenant, step.payment_id, notice.provider, notice.notice_id)
    if step.view.get(seen) is not None:
        return
    step.number = _attempt_of(step, notice)
    step.attempt = step.payment.attempts[step.number - 1]
    dispute_id = ids.dispute_id(step.tenant, step.payment_id, notice.provider, notice.dispute_reference)
    known = next((one for one in step.payment.disputes if one.id == dispute_id), None)
    if known is None and len(step.payment.disputes) >= DISPUTES_MAX:
        raise Refused(
            reason="invalid_field", field="dispute_reference", message=f"A payment has at most {DISPUTES_MAX} disputes."
        )
    step.decision.writes.append((seen, b"\x01"))
    step.decision.writes.append((keys.expiry(step.input.time_ms + REPLIES_KEPT_MS, seen), b"\x01"))
    if known is not None and notice.sequence <= known.sequence:
        return
    _tell(step, known, _stated(step, known, dispute_id))
    book(step, step.the_dispute())


def _attempt_of(step: Step, notice: ProviderNotice) -> int:
    """Number of the attempt that the notice is about: by the provider's reference, or the one whose reference is not known yet."""
    in_doubt = 0
    for number, attempt in enumerate(step.payment.attempts, 1):
        if attempt.provider == notice.provider:
            if attempt.reference == notice.charge_reference:
                return number
            if not attempt.reference and attempt.status == "pending":
                in_doubt = number
    if not in_doubt:
        raise Refused(
            reason="invalid_field", field="charge_reference", message="The payment has no such charge at this provider."
        )
    return in_doubt


def _stated(step: Step, known: Dispute | None, dispute_id: str) -> Dispute:
    """The dispute as the notice has it; held when it can't be so."""
    notice = step.notice
    impossible = notice.currency != step.payment.currency or notice.withdrawn_minor > notice.amount_minor
    dispute = known or Dispute(
        dispute_id,
        step.number,
        notice.dispute_reference,
        notice.amount_minor,
        "unrecognized",
        created_ms=step.input.time_ms,
    )
    if impossible:
        status = notice.dispute_status if known is None else known.status
        return replace(dispute, status=status, sequence=notice.sequence, doubt="held")
    return replace(
        dispute,
        amount_minor=notice.amount_minor,
        status=notice.dispute_status,
        reason=checks.safe_text(notice.reason),
        sequence=notice.sequence,
        due_ms=notice.evidence_due_ms,
        stated_minor=notice.withdrawn_minor,
        stated_fee_minor=notice.provider_fee_minor,
        doubt="" if dispute.doubt == "held" else dispute.doubt,
    )


def _tell(step: Step, known: Dispute | None, now: Dispute) -> None:
    event = event_of(known.status if known else "", now.status)
    if now.doubt == "held":
        event = "charge.dispute.integrity_failure"
    elif event == CONFLICT and known is not None:
        now = replace(now, status=known.status)
    elif known is not None and _visible(known) == _visible(now):
        step.dispute = now
        step.update_dispute(now)
        return
    _say(step, now, event)


def _visible(dispute: Dispute) -> tuple[object, ...]:
    return dispute.status, dispute.amount_minor, dispute.reason, dispute.due_ms, dispute.doubt


def _say(step: Step, dispute: Dispute, event: str) -> None:
    step.begin()
    step.dispute = dispute
    status = step.payment.status
    step.record(event_type=event, from_status=status, to_status=status)


def book_all(step: Step) -> None:
    """Post what disputes of the charge at hand have taken, now that it is known to be captured."""
    for dispute in step.payment.disputes:
        if dispute.attempt == step.number:
            book(step, dispute)


def book(step: Step, dispute: Dispute) -> None:
    """Post the difference between what the provider states and what is posted, where there is one."""
    step.number, step.attempt = dispute.attempt, step.payment.attempts[dispute.attempt - 1]
    if step.attempt.status != "captured" or dispute.doubt == "held":
        return
    changed, postings = _money(step, step.attempt, dispute)
    if changed == dispute:
        return
    taken_minor = changed.withdrawn_minor + changed.excess_minor - dispute.withdrawn_minor - dispute.excess_minor
    if conversions.of(step.attempt) is None:
        own_minor = changed.withdrawn_minor - dispute.withdrawn_minor
    else:
        own_minor = changed.settled_minor - dispute.settled_minor
    fee_minor = changed.fee_minor - dispute.fee_minor
    withdrawn = taken_minor > 0 or (taken_minor == 0 and fee_minor >= 0)
    step.begin()
    step.dispute = changed
    step.postings = postings
    provider = step.attempt.provider
    if own_minor:
        kind: MovementKind = "dispute" if own_minor > 0 else "dispute_reversal"
        step.move(kind=kind, amount_minor=-own_minor, object_id=dispute.id, provider=provider)
    if fee_minor:
        step.move(kind="fee", amount_minor=-fee_minor, object_id=dispute.id, provider=provider)
    step.transact(
        "dispute" if withdrawn else "dispute_reversal",
        gross_minor=-own_minor,
        fee_minor=fee_minor,
        source=dispute.id,
    )
    status = step.payment.status
    event = "charge.dispute.funds_withdrawn" if withdrawn else "charge.dispute.funds_reinstated"
    step.record(event_type=event, from_status=status, to_status=status)


def _money(step: Step, attempt: Attempt, dispute: Dispute) -> tuple[Dispute, Postings]:
    """The dispute with everything posted that is stated, and the postings for it."""
    payment, tenant, provider = step.payment, step.tenant, attempt.provider
    conversion, currency = conversions.of(attempt), step.settles_in
    moved_minor = dispute.stated_minor - dispute.withdrawn_minor - dispute.excess_minor
    if moved_minor > 0:
        own_minor = min(moved_minor, _objects.left_minor(payment))
    else:
        own_minor = min(0, moved_minor + dispute.excess_minor)
    excess_minor = moved_minor - own_minor
    if conversion is None:
        settled_minor = 0
        cost_minor = dispute.stated_fee_minor - dispute.cost_minor
        moved = ledger.dispute(provider, tenant, own_minor, currency)
    else:
        settled_minor = _settled_minor(step, conversion, attempt, dispute, own_minor)
        cost_minor = _converted(conversion, attempt, dispute.stated_fee_minor) - _converted(
            conversion, attempt, dispute.cost_minor
        )
        moved = (
            *ledger.converted_in(provider, -own_minor, payment.currency),
            *ledger.converted_out(provider, tenant, -settled_minor, currency),
        )
    rule = fees.rule(step.tenant_state(), payment_method=payment.payment_method, currency=currency)
    if attempt.scheduled and rule is not None:
        fee_minor = rule.dispute_minor - dispute.fee_minor if dispute.stated_minor and not dispute.fee_minor else 0
        fee_postings = (
            *ledger.tenant_fee(tenant, fee_minor, currency),
            *ledger.provider_cost(provider, cost_minor, currency),
        )
    elif attempt.scheduled:
        fee_minor = 0
        fee_postings = ledger.provider_cost(provider, cost_minor, currency)
    else:
        fee_minor = cost_minor
        fee_postings = ledger.fee(provider, tenant, cost_minor, currency)
    changed = replace(
        dispute,
        withdrawn_minor=dispute.withdrawn_minor + own_minor,
        excess_minor=dispute.excess_minor + excess_minor,
        fee_minor=dispute.fee_minor + fee_minor,
        cost_minor=dispute.stated_fee_minor,
        settled_minor=dispute.settled_minor + settled_minor,
    )
    return changed, (*moved, *ledger.dispute_excess(provider, excess_minor, payment.currency), *fee_postings)


def _converted(conversion: Conversion, attempt: Attempt, amount_minor: int) -> int:
    """An amount in the payment's currency at the rate that the charge came to."""
    return fees.share_minor(conversion.settled_minor, amount_minor, attempt.captured_minor)


def _settled_minor(step: Step, conversion: Conversion, attempt: Attempt, dispute: Dispute, own_minor: int) -> int:
    """What more the dispute takes of the tenant's money than is posted; negative where it gives back, in the end all of it."""
    if own_minor > 0:
        return conversions.part_minor(
            conversion,
            captured_minor=attempt.captured_minor,
            before_minor=_objects.refunded_minor(step.payment) + _objects.disputed_minor(step.payment),
            amount_minor=own_minor,
        )
    if not own_minor:
        return 0
    kept_minor = fees.share_minor(dispute.settled_minor, dispute.withdrawn_minor + own_minor, dispute.withdrawn_minor)
    return kept_minor - dispute.settled_minor


def take_result(step: Step) -> None:
    """Act on the provider's answer to evidence or acceptance. Raises `Refused` for what was never asked."""
    result = step.result
    dispute = next((one for one in step.payment.disputes if one.id == result.object_id), None)
    if dispute is None:
        raise Refused(reason="invalid_field", field="object_id", message="The payment has no such dispute.")
    step.number, step.attempt = dispute.attempt, step.payment.attempts[dispute.attempt - 1]
    number = ids.request_number(result.request_id, dispute.id, result.operation)
    if not 0 < number <= dispute.requests:
        raise Refused(reason="invalid_field", field="request_id", message="Nothing was asked under this request id.")
    if result.provider != step.attempt.provider:
        raise Refused(reason="invalid_field", field="provider", message="Another provider was asked.")
    if number != dispute.requests or result.operation != dispute.operation:
        return
    if result.outcome == "unknown" and dispute.doubt == "unknown":
        return
    _answered(step, dispute, result)


def _answered(step: Step, dispute: Dispute, result: ProviderResult) -> None:
    waiting = dispute.waiting
    dispute = replace(dispute, waiting="", doubt=dispute.doubt if dispute.doubt == "held" else "")
    problem = None
    if result.outcome == "unknown":
        step.message = checks.safe_text(result.message)
        _say(step, replace(dispute, doubt=dispute.doubt or "unknown"), "charge.dispute.outcome_unknown")
    elif result.outcome in ("declined", "refused"):
        step.message = checks.safe_text(result.message)
        problem = CommandError("dispute_request_refused")
        _say(step, replace(dispute, operation=""), "charge.dispute.request_failed")
    elif result.outcome == "evidence_submitted":
        _say(step, replace(_reviewed(dispute), operation="", submitted=True), "charge.dispute.updated")
    else:
        closed = dispute.status in CLOSED
        status: DisputeStatus = dispute.status if closed else "lost"
        event = "charge.dispute.updated" if closed else "charge.dispute.closed"
        _say(step, replace(dispute, operation="", status=status), event)
    if waiting:
        idempotency.finish(step, waiting, encode(step.payment), refund_id=dispute.id, problem=problem)


def _reviewed(dispute: Dispute) -> Dispute:
    """Under review, where nothing newer is known."""
    after: dict[DisputeStatus, DisputeStatus] = {
        "needs_response": "under_review",
        "warning_needs_response": "warning_under_review",
    }
    return replace(dispute, status=after.get(dispute.status, dispute.status))


def attribution(notice: ProviderNotice) -> Attribution:
    """Who a notice comes from: the provider, whatever the record says."""
    told = notice.attribution
    return Attribution(
        actor_kind="provider",
        actor_id=notice.provider,
        on_behalf_of=told.on_behalf_of,
        reason=told.reason,
        request_id=told.request_id or notice.notice_id,
        idempotency_key=told.idempotency_key,
        traceparent=told.traceparent,
    )
