"""`/v1/tenants`: who is served, and by which terms. Made and changed by an organisation's key or its admins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from api.http._tables import Tables
from api.http.errors import Forbidden, InvalidRequest, KeyReused, NotFound, ParameterInvalid
from api.http.operations import Operation, Route
from api.http.parameters import Boolean, Spec, Text
from api.http.service import Answer, Caller, Service, now_ms
from api.identity import four_eyes, render
from api.identity._terms import SETTINGS, changed
from api.identity.log import Change, ConfigurationLog, Kept
from api.identity.people import reaches
from api.openapi.schema import (
    BOOLEAN,
    CURRENCY,
    INTEGER,
    MINOR,
    SECONDS,
    TEXT,
    Described,
    array,
    closed,
    nullable,
    of_object,
    one_of,
)
from api.reads.paging import PAGE, page_of
from schemas.records import Approval, Attribution, FeeRule, Tenant, TenantStatus

TENANTS_MAX = 10_000
"""Of the installation; each is known to every partition."""

_PATH = "/v1/tenants"
_ONE = _PATH + "/{id}"
_READ, _WRITE = "tenants:read", "tenants:write"
_ID = re.compile(r"[a-z0-9_-]{1,64}")

_SHIFTS_NOTHING = ("api_version", "name")
"""Terms that one person changes for a live tenant too; all others decide who gets how much and when."""


def _operation(method: Any, path: str, name: str, summary: str, scope: str, **more: Any) -> Operation:
    return Operation(method=method, path=path, id=name, summary=summary, scope=scope, object="tenant", **more)


OPERATIONS: tuple[Operation, ...] = (
    _operation(
        "POST",
        _PATH,
        "PostTenants",
        "Make a tenant of the organisation.",
        _WRITE,
        spec=Spec(fields={"id": Text(chars_max=64, required=True), "livemode": Boolean(), **SETTINGS}),
    ),
    _operation(
        "GET",
        _PATH,
        "GetTenants",
        "List the tenants that the caller may act for.",
        _READ,
        answers="list",
        spec=Spec(fields=PAGE),
    ),
    _operation("GET", _ONE, "GetTenantsTenant", "Retrieve a tenant.", _READ),
    _operation(
        "POST",
        _ONE,
        "PostTenantsTenant",
        "Change a tenant's terms; a live one's once another person has approved. Its folds decide by them from the next command on.",
        _WRITE,
        spec=Spec(fields=SETTINGS),
    ),
    Operation(
        method="POST",
        path=_ONE + "/status",
        id="PostTenantsTenantStatus",
        summary="Ask to suspend a tenant or to make it active again; another person has to approve.",
        scope=_WRITE,
        object="approval",
        spec=Spec(fields={"status": Text(required=True, choices=("active", "suspended"))}),
    ),
)


def routes(tables: Tables, log: ConfigurationLog) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`."""
    made = Tenants(tables, log)
    works = (made.create, made.page, made.retrieve, made.update, made.set_status)
    return tuple(Route(operation=operation, work=work) for operation, work in zip(OPERATIONS, works, strict=True))


