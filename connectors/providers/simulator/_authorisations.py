"""What providers do with a charge: authorise, challenge, raise, capture and void it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from connectors.providers.base import DeclineKind
from connectors.providers.simulator._behaviour import VERDICTS, Verdict
from connectors.providers.simulator._charges import Charges, reference_of, refused
from connectors.providers.simulator._conversions import Conversions
from connectors.providers.simulator._disputes import Disputes
from connectors.providers.simulator._operations import Operations
from connectors.providers.simulator._terms import INCREMENTAL, MULTICAPTURE, Answer, Charge, Request

SCHEMA = """
CREATE TABLE IF NOT EXISTS asked_first (payment_reference TEXT PRIMARY KEY, provider TEXT NOT NULL) WITHOUT ROWID;
"""


class Authorisations:
    """Effects on charges, each with its answer. The caller commits."""

    def __init__(
        self,
        db: sqlite3.Connection,
        charges: Charges,
        operations: Operations,
        *,
        conversions: Conversions,
        disputes: Disputes,
        refused_currencies: frozenset[tuple[str, str]],
        now_ms: Callable[[], int],
    ) -> None:
        self._db, self._charges, self._operations = db, charges, operations
        self._conversions, self._disputes = conversions, disputes
        self._refused_currencies, self._now_ms = refused_currencies, now_ms

    def authorize(self, provider: str, key: str, request: Request) -> Answer:
        """What becomes of an authorisation, by its payment method."""
        verdict = VERDICTS.get(request.payment_method)
        if verdict is None:
            return refused("payment_method_unknown", "The provider doesn't know this payment method.")
        if (provider, request.currency) in self._refused_currencies:
            return refused("currency_unsupported", f"The provider doesn't take {request.currency}.")
        if verdict.refusal is not None and self._refuses(verdict, provider, request.payment_reference):
            return refused(verdict.refusal, "The provider takes no payments at the moment; nothing happened.")
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

    def complete(self, charge: Charge, *, succeeded: bool) -> None:
        """The customer passes or fails the challenge that the charge waits for; its authorisation's answer changes."""
        if succeeded:
            answer = self._authorized(charge)
        else:
            self._charges.set(charge, state="failed", authorized_minor=0)
            answer = Answer(
                status="declined",
                reference=charge.reference,
                code="authentication_failed",
                message="The customer failed the challenge.",
                decline_kind=DeclineKind.HARD,
            )
        self._operations.change(charge.provider, charge.key, answer)

    def capture(self, charge: Charge, key: str, request: Request) -> Answer:
        """Take what is authorised, or a part of it."""
        if charge.state != "authorized":
            return refused("charge_not_capturable", f"The charge is {charge.state}.")
        left_minor = charge.authorized_minor - charge.captured_minor
        if request.amount_minor > left_minor:
            return refused("amount_too_large", f"{left_minor} {charge.currency} are authorised.")
        if not request.final and charge.provider not in MULTICAPTURE:
            return refused("multicapture_unsupported", "The provider captures an authorisation once.")
        return self._captured(charge, key, request.amount_minor, final=request.final)

    def void(self, charge: Charge) -> Answer:
        """Let go of what is authorised and not captured."""
        if charge.state not in ("authorized", "requires_action"):
            return refused("charge_not_voidable", f"The charge is {charge.state}.")
        self._void(charge)
        return Answer(
            status="voided",
            reference=charge.reference,
            amount_minor=charge.authorized_minor,
            currency=charge.currency,
        )

    def _new_charge(self, provider: str, key: str, request: Request, verdict: Verdict) -> Answer:
        amount_minor = request.amount_minor + verdict.amount_off_by
        currency = ("EUR" if request.currency != "EUR" else "USD") if verdict.other_currency else request.currency
        charge = Charge(
            sequence=0,
            provider=provider,
            reference=reference_of(provider, "ch", key),
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
        charge = self._charges.add(charge)
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
        self._charges.set(charge, state="authorized")
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
        self._charges.set(
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

    def increment(self, charge: Charge, amount_minor: int) -> Answer:
        """Authorise more, where the provider does that and the issuer lets it."""
        if charge.provider not in INCREMENTAL:
            return refused("increment_unsupported", "The provider does not raise authorisations.")
        if charge.state != "authorized" or charge.captured_minor:
            return refused("charge_not_incrementable", f"The charge is {charge.state}.")
        if amount_minor <= charge.authorized_minor:
            return refused("amount_too_small", f"{charge.authorized_minor} {charge.currency} are authorised already.")
        code = VERDICTS[charge.payment_method].increment_declined
        if code:
            message = f"The issuer declined: {code}."
            return Answer(status="declined", code=code, message=message, decline_kind=DeclineKind.HARD)
        self._charges.set(charge, authorized_minor=amount_minor)
        return Answer(
            status="incremented", reference=charge.reference, amount_minor=amount_minor, currency=charge.currency
        )

    def _void(self, charge: Charge) -> None:
        """What was captured in parts stays; an authorisation that still waits for its challenge is answered at last."""
        self._charges.set(charge, state="captured" if charge.captured_minor else "voided")
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
            self._operations.change(charge.provider, charge.key, answer)
