# ruff: noqa: S608 - column names come from our own structs, values are always bound
"""The simulated providers' books: charges, refunds and every operation's answer, in one SQLite file.

Nothing is answered before it is committed, and a commit serves every request that arrived meanwhile (see `server`). A killed process
loses nothing that it answered. Operations are remembered for ever: their number is bounded by the disk only, never by memory.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from connectors.providers.base import DeclineKind, Notice
from connectors.providers.errors import BooksError
from connectors.providers.simulator._behaviour import VERDICTS, RefundCourse, Verdict, method_of_destination
from connectors.providers.simulator._conversions import SCHEMA as CONVERSIONS_SCHEMA
from connectors.providers.simulator._conversions import Conversions
from connectors.providers.simulator._disputes import SCHEMA as DISPUTES_SCHEMA
from connectors.providers.simulator._disputes import Disputes
from connectors.providers.simulator._payouts import DEFAULT_PAYOUT_DELAY_MS, DEFAULT_RETURN_MS, Payouts
from connectors.providers.simulator._payouts import SCHEMA as PAYOUTS_SCHEMA
from connectors.providers.simulator._terms import (
    INCREMENTAL,
    KEY_CLOSED,
    MULTICAPTURE,
    Answer,
    Charge,
    Payout,
    PayoutTotals,
    Request,
    Status,
    Totals,
)

DEFAULT_REFUND_DELAY_MS = 1_000
DEFAULT_DISPUTE_DELAY_MS = 2_000
DEFAULT_RESPONSE_MS = 7 * 86_400_000
DUPLICATES_SHOWN_MAX = 1_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS operations (
    provider TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, method TEXT NOT NULL, answer BLOB NOT NULL,
    PRIMARY KEY (provider, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS charges (
    sequence INTEGER PRIMARY KEY, provider TEXT NOT NULL, reference TEXT NOT NULL UNIQUE, key TEXT NOT NULL,
    payment_reference TEXT NOT NULL, payment_method TEXT NOT NULL, currency TEXT NOT NULL, state TEXT NOT NULL,
    capture_when_authorized INTEGER NOT NULL, authorized_minor INTEGER NOT NULL, captured_minor INTEGER NOT NULL,
    refunded_minor INTEGER NOT NULL, refund_pending_minor INTEGER NOT NULL, fee_minor INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS refunds (
    reference TEXT PRIMARY KEY, charge TEXT NOT NULL, amount_minor INTEGER NOT NULL, state TEXT NOT NULL,
    due_ms INTEGER NOT NULL, will_fail INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tries (
    provider TEXT NOT NULL, key TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (provider, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS asked_first (payment_reference TEXT PRIMARY KEY, provider TEXT NOT NULL) WITHOUT ROWID;
"""


class KeyReused(Exception):
    """The idempotency key was used with other parameters."""


_CHARGE_COLUMNS = ", ".join(Charge.__struct_fields__)