class Tenants:
    """The work of each operation."""

    def __init__(self, tables: Tables, log: ConfigurationLog) -> None:
        self._tables, self._log = tables, log

    async def create(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Make one. Its id is its own, so the same request once more finds it."""
        _check_runs_organisation(caller)
        caller = Service.with_key(caller)
        tenant_id: str = given.pop("id")
        if not _ID.fullmatch(tenant_id):
            raise ParameterInvalid("id has 1 to 64 characters of a-z, 0-9, _ and -.", param="id")
        made = replace(
            changed(Tenant(tenant=tenant_id, name=tenant_id), given),
            organization=caller.identity.organization,
            livemode=bool(given.get("livemode")),
            version=1,
            created_ms=now_ms(),
            attribution=caller.attribution(),
        )

        def decide() -> Change[Answer]:
            known = self._tables.tenants.get(tenant_id)
            if known is not None:
                if known.attribution.idempotency_key == made.attribution.idempotency_key and reaches(
                    caller.identity, known
                ):
                    if replace(known, created_ms=0, attribution=made.attribution) != replace(made, created_ms=0):
                        raise KeyReused
                    return Change(result=Answer(body=render.tenant(known), replayed=True))
                # Ids are one space for the whole installation, as everybody's topics are keyed by them.
                raise InvalidRequest("This id is taken. Choose another.", param="id", code="resource_already_exists")
            if len(self._tables.tenants) >= TENANTS_MAX:
                raise InvalidRequest("There are as many tenants as there may be.", code="limit_exceeded")
            return Change(result=Answer(body=render.tenant(made)), records=(made,))

        return await self._log.write(decide)

    async def page(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """A page of the caller's own, by id."""
        known = dict(self._tables.tenants)
        own = [known[name] for name in sorted(known) if reaches(caller.identity, known[name])]
        return Answer(body=page_of(_PATH, given, own, id_of=lambda one: one.tenant, render=render.tenant))

    async def retrieve(self, caller: Caller, path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        """One of the caller's own."""
        return Answer(body=render.tenant(self._one(caller, path["id"])))

    async def update(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Other terms."""
        self._one(caller, path["id"])
        _check_runs_organisation(caller)
        caller = Service.with_key(caller)

        now = now_ms()

        def decide() -> Change[Answer]:
            before = self._one(caller, path["id"])
            if before.livemode and not set(given) <= set(_SHIFTS_NOTHING):
                return self._ask(caller, before, given, now)
            after = changed(before, given)
            if after == before:
                return Change(result=Answer(body=render.tenant(before)))
            after = replace(after, version=before.version + 1, attribution=caller.attribution())
            return Change(result=Answer(body=render.tenant(after)), records=(after,))

        return await self._log.write(decide)

    def _ask(self, caller: Caller, tenant: Tenant, given: Mapping[str, Any], now: int) -> Change[Answer]:
        changes = changed(tenant, given) != tenant  # also checks them, so that nobody approves what can't be
        asked, before = four_eyes.ask(
            self._tables,
            caller,
            organization=tenant.organization,
            tenant=tenant.tenant,
            action=four_eyes.UPDATE_TENANT,
            object_id=tenant.tenant,
            parameters=given,
            now_ms=now,
        )
        if not changes and not before:
            return Change(result=Answer(body=render.tenant(tenant)))
        body = render.tenant(tenant, approval=asked.approval_id)
        return Change(result=Answer(body=body, replayed=before), records=() if before else (asked,))

    async def set_status(self, caller: Caller, path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """Ask for another status."""
        self._one(caller, path["id"])
        _check_runs_organisation(caller)
        caller = Service.with_key(caller)
        now = now_ms()

        def decide() -> Change[Answer]:
            tenant = self._one(caller, path["id"])
            asked, before = four_eyes.ask(
                self._tables,
                caller,
                organization=tenant.organization,
                tenant=tenant.tenant,
                action=four_eyes.SET_STATUS,
                object_id=tenant.tenant,
                parameters={"status": given["status"]},
                now_ms=now,
            )
            answer = Answer(body=render.approval(asked, now_ms=now), replayed=before)
            return Change(result=answer, records=() if before else (asked,))

        return await self._log.write(decide)

    def _one(self, caller: Caller, tenant_id: str) -> Tenant:
        found = self._tables.tenants.get(tenant_id)
        if found is None or not reaches(caller.identity, found):
            raise NotFound("tenant")
        return found


def updated(tables: Tables, approval: Approval, who: Attribution, _now_ms: int) -> tuple[Kept, ...]:
    """A tenant's terms as another person approved them, on top of what they are by now."""
    before = _approved_of(tables, approval)
    after = changed(before, msgspec.json.decode(approval.parameters))
    return () if after == before else (replace(after, version=before.version + 1, attribution=who),)


def status_set(tables: Tables, approval: Approval, who: Attribution, _now_ms: int) -> tuple[Kept, ...]:
    """A tenant with the status that another person approved."""
    before = _approved_of(tables, approval)
    wanted = cast("TenantStatus", msgspec.json.decode(approval.parameters)["status"])
    return (
        ()
        if before.status == wanted
        else (replace(before, status=wanted, version=before.version + 1, attribution=who),)
    )


def _approved_of(tables: Tables, approval: Approval) -> Tenant:
    tenant = tables.tenants.get(approval.object_id)
    if tenant is None or tenant.organization != approval.organization:
        raise InvalidRequest("This tenant is the organisation's no longer.", code="approval_not_possible")
    return tenant


def _check_runs_organisation(caller: Caller) -> None:
    """A tenant's own keys don't set the terms that it is served by."""
    if caller.identity.kind not in ("organization", "operator") or not caller.identity.organization:
        raise Forbidden("This takes an organisation's key, or an admin who is signed in.")


def _examples() -> Mapping[str, dict[str, Any]]:
    one = Tenant(
        tenant="acme",
        name="Acme GmbH",
        organization="org_5f1c0a7be2d94c3388a6d0f1",
        timezone="Europe/Berlin",
        version=3,
        created_ms=1_790_000_000_000,
    )
    rule = FeeRule(currency="EUR", basis_points=290, fixed_minor=30, dispute_minor=1_500)
    return {"active": render.tenant(one), "with_fees": render.tenant(replace(one, fees=(rule,)))}


_FEE = closed(
    {
        "basis_points": INTEGER,
        "currency": nullable(CURRENCY),
        "dispute": MINOR,
        "fixed": MINOR,
        "payment_method": nullable(TEXT),
    }
)

OBJECTS: tuple[Described, ...] = (
    Described(
        name="tenant",
        summary="Somebody who is paid through us, and the terms that they are served by.",
        schema=of_object(
            "tenant",
            {
                "action_hours": INTEGER,
                "api_version": nullable(TEXT),
                "approval": nullable(TEXT),
                "available_delay_ms": INTEGER,
                "capture_days": INTEGER,
                "capture_rules": array(closed({"days": INTEGER, "payment_method": TEXT})),
                "created": SECONDS,
                "fees": array(_FEE),
                "livemode": BOOLEAN,
                "name": nullable(TEXT),
                "organization": nullable(TEXT),
                "payout_delay_ms": INTEGER,
                "payout_schedule": one_of("manual", "automatic"),
                "refund_fees_returned": BOOLEAN,
                "reserve_basis_points": INTEGER,
                "reserve_days": INTEGER,
                "settlement_currency": nullable(CURRENCY),
                "settlement_cutoff": TEXT,
                "settlement_grace_ms": INTEGER,
                "settlement_interval_ms": INTEGER,
                "status": one_of("active", "suspended"),
                "timezone": TEXT,
                "version": INTEGER,
            },
        ),
        examples=_examples,
    ),
)
