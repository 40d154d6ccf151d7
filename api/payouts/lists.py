"""What the warehouse has of payouts, settlement windows and their proofs: pages in a stable order, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from api.reads import paging
from api.reads.landed import LandedPayouts
from api.reads.warehouse import Parameter, Warehouse
from schemas.records import PayoutObject

_PAYOUTS = """
SELECT payout_id AS object_id, toInt64(created_ms) AS at, provider, currency, to_status AS status, amount_minor, destination, description,
    metadata, automatic, window_id, provider_reference, failure_code, failure_message, outcome_unknown, due_ms, paid_ms
FROM payout_events WHERE tenant = {tenant:String}
ORDER BY sequence DESC LIMIT 1 BY payout_id"""
_HELD = """
SELECT newest.object_id AS object_id, at, provider, currency, status, amount_minor, destination, description, metadata, automatic, window_id,
    provider_reference, failure_code, failure_message, outcome_unknown, due_ms, paid_ms,
    if(doubt = '' AND outcome_unknown, 'unknown', doubt) AS doubt, conflict, since_ms,
    multiIf(conflict != '', 'contradicted', doubt = '', 'unknown', doubt) AS state,
    proposal_id, proposal_resolution, proposal_reference, proposal_reason, proposed_by
FROM
(
    SELECT payout_id AS object_id, toInt64(created_ms) AS at, provider, currency, to_status AS status, amount_minor, destination, description,
        metadata, automatic, window_id, provider_reference, failure_code, failure_message, outcome_unknown, due_ms, paid_ms, doubt, conflict,
        toInt64(occurred_ms) AS since_ms
    FROM payout_events WHERE tenant = {tenant:String}
    ORDER BY sequence DESC LIMIT 1 BY payout_id
) AS newest
LEFT JOIN
(
    SELECT object_id, proposal_id, proposal_resolution, proposal_reference, proposal_reason, proposed_by
    FROM
    (
        SELECT payout_id AS object_id, proposal_id, proposal_resolution, proposal_reference, proposal_reason, proposed_by, approved_by
        FROM payout_events WHERE tenant = {tenant:String} AND proposal_id != ''
        ORDER BY sequence DESC LIMIT 1 BY payout_id
    )
    WHERE approved_by = ''
) AS proposed ON proposed.object_id = newest.object_id
WHERE outcome_unknown OR conflict != ''"""
_PROPOSER = """
SELECT proposed_by FROM payout_events
WHERE tenant = {tenant:String} AND payout_id = {payout:String} AND proposal_id = {proposal:String} LIMIT 1"""
_WINDOWS = """
SELECT window_id AS object_id, toInt64(opens_ms) AS at, provider, currency, status, closes_ms, closed_ms, movements, captured_minor,
    refunded_minor, fees_minor, net_minor, late_movements
FROM settlement_windows WHERE tenant = {tenant:String}"""
_TRANSACTIONS = """
SELECT source, argMaxIf(transaction_id, (occurred_ms, _offset), type = 'payout') AS taken,
    if(argMax(type, (occurred_ms, _offset)) = 'payout', '', argMax(transaction_id, (occurred_ms, _offset))) AS returned
FROM balance_transactions
WHERE tenant = {tenant:String} AND source IN {ids:Array(String)} AND startsWith(type, 'payout')
GROUP BY source"""
_MOVED = """
SELECT window_id, movement_kind, toInt64(sum(movement_amount_minor)) AS amount
FROM settlement_events
WHERE tenant = {tenant:String} AND window_id IN {ids:Array(String)} AND movement_id != ''
GROUP BY window_id, movement_kind"""
_MADE = """
SELECT window_id, payout_id FROM payout_events
WHERE tenant = {tenant:String} AND sequence = 1 AND window_id IN {ids:Array(String)}"""
_PAYABLE = """
SELECT provider, toInt64(payable_minor - waiting) AS payable
FROM payable_balances
LEFT JOIN
(
    SELECT provider, currency, sum(toInt128(net_minor)) AS waiting
    FROM settlement_windows
    WHERE tenant = {tenant:String} AND status = 'closed' AND net_minor > 0 AND closes_ms + {delay_ms:Int64} > {now_ms:Int64}
    GROUP BY provider, currency
) AS later USING (provider, currency)
WHERE tenant = {tenant:String} AND currency = {currency:String} AND payable > 0
ORDER BY payable DESC, provider"""
_PROOFS = """
SELECT kind, provider, currency, toInt64(expected) AS expected, toInt64(found) AS found, toInt64(records) AS records, toInt64(faults) AS faults
FROM
(
    SELECT 'payments_to_windows' AS kind, provider, currency, payments_minor AS expected, windows_minor AS found,
        disagreeing_windows + doubled_movements AS faults
    FROM proof_settled WHERE tenant = {tenant:String}
    UNION ALL
    SELECT 'ledger_to_windows', provider, currency, ledger_net_minor, windows_net_minor, disagreeing_windows + doubled_movements
    FROM proof_settled WHERE tenant = {tenant:String}
    UNION ALL
    SELECT 'payouts_to_ledger', provider, currency, payouts_minor, ledger_minor, broken_sequences
    FROM proof_payouts WHERE tenant = {tenant:String}
    UNION ALL
    SELECT 'payouts_to_balance_transactions', provider, currency, payouts_minor, transactions_minor, broken_sequences
    FROM proof_payouts WHERE tenant = {tenant:String}
) AS proofs
LEFT JOIN
(
    SELECT 'payments' AS of, provider, currency, countIf(movement_id != '') AS records
    FROM settlement_events WHERE tenant = {tenant:String} GROUP BY provider, currency
    UNION ALL
    SELECT 'payouts' AS of, provider, currency, uniqExact(payout_id) AS records
    FROM payout_events WHERE tenant = {tenant:String} GROUP BY provider, currency
) AS counted
ON counted.of = if(startsWith(kind, 'payouts'), 'payouts', 'payments') AND counted.provider = proofs.provider
    AND counted.currency = proofs.currency