def _refused(code: str, message: str) -> Answer:
    return Answer(status="refused", code=code, message=message)


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Books:
    """All providers' books. Not thread-safe; the caller commits, and answers only after that."""

    def __init__(
        self,
        path: Path,
        *,
        refused_currencies: frozenset[tuple[str, str]] = frozenset(),
        refund_delay_ms: int = DEFAULT_REFUND_DELAY_MS,
        dispute_delay_ms: int = DEFAULT_DISPUTE_DELAY_MS,
        response_ms: int = DEFAULT_RESPONSE_MS,
        payout_delay_ms: int = DEFAULT_PAYOUT_DELAY_MS,
        return_ms: int = DEFAULT_RETURN_MS,
        seed: int = 0,
        now_ms: Callable[[], int] = _wall_clock_ms,
        busy_timeout_s: float = 2.0,
    ) -> None:
        self._refused_currencies, self._refund_delay_ms, self._now_ms = refused_currencies, refund_delay_ms, now_ms
        try:
            self._db = sqlite3.connect(path, isolation_level=None, cached_statements=64, timeout=busy_timeout_s)
            self._db.execute(
                "PRAGMA locking_mode = EXCLUSIVE"
            )  # a second simulator on the same books is refused at once
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA wal_autocheckpoint = 10000")
            self._db.executescript(_SCHEMA + CONVERSIONS_SCHEMA + DISPUTES_SCHEMA + PAYOUTS_SCHEMA)
            if not any(row[1] == "payout" for row in self._db.execute("PRAGMA table_info(notices)")):
                self._db.execute("ALTER TABLE notices ADD COLUMN payout TEXT NOT NULL DEFAULT ''")
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            message = f"the books at {path} can't be opened ({error}); is another simulator running on the same --data?"
            raise BooksError(message) from error

        self._conversions = Conversions(self._db, seed=seed)
        self._payouts = Payouts(self._db, delay_ms=payout_delay_ms, return_ms=return_ms)
        self._disputes = Disputes(self._db, delay_ms=dispute_delay_ms, response_ms=response_ms)

    def commit(self) -> None:
        """Make everything since the last commit durable."""
        try:
            self._db.execute("COMMIT")
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            message = f"the books can't be written ({error}); free disk space and start again, nothing that was answered is lost"
            raise BooksError(message) from error

    def close_file(self) -> None:
        """Commit and close."""
        self._db.execute("COMMIT")
        self._db.close()

    # -- operations -----------------------------------------------------------------------------------------------------------

    def perform(self, provider: str, key: str, request: Request) -> Answer:
        """The operation's answer, from the books if the key is known, else after giving it its one effect.

        Raises `KeyReused` for a known key with other parameters.
        """
        known = self._db.execute(
            "SELECT fingerprint FROM operations WHERE provider = ? AND key = ?", (provider, key)
        ).fetchone()
        if known is not None:
            if known[0] not in ("", request.fingerprint):
                raise KeyReused(key)
            answer = self.inquire(provider, key)
            assert answer is not None
            return answer
        if request.kind in ("submit_evidence", "accept_dispute"):
            answer, method = self._disputes.respond(provider, request, now_ms=self._now_ms()), ""
        elif request.kind == "payout":
            answer = self._payouts.make(provider, key, request, now_ms=self._now_ms())
            method = method_of_destination(request.destination)
        elif request.kind == "authorize":
            answer, method = self._authorize(provider, key, request), request.payment_method
        else:
            answer, method = self._follow_up(provider, key, request)
        self._remember(provider, key, answer, fingerprint=request.fingerprint, method=method)
        return answer

    def inquire(self, provider: str, key: str) -> Answer | None:
        """What became of the key's operation; `None` when the provider has none."""
        row = self._db.execute(
            "SELECT answer FROM operations WHERE provider = ? AND key = ?", (provider, key)
        ).fetchone()
        if row is None:
            return None
        answer = msgspec.json.decode(row[0], type=Answer)
        if answer.status == "payout_in_transit":
            return self._settle_payout(provider, key, answer)
        return self._settle_refund(provider, key, answer) if answer.status == "refund_pending" else answer

    def close(self, provider: str, key: str) -> Answer | None:
        """As `inquire`, but a key without an operation is closed in the same step, for ever."""
        answer = self.inquire(provider, key)
        if answer is None:
            self._remember(provider, key, KEY_CLOSED, fingerprint="", method="")
        return None if answer == KEY_CLOSED else answer

    def next_try(self, provider: str, key: str) -> int:
        """Count a try or an inquiry of a key whose faults change from one to the next; the first is number 0."""
        row = self._db.execute(
            "INSERT INTO tries VALUES (?, ?, 0) ON CONFLICT DO UPDATE SET number = number + 1 RETURNING number",
            (provider, key),
        ).fetchone()
        return int(row[0])

    def method_of_key(self, provider: str, key: str) -> str:
        """The payment method an operation was about; empty when there is no such operation."""
        row = self._db.execute(
            "SELECT method FROM operations WHERE provider = ? AND key = ?", (provider, key)
        ).fetchone()
        return "" if row is None else str(row[0])

    def complete_challenge(self, provider: str, reference: str, *, succeeded: bool) -> Answer | None:
        """Let the customer pass or fail the charge's challenge; the authorisation's answer changes with it. `None`: no such charge."""
        charge = self.charge(provider, reference)
        if charge is None:
            return None
        if charge.state == "requires_action":
            if not succeeded:
                self._set(charge, state="failed", authorized_minor=0)
                answer = Answer(
                    status="declined",
                    reference=reference,
                    code="authentication_failed",
                    message="The customer failed the challenge.",
                    decline_kind=DeclineKind.HARD,
                )
            else:
                answer = self._authorized(charge)
            blob = msgspec.json.encode(answer)
            self._db.execute(
                "UPDATE operations SET answer = ? WHERE provider = ? AND key = ?", (blob, provider, charge.key)
            )
        return self.inquire(provider, charge.key)

    # -- reading --------------------------------------------------------------------------------------------------------------

    def charge(self, provider: str, reference: str) -> Charge | None:
        """One charge."""
        query = f"SELECT {_CHARGE_COLUMNS} FROM charges WHERE reference = ? AND provider = ?"
        row = self._db.execute(query, (reference, provider)).fetchone()
        return None if row is None else Charge(**dict(zip(Charge.__struct_fields__, row, strict=True)))

    def charges(self, provider: str, *, after: int, limit: int) -> list[Charge]:
        """A page of charges in the order they were made, after a sequence number."""
        query = f"SELECT {_CHARGE_COLUMNS} FROM charges WHERE provider = ? AND sequence > ? ORDER BY sequence LIMIT ?"
        rows = self._db.execute(query, (provider, after, limit)).fetchall()
        return [Charge(**dict(zip(Charge.__struct_fields__, row, strict=True))) for row in rows]

    def totals(self, provider: str | None = None) -> list[Totals]:
        """Sums per provider and currency; of all providers when none is named. Fees of converted charges are with the currency they are in."""
        rows = self._db.execute(
            """SELECT provider, currency, COUNT(*), SUM(captured_minor > 0), SUM(authorized_minor), SUM(captured_minor), SUM(refunded_minor),
               SUM(fee_minor) FROM charges WHERE ?1 IS NULL OR provider = ?1 GROUP BY provider, currency ORDER BY provider, currency""",
            (provider,),
        ).fetchall()
        found = {row[:2]: Totals(**dict(zip(Totals.__struct_fields__, row, strict=True))) for row in rows}
        for of, fee_minor in self._conversions.fees(provider).items():
            here = found.get(of) or Totals(
                provider=of[0],
                currency=of[1],
                charges=0,
                captured_charges=0,
                authorized_minor=0,
                captured_minor=0,
                refunded_minor=0,
                fee_minor=0,
            )
            found[of] = msgspec.structs.replace(here, fee_minor=here.fee_minor + fee_minor)
        return [found[of] for of in sorted(found)]

    def notices(self, provider: str, *, after: int, limit: int) -> list[Notice]:
        """A page of what the provider tells of its own accord, in order, after a notice's number."""
        self._payouts.move(provider, now_ms=self._now_ms())
        return self._disputes.notices(provider, after=after, limit=limit, now_ms=self._now_ms())

    def payouts(self, provider: str, *, after: int, limit: int) -> list[Payout]:
        """A page of payouts in the order they were made, after a sequence number."""
        return self._payouts.page(provider, after=after, limit=limit)

    def payout_totals(self, provider: str | None = None) -> list[PayoutTotals]:
        """Sums of payouts per provider and currency; of all providers when none is named."""
        return self._payouts.totals(provider)

    def payouts_made_twice(self) -> list[tuple[str, int]]:
        """References with more than one payout, over all providers, and how many."""
        return self._payouts.made_twice()

    def payments_held_twice(self) -> list[tuple[str, int]]:
        """Payment references with more than one charge that holds or took money, over all providers, and how many."""
        rows = self._db.execute(
            """SELECT payment_reference, COUNT(*) FROM charges WHERE state IN ('authorized', 'captured') GROUP BY payment_reference
               HAVING COUNT(*) > 1 LIMIT ?""",
            (DUPLICATES_SHOWN_MAX,),
        ).fetchall()
        return [(str(reference), int(count)) for reference, count in rows]

    # -- effects --------------------------------------------------------------------------------------------------------------

    def _remember(self, provider: str, key: str, answer: Answer, *, fingerprint: str, method: str) -> None:
        self._db.execute(
            "INSERT INTO operations VALUES (?, ?, ?, ?, ?)",
            (provider, key, fingerprint, method, msgspec.json.encode(answer)),
        )

    def _set(self, charge: Charge, **columns: int | str) -> None:
        assignments = ", ".join(f"{column} = ?" for column in columns)
        self._db.execute(f"UPDATE charges SET {assignments} WHERE sequence = ?", (*columns.values(), charge.sequence))

    def _authorize(self, provider: str, key: str, request: Request) -> Answer:
        verdict = VERDICTS.get(request.payment_method)
        if verdict is None:
            return _refused("payment_method_unknown", "The provider doesn't know this payment method.")
        if (provider, request.currency) in self._refused_currencies:
            return _refused("currency_unsupported", f"The provider doesn't take {request.currency}.")
        if verdict.refusal is not None and self._refuses(verdict, provider, request.payment_reference):
            return _refused(verdict.refusal, "The provider takes no payments at the moment; nothing happened.")
        if verdict.decline is not None:
            kind, code = verdict.decline
            return Answer(status="declined", code=code, message=f"The issuer declined: {code}.", decline_kind=kind)
        return self._new_charge(provider, key, request, verdict)

    def _refuses(self, verdict: Verdict, provider: str, payment_reference: str) -> bool:
        if not verdict.refused_by_first_only:
            return True
        self._db.execute("INSERT OR IGNORE INTO asked_first VALUES (?, ?)", (payment_reference, provider))
        first = self._db.execute(
            "SELECT provider FROM asked_first WHERE payment_reference = ?", (payment_reference,)
        ).fetchone()
        return bool(first[0] == provider)

    def _new_charge(self, provider: str, key: str, request: Request, verdict: Verdict) -> Answer:
        amount_minor = request.amount_minor + verdict.amount_off_by
        currency = ("EUR" if request.currency != "EUR" else "USD") if verdict.other_currency else request.currency
        charge = Charge(
            sequence=0,
            provider=provider,
            reference=_reference(provider, "ch", key),
            key=key,
            payment_reference=request.payment_reference,
            payment_method=request.payment_method,
            currency=currency,
            state="requires_action",
            capture_when_authorized=int(request.capture),
            authorized_minor=amount_minor,
            captured_minor=0,
            refunded_minor=0,
            refund_pending_minor=0,
            fee_minor=0,
        )
        values = msgspec.structs.astuple(charge)[1:]
        inserted = self._db.execute(f"INSERT INTO charges VALUES (NULL, {', '.join('?' * len(values))})", values)
        charge = msgspec.structs.replace(charge, sequence=inserted.lastrowid or 0)
        if request.settlement_currency:
            self._conversions.begin(charge, request.settlement_currency)
        if verdict.challenge:
            return Answer(
                status="requires_action",
                reference=charge.reference,
                amount_minor=amount_minor,
                currency=currency,
                code="authentication_required",
                message="The customer must complete a challenge.",
                action_url=f"/{provider}/v1/charges/{charge.reference}/challenge",
            )
        return self._authorized(charge)

    def _authorized(self, charge: Charge) -> Answer:
        if charge.capture_when_authorized:
            return self._captured(charge, charge.key, charge.authorized_minor)
        self._set(charge, state="authorized")
        return Answer(
            status="authorized",
            reference=charge.reference,
            amount_minor=charge.authorized_minor,
            currency=charge.currency,
        )

    def _captured(self, charge: Charge, key: str, amount_minor: int, *, final: bool = True) -> Answer:
        stated, fee = self._conversions.capture(charge, key, amount_minor)
        captured_minor = charge.captured_minor + amount_minor
        rest = not final and captured_minor < charge.authorized_minor
        self._set(
            charge,
            state="authorized" if rest else "captured",
            captured_minor=captured_minor,
            fee_minor=charge.fee_minor + (0 if stated else fee),  # a converted charge's is with its conversion
        )
        if not rest:
            self._disputes.after_capture(charge, captured_minor=captured_minor, now_ms=self._now_ms())
        return Answer(
            status="captured",
            reference=charge.reference,
            amount_minor=amount_minor,
            currency=charge.currency,
            fee_minor=fee,
            **stated,
        )

    def _refund_made(self, charge: Charge, key: str, reference: str, amount_minor: int) -> Answer:
        stated = self._conversions.refund(charge, key, amount_minor)
        return Answer(
            status="refunded", reference=reference, amount_minor=amount_minor, currency=charge.currency, **stated
        )

    def _follow_up(self, provider: str, key: str, request: Request) -> tuple[Answer, str]:
        charge = self.charge(provider, request.charge)
        if charge is None:
            return _refused("charge_unknown", f"The provider has no charge {request.charge}."), ""
        answer = self._follow_up_of(charge, key, request)
        return answer, charge.payment_method

    def _follow_up_of(self, charge: Charge, key: str, request: Request) -> Answer:
        if request.kind == "void":
            if charge.state not in ("authorized", "requires_action"):
                return _refused("charge_not_voidable", f"The charge is {charge.state}.")
            self._void(charge)
            return Answer(
                status="voided",
                reference=charge.reference,
                amount_minor=charge.authorized_minor,
                currency=charge.currency,
            )
        if request.currency != charge.currency:
            return _refused("currency_mismatch", f"The charge is in {charge.currency}.")
        if request.kind == "increment":
            return self._increment(charge, request.amount_minor)
        if request.kind == "capture":
            if charge.state != "authorized":
                return _refused("charge_not_capturable", f"The charge is {charge.state}.")
            left_minor = charge.authorized_minor - charge.captured_minor
            if request.amount_minor > left_minor:
                return _refused("amount_too_large", f"{left_minor} {charge.currency} are authorised.")
            if not request.final and charge.provider not in MULTICAPTURE:
                return _refused("multicapture_unsupported", "The provider captures an authorisation once.")
            return self._captured(charge, key, request.amount_minor, final=request.final)
        return self._refund(charge, key, request)

    def _increment(self, charge: Charge, amount_minor: int) -> Answer:
        """Authorise more, where the provider does that and the issuer lets it."""
        if charge.provider not in INCREMENTAL:
            return _refused("increment_unsupported", "The provider does not raise authorisations.")
        if charge.state != "authorized" or charge.captured_minor:
            return _refused("charge_not_incrementable", f"The charge is {charge.state}.")
        if amount_minor <= charge.authorized_minor:
            return _refused("amount_too_small", f"{charge.authorized_minor} {charge.currency} are authorised already.")
        code = VERDICTS[charge.payment_method].increment_declined
        if code:
            message = f"The issuer declined: {code}."
            return Answer(status="declined", code=code, message=message, decline_kind=DeclineKind.HARD)
        self._set(charge, authorized_minor=amount_minor)
        return Answer(
            status="incremented", reference=charge.reference, amount_minor=amount_minor, currency=charge.currency
        )

    def _void(self, charge: Charge) -> None:
        """What was captured in parts stays; an authorisation that still waits for its challenge is answered at last."""
        self._set(charge, state="captured" if charge.captured_minor else "voided")
        if charge.captured_minor:
            self._disputes.after_capture(charge, captured_minor=charge.captured_minor, now_ms=self._now_ms())
        if charge.state == "requires_action":
            answer = Answer(
                status="declined",
                reference=charge.reference,
                code="authentication_canceled",
                message="The challenge was called off.",
                decline_kind=DeclineKind.HARD,
            )
            self._db.execute(
                "UPDATE operations SET answer = ? WHERE provider = ? AND key = ?",
                (msgspec.json.encode(answer), charge.provider, charge.key),
            )

    def _refund(self, charge: Charge, key: str, request: Request) -> Answer:
        left_minor = charge.captured_minor - charge.refunded_minor - charge.refund_pending_minor
        if charge.state != "captured":
            return _refused("charge_not_refundable", f"The charge is {charge.state}.")
        if request.amount_minor > left_minor:
            return _refused("amount_too_large", f"{left_minor} {charge.currency} are left to refund.")
        course = VERDICTS[charge.payment_method].refund
        reference = _reference(charge.provider, "re", key)
        status: Status
        if course is RefundCourse.SUCCEEDS:
            status = "refunded"
            self._set(charge, refunded_minor=charge.refunded_minor + request.amount_minor)
        elif course is RefundCourse.FAILS:
            status = "refund_failed"
        else:
            status = "refund_pending"
            self._set(charge, refund_pending_minor=charge.refund_pending_minor + request.amount_minor)
        will_fail = course in (RefundCourse.FAILS, RefundCourse.PENDS_THEN_FAILS)
        due_ms = self._now_ms() + self._refund_delay_ms
        self._db.execute(
            "INSERT INTO refunds VALUES (?, ?, ?, ?, ?, ?)",
            (reference, charge.reference, request.amount_minor, status, due_ms, will_fail),
        )
        if status == "refunded":
            return self._refund_made(charge, key, reference, request.amount_minor)
        return _refund_answer(status, reference, request.amount_minor, charge.currency)

    def _settle_payout(self, provider: str, key: str, answer: Answer) -> Answer:
        """A payout in transit whose time has come arrives, or fails, when somebody looks."""
        settled = self._payouts.settled(answer, now_ms=self._now_ms())
        if settled is None:
            return answer
        self._db.execute(
            "UPDATE operations SET answer = ? WHERE provider = ? AND key = ?",
            (msgspec.json.encode(settled), provider, key),
        )
        return settled

    def _settle_refund(self, provider: str, key: str, answer: Answer) -> Answer:
        """A pending refund whose time has come takes its course when somebody looks."""
        query = "SELECT charge, amount_minor, due_ms, will_fail FROM refunds WHERE reference = ?"
        charge_reference, amount_minor, due_ms, will_fail = self._db.execute(query, (answer.reference,)).fetchone()
        if self._now_ms() < due_ms:
            return answer
        charge = self.charge(provider, charge_reference)
        assert charge is not None
        pending_minor = charge.refund_pending_minor - amount_minor
        self._set(
            charge,
            refund_pending_minor=pending_minor,
            refunded_minor=charge.refunded_minor + (0 if will_fail else amount_minor),
        )
        status: Status = "refund_failed" if will_fail else "refunded"
        if will_fail:
            settled = _refund_answer(status, answer.reference, amount_minor, charge.currency)
        else:
            settled = self._refund_made(charge, key, answer.reference, amount_minor)
        self._db.execute("UPDATE refunds SET state = ? WHERE reference = ?", (status, answer.reference))
        self._db.execute(
            "UPDATE operations SET answer = ? WHERE provider = ? AND key = ?",
            (msgspec.json.encode(settled), provider, key),
        )
        return settled


def _refund_answer(status: Status, reference: str, amount_minor: int, currency: str) -> Answer:
    failed = status == "refund_failed"
    code, message = ("refund_declined", "The bank didn't take the refund.") if failed else ("", "")
    return Answer(
        status=status, reference=reference, amount_minor=amount_minor, currency=currency, code=code, message=message
    )


def _reference(provider: str, kind: str, key: str) -> str:
    return f"{provider}_{kind}_{hashlib.blake2b(f'{provider}|{key}'.encode(), digest_size=12).hexdigest()}"
