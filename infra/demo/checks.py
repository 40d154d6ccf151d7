"""The figures that have to add up after a run, each computed from where it is told: topics, ClickHouse, the providers' books."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connectors.clickhouse import verify
from connectors.clickhouse.client import Client

if TYPE_CHECKING:
    from infra.demo.bad import BadRecord

_HTTP_TIMEOUT_S = 30
_NOT_KEPT = ("card_number", "undecodable")
"""A card number is never kept; an intent that can't be read may hold a customer's personal data."""

_TERMINAL = "'succeeded', 'canceled'"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to hold; `detail` says with which figures it does or doesn't."""

    name: str
    holds: bool
    detail: str


class Checker:
    """Checks one quiet stack: everything sent has been decided, settled and landed."""

    def __init__(self, warehouse: Client, *, bootstrap: str, simulator: str | None) -> None:
        self._warehouse = warehouse
        self._bootstrap = bootstrap
        self._simulator = simulator

    def run(self, *, intents: int, bad: tuple[BadRecord, ...] = ()) -> Iterator[Check]:
        """Yields each check as it is made. `intents` is how many good ones were sent, over all runs on this data."""
        yield self._intents(intents)
        yield self._nothing("no outcome is unknown any more", "SELECT payment_id FROM payments WHERE outcome_unknown")
        yield self._nothing("no unbalanced event", "SELECT event_id, currency, sum_minor FROM proof_balanced")
        yield self._nothing(
            "balance transactions say what the ledger says",
            "SELECT event_id, net_minor, ledger_minor FROM proof_balances",
        )
        yield self._nothing(
            "payouts, ledger and balance transactions say the same",
            "SELECT tenant, provider, currency FROM proof_payouts WHERE NOT holds",
        )
        yield from self._settled()
        yield self._nothing(
            "every movement is in exactly one settlement window, and closed windows never change",
            "SELECT tenant, provider, currency FROM proof_settled WHERE NOT holds",
        )
        yield self._nothing(
            "every settlement window is closed", "SELECT window_id FROM settlement_windows WHERE status != 'closed'"
        )
        yield self._nothing(
            "every event is landed exactly once", "SELECT topic, partition FROM proof_landed WHERE NOT holds"
        )
        yield self._topics_equal()
        yield self._nothing(
            "each payment's events are numbered without gap",
            "SELECT payment_id FROM payment_events GROUP BY tenant, payment_id"
            " HAVING max(sequence) != count() OR uniqExact(sequence) != count()",
        )
        yield self._nothing(
            "every event names its tenant, actor, request and cause",
            "SELECT event_id FROM payment_events WHERE tenant = '' OR actor_kind IN ('', 'unrecognized') OR actor_id = ''"
            " OR request_id = '' OR cause_topic = ''",
        )
        yield self._nothing(
            "at most one attempt of a payment ended captured",
            "SELECT payment_id FROM charges WHERE amount_captured_minor > 0 GROUP BY tenant, payment_id HAVING count() > 1",
        )
        if bad:
            yield self._rejected(bad)
        if self._simulator is not None:
            yield from self._providers_agree(self._simulator)

    def _nothing(self, name: str, sql: str) -> Check:
        """Holds when the query, which looks for offenders, finds none."""
        found = self._warehouse.rows(f"{sql} LIMIT 3")
        return Check(name, not found, "none found" if not found else f"such as {found}")

    def _intents(self, sent: int) -> Check:
        payments, terminal = self._warehouse.rows(
            f"SELECT count(), countIf(status IN ({_TERMINAL})) FROM payments"  # noqa: S608 - constants
        )[0]
        still_open = payments - terminal
        detail = f"{sent:,} intents = {terminal:,} terminal + {still_open:,} open (declined, to be confirmed anew)"
        return Check("intents in = terminal payments + payments still open", payments == sent, detail)

    def _settled(self) -> Iterator[Check]:
        rows = self._warehouse.rows(
            "SELECT p.currency, p.minor, w.minor FROM"
            " (SELECT currency, sum(net_minor) AS minor FROM ("
            "   SELECT currency, toInt128(amount_received_minor) - amount_refunded_minor AS net_minor FROM payments"
            "   WHERE amount_received_minor > 0 AND (tenant, payment_id) NOT IN (SELECT tenant, payment_id FROM converted_payments)"
            "   UNION ALL SELECT currency, captured_minor - refunded_minor AS net_minor FROM converted_payments) GROUP BY currency) AS p LEFT JOIN"
            " (SELECT currency, sum(captured_minor - refunded_minor) AS minor FROM settlement_windows GROUP BY currency) AS w"
            " USING (currency) ORDER BY p.currency"
        )
        yield Check("money was captured", bool(rows), f"in {len(rows)} currencies")
        for currency, payments_minor, windows_minor in rows:
            detail = f"{int(payments_minor):,} = {int(windows_minor):,} minor units"
            yield Check(
                f"captured − refunded = settlement windows, {currency}", payments_minor == windows_minor, detail
            )

    def _topics_equal(self) -> Check:
        differences = verify.compare(self._bootstrap, self._warehouse)
        missing = verify.unlanded(self._bootstrap, self._warehouse)
        rows = self._warehouse.value("SELECT sum(records) FROM landed_ranges")
        detail = f"{rows:,} records, compared one by one" if not differences else "; ".join(map(str, differences[:3]))
        if missing:
            detail += f"; {missing} records of the topics are not landed"
        return Check("ClickHouse holds what the topics hold", not differences and not missing, detail)

    def _rejected(self, bad: tuple[BadRecord, ...]) -> Check:
        """Each bad record is there with its reason and its bytes (but where those may hold what must not be kept)."""
        found = {
            key: (reason, value)
            for key, reason, value in self._warehouse.rows(
                "SELECT value_sha256, any(reason), any(hex(value)) FROM rejections GROUP BY value_sha256"
            )
        }
        wrong = []
        for record in bad:
            reason, value = found.get(_sha256(record.value), ("missing", ""))
            kept = "" if record.reason in _NOT_KEPT else record.value.hex().upper()
            if reason != record.reason or (value or "") != kept:
                wrong.append(f"{record.what}: {reason}")
        detail = f"{len(bad)} kinds, each with its reason and its bytes" if not wrong else "; ".join(wrong)
        return Check("bad records are on records.rejected", not wrong, detail)

    def _providers_agree(self, simulator: str) -> Iterator[Check]:
        """The providers' own books: what they charged and refunded is what our payments say, and nobody was charged twice."""
        with urllib.request.urlopen(f"{simulator}/summary", timeout=_HTTP_TIMEOUT_S) as answer:  # noqa: S310 - our own URL
            summary: dict[str, Any] = json.load(answer)
        theirs = {
            (line["provider"], line["currency"]): (line["captured_minor"], line["refunded_minor"])
            for line in summary["totals"]
            if line["captured_minor"]
        }
        ours = {
            (provider, currency): (int(captured), int(refunded))
            for provider, currency, captured, refunded in self._warehouse.rows(
                "SELECT provider, currency, sum(amount_captured_minor), sum(amount_refunded_minor) FROM charges"
                " GROUP BY provider, currency HAVING sum(amount_captured_minor) > 0"
            )
        }
        unequal = {
            key: (ours.get(key), theirs.get(key))
            for key in ours.keys() | theirs.keys()
            if ours.get(key) != theirs.get(key)
        }
        detail = f"{len(ours)} pairs of provider and currency" if not unequal else f"ours, theirs: {unequal}"
        yield Check("the providers' books say the same", not unequal, detail)
        yield from self._payouts_agree(summary)
        doubled = summary["payments_held_twice"]
        yield Check(
            "no payment was charged twice", not doubled, "none found" if not doubled else f"such as {doubled[:3]}"
        )

    def _payouts_agree(self, summary: dict[str, Any]) -> Iterator[Check]:
        """What the providers paid out is what our payouts say, each once."""
        theirs = {
            (line["provider"], line["currency"]): line["paid_minor"]
            for line in summary["payouts"]
            if line["paid_minor"]
        }
        ours = {
            (provider, currency): int(paid_minor)
            for provider, currency, paid_minor in self._warehouse.rows(
                "SELECT provider, currency, sum(amount_minor) FROM payouts WHERE status = 'paid' GROUP BY provider, currency"
            )
        }
        agree = ours == theirs
        detail = f"{len(ours)} pairs of provider and currency" if agree else f"ours: {ours}, theirs: {theirs}"
        yield Check("the providers' payouts are ours", agree, detail)
        doubled = summary["payouts_made_twice"]
        yield Check("no payout was made twice", not doubled, f"such as {doubled[:3]}" if doubled else "none found")


def _sha256(value: bytes) -> str:
    from hashlib import sha256

    return sha256(value).hexdigest()
