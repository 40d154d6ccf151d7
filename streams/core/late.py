"""Results that nothing waits for any more: repeated ones are no news, contradictions are events of their own.

What an attempt that was given up took all the same is given back by an automatic request, and is never a second charge
of the payment (P3). Whatever the table does not list is a contradiction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec.structs import replace

from schemas.records import PaymentStatus, ProviderOutcome
from streams.core import checks, ledger
from streams.core._step import Step
from streams.core.state import Attempt

Verdict = Literal["same", "hold", "give_back", "returned", "contradiction"]
VERDICTS: dict[Verdict, str] = {
    "same": "no news; nothing changes",
    "hold": "charge.conflict: the payment is held for a person to look at",
    "give_back": "charge.conflict: the money or the authorisation goes back by a request of our own (stray)",
    "returned": "charge.reversed: it went back (stray_returned)",
    "contradiction": "charge.conflict: recorded for a person to look at; nothing else changes",
}


class LateRow(msgspec.Struct, frozen=True):
    """What a result means for an attempt that stands thus. `held`: whatever its status, it is held."""

    attempt: str
    results: tuple[str, ...]
    verdict: Verdict


_REFUSED = ("declined", "refused")
_UNDECIDED = ("unknown", "requires_action")


def _results(operation: str, *outcomes: str) -> tuple[str, ...]:
    return tuple(f"{operation}/{outcome}" for outcome in outcomes)


_NO_EFFECT = (
    *_results("authorize", *_REFUSED, *_UNDECIDED),
    *_results("void", "voided", *_REFUSED, "unknown"),
)

_INCREMENTS = _results("increment", "incremented", *_REFUSED, "unknown")
"""No money moves by them, and what was authorised beyond what we know of ends with the authorisation."""

ROWS: tuple[LateRow, ...] = (
    LateRow("held", _results("authorize", *_UNDECIDED, "integrity_failure"), "same"),
    LateRow("held", _results("capture", "unknown", "integrity_failure"), "same"),
    LateRow("held", _results("void", "unknown", "integrity_failure"), "same"),
    LateRow("held", _results("increment", "unknown", "integrity_failure"), "same"),
    *(LateRow(attempt, _INCREMENTS, "same") for attempt in ("authorized", "captured", "voided")),
    LateRow("pending", _results("void", *_REFUSED, "unknown"), "same"),
    LateRow("authorized", _results("authorize", "authorized", *_UNDECIDED), "same"),
    LateRow("authorized", _results("capture", *_REFUSED, "unknown"), "same"),
    LateRow("authorized", _results("void", *_REFUSED, "unknown"), "same"),
    LateRow("authorized", ("authorize/captured", "capture/captured", "void/voided"), "hold"),
    LateRow("captured", _results("authorize", "authorized", "captured", *_UNDECIDED), "same"),
    LateRow("captured", _results("capture", "captured", "unknown"), "same"),
    LateRow("captured", _results("void", *_REFUSED, "unknown"), "same"),
    LateRow("failed", _NO_EFFECT, "same"),
    LateRow("failed", ("authorize/authorized", "authorize/captured"), "give_back"),
    LateRow("voided", (*_NO_EFFECT, "authorize/authorized", *_results("capture", *_REFUSED, "unknown")), "same"),
    LateRow("voided", ("authorize/captured", "capture/captured"), "give_back"),
    LateRow("stray", (*_results("authorize", "authorized", *_UNDECIDED), "capture/unknown"), "same"),
    LateRow("stray", ("authorize/captured", "capture/captured"), "give_back"),
    LateRow("stray", ("void/unknown", "refund/unknown", "refund/refund_pending"), "same"),
    LateRow("stray", ("void/voided", "refund/refunded"), "returned"),
    LateRow(
        "reversed",
        (
            *_results("authorize", "authorized", "captured", *_UNDECIDED),
            *_results("capture", "captured", "unknown"),
            *_results("void", "voided", "unknown"),
            *_results("refund", "refunded", "refund_pending", "unknown"),
        ),
        "same",
    ),
)
"""Everything but contradictions."""

_VERDICTS: dict[tuple[str, str], Verdict] = {
    (row.attempt, result): row.verdict for row in ROWS for result in row.results
}


def verdict(attempt: Attempt, operation: str, outcome: str) -> Verdict:
    """What a result that nothing waits for means."""
    standing = "held" if attempt.doubt == "held" else attempt.status
    if standing == "held" and outcome == attempt.outcome:
        return "same"  # it is held for that very reason
    found = _VERDICTS.get((standing, f"{operation}/{outcome}"), "contradiction")
    if attempt.captures and not attempt.asked_final and f"{operation}/{outcome}" == "void/voided":
        return "same"  # it was captured in parts, and the rest voided
    if found == "give_back" and attempt.captured_minor:
        return "same"  # it is on its way back already
    if found == "returned" and operation != attempt.operation:
        return "contradiction"  # a void can't give back what was captured after it
    return found


def take_late(step: Step, outcome: ProviderOutcome) -> Verdict:
    """Act on a late result; what was found."""
    attempt = step.the_attempt()
    found = verdict(attempt, step.result.operation, outcome)
    if found == "same" or (found == "contradiction" and attempt.conflict == outcome):
        return "same"
    status = step.payment.status
    step.begin()
    step.message = checks.safe_text(step.result.message)
    to_status = _ACTIONS[found](step, attempt, outcome) or status
    step.record(
        event_type="charge.reversed" if found == "returned" else "charge.conflict",
        from_status=status,
        to_status=to_status,
    )
    return found


def _note(step: Step, attempt: Attempt, outcome: ProviderOutcome) -> PaymentStatus | None:
    step.attempt = replace(attempt, conflict=outcome)
    return None


def _hold(step: Step, attempt: Attempt, outcome: ProviderOutcome) -> PaymentStatus | None:
    step.attempt = replace(attempt, conflict=outcome, doubt="held")
    return "processing"


def _give_back(step: Step, attempt: Attempt, outcome: ProviderOutcome) -> PaymentStatus | None:
    result = step.result
    number = attempt.requests + 1
    taken_minor = result.amount_minor if outcome == "captured" else 0
    amount_minor = taken_minor or step.payment.amount_minor
    attempt = step.attempt = replace(
        attempt,
        status="stray",
        operation="refund" if taken_minor else "void",
        requests=number,
        asked_minor=amount_minor,
        captured_minor=taken_minor,
        reference=result.provider_reference or attempt.reference,
        outcome=outcome,
        conflict=outcome,
        doubt="",
    )
    if taken_minor:
        step.postings = ledger.stray(attempt.provider, taken_minor, step.payment.currency)
    step.request(
        object_id=step.charge_id,
        operation="refund" if taken_minor else "void",
        number=number,
        attempt=step.number,
        provider=attempt.provider,
        amount_minor=amount_minor,
        reference=attempt.reference,
    )
    return None


def _returned(step: Step, attempt: Attempt, outcome: ProviderOutcome) -> PaymentStatus | None:
    step.attempt = replace(attempt, status="reversed", operation="", outcome=outcome)
    if attempt.captured_minor:
        step.postings = ledger.stray_returned(attempt.provider, attempt.captured_minor, step.payment.currency)
    return None


_ACTIONS: dict[Verdict, Callable[[Step, Attempt, ProviderOutcome], PaymentStatus | None]] = {
    "hold": _hold,
    "give_back": _give_back,
    "returned": _returned,
    "contradiction": _note,
}
