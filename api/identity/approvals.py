"""`/v1/operators/approvals`: what somebody asked for and another person has to decide on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.http._tables import Tables
from api.http.errors import Forbidden, InvalidRequest, NotFound
from api.http.operations import Operation, Route, Work
from api.http.parameters import Spec, Text
from api.http.service import Answer, Caller, Service, now_ms
from api.identity import acts, four_eyes, payouts, render
from api.identity.log import Change, ConfigurationLog
from api.openapi.schema import BOOLEAN, SECONDS, TEXT, TEXT_MAP, Described, nullable, of_object, one_of
from api.reads.paging import PAGE, page_of
from schemas.records import Approval

_PATH = "/v1/operators/approvals"
_ONE = _PATH + "/{id}"
_READ, _WRITE = "approvals:read", "approvals:write"
_STATUSES = ("pending", "approved", "rejected", "expired")


def _operation(method: Any, path: str, name: str, summary: str, scope: str, **more: Any) -> Operation:
    return Operation(method=method, path=path, id=name, summary=summary, scope=scope, object="approval", **more)


OPERATIONS: tuple[Operation, ...] = (
    _operation(
        "GET",
        _PATH,
        "GetOperatorsApprovals",
        "List what was asked, newest first.",
        _READ,
        answers="list",
        spec=Spec(fields={**PAGE, "status": Text(choices=_STATUSES)}),
    ),
    _operation("GET", _ONE, "GetOperatorsApprovalsApproval", "Retrieve what was asked, and who decided.", _READ),
    _operation(
        "POST",
        _ONE + "/approve",
        "PostOperatorsApprovalsApprovalApprove",
        "Agree to what another person asked: it is done at once.",
        _WRITE,
    ),
    _operation(
        "POST",
        _ONE + "/reject",
        "PostOperatorsApprovalsApprovalReject",
        "Decide against it; whoever asked may do so too.",
        _WRITE,
    ),
)


def routes(tables: Tables, log: ConfigurationLog, *, pay: Work | None = None) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`. `pay` makes payouts."""
    made = Approvals(tables, log, pay=pay)
    works = (made.page, made.retrieve, made.approve, made.reject)
    return tuple(Route(operation=operation, work=work) for operation, work in zip(OPERATIONS, works, strict=True))


class Approvals:
    """The work of each operation."""

    def __init__(self, tables: Tables, log: ConfigurationLog, *, pay: Work | None) -> None:
        self._tables, self._log, self._pay = tables, log, pay

    async def page(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """A page of what the caller may see."""
        now = now_ms()
        found = [one for one in list(self._tables.approvals.values()) if _sees(caller, one)]
        if given.get("status"):
            found = [one for one in found if render.approval(one, now_ms=now)["status"] == given["status"]]
        found.sort(key=lambda one: (one.created_ms, one.approval_id), reverse=True)
        return Answer(
            body=page_of(
                _PATH,
                given,
                found,
                id_of=lambda one: one.approval_id,
                render=lambda one: render.approval(one, now_ms=now),
            )
        )

    async def retrieve(self, caller: Caller, path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        """One."""
        return Answer(body=render.approval(self._one(caller, path["id"]), now_ms=now_ms()))

    async def approve(self, caller: Caller, path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        """Agree. It takes an admin, or whoever could have asked for it without another's word."""
        answer = await self._decide(caller, path["id"], approve=True)
        approval = self._one(caller, path["id"])
        if approval.action == four_eyes.CREATE_PAYOUT:
            # Approved, it is made; should this process end in between, the same request once more makes it.
            assert self._pay is not None, "whoever serves approvals of payouts can make them"
            await payouts.carry_out(self._pay, self._tables, approval, caller)
        return answer

    async def reject(self, caller: Caller, path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        """Decide against it."""
        return await self._decide(caller, path["id"], approve=False)

    async def _decide(self, caller: Caller, approval_id: str, *, approve: bool) -> Answer:
        caller = Service.with_key(caller)
        now = now_ms()

        def decide() -> Change[Approval]:
            found = self._one(caller, approval_id)
            if "admin" not in caller.identity.roles and found.proposed_by != caller.identity.key_id:
                raise Forbidden("An admin decides on this.")
            carry_out = acts.CARRY_OUT.get(found.action)
            if carry_out is None:
                raise InvalidRequest("This release does not know what was asked.", code="approval_not_possible")
            return four_eyes.decide(self._tables, caller, found, approve=approve, now_ms=now, carry_out=carry_out)

        return Answer(body=render.approval(await self._log.write(decide), now_ms=now))

    def _one(self, caller: Caller, approval_id: str) -> Approval:
        found = self._tables.approvals.get(approval_id)
        if found is None or not _sees(caller, found):
            raise NotFound("approval")
        return found


def _sees(caller: Caller, approval: Approval) -> bool:
    who = caller.identity
    if who.kind != "operator" or not who.organization or approval.organization != who.organization:
        return False
    return not who.tenants or approval.tenant in who.tenants


def _examples() -> Mapping[str, dict[str, Any]]:
    at = 1_790_000_000_000
    one = Approval(
        approval_id="apr_8e21c40fb3d7a965104cde2f",
        organization="org_5f1c0a7be2d94c3388a6d0f1",
        tenant="acme",
        action=four_eyes.SET_STATUS,
        object_id="acme",
        parameters='{"status":"suspended"}',
        status="pending",
        proposed_by="op_1be09fd2a4c6803357de4410",
        reason="Card testing since this morning",
        created_ms=at,
        expires_ms=at + four_eyes.DECIDED_WITHIN_MS,
    )
    return {"pending": render.approval(one, now_ms=at)}


OBJECTS: tuple[Described, ...] = (
    Described(
        name="approval",
        summary="A dangerous act that two people answer for.",
        schema=of_object(
            "approval",
            {
                "action": one_of(*four_eyes.SCOPES),
                "created": SECONDS,
                "decided_by": nullable(TEXT),
                "expires_at": SECONDS,
                "livemode": BOOLEAN,
                "object_id": nullable(TEXT),
                "parameters": TEXT_MAP,
                "proposed_by": TEXT,
                "reason": nullable(TEXT),
                "result": nullable(TEXT),
                "status": one_of(*_STATUSES),
                "tenant": nullable(TEXT),
            },
        ),
        examples=_examples,
    ),
)
