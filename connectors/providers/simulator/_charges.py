# ruff: noqa: S608 - column names come from our own structs, values are always bound
"""The book of charges: one row each, read and changed as it stands."""

from __future__ import annotations

import hashlib
import sqlite3

import msgspec

from connectors.providers.simulator._conversions import Conversions
from connectors.providers.simulator._terms import Answer, Charge, Totals

DUPLICATES_SHOWN_MAX = 1_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS charges (
    sequence INTEGER PRIMARY KEY, provider TEXT NOT NULL, reference TEXT NOT NULL UNIQUE, key TEXT NOT NULL,
    payment_reference TEXT NOT NULL, payment_method TEXT NOT NULL, currency TEXT NOT NULL, state TEXT NOT NULL,
    capture_when_authorized INTEGER NOT NULL, authorized_minor INTEGER NOT NULL, captured_minor INTEGER NOT NULL,
    refunded_minor INTEGER NOT NULL, refund_pending_minor INTEGER NOT NULL, fee_minor INTEGER NOT NULL);
"""

_COLUMNS = ", ".join(Charge.__struct_fields__)


class Charges:
    """All providers' charges. The caller commits."""

    def __init__(self, db: sqlite3.Connection, conversions: Conversions) -> None:
        self._db, self._conversions = db, conversions

    def one(self, provider: str, reference: str) -> Charge | None:
        """One charge."""
        query = f"SELECT {_COLUMNS} FROM charges WHERE reference = ? AND provider = ?"
        row = self._db.execute(query, (reference, provider)).fetchone()
        return None if row is None else Charge(**dict(zip(Charge.__struct_fields__, row, strict=True)))

    def page(self, provider: str, *, after: int, limit: int) -> list[Charge]:
        """A page of charges in the order they were made, after a sequence number."""
        query = f"SELECT {_COLUMNS} FROM charges WHERE provider = ? AND sequence > ? ORDER BY sequence LIMIT ?"
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

    def held_twice(self) -> list[tuple[str, int]]:
        """Payment references with more than one charge that holds or took money, over all providers, and how many."""
        rows = self._db.execute(
            """SELECT payment_reference, COUNT(*) FROM charges WHERE state IN ('authorized', 'captured') GROUP BY payment_reference
               HAVING COUNT(*) > 1 LIMIT ?""",
            (DUPLICATES_SHOWN_MAX,),
        ).fetchall()
        return [(str(reference), int(count)) for reference, count in rows]

    def add(self, charge: Charge) -> Charge:
        """A new charge, which gets its number."""
        values = msgspec.structs.astuple(charge)[1:]
        inserted = self._db.execute(f"INSERT INTO charges VALUES (NULL, {', '.join('?' * len(values))})", values)
        return msgspec.structs.replace(charge, sequence=inserted.lastrowid or 0)

    def set(self, charge: Charge, **columns: int | str) -> None:
        """Change some of a charge's columns."""
        assignments = ", ".join(f"{column} = ?" for column in columns)
        self._db.execute(f"UPDATE charges SET {assignments} WHERE sequence = ?", (*columns.values(), charge.sequence))


def refused(code: str, message: str) -> Answer:
    """Nothing happened."""
    return Answer(status="refused", code=code, message=message)


def reference_of(provider: str, kind: str, key: str) -> str:
    """What a provider calls the thing that it made for a key."""
    return f"{provider}_{kind}_{hashlib.blake2b(f'{provider}|{key}'.encode(), digest_size=12).hexdigest()}"
