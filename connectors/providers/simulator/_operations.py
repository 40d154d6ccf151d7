"""Every operation's answer under its idempotency key, for ever; and how often each key was tried."""

from __future__ import annotations

import sqlite3

import msgspec

from connectors.providers.simulator._terms import Answer

SCHEMA = """
CREATE TABLE IF NOT EXISTS operations (
    provider TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, method TEXT NOT NULL, answer BLOB NOT NULL,
    PRIMARY KEY (provider, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tries (
    provider TEXT NOT NULL, key TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (provider, key)) WITHOUT ROWID;
"""


class Operations:
    """What was answered. The caller commits."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def fingerprint(self, provider: str, key: str) -> str | None:
        """Of the request that the key was used with; None: of none."""
        row = self._db.execute(
            "SELECT fingerprint FROM operations WHERE provider = ? AND key = ?", (provider, key)
        ).fetchone()
        return None if row is None else str(row[0])

    def answer(self, provider: str, key: str) -> Answer | None:
        """What was answered last."""
        row = self._db.execute(
            "SELECT answer FROM operations WHERE provider = ? AND key = ?", (provider, key)
        ).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=Answer)

    def method(self, provider: str, key: str) -> str:
        """The payment method an operation was about; empty when there is no such operation."""
        row = self._db.execute(
            "SELECT method FROM operations WHERE provider = ? AND key = ?", (provider, key)
        ).fetchone()
        return "" if row is None else str(row[0])

    def remember(self, provider: str, key: str, answer: Answer, *, fingerprint: str, method: str) -> None:
        """The first answer."""
        self._db.execute(
            "INSERT INTO operations VALUES (?, ?, ?, ?, ?)",
            (provider, key, fingerprint, method, msgspec.json.encode(answer)),
        )

    def change(self, provider: str, key: str, answer: Answer) -> None:
        """A later answer, of an operation that had taken its time."""
        self._db.execute(
            "UPDATE operations SET answer = ? WHERE provider = ? AND key = ?",
            (msgspec.json.encode(answer), provider, key),
        )

    def next_try(self, provider: str, key: str) -> int:
        """Count a try or an inquiry of a key; the first is number 0."""
        row = self._db.execute(
            "INSERT INTO tries VALUES (?, ?, 0) ON CONFLICT DO UPDATE SET number = number + 1 RETURNING number",
            (provider, key),
        ).fetchone()
        return int(row[0])
