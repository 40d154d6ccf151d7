"""`/v1/settlement_windows` and `/v1/reconciliations`: when money was settled, and that the books agree on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.http.errors import NotFound
from api.http.operations import Operation, Route
from api.http.parameters import Spec, Text
from api.http.service import Answer, Caller, now_ms
from api.payouts import render
from api.payouts.lists import Lists
from api.reads.paging import CREATED, PAGE, page_of
from api.reads.render import listed

_WINDOWS, _RECONCILIATIONS = "/v1/settlement_windows", "/v1/reconciliations"
KINDS = ("payments_to_windows", "ledger_to_windows", "payouts_to_ledger", "payouts_to_balance_transactions")

LIST = Operation(
    method="GET",
    path=_WINDOWS,
    id="GetSettlementWindows",
    summary="Lists settlement windows, the one that opened last first.",
    scope="settlement_windows:read",
    object="settlement_window",
    answers="list",
    spec=Spec(
        fields={
            **PAGE,
            **CREATED,
            "status": Text(choices=("open", "closed")),
            "provider": Text(),
            "currency": Text(chars_max=3),
        }
    ),
)
RETRIEVE = Operation(
    method="GET",
    path=_WINDOWS + "/{id}",
    id="GetSettlementWindowsWindow",
    summary="Shows a settlement window as it stands.",
    scope="settlement_windows:read",
    object="settlement_window",
)
COMPARE = Operation(
    method="GET",
    path=_RECONCILIATIONS,
    id="GetReconciliations",
    summary="Compares the books now, for each provider and currency; a remainder is what no record explains.",
    scope="reconciliations:read",
    object="reconciliation",
    answers="list",
    spec=Spec(
        fields={**PAGE, "kind": Text(choices=KINDS), "provider": Text(), "currency": Text(chars_max=3)},
    ),
)


class Windows:
    """Shows; one for each process."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists

    def routes(self) -> tuple[Route, ...]:
        """For `api.http.app.application(routes=...)`."""
        return (
            Route(operation=LIST, work=self._list),
            Route(operation=RETRIEVE, work=self._retrieve),
            Route(operation=COMPARE, work=self._compare),
        )

    async def _list(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        found = await self._lists.windows(caller.identity.tenant, given)
        return Answer(body=listed(_WINDOWS, await self._shown(caller, found.rows), has_more=found.has_more))

    async def _retrieve(self, caller: Caller, path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        row = await self._lists.window(caller.identity.tenant, path["id"])
        if row is None:
            raise NotFound("settlement_window")
        (body,) = await self._shown(caller, [row])
        return Answer(body=body)

    async def _shown(self, caller: Caller, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        sums, made = await self._lists.moved(caller.identity.tenant, [row["object_id"] for row in rows])
        livemode = caller.identity.livemode
        return [
            render.settlement_window(
                row, moved=sums.get(row["object_id"], {}), payout_id=made.get(row["object_id"], ""), livemode=livemode
            )
            for row in rows
        ]

    async def _compare(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Few: four for each provider and currency. So pages are cut here, out of all of them."""
        tenant, livemode = caller.identity.tenant, caller.identity.livemode
        at_ms = now_ms()
        every = [
            render.reconciliation(row, tenant=tenant, now_ms=at_ms, livemode=livemode)
            for row in await self._lists.proofs(tenant)
        ]
        wanted = {name: given[name] for name in ("kind", "provider", "currency") if given.get(name)}
        if "currency" in wanted:
            wanted["currency"] = wanted["currency"].lower()
        every = [one for one in every if all(one[name] == value for name, value in wanted.items())]
        return Answer(body=page_of(_RECONCILIATIONS, given, every, id_of=lambda one: one["id"], render=lambda one: one))
