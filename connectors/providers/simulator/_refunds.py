"""Refunds: made at once, or pending until their time has come and somebody looks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from connectors.providers.simulator._behaviour import VERDICTS, RefundCourse
from connectors.providers.simulator._charges import Charges, reference_of, refused
from connectors.providers.simulator._conversions import Conversions
from connectors.providers.simulator._operations import Operations
from connectors.providers.simulator._terms import Answer, Charge, Request, Status

DEFAULT_REFUND_DELAY_MS = 1_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS refunds (
    reference TEXT PRIMARY KEY, charge TEXT NOT NULL, amount_minor INTEGER NOT NULL, state TEXT NOT NULL,
    due_ms INTEGER NOT NULL, will_fail INTEGER NOT NULL) WITHOUT ROWID;
"""


class Refunds:
    """All providers' refunds. The caller commits."""

    def __init__(
        self,
        db: sqlite3.Connection,
        charges: Charges,
        operations: Operations,
        *,
        conversions: Conversions,
        delay_ms: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._db, self._charges, self._operations, self._conversions = db, charges, operations, conversions
        self._delay_ms, self._now_ms = delay_ms, now_ms

    def make(self, charge: Charge, key: str, request: Request) -> Answer:
        """Give back of what was captured, on the course that the payment method has."""
        left_minor = charge.captured_minor - charge.refunded_minor - charge.refund_pending_minor
        if charge.state != "captured":
            return refused("charge_not_refundable", f"The charge is {charge.state}.")
        if request.amount_minor > left_minor:
            return refused("amount_too_large", f"{left_minor} {charge.currency} are left to refund.")
        course = VERDICTS[charge.payment_method].refund
        reference = reference_of(charge.provider, "re", key)
        status: Status
        if course is RefundCourse.SUCCEEDS:
            status = "refunded"
            self._charges.set(charge, refunded_minor=charge.refunded_minor + request.amount_minor)
        elif course is RefundCourse.FAILS:
            status = "refund_failed"
        else:
            status = "refund_pending"
            self._charges.set(charge, refund_pending_minor=charge.refund_pending_minor + request.amount_minor)
        will_fail = course in (RefundCourse.FAILS, RefundCourse.PENDS_THEN_FAILS)
        due_ms = self._now_ms() + self._delay_ms
        self._db.execute(
            "INSERT INTO refunds VALUES (?, ?, ?, ?, ?, ?)",
            (reference, charge.reference, request.amount_minor, status, due_ms, will_fail),
        )
        if status == "refunded":
            return self._made(charge, key, reference, request.amount_minor)
        return _answer(status, reference, request.amount_minor, charge.currency)

    def settled(self, provider: str, key: str, answer: Answer) -> Answer:
        """A pending refund whose time has come takes its course when somebody looks."""
        query = "SELECT charge, amount_minor, due_ms, will_fail FROM refunds WHERE reference = ?"
        charge_reference, amount_minor, due_ms, will_fail = self._db.execute(query, (answer.reference,)).fetchone()
        if self._now_ms() < due_ms:
            return answer
        charge = self._charges.one(provider, charge_reference)
        assert charge is not None
        pending_minor = charge.refund_pending_minor - amount_minor
        self._charges.set(
            charge,
            refund_pending_minor=pending_minor,
            refunded_minor=charge.refunded_minor + (0 if will_fail else amount_minor),
        )
        status: Status = "refund_failed" if will_fail else "refunded"
        if will_fail:
            settled = _answer(status, answer.reference, amount_minor, charge.currency)
        else:
            settled = self._made(charge, key, answer.reference, amount_minor)
        self._db.execute("UPDATE refunds SET state = ? WHERE reference = ?", (status, answer.reference))
        self._operations.change(provider, key, settled)
        return settled

    def _made(self, charge: Charge, key: str, reference: str, amount_minor: int) -> Answer:
        stated = self._conversions.refund(charge, key, amount_minor)
        return Answer(
            status="refunded", reference=reference, amount_minor=amount_minor, currency=charge.currency, **stated
        )


def _answer(status: Status, reference: str, amount_minor: int, currency: str) -> Answer:
    failed = status == "refund_failed"
    code, message = ("refund_declined", "The bank didn't take the refund.") if failed else ("", "")
    return Answer(
        status=status, reference=reference, amount_minor=amount_minor, currency=currency, code=code, message=message
    )
