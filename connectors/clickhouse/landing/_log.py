"""The landing's log in ClickHouse: which batches were claimed, by whom, and which are done.

A claim's number is taken by exactly one insert: it carries the number as its deduplication token, which ClickHouse checks
under the lock that makes the part visible, and it adds its rows only when the number is the next. So claims are a
compare-and-set, and every batch has one meaning for ever, whoever appends it.
"""

# ruff: noqa: S608 - the names and numbers in these statements are our own

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from connectors.clickhouse.client import Client
from connectors.clickhouse.errors import RowsDiffer, Unavailable
from connectors.clickhouse.landing._parts import Row
from connectors.clickhouse.landing._rows import Place, Rows
from connectors.clickhouse.landing._tables import APPEND_SETTINGS, BOOKS, CLAIMS, RANGES, Table

TOKENS_MAX = 5
"""Tokens of one append that may be burnt: each takes a crash of the server between two instructions."""

Span = tuple[int, int]  # first offset, first offset after

_CLAIM_IS_NEXT = "WHERE seq = coalesce((SELECT seq FROM landing_claims ORDER BY seq DESC LIMIT 1), 0) + 1"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One batch as agreed: which offsets of which partitions."""

    seq: int
    writer: str
    spans: Mapping[Place, Span]

    def covers(self, places: Iterable[Place]) -> bool:
        """Whether it has offsets of one of these partitions."""
        return any(place in self.spans for place in places)


class Log:
    """Reads and writes the log. `known` is the newest claim that was read or made."""

    def __init__(self, client: Client, *, writer: str) -> None:
        self._client = client
        self._writer = writer
        self._replicated = "Replicated" in str(
            client.value(
                "SELECT any(engine) FROM system.tables WHERE database = currentDatabase() AND name = 'landing_claims'"
            )
        )
        self._settings = dict(APPEND_SETTINGS)
        self._reading: dict[str, Any] = {}
        if self._replicated:
            # Whoever reads the log must see every claim, on whichever replica it was made.
            self._settings |= {"insert_quorum": "auto", "insert_quorum_parallel": 0}
            self._reading["select_sequential_consistency"] = 1
        self.known = 0

    def refresh(self) -> list[Claim]:
        """Read how far the log is, and return the claims that are not landed, oldest first."""
        self.known = int(self._rows("SELECT max(seq) FROM landing_claims")[0][0])
        return self._claims(
            "SELECT landing_claims.seq FROM landing_claims LEFT JOIN landed_positions USING (_topic, _partition) "
            f"WHERE seq <= {self.known} AND landing_claims.from_offset >= landed_positions.next_offset",
        )

    def newest(self) -> int:
        """Number of the newest claim; 0 when there is none."""
        return int(self._rows("SELECT max(seq) FROM landing_claims")[0][0])

    def positions(self) -> dict[Place, int]:
        """First offset that is not landed, per partition that has anything landed."""
        found = self._rows("SELECT _topic, _partition, next_offset FROM landed_positions")
        return {Place(topic, partition): next_offset for topic, partition, next_offset in found}

    def claim(self, spans: Mapping[Place, Span]) -> Claim | None:
        """Claim these offsets as the next batch. None when another writer has claimed offsets of these partitions."""
        token = 1
        while True:
            seq = self.known + 1
            now_ms = time.time_ns() // 1_000_000
            rows = [(seq, self._writer, *place, *span, now_ms) for place, span in sorted(spans.items())]
            self._insert_claim(rows, token=f"{seq}:{token}")
            made = self._claims(f"SELECT seq FROM landing_claims WHERE seq > {self.known}")
            if not made:
                token = self._next_token(token, f"claim {seq}")
                continue
            token = 1
            self._check_chain(made)
            self.known = made[-1].seq
            if made[0].writer == self._writer:
                return made[0]
            if any(claim.covers(spans) for claim in made):
                return None

    def append(self, table: Table, seq: int, rows: Sequence[Row], *, token: int) -> None:
        """Append a batch's rows to a table, unless they are there."""
        settings = self._settings | {"insert_deduplication_token": f"{seq}:{token}"}
        self._client.insert(table.append(seq), table.encode(rows), settings=settings)

    def held(self, claim: Claim, tables: Iterable[Table]) -> dict[str, int]:
        """How many rows of the batch each of these tables holds."""
        found = self._rows(" UNION ALL ".join(table.held(claim.seq) for table in tables))
        return {name: int(count) for name, count in found}

    def complete(self, claim: Claim, rows: Rows, *, fault: Any) -> None:
        """Append the batch to every table, the ranges last, and check each: the tables hold the batch, no more and no less.

        Any number of writers may do so at once or again: the claim fixes what the rows are, a token lets one insert of
        several at the same time through, and the condition stops all later ones. Raises `RowsDiffer`.
        """
        books = [table for table in BOOKS if table.name in rows.by_table]
        self._fill(claim, [(table, rows.by_table[table.name]) for table in books], fault)
        fault("booked")
        now_ms = time.time_ns() // 1_000_000
        ranges: list[Row] = []
        for place, span in sorted(claim.spans.items()):
            tally = rows.tallies[place]
            ranges.append(
                (
                    *place,
                    *span,
                    tally.records,
                    tally.skipped,
                    tally.postings,
                    tally.first_timestamp_ms,
                    tally.last_timestamp_ms,
                    now_ms,
                )
            )
        self._fill(claim, [(RANGES, ranges)], fault)
        fault("landed")

    def _fill(self, claim: Claim, parts: list[tuple[Table, list[Row]]], fault: Any) -> None:
        token = 1
        while parts:
            for table, rows in parts:
                self.append(table, claim.seq, rows, token=token)
                fault(f"appended:{table.name}")
            held = self.held(claim, [table for table, _ in parts])
            for table, rows in parts:
                if held[table.name] > len(rows) or 0 < held[table.name] < len(rows):
                    raise RowsDiffer(
                        f"{table.name} holds {held[table.name]} rows of batch {claim.seq}, which has {len(rows)}; landing "
                        "stops. SELECT * FROM proof_landed WHERE NOT holds tells the partitions; restore the table"
                    )
            parts = [(table, rows) for table, rows in parts if held[table.name] != len(rows)]
            if parts:
                token = self._next_token(token, f"batch {claim.seq} in {parts[0][0].name}")

    def _next_token(self, token: int, what: str) -> int:
        """What to try after an append that was answered and yet is not there.

        A single server notes an insert's token a moment before the rows: one that dies in between drops every later
        insert with that token. It is burnt for everybody, so the next one is as good as the first. On replicas both are
        written at once, and what is missing is only late.
        """
        if self._replicated:
            raise Unavailable(f"{what} is not visible on this replica yet")
        if token >= TOKENS_MAX:
            raise RowsDiffer(
                f"{what} was answered {token} times and is not there; landing stops. Something removes rows, or the table's "
                "largest offset is beyond its ranges: SELECT * FROM proof_landed WHERE NOT holds"
            )
        return token + 1

    def _insert_claim(self, rows: Sequence[Row], *, token: str) -> None:
        names = ", ".join(CLAIMS.columns)
        sql = (
            f"INSERT INTO {CLAIMS.name} ({names}) SELECT {names} FROM input('{CLAIMS.structure}') "
            f"{_CLAIM_IS_NEXT} FORMAT MsgPack"
        )
        settings = self._settings | {"insert_deduplication_token": token}
        self._client.insert(sql, CLAIMS.encode(rows), settings=settings)

    def _claims(self, numbers: str) -> list[Claim]:
        """The whole claims whose numbers this query selects, in order."""
        found = self._rows(
            "SELECT seq, writer, _topic, _partition, from_offset, next_offset FROM landing_claims "
            f"WHERE seq IN ({numbers}) ORDER BY seq, _topic, _partition",
        )
        claims: dict[int, tuple[str, dict[Place, Span]]] = {}
        for seq, writer, topic, partition, from_offset, next_offset in found:
            first, spans = claims.setdefault(int(seq), (writer, {}))
            place = Place(topic, partition)
            if first != writer or place in spans:
                raise RowsDiffer(
                    f"claim {seq} was made twice; is deduplication of inserts switched off on this server? Landing stops"
                )
            spans[place] = (from_offset, next_offset)
        return [Claim(seq=seq, writer=writer, spans=spans) for seq, (writer, spans) in claims.items()]

    def _check_chain(self, made: Sequence[Claim]) -> None:
        numbers = [claim.seq for claim in made]
        if numbers != list(range(self.known + 1, self.known + 1 + len(made))):
            raise RowsDiffer(f"claims after {self.known} are {numbers[:10]}: the log has gaps; landing stops")

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._client.rows(sql, settings=self._reading)
