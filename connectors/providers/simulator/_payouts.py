# ruff: noqa: S608 - column names come from our own structs, values are always bound
"""The simulated providers' payouts: in transit for a while, then paid or failed, and now and then back after they were paid.

What becomes of one is decided by its destination (`_behaviour.DESTINATIONS`) the moment it is made. A payout that comes back is told of
as a notice, of the provider's own accord, as banks do days later.
"""

from __future__ import annotations

import hashlib
import sqlite3

import msgspec

from connectors.providers.simulator._behaviour import DESTINATIONS, Verdict
from connectors.providers.simulator._terms import Answer, Payout, PayoutTotals, Request, Status

DEFAULT_PAYOUT_DELAY_MS = 1_000
DEFAULT_RETURN_MS = 2_000
MOVES_PER_LOOK_MAX = 1_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS payouts (
    sequence INTEGER PRIMARY KEY, provider TEXT NOT NULL, reference TEXT NOT NULL UNIQUE, key TEXT NOT NULL,
    payment_reference TEXT NOT NULL, currency TEXT NOT NULL, amount_minor INTEGER NOT NULL, destination TEXT NOT NULL,
    state TEXT NOT NULL, due_ms INTEGER NOT NULL, failure_code TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS payouts_due ON payouts (provider, due_ms) WHERE state = 'returning';
"""
"""state: in_transit, paid, returning (paid, and will come back at due_ms), failed."""

_COLUMNS = ", ".join(Payout.__struct_fields__)


class Payouts:
    """The payouts of all providers, in the same file as their charges; the caller commits."""

    def __init__(self, database: sqlite3.Connection, *, delay_ms: int, return_ms: int) -> None:
        self._db, self._delay_ms, self._return_ms = database, delay_ms, return_ms

    def make(self, provider: str, key: str, request: Request, *, now_ms: int) -> Answer:
        """Make one."""
        verdict = DESTINATIONS.get(request.destination)
        if verdict is None:
            return Answer(status="refused", code="no_account", message="The provider doesn't know this account.")
        reference = f"{provider}_po_{hashlib.blake2b(f'{provider}|{key}'.encode(), digest_size=12).hexdigest()}"
        state, code = "in_transit", verdict.payout_fails
        if verdict.payout_at_once:
            state = "failed" if code else "paid"
        payout = Payout(
            sequence=0,
            provider=provider,
            reference=reference,
            key=key,
            payment_reference=request.payment_reference,
            currency=request.currency,
            amount_minor=request.amount_minor + verdict.amount_off_by,
            destination=request.destination,
            state=state,
            due_ms=now_ms + self._delay_ms,
            failure_code=code,
        )
        values = msgspec.structs.astuple(payout)[1:]
        self._db.execute(f"INSERT INTO payouts VALUES (NULL, {', '.join('?' * len(values))})", values)
        if state == "paid":
            self._pay(payout, verdict, now_ms)
        return _answer(payout)

    def settled(self, answer: Answer, *, now_ms: int) -> Answer | None:
        """What became of one that was in transit, once its time has come; None before."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM payouts WHERE reference = ?", (answer.reference,)).fetchone()
        payout = _payout(row)
        if payout.state != "in_transit" or now_ms < payout.due_ms:
            return None
        state = "failed" if payout.failure_code else "paid"
        self._db.execute("UPDATE payouts SET state = ? WHERE sequence = ?", (state, payout.sequence))
        if state == "paid":
            self._pay(payout, DESTINATIONS[payout.destination], now_ms)
        return _answer(msgspec.structs.replace(payout, state=state))

    def _pay(self, payout: Payout, verdict: Verdict, now_ms: int) -> None:
        if verdict.payout_returns:
            self._db.execute(
                "UPDATE payouts SET state = 'returning', due_ms = ?, failure_code = ? WHERE reference = ?",
                (now_ms + self._return_ms, verdict.payout_returns, payout.reference),
            )

    def move(self, provider: str, *, now_ms: int) -> None:
        """What time does to payouts that come back, with a notice of each."""
        query = f"SELECT {_COLUMNS} FROM payouts WHERE provider = ? AND state = 'returning' AND due_ms <= ? ORDER BY due_ms, sequence LIMIT ?"
        for row in self._db.execute(query, (provider, now_ms, MOVES_PER_LOOK_MAX)).fetchall():
            payout = _payout(row)
            self._db.execute("UPDATE payouts SET state = 'failed' WHERE sequence = ?", (payout.sequence,))
            self._tell(payout, now_ms)

    def _tell(self, payout: Payout, now_ms: int) -> None:
        (number,) = self._db.execute(
            "SELECT COALESCE(MAX(number), 0) + 1 FROM notices WHERE provider = ?", (payout.provider,)
        ).fetchone()
        columns = {
            "provider": payout.provider,
            "number": number,
            "notice_id": f"{payout.provider}_evt_{number:012d}_{payout.reference[-8:]}",
            "payment_reference": payout.payment_reference,
            "charge": "",
            "dispute": "",
            "sequence": 1,
            "status": "failed",
            "amount_minor": payout.amount_minor,
            "currency": payout.currency,
            "withdrawn_minor": 0,
            "fee_minor": 0,
            "reason": payout.failure_code,
            "evidence_due_ms": 0,
            "occurred_ms": now_ms,
            "payout": payout.reference,
        }
        marks = ", ".join("?" * len(columns))
        self._db.execute(f"INSERT INTO notices ({', '.join(columns)}) VALUES ({marks})", tuple(columns.values()))

    def page(self, provider: str, *, after: int, limit: int) -> list[Payout]:
        """A page of payouts in the order they were made, after a sequence number."""
        query = f"SELECT {_COLUMNS} FROM payouts WHERE provider = ? AND sequence > ? ORDER BY sequence LIMIT ?"
        return [_payout(row) for row in self._db.execute(query, (provider, after, limit)).fetchall()]

    def totals(self, provider: str | None) -> list[PayoutTotals]:
        """Sums per provider and currency; of all providers when none is named."""
        rows = self._db.execute(
            """SELECT provider, currency, COUNT(*), SUM(IIF(state IN ('paid', 'returning'), amount_minor, 0)),
               SUM(IIF(state = 'in_transit', amount_minor, 0)), SUM(IIF(state = 'failed', amount_minor, 0))
               FROM payouts WHERE ?1 IS NULL OR provider = ?1 GROUP BY provider, currency ORDER BY provider, currency""",
            (provider,),
        ).fetchall()
        return [PayoutTotals(**dict(zip(PayoutTotals.__struct_fields__, row, strict=True))) for row in rows]

    def made_twice(self) -> list[tuple[str, int]]:
        """References of ours with more than one payout, over all providers, and how many."""
        rows = self._db.execute(
            "SELECT payment_reference, COUNT(*) FROM payouts GROUP BY payment_reference HAVING COUNT(*) > 1 LIMIT ?",
            (MOVES_PER_LOOK_MAX,),
        ).fetchall()
        return [(str(reference), int(count)) for reference, count in rows]


def _payout(row: tuple[object, ...]) -> Payout:
    return msgspec.convert(dict(zip(Payout.__struct_fields__, row, strict=True)), Payout)


def _answer(payout: Payout) -> Answer:
    statuses: dict[str, Status] = {"in_transit": "payout_in_transit", "paid": "paid_out", "failed": "payout_failed"}
    failed = payout.state == "failed"
    return Answer(
        status=statuses[payout.state],
        reference=payout.reference,
        amount_minor=payout.amount_minor,
        currency=payout.currency,
        code=payout.failure_code if failed else "",
        message="The bank didn't take the payout." if failed else "",
    )
