"""The simulated providers' conversions: which charges settle in another currency, and what they came to there so far."""

from __future__ import annotations

import sqlite3
from typing import TypedDict

from connectors.providers.simulator._behaviour import VERDICTS
from connectors.providers.simulator._rates import converted_minor, convertible, rate
from connectors.providers.simulator._terms import Charge, fee_minor

SCHEMA = """
CREATE TABLE IF NOT EXISTS conversions (
    charge TEXT PRIMARY KEY, provider TEXT NOT NULL, currency TEXT NOT NULL, settled_minor INTEGER NOT NULL,
    refunded_minor INTEGER NOT NULL, fee_minor INTEGER NOT NULL) WITHOUT ROWID;
"""


class Stated(TypedDict, total=False):
    """The fields of an answer that tell of a conversion; none where there was none."""

    settlement_amount_minor: int
    settlement_currency: str
    fx_rate: str


class Conversions:
    """The conversions of all providers, in the same file as their charges; the caller commits."""

    def __init__(self, database: sqlite3.Connection, *, seed: int) -> None:
        self._db, self._seed = database, seed

    def begin(self, charge: Charge, to: str) -> None:
        """Settle a new charge in that currency, where its provider can."""
        if convertible(charge.provider, currency=charge.currency, to=to):
            self._db.execute(
                "INSERT INTO conversions VALUES (?, ?, ?, 0, 0, 0)", (charge.reference, charge.provider, to)
            )

    def capture(self, charge: Charge, key: str, amount_minor: int) -> tuple[Stated, int]:
        """What a capture comes to, and the fee for it, in the currency that the charge settles in."""
        stated = self._stated(charge, key, amount_minor)
        if not stated:
            return stated, fee_minor(charge.provider, amount_minor)
        settled_minor = stated["settlement_amount_minor"]
        fee = fee_minor(charge.provider, settled_minor)
        self._db.execute(
            "UPDATE conversions SET settled_minor = settled_minor + ?, fee_minor = fee_minor + ? WHERE charge = ?",
            (settled_minor, fee, charge.reference),
        )
        return stated, fee

    def refund(self, charge: Charge, key: str, amount_minor: int) -> Stated:
        """What a refund that was made comes to."""
        stated = self._stated(charge, key, amount_minor)
        if stated:
            self._db.execute(
                "UPDATE conversions SET refunded_minor = refunded_minor + ? WHERE charge = ?",
                (stated["settlement_amount_minor"], charge.reference),
            )
        return stated

    def fees(self, provider: str | None) -> dict[tuple[str, str], int]:
        """Fees of converted charges by provider and the currency that they are in."""
        rows = self._db.execute(
            "SELECT provider, currency, SUM(fee_minor) FROM conversions WHERE ?1 IS NULL OR provider = ?1"
            " GROUP BY provider, currency",
            (provider,),
        ).fetchall()
        return {(str(name), str(currency)): int(total) for name, currency, total in rows}

    def _stated(self, charge: Charge, key: str, amount_minor: int) -> Stated:
        row = self._db.execute("SELECT currency FROM conversions WHERE charge = ?", (charge.reference,)).fetchone()
        if row is None:
            return {}
        currency = str(row[0])
        at = rate(seed=self._seed, key=key, currency=charge.currency, to=currency)
        came_to_minor = converted_minor(amount_minor, currency=charge.currency, to=currency, rate=at)
        return {
            "settlement_amount_minor": came_to_minor + VERDICTS[charge.payment_method].conversion_off_by,
            "settlement_currency": currency,
            "fx_rate": at,
        }