ORDER BY kind, provider, currency"""


class Found(msgspec.Struct, frozen=True):
    """A page's rows, newest first."""

    rows: list[dict[str, Any]]
    has_more: bool


class Lists:
    """Every method takes the tenant of the credential, and every query has it as a bound parameter."""

    def __init__(self, warehouse: Warehouse, landed: LandedPayouts) -> None:
        self._warehouse, self._landed = warehouse, landed

    async def payouts(self, tenant: str, given: Mapping[str, Any]) -> Found:
        """A page of payouts. Raises `InvalidRequest`, `Unavailable`."""
        return await self._page(_PAYOUTS, tenant, given, ("status", "provider", "currency", "destination"))

    async def payout(self, tenant: str, payout_id: str) -> dict[str, Any] | None:
        """One payout's row; None where the tenant has no such. Raises `Unavailable`."""
        return await self._one(_PAYOUTS, tenant, payout_id)

    async def held(self, tenant: str, given: Mapping[str, Any]) -> Found:
        """A page of payouts in doubt, held or contradicted, with what is proposed of each. Raises `InvalidRequest`, `Unavailable`."""
        return await self._page(_HELD, tenant, given, ("state", "provider", "currency"))

    async def proposer(self, tenant: str, payout_id: str, proposal: str) -> str:
        """Who proposed it; empty where no such proposal has landed. Raises `Unavailable`."""
        await self._landed.wait(tenant)
        rows = await self._warehouse.rows(_PROPOSER, {"tenant": tenant, "payout": payout_id, "proposal": proposal})
        return str(rows[0]["proposed_by"]) if rows else ""

    async def windows(self, tenant: str, given: Mapping[str, Any]) -> Found:
        """A page of settlement windows. Raises `InvalidRequest`, `Unavailable`."""
        return await self._page(_WINDOWS, tenant, given, ("status", "provider", "currency"))

    async def window(self, tenant: str, window_id: str) -> dict[str, Any] | None:
        """One settlement window's row; None where the tenant has no such. Raises `Unavailable`."""
        return await self._one(_WINDOWS, tenant, window_id)

    async def transactions(self, tenant: str, ids: list[str]) -> dict[str, tuple[str, str]]:
        """By payout: what took its amount off the balance and what gave it back, or empty. Raises `Unavailable`."""
        rows = await self._warehouse.rows(_TRANSACTIONS, {"tenant": tenant, "ids": ids}) if ids else []
        return {row["source"]: (row["taken"], row["returned"]) for row in rows}

    async def moved(self, tenant: str, ids: list[str]) -> tuple[dict[str, dict[str, int]], dict[str, str]]:
        """By window: sums of movements by kind; and the payout that its close made, where it made one. Raises `Unavailable`."""
        if not ids:
            return {}, {}
        sums: dict[str, dict[str, int]] = {}
        for row in await self._warehouse.rows(_MOVED, {"tenant": tenant, "ids": ids}):
            sums.setdefault(row["window_id"], {})[row["movement_kind"]] = row["amount"]
        made = await self._warehouse.rows(_MADE, {"tenant": tenant, "ids": ids})
        return sums, {row["window_id"]: row["payout_id"] for row in made}

    async def payable(self, tenant: str, currency: str, *, delay_ms: int, now_ms: int) -> dict[str, int]:
        """
        By provider, most first: what is settled, available and not paid out, in minor units. Raises `Unavailable`.

        `delay_ms`: what a window comes to is available so long after it closes; a loss counts at once.
        """
        await self._landed.wait(tenant)
        parameters: dict[str, Parameter] = {
            "tenant": tenant,
            "currency": currency,
            "delay_ms": delay_ms,
            "now_ms": now_ms,
        }
        rows = await self._warehouse.rows(_PAYABLE, parameters)
        return {row["provider"]: row["payable"] for row in rows}

    async def proofs(self, tenant: str) -> list[dict[str, Any]]:
        """What each proof says of the tenant's own books. Raises `Unavailable`."""
        return await self._warehouse.rows(_PROOFS, {"tenant": tenant})

    async def _one(self, objects: str, tenant: str, object_id: str) -> dict[str, Any] | None:
        await self._landed.wait(tenant)
        sql = f"SELECT * FROM ({objects}) WHERE object_id = {{id:String}}"  # noqa: S608 - all of it is our own text
        rows = await self._warehouse.rows(sql, {"tenant": tenant, "id": object_id})
        return rows[0] if rows else None

    async def _page(self, objects: str, tenant: str, given: Mapping[str, Any], filters: tuple[str, ...]) -> Found:
        """Rows of a page by (made, id), newest first."""
        where = paging.cut(given)
        await self._landed.wait(tenant)
        tests: list[str] = []
        parameters: dict[str, Parameter] = {"tenant": tenant}
        for name in filters:
            if given.get(name):
                tests.append(f"{name} = {{{name}:String}}")
                parameters[name] = given[name].upper() if name == "currency" else given[name]
        rows, more = await paging.rows_of(self._warehouse, objects, where, given, tests=tests, parameters=parameters)
        return Found(rows, more)


def payout_of(row: Mapping[str, Any]) -> PayoutObject:
    """A row as the object that events carry."""
    names = set(PayoutObject.__struct_fields__) & row.keys()
    return PayoutObject(id=row["object_id"], created_ms=row["at"], **{name: row[name] for name in names})
