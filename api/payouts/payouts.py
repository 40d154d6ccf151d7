"""`/v1/payouts`: made of what is settled, decided where it is settled; canceled while nobody was asked for them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from api.http.commands import AnyReply, Command
from api.http.errors import NotFound, Refused
from api.http.operations import Operation, Route
from api.http.parameters import Field, Integer, Spec, Text, TextMap, Texts
from api.http.payments import Paths
from api.http.service import Answer, Caller, Service, now_ms
from api.payouts import render
from api.payouts.lists import Lists, payout_of
from api.reads.paging import CREATED, PAGE
from api.reads.render import listed
from api.reads.service import Reads
from schemas.catalogue import SETTLEMENT_INPUTS
from schemas.currencies import AMOUNT_MINOR_MAX
from schemas.ids import is_payout_id, payout_id
from schemas.records import ErrorObject, PayoutCommand, PayoutReply, Tenant

DESCRIPTION_CHARS_MAX = 1_000
STATUSES = ("pending", "in_transit", "paid", "failed", "canceled")
_URL = "/v1/payouts"
_NOT_DONE = "Stripe has it; it is not supported here, so leave it out."
_EXPAND: Mapping[str, Field] = {"expand": Texts()}
_FIELDS: Mapping[str, Field] = {
    "amount": Integer(required=True, least=1, most=AMOUNT_MINOR_MAX),
    "currency": Text(required=True, chars_max=3),
    "description": Text(chars_max=DESCRIPTION_CHARS_MAX),
    "destination": Text(),
    "metadata": TextMap(),
    "provider": Text(),
    **_EXPAND,
}

CREATE = Operation(
    method="POST",
    path=_URL,
    id="PostPayouts",
    summary="Pays out what is settled and not paid out yet, at one provider; without one, at the one that has most.",
    scope="payouts:write",
    object="payout",
    spec=Spec(
        fields=_FIELDS,
        elsewhere=dict.fromkeys(["method", "payout_method", "source_type", "statement_descriptor"], _NOT_DONE),
    ),
)
LIST = Operation(
    method="GET",
    path=_URL,
    id="GetPayouts",
    summary="Lists payouts, newest first.",
    scope="payouts:read",
    object="payout",
    answers="list",
    spec=Spec(
        fields={
            **PAGE,
            **CREATED,
            "status": Text(choices=STATUSES),
            "destination": Text(),
            "provider": Text(),
            "currency": Text(chars_max=3),
            **_EXPAND,
        },
        elsewhere={"arrival_date": _NOT_DONE},
    ),
)
RETRIEVE = Operation(
    method="GET",
    path=_URL + "/{id}",
    id="GetPayoutsPayout",
    summary="Shows a payout as it stands.",
    scope="payouts:read",
    object="payout",
    spec=Spec(fields=_EXPAND),
)
CANCEL = Operation(
    method="POST",
    path=_URL + "/{id}/cancel",
    id="PostPayoutsPayoutCancel",
    summary="Cancels a payout that is pending: its provider was not asked for it yet.",
    scope="payouts:write",
    object="payout",
    spec=Spec(fields=_EXPAND),
)
UPDATE = Operation(
    method="POST",
    path=_URL + "/{id}",
    id="PostPayoutsPayout",
    summary="Changes a payout's metadata, whatever became of it.",
    scope="payouts:write",
    object="payout",
    spec=Spec(fields={"metadata": TextMap(), **_EXPAND}),
)

_encode = msgspec.json.Encoder(order="sorted").encode


class Sends(Protocol):
    """What carries a command to its fold and the reply back."""

    async def send(self, command: Command, *, topic: str, key: str) -> AnyReply:
        """The reply."""
        ...


class Payouts:
    """Asks and shows; one for each process."""

    def __init__(self, commands: Sends, lists: Lists, reads: Reads, tenants: Mapping[str, Tenant]) -> None:
        self._commands, self._lists, self._reads, self._tenants = commands, lists, reads, tenants

    def routes(self) -> tuple[Route, ...]:
        """For `api.http.app.application(routes=...)`."""
        return (
            Route(operation=CREATE, work=self._create),
            Route(operation=LIST, work=self._list),
            Route(operation=RETRIEVE, work=self._retrieve),
            Route(operation=CANCEL, work=self._cancel),
            Route(operation=UPDATE, work=self._update),
        )

    async def _create(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """
        Make one.

        1. Which provider it should be at, as far as the warehouse knows: one that has as much. 2. The claim: at which it is, for this
        key and for good; where no provider has as much, nothing is claimed that was not before. 3. The payout, there.
        """
        caller = Service.with_key(caller)
        paths = self._reads.paths(given.pop("expand", None) or [], of="payout")
        tenant, currency = caller.identity.tenant, given["currency"].upper()
        # 1
        named = given.get("provider") or ""
        payable = {} if named else await self._payable(tenant, currency)
        command = PayoutCommand(
            tenant=tenant,
            provider=named or next((name for name, minor in payable.items() if minor >= given["amount"]), ""),
            currency=currency,
            payout_id=payout_id(tenant, caller.idempotency_key),
            amount_minor=given["amount"],
            destination=given.get("destination") or "",
            description=given.get("description") or "",
            metadata={name: text for name, text in (given.get("metadata") or {}).items() if text is not None},
            fingerprint=hashlib.sha256(_encode([_URL, given])).hexdigest(),
            attribution=caller.attribution(),
        )
        try:
            # 2
            claim = await self._ask(replace(command, kind="claim"), flow="/")
            # 3
            there = replace(command, kind="create", provider=claim.provider)
            reply = await self._ask(there, flow=f"{there.provider}/{currency}")
        except Refused as refused:
            raise _explained(refused, payable) if payable else refused from None
        return await self._answer(caller, reply, paths)

    async def _payable(self, tenant: str, currency: str) -> dict[str, int]:
        known = self._tenants.get(tenant)
        delay_ms = 0 if known is None else known.available_delay_ms
        return await self._lists.payable(tenant, currency, delay_ms=delay_ms, now_ms=now_ms())

    async def _cancel(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        return await self._change(caller, path["id"], given, PayoutCommand(kind="cancel"))

    async def _update(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Without metadata nothing is asked for, and the payout is shown."""
        if "metadata" not in given:
            return await self._retrieve(caller, path, given)
        metadata = {name: text or "" for name, text in given["metadata"].items()}
        fingerprint = hashlib.sha256(_encode([path["id"], metadata])).hexdigest()
        command = PayoutCommand(
            kind="update", metadata=metadata, metadata_cleared=not metadata, fingerprint=fingerprint
        )
        return await self._change(caller, path["id"], given, command)

    async def _change(self, caller: Caller, identity: str, given: dict[str, Any], what: PayoutCommand) -> Answer:
        """Ask what is wanted of the payout, where it is."""
        caller = Service.with_key(caller)
        paths = self._reads.paths(given.get("expand") or [], of="payout")
        row = await self._row(caller, identity)
        command = replace(
            what,
            tenant=caller.identity.tenant,
            provider=row["provider"],
            currency=row["currency"],
            payout_id=identity,
            attribution=caller.attribution(),
        )
        reply = await self._ask(command, flow=f"{command.provider}/{command.currency}")
        return await self._answer(caller, reply, paths)

    async def _retrieve(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        paths = self._reads.paths(given.get("expand") or [], of="payout")
        (body,) = await self._shown(caller, [await self._row(caller, path["id"])])
        await self._reads.expand(caller, body, paths)
        return Answer(body=body)

    async def _list(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        paths = self._reads.list_paths(given.get("expand") or [], of="payout")
        found = await self._lists.payouts(caller.identity.tenant, given)
        data = await self._shown(caller, found.rows)
        for body in data:
            await self._reads.expand(caller, body, paths)
        return Answer(body=listed(_URL, data, has_more=found.has_more))

    async def _ask(self, command: PayoutCommand, *, flow: str) -> PayoutReply:
        return await ask(self._commands, self._reads, command, flow=flow)

    async def _answer(self, caller: Caller, reply: PayoutReply, paths: Paths) -> Answer:
        """What was answered; its balance transactions where they are to be expanded, once they have landed."""
        assert reply.payout is not None
        taken = returned = ""
        if paths:
            await self._reads.landed_payouts.wait(caller.identity.tenant)
            told = await self._lists.transactions(caller.identity.tenant, [reply.payout_id])
            taken, returned = told.get(reply.payout_id, ("", ""))
        body = render.payout(reply.payout, transaction=taken, returned=returned, livemode=caller.identity.livemode)
        await self._reads.expand(caller, body, paths)
        return Answer(body=body, replayed=reply.replayed)

    async def _row(self, caller: Caller, identity: str) -> dict[str, Any]:
        row = await self._lists.payout(caller.identity.tenant, identity) if is_payout_id(identity) else None
        if row is None:
            raise NotFound("payout")
        return row

    async def _shown(self, caller: Caller, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        told = await self._lists.transactions(caller.identity.tenant, [row["object_id"] for row in rows])
        shown = []
        for row in rows:
            taken, returned = told.get(row["object_id"], ("", ""))
            shown.append(
                render.payout(payout_of(row), transaction=taken, returned=returned, livemode=caller.identity.livemode)
            )
        return shown


async def ask(commands: Sends, reads: Reads, command: PayoutCommand, *, flow: str) -> PayoutReply:
    """The fold's answer to a command. `flow`: provider and currency, of a claim neither. Raises `Refused`, `NotFound`, `NoAnswer`."""
    reply = await commands.send(command, topic=SETTLEMENT_INPUTS.name, key=f"{command.tenant}/{flow}")
    assert isinstance(reply, PayoutReply), "a payout's command is answered by settlement"
    if reply.error is not None:
        if reply.error.code == "resource_missing":
            raise NotFound("payout")
        raise Refused(reply.status_code, reply.error, payment=None, replayed=reply.replayed)
    if reply.payout is not None:
        reads.landed_payouts.note(reply)
    return reply


def _explained(refused: Refused, payable: Mapping[str, int]) -> Refused:
    """The same refusal, with what there is at each provider where the caller named none."""
    if refused.code != "balance_insufficient":
        return refused
    there = ", ".join(f"{provider} {amount_minor}" for provider, amount_minor in payable.items())
    error = ErrorObject(
        type=refused.type,
        code=refused.code,
        message=f"No provider has as much. One payout is made by one provider; settled, available and not paid out (in minor units): {there}. "
        "Ask for at most that much, or wait for the next settlement window to close.",
        param=refused.param,
        retryable=True,
    )
    return Refused(refused.status, error, payment=None, replayed=refused.replayed)
