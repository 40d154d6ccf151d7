# ruff: noqa: S608 - column names come from our own structs, values are always bound
"""The simulated providers' disputes: opened some time after a capture, moved on by evidence or by time, each step told once.

Evidence whose text has the word `winning_evidence` wins, as at Stripe; any other loses. A dispute that nobody responds to is
lost (an inquiry: closed) when its evidence is due.
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import NamedTuple

from connectors.providers.base import Notice
from connectors.providers.simulator._behaviour import VERDICTS, DisputeCourse
from connectors.providers.simulator._terms import DISPUTE_FEE_MINOR, Answer, Charge, Request

WINNING = "winning_evidence"
MOVES_PER_LOOK_MAX = 1_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS disputes (
    reference TEXT PRIMARY KEY, provider TEXT NOT NULL, charge TEXT NOT NULL, payment_reference TEXT NOT NULL,
    currency TEXT NOT NULL, amount_minor INTEGER NOT NULL, status TEXT NOT NULL, withdrawn_minor INTEGER NOT NULL,
    fee_minor INTEGER NOT NULL, sequence INTEGER NOT NULL, evidence_due_ms INTEGER NOT NULL, next_ms INTEGER NOT NULL,
    next_status TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS disputes_due ON disputes (provider, next_ms) WHERE next_status <> '';
CREATE TABLE IF NOT EXISTS notices (
    provider TEXT NOT NULL, number INTEGER NOT NULL, notice_id TEXT NOT NULL, payment_reference TEXT NOT NULL,
    charge TEXT NOT NULL, dispute TEXT NOT NULL, sequence INTEGER NOT NULL, status TEXT NOT NULL,
    amount_minor INTEGER NOT NULL, currency TEXT NOT NULL, withdrawn_minor INTEGER NOT NULL, fee_minor INTEGER NOT NULL,
    reason TEXT NOT NULL, evidence_due_ms INTEGER NOT NULL, occurred_ms INTEGER NOT NULL, payout TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (provider, number)) WITHOUT ROWID;
"""


class _Dispute(NamedTuple):
    reference: str
    provider: str
    charge: str
    payment_reference: str
    currency: str
    amount_minor: int
    status: str
    withdrawn_minor: int
    fee_minor: int
    sequence: int
    evidence_due_ms: int
    next_ms: int
    next_status: str


_OPENED = {
    DisputeCourse.CHARGEBACK: "needs_response",
    DisputeCourse.PARTIAL: "needs_response",
    DisputeCourse.INQUIRY: "warning_needs_response",
    DisputeCourse.PREVENTED: "prevented",
}
_WITHOUT_RESPONSE = {"needs_response": "lost", "warning_needs_response": "warning_closed"}
_UNDER_REVIEW = {"needs_response": "under_review", "warning_needs_response": "warning_under_review"}


