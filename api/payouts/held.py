"""`/v1/operators/payouts`: payouts in doubt, held or contradicted, and what people ask of them and say of them.

Asking the provider once more moves nothing and takes one person. What became of a payout takes two: one proposes, another approves.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from api.http._tables import Tables
from api.http.errors import NotFound
from api.http.operations import Operation, Route, Work
from api.http.parameters import Spec, Text
from api.http.service import Answer, Caller, Service, now_ms
from api.identity import proposers
from api.identity.people import REASON_CHARS_MAX
from api.payouts import render
from api.payouts.lists import Lists, payout_of
from api.payouts.payouts import Sends, ask
from api.reads.paging import CREATED, PAGE
from api.reads.render import listed
from api.reads.service import Reads
from schemas.ids import is_payout_id, proposal_id
from schemas.records import PayoutCommand, PayoutCommandKind, PayoutObject

STATES = ("unknown", "held", "contradicted")
RESOLUTIONS = ("paid", "failed")
REFERENCE_CHARS_MAX = 255
LOOKUPS_MAX = 8
LOOKUP_PAUSE_S = 0.25
"""Some two seconds for a proposal that was told by another process and has not landed yet."""

_URL = "/v1/operators/payouts"
_REASON = Text(required=True, chars_max=REASON_CHARS_MAX)
_ID_CHARS_MAX = 64

_encode = msgspec.json.Encoder(order="sorted").encode

LIST = Operation(
    method="GET",
    path=_URL,
    id="GetOperatorsPayouts",
    summary="Lists payouts whose outcome nobody knows, that are held, or that their provider contradicts, newest first.",
    scope="operations:read",
    object="held_payout",
    answers="list",
    spec=Spec(
        fields={
            **PAGE,
            **CREATED,
            "state": Text(choices=STATES),
            "provider": Text(),
            "currency": Text(chars_max=3),
        }
    ),
)


def _operation(name: PayoutCommandKind, summary: str, **fields: Any) -> Operation:
    return Operation(
        method="POST",
        path=f"{_URL}/{{payout}}/{name}",
        id=f"PostOperatorsPayoutsPayout{name.capitalize()}",
        summary=summary,
        scope=proposers.SCOPE,
        object="payout_operation",
        spec=Spec(fields={**fields, "reason": _REASON}),
    )


INQUIRE = _operation("inquire", "Have the provider asked at once what became of a payout.")
PROPOSE = _operation(
    "propose",
    "Say what became of a payout that is in doubt, held or contradicted; it is so once another person approves.",
    resolution=Text(required=True, choices=RESOLUTIONS),
    reference=Text(chars_max=REFERENCE_CHARS_MAX),
)
APPROVE = _operation(
    "approve",
    "Approve what another person proposed; it is carried out at once.",
    proposal=Text(required=True, chars_max=_ID_CHARS_MAX),
)


class Held:
    """Asks and shows; one for each process."""

    def __init__(self, commands: Sends, lists: Lists, reads: Reads, tables: Tables) -> None:
        self._commands, self._lists, self._reads, self._tables = commands, lists, reads, tables

    def routes(self) -> tuple[Route, ...]:
        """For `api.http.app.application(routes=...)`."""
        works: Mapping[PayoutCommandKind, Operation] = {"inquire": INQUIRE, "propose": PROPOSE, "approve": APPROVE}
        return (
            Route(operation=LIST, work=self._list),
            *(Route(operation=operation, work=self._work(kind)) for kind, operation in works.items()),
        )

    async def _list(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        found = await self._lists.held(caller.identity.tenant, given)
        shown = [held_payout(row, livemode=caller.identity.livemode) for row in found.rows]
        return Answer(body=listed(_URL, shown, has_more=found.has_more))

    def _work(self, kind: PayoutCommandKind) -> Work:
        async def work(caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
            caller = Service.with_key(replace(caller, identity=replace(caller.identity, reason=given["reason"])))
            tenant, payout = caller.identity.tenant, path["payout"]
            row = await self._lists.payout(tenant, payout) if is_payout_id(payout) else None
            if row is None:
                raise NotFound("payout", param="payout")
            if kind == "approve":
                proposer = await self._proposer(tenant, payout, given["proposal"])
                await proposers.check(self._tables, proposer, tenant=tenant, now_ms=now_ms())
            command = PayoutCommand(
                kind=kind,
                tenant=tenant,
                provider=row["provider"],
                currency=row["currency"],
                payout_id=payout,
                resolution=given.get("resolution") or "",
                reference=given.get("reference") or "",
                proposal_id=given.get("proposal") or "",
                fingerprint=hashlib.sha256(_encode([_URL, kind, payout, given])).hexdigest(),
                attribution=caller.attribution(),
            )
            reply = await ask(self._commands, self._reads, command, flow=f"{row['provider']}/{row['currency']}")
            assert reply.payout is not None, "an answer without an error has the payout"
            proposal = given.get("proposal") or (
                proposal_id(tenant, payout, caller.idempotency_key) if kind == "propose" else ""
            )
            body = operation(
                reply.payout,
                kind=kind,
                request=caller.request_id,
                proposal=proposal,
                livemode=caller.identity.livemode,
            )
            return Answer(body=body, replayed=reply.replayed)

        return work

    async def _proposer(self, tenant: str, payout: str, proposal: str) -> str:
        """Who proposed it, so far as has landed: without knowing nothing is approved. Raises `NotFound`."""
        for number in range(LOOKUPS_MAX):
            if number:
                await asyncio.sleep(LOOKUP_PAUSE_S)
            found = await self._lists.proposer(tenant, payout, proposal)
            if found:
                return found
        raise NotFound("proposal", param="proposal")


def held_payout(row: Mapping[str, Any], *, livemode: bool) -> dict[str, Any]:
    """A payout that nobody can be sure of, from the warehouse, with what is proposed about it."""
    proposed = row["proposal_id"] and {
        "id": row["proposal_id"],
        "proposed_by": row["proposed_by"],
        "reason": row["proposal_reason"],
        "reference": row["proposal_reference"] or None,
        "resolution": row["proposal_resolution"],
    }
    payout = payout_of(row)
    return {
        "id": payout.id,
        "object": "held_payout",
        "contradicted_by": row["conflict"] or None,
        "doubt": row["doubt"] or None,
        "livemode": livemode,
        "payout": render.payout(payout, livemode=livemode),
        "proposal": proposed or None,
        "since": row["since_ms"] // 1000,
    }


def operation(payout: PayoutObject, *, kind: str, request: str, proposal: str, livemode: bool) -> dict[str, Any]:
    """What was asked and how the payout stands."""
    return {
        "id": proposal or request,
        "object": "payout_operation",
        "contradicted_by": payout.conflict or None,
        "doubt": payout.doubt or None,
        "kind": kind,
        "livemode": livemode,
        "payout": render.payout(payout, livemode=livemode),
        "proposal": proposal or None,
    }
