"""`/v1/operators/payouts`: payouts of real money that a person asks for, made once another person has approved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from api.http import versions
from api.http._tables import Tables
from api.http.errors import Forbidden
from api.http.keys import Identity
from api.http.operations import Operation, Route, Work
from api.http.parameters import Spec, Text
from api.http.service import Answer, Caller, Service, now_ms
from api.identity import four_eyes, render
from api.identity._asking import made_id
from api.identity.log import Change, ConfigurationLog
from api.identity.people import REASON_CHARS_MAX
from api.payouts import payouts
from schemas.ids import payout_id
from schemas.records import Approval

CREATE = Operation(
    method="POST",
    path="/v1/operators/payouts",
    id="PostOperatorsPayouts",
    summary="Ask for a payout by hand; it is made once another person has approved.",
    scope=four_eyes.SCOPES[four_eyes.CREATE_PAYOUT],
    object="approval",
    spec=Spec(
        fields={**payouts.CREATE.spec.fields, "reason": Text(required=True, chars_max=REASON_CHARS_MAX)},
        elsewhere=payouts.CREATE.spec.elsewhere,
    ),
)


def routes(tables: Tables, log: ConfigurationLog) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`."""

    async def work(caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        reason = given.pop("reason")
        caller = Service.with_key(replace(caller, identity=replace(caller.identity, reason=reason)))
        tenant, now = caller.identity.tenant, now_ms()

        def decide() -> Change[Answer]:
            asked, before = four_eyes.ask(
                tables,
                caller,
                organization=caller.identity.organization,
                tenant=tenant,
                action=four_eyes.CREATE_PAYOUT,
                object_id=payout_id(tenant, made_id("apr", caller)),
                parameters=given,
                now_ms=now,
            )
            answer = Answer(body=render.approval(asked, now_ms=now), replayed=before)
            return Change(result=answer, records=() if before else (asked,))

        return await log.write(decide)

    return (Route(operation=CREATE, work=work),)


def guarded(routes: tuple[Route, ...]) -> tuple[Route, ...]:
    """The same routes, but that no operator pays out real money alone; a tenant's own programs do, by keys that took two."""

    def checked(work: Work) -> Work:
        async def create(caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
            if caller.identity.kind == "operator" and caller.identity.livemode:
                message = (
                    "Paying out real money by hand takes another person's word. Ask for it: POST /v1/operators/payouts."
                )
                raise Forbidden(message, code="approval_needed")
            return await work(caller, path, given)

        return create

    return tuple(replace(one, work=checked(one.work)) if one.operation is payouts.CREATE else one for one in routes)


def creation(routes: tuple[Route, ...]) -> Work:
    """What makes payouts, out of their routes."""
    return next(one.work for one in routes if one.operation is payouts.CREATE)


async def carry_out(work: Work, tables: Tables, approval: Approval, caller: Caller) -> None:
    """Make an approved payout, in the name of whoever asked. Made again it is the same one. Raises `ApiError`."""
    who = Identity(
        tenant=approval.tenant,
        key_id=approval.proposed_by,
        kind="operator",
        livemode=tables.tenants[approval.tenant].livemode,
        scopes=(),
        api_version="",
        organization=approval.organization,
        reason=approval.reason,
    )
    asked = Caller(
        identity=who,
        version=versions.NEWEST,
        request_id=caller.request_id,
        idempotency_key=approval.approval_id,
        traceparent=caller.traceparent,
    )
    await work(asked, {}, msgspec.json.decode(approval.parameters))