class Disputes:
    """The disputes of all providers, in the same file as their charges; the caller commits."""

    def __init__(self, database: sqlite3.Connection, *, delay_ms: int, response_ms: int) -> None:
        self._db, self._delay_ms, self._response_ms = database, delay_ms, response_ms

    def after_capture(self, charge: Charge, *, captured_minor: int, now_ms: int) -> None:
        """Let the customer's bank think about what was captured, where the payment method says so."""
        course = VERDICTS[charge.payment_method].dispute
        if course is DisputeCourse.NONE:
            return
        digest = hashlib.blake2b(charge.reference.encode(), digest_size=12).hexdigest()
        amount_minor = captured_minor
        if course is DisputeCourse.PARTIAL:
            amount_minor = max(1, amount_minor // 4)
        dispute = _Dispute(
            f"{charge.provider}_dp_{digest}",
            charge.provider,
            charge.reference,
            charge.payment_reference,
            charge.currency,
            amount_minor,
            "",
            0,
            0,
            0,
            0,
            now_ms + self._delay_ms,
            _OPENED[course],
        )
        marks = ", ".join("?" * len(dispute))
        self._db.execute(f"INSERT OR IGNORE INTO disputes VALUES ({marks})", dispute)

    def notices(self, provider: str, *, after: int, limit: int, now_ms: int) -> list[Notice]:
        """A page of what the provider tells, in order, after that number; what is due by now happens first."""
        self._move(provider, now_ms)
        names = Notice.__struct_fields__
        rows = self._db.execute(
            f"SELECT {', '.join(names)} FROM notices WHERE provider = ? AND number > ? ORDER BY number LIMIT ?",
            (provider, after, limit),
        ).fetchall()
        return [Notice(**dict(zip(names, row, strict=True))) for row in rows]

    def respond(self, provider: str, request: Request, *, now_ms: int) -> Answer:
        """Take evidence, or that the tenant gives in."""
        self._move(provider, now_ms)
        dispute = self._one(provider, request.charge)
        if dispute is None or not dispute.status:
            return Answer(status="refused", code="dispute_unknown", message="The provider has no such dispute.")
        if request.kind == "accept_dispute":
            if dispute.status != "needs_response":
                return _refused(dispute)
            self._set(dispute._replace(status="lost", next_status=""), now_ms)
            return Answer(status="dispute_accepted", reference=dispute.reference)
        if dispute.status not in _UNDER_REVIEW:
            return _refused(dispute)
        wins = any(WINNING in text for text in request.evidence.values())
        inquiry = dispute.status == "warning_needs_response"
        verdict = "warning_closed" if inquiry else ("won" if wins else "lost")
        self._set(
            dispute._replace(
                status=_UNDER_REVIEW[dispute.status], next_status=verdict, next_ms=now_ms + self._delay_ms
            ),
            now_ms,
        )
        return Answer(status="evidence_submitted", reference=dispute.reference)

    def withdrawn(self, provider: str | None) -> dict[tuple[str, str], int]:
        """What is taken back and not given back, by provider and currency."""
        rows = self._db.execute(
            "SELECT provider, currency, SUM(withdrawn_minor) FROM disputes WHERE ?1 IS NULL OR provider = ?1"
            " GROUP BY provider, currency",
            (provider,),
        ).fetchall()
        return {(str(name), str(currency)): int(total) for name, currency, total in rows}

    def _one(self, provider: str, reference: str) -> _Dispute | None:
        row = self._db.execute(
            "SELECT * FROM disputes WHERE reference = ? AND provider = ?", (reference, provider)
        ).fetchone()
        return None if row is None else _Dispute(*row)

    def _move(self, provider: str, now_ms: int) -> None:
        """What time does to disputes."""
        rows = self._db.execute(
            "SELECT * FROM disputes WHERE provider = ? AND next_status <> '' AND next_ms <= ? ORDER BY next_ms, reference LIMIT ?",
            (provider, now_ms, MOVES_PER_LOOK_MAX),
        ).fetchall()
        for row in rows:
            dispute = _Dispute(*row)
            status = dispute.next_status
            due_ms = now_ms + self._response_ms if status in _WITHOUT_RESPONSE else dispute.evidence_due_ms
            changed = dispute._replace(
                status=status, next_status=_WITHOUT_RESPONSE.get(status, ""), next_ms=due_ms, evidence_due_ms=due_ms
            )
            self._set(changed, now_ms)

    def _set(self, dispute: _Dispute, now_ms: int) -> None:
        """Keep a dispute's new state, with the money that goes with it, and tell of it."""
        if dispute.status == "needs_response":
            dispute = dispute._replace(withdrawn_minor=dispute.amount_minor, fee_minor=DISPUTE_FEE_MINOR)
        elif dispute.status in ("won", "prevented", "warning_closed"):
            dispute = dispute._replace(withdrawn_minor=0, fee_minor=0)
        dispute = dispute._replace(sequence=dispute.sequence + 1)
        marks = ", ".join("?" * len(dispute))
        self._db.execute(f"INSERT OR REPLACE INTO disputes VALUES ({marks})", dispute)
        (number,) = self._db.execute(
            "SELECT COALESCE(MAX(number), 0) + 1 FROM notices WHERE provider = ?", (dispute.provider,)
        ).fetchone()
        values = (
            dispute.provider,
            number,
            f"{dispute.provider}_evt_{number:012d}_{dispute.reference[-8:]}",
            dispute.payment_reference,
            dispute.charge,
            dispute.reference,
            dispute.sequence,
            dispute.status,
            dispute.amount_minor,
            dispute.currency,
            dispute.withdrawn_minor,
            dispute.fee_minor,
            "fraudulent",
            dispute.evidence_due_ms,
            now_ms,
            "",
        )
        self._db.execute(f"INSERT INTO notices VALUES ({', '.join('?' * len(values))})", values)


def _refused(dispute: _Dispute) -> Answer:
    return Answer(status="refused", code="dispute_not_open", message=f"The dispute is {dispute.status}.")
