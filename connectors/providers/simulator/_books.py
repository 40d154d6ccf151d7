"""The simulated providers' books: charges, refunds and every operation's answer, in one SQLite file.

Nothing is answered before it is committed, and a commit serves every request that arrived meanwhile (see `server`). A killed process
loses nothing that it answered. Operations are remembered for ever: their number is bounded by the disk only, never by memory.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from connectors.providers.base import Notice
from connectors.providers.errors import BooksError
from connectors.providers.simulator import (
    _authorisations,
    _charges,
    _conversions,
    _disputes,
    _operations,
    _payouts,
    _refunds,
)
from connectors.providers.simulator._authorisations import Authorisations
from connectors.providers.simulator._behaviour import method_of_destination
from connectors.providers.simulator._charges import Charges, refused
from connectors.providers.simulator._conversions import Conversions
from connectors.providers.simulator._disputes import Disputes
from connectors.providers.simulator._operations import Operations
from connectors.providers.simulator._payouts import DEFAULT_PAYOUT_DELAY_MS, DEFAULT_RETURN_MS, Payouts
from connectors.providers.simulator._refunds import DEFAULT_REFUND_DELAY_MS, Refunds
from connectors.providers.simulator._terms import KEY_CLOSED, Answer, Charge, Payout, PayoutTotals, Request, Totals

DEFAULT_DISPUTE_DELAY_MS = 2_000
DEFAULT_RESPONSE_MS = 7 * 86_400_000

_PARTS = (_operations, _charges, _refunds, _authorisations, _conversions, _disputes, _payouts)
"""Modules with tables."""


class KeyReused(Exception):
    """The idempotency key was used with other parameters."""


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
        self._now_ms = now_ms
        try:
            self._db = sqlite3.connect(path, isolation_level=None, cached_statements=64, timeout=busy_timeout_s)
            self._db.execute(
                "PRAGMA locking_mode = EXCLUSIVE"
            )  # a second simulator on the same books is refused at once
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA wal_autocheckpoint = 10000")
            self._db.executescript("".join(part.SCHEMA for part in _PARTS))
            if not any(row[1] == "payout" for row in self._db.execute("PRAGMA table_info(notices)")):
                self._db.execute("ALTER TABLE notices ADD COLUMN payout TEXT NOT NULL DEFAULT ''")
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            message = f"the books at {path} can't be opened ({error}); is another simulator running on the same --data?"
            raise BooksError(message) from error

        conversions = Conversions(self._db, seed=seed)
        self._operations = Operations(self._db)
        self._charges = Charges(self._db, conversions)
        self._payouts = Payouts(self._db, delay_ms=payout_delay_ms, return_ms=return_ms)
        self._disputes = Disputes(self._db, delay_ms=dispute_delay_ms, response_ms=response_ms)
        self._refunds = Refunds(
            self._db, self._charges, self._operations, conversions=conversions, delay_ms=refund_delay_ms, now_ms=now_ms
        )
        self._authorisations = Authorisations(
            self._db,
            self._charges,
            self._operations,
            conversions=conversions,
            disputes=self._disputes,
            refused_currencies=refused_currencies,
            now_ms=now_ms,
        )

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
        known = self._operations.fingerprint(provider, key)
        if known is not None:
            if known not in ("", request.fingerprint):
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
            answer, method = self._authorisations.authorize(provider, key, request), request.payment_method
        else:
            answer, method = self._follow_up(provider, key, request)
        self._operations.remember(provider, key, answer, fingerprint=request.fingerprint, method=method)
        return answer

    def inquire(self, provider: str, key: str) -> Answer | None:
        """What became of the key's operation; `None` when the provider has none."""
        answer = self._operations.answer(provider, key)
        if answer is None:
            return None
        if answer.status == "payout_in_transit":
            return self._settle_payout(provider, key, answer)
        return self._refunds.settled(provider, key, answer) if answer.status == "refund_pending" else answer

    def close(self, provider: str, key: str) -> Answer | None:
        """As `inquire`, but a key without an operation is closed in the same step, for ever."""
        answer = self.inquire(provider, key)
        if answer is None:
            self._operations.remember(provider, key, KEY_CLOSED, fingerprint="", method="")
        return None if answer == KEY_CLOSED else answer

    def next_try(self, provider: str, key: str) -> int:
        """Count a try or an inquiry of a key whose faults change from one to the next; the first is number 0."""
        return self._operations.next_try(provider, key)

    def method_of_key(self, provider: str, key: str) -> str:
        """The payment method an operation was about; empty when there is no such operation."""
        return self._operations.method(provider, key)

    def complete_challenge(self, provider: str, reference: str, *, succeeded: bool) -> Answer | None:
        """Let the customer pass or fail the charge's challenge; the authorisation's answer changes with it. `None`: no such charge."""
        charge = self.charge(provider, reference)
        if charge is None:
            return None
        if charge.state == "requires_action":
            self._authorisations.complete(charge, succeeded=succeeded)
        return self.inquire(provider, charge.key)

    # -- reading --------------------------------------------------------------------------------------------------------------

    def charge(self, provider: str, reference: str) -> Charge | None:
        """One charge."""
        return self._charges.one(provider, reference)

    def charges(self, provider: str, *, after: int, limit: int) -> list[Charge]:
        """A page of charges in the order they were made, after a sequence number."""
        return self._charges.page(provider, after=after, limit=limit)

    def totals(self, provider: str | None = None) -> list[Totals]:
        """Sums of charges per provider and currency; of all providers when none is named."""
        return self._charges.totals(provider)

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
        return self._charges.held_twice()

    def _follow_up(self, provider: str, key: str, request: Request) -> tuple[Answer, str]:
        charge = self.charge(provider, request.charge)
        if charge is None:
            return refused("charge_unknown", f"The provider has no charge {request.charge}."), ""
        answer = self._follow_up_of(charge, key, request)
        return answer, charge.payment_method

    def _follow_up_of(self, charge: Charge, key: str, request: Request) -> Answer:
        if request.kind == "void":
            return self._authorisations.void(charge)
        if request.currency != charge.currency:
            return refused("currency_mismatch", f"The charge is in {charge.currency}.")
        if request.kind == "increment":
            return self._authorisations.increment(charge, request.amount_minor)
        if request.kind == "capture":
            return self._authorisations.capture(charge, key, request)
        return self._refunds.make(charge, key, request)

    def _settle_payout(self, provider: str, key: str, answer: Answer) -> Answer:
        """A payout in transit whose time has come arrives, or fails, when somebody looks."""
        settled = self._payouts.settled(answer, now_ms=self._now_ms())
        if settled is None:
            return answer
        self._operations.change(provider, key, settled)
        return settled
