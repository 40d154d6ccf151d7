"""`/v1/routing/policies`: in which order a tenant's providers are asked, in versions; the newest one decides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from api.http._tables import Tables
from api.http.errors import InvalidRequest, KeyReused, NotFound, ParameterInvalid
from api.http.operations import Operation, Route
from api.http.parameters import Spec, Texts
from api.http.service import Answer, Caller, Service, now_ms
from api.identity import four_eyes
from api.identity.log import Change, ConfigurationLog, Kept
from api.openapi.schema import BOOLEAN, INTEGER, SECONDS, TEXT, Described, array, closed, nullable, of_object
from api.reads.paging import PAGE, page_of
from api.reads.warehouse import Warehouse
from schemas.records import Approval, Attribution, RoutingPolicy

PROVIDERS_MAX = 32
VERSIONS_SHOWN_MAX = 1_000

_PATH = "/v1/routing/policies"
_PROVIDER = re.compile(r"[a-z0-9_-]{1,64}")
_VERSION = re.compile(r"rp_([1-9][0-9]{0,8})")

# Every partition was told each version: the first that was is when it began.
_VERSIONS = """
SELECT toInt64(policy_version) AS version, any(providers) AS providers, toInt64(min(_timestamp_ms)) AS created_ms,
    any(actor_kind) AS actor_kind, any(actor_id) AS actor_id, any(actor_reason) AS reason, any(request_id) AS request_id
FROM payment_inputs
WHERE tenant = {tenant:String} AND payment_id = '' AND record = 'RoutingUpdate' AND kind = 'policy'
GROUP BY policy_version ORDER BY policy_version DESC LIMIT {rows:UInt32}"""


def _operation(method: Any, path: str, name: str, summary: str, scope: str, **more: Any) -> Operation:
    return Operation(method=method, path=path, id=name, summary=summary, scope=scope, object="routing_policy", **more)


OPERATIONS: tuple[Operation, ...] = (
    _operation(
        "POST",
        _PATH,
        "PostRoutingPolicies",
        "Give the tenant a new version of its policy, a live one's once another person has approved; attempts from then on follow it.",
        "routing:write",
        spec=Spec(fields={"providers": Texts(required=True, chars_max=64)}),
    ),
    _operation(
        "GET", _PATH, "GetRoutingPolicies", "List the versions of the tenant's policy, newest first.", "routing:read",
        answers="list", spec=Spec(fields=PAGE),
    ),
    _operation(
        "GET", _PATH + "/{id}", "GetRoutingPoliciesPolicy",
        "Retrieve a version by its id, or `current`: the one that decides, if need be everybody's.", "routing:read",
    ),
)  # fmt: skip


def routes(
    tables: Tables, log: ConfigurationLog, warehouse: Warehouse, *, providers: tuple[str, ...] = ()
) -> tuple[Route, ...]:
    """For `api.http.app.application(routes=...)`. `providers`: those that there are, where that is known here."""
    made = Policies(tables, log, warehouse, providers=providers)
    works = (made.create, made.page, made.retrieve)
    return tuple(Route(operation=operation, work=work) for operation, work in zip(OPERATIONS, works, strict=True))


class Policies:
    """The work of each operation."""

    def __init__(
        self, tables: Tables, log: ConfigurationLog, warehouse: Warehouse, *, providers: tuple[str, ...]
    ) -> None:
        self._tables, self._log, self._warehouse, self._providers = tables, log, warehouse, providers

    async def create(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """A new version; one that says what the newest says changes nothing, and the newest one's key makes no other."""
        tenant = caller.identity.tenant
        wanted = self._checked(given["providers"] or [])
        caller = Service.with_key(caller)
        now = now_ms()

        def decide() -> Change[Answer]:
            if tenant not in self._tables.tenants:
                raise NotFound("account", param="account")
            if self._tables.tenants[tenant].livemode:
                return self._ask(caller, wanted, now)
            newest = self._tables.policies.get(tenant)
            if newest is not None and newest.attribution.idempotency_key == caller.idempotency_key:
                if newest.providers != wanted:
                    raise KeyReused
                return Change(result=replace(self._answer(caller, newest), replayed=True))
            after = _next(self._tables, tenant, wanted, caller.attribution())
            if after is None:
                return Change(result=self._answer(caller, self._tables.policies[tenant]))
            return Change(result=self._answer(caller, after), records=(after,))

        return await self._log.write(decide)

    def _ask(self, caller: Caller, wanted: tuple[str, ...], now: int) -> Change[Answer]:
        """Have another person agree. The answer is the version that decides until then."""
        who = caller.identity
        current = self._current(who.tenant)
        asked, before = four_eyes.ask(
            self._tables,
            caller,
            organization=self._tables.tenants[who.tenant].organization,
            tenant=who.tenant,
            action=four_eyes.SET_POLICY,
            object_id=who.tenant,
            parameters={"providers": wanted},
            now_ms=now,
        )
        if not before and current.tenant and current.providers == wanted:
            return Change(result=self._answer(caller, current))
        body = render(current, created_ms=0, livemode=who.livemode, approval=asked.approval_id)
        return Change(result=Answer(body=body, replayed=before), records=() if before else (asked,))

    def _current(self, tenant: str) -> RoutingPolicy:
        """The version that decides, if need be everybody's, which says who made it to nobody in particular."""
        own = self._tables.policies.get(tenant)
        return own or replace(self._tables.policies.get("") or RoutingPolicy(), attribution=Attribution())

    async def page(self, caller: Caller, _path: Mapping[str, str], given: dict[str, Any]) -> Answer:
        """A page of versions."""
        found = await self._versions(caller.identity.tenant)
        livemode = caller.identity.livemode
        return Answer(
            body=page_of(
                _PATH,
                given,
                found,
                id_of=lambda one: f"rp_{one[0].policy_version}",
                render=lambda one: render(one[0], created_ms=one[1], livemode=livemode),
            )
        )

    async def retrieve(self, caller: Caller, path: Mapping[str, str], _given: dict[str, Any]) -> Answer:
        """One version."""
        who = caller.identity
        if path["id"] == "current":
            return Answer(body=render(self._current(who.tenant), created_ms=0, livemode=who.livemode))
        named = _VERSION.fullmatch(path["id"])
        versions = await self._versions(who.tenant)
        for policy, created_ms in versions:
            if named is not None and policy.policy_version == int(named[1]):
                return Answer(body=render(policy, created_ms=created_ms, livemode=who.livemode))
        raise NotFound("routing_policy")

    def _answer(self, caller: Caller, policy: RoutingPolicy) -> Answer:
        return Answer(body=render(policy, created_ms=0, livemode=caller.identity.livemode))

    def _checked(self, wanted: list[str]) -> tuple[str, ...]:
        if not 0 < len(wanted) <= PROVIDERS_MAX or len(set(wanted)) != len(wanted):
            raise ParameterInvalid(f"providers names 1 to {PROVIDERS_MAX}, each once.", param="providers")
        for name in wanted:
            if not _PROVIDER.fullmatch(name):
                message = "A provider's name has 1 to 64 characters of a-z, 0-9, _ and -."
                raise ParameterInvalid(message, param="providers")
        unknown = set(wanted) - set(self._providers)
        if self._providers and unknown:
            message = f"providers can be {', '.join(sorted(self._providers))}."
            raise InvalidRequest(message, param="providers", code="provider_unknown")
        return tuple(wanted)

    async def _versions(self, tenant: str) -> list[tuple[RoutingPolicy, int]]:
        """Versions with when they began, newest first: those that landed, and the newest one though it may not have."""
        rows = await self._warehouse.rows(_VERSIONS, {"tenant": tenant, "rows": VERSIONS_SHOWN_MAX})
        found = [
            (
                RoutingPolicy(
                    tenant=tenant,
                    policy_version=row["version"],
                    providers=tuple(row["providers"]),
                    attribution=Attribution(
                        actor_kind=row["actor_kind"],
                        actor_id=row["actor_id"],
                        reason=row["reason"],
                        request_id=row["request_id"],
                    ),
                ),
                row["created_ms"],
            )
            for row in rows
        ]
        newest = self._tables.policies.get(tenant)
        if newest is not None and (not found or found[0][0].policy_version < newest.policy_version):
            found.insert(0, (newest, 0))
        return found


def _next(tables: Tables, tenant: str, providers: tuple[str, ...], who: Attribution) -> RoutingPolicy | None:
    """The tenant's next version; None where its newest says so already."""
    before = tables.policies.get(tenant, RoutingPolicy(tenant=tenant))
    if before.providers == providers:
        return None
    return replace(before, policy_version=before.policy_version + 1, providers=providers, attribution=who)


def created(tables: Tables, approval: Approval, who: Attribution, _now_ms: int) -> tuple[Kept, ...]:
    """The version that another person agreed to."""
    providers = tuple(msgspec.json.decode(approval.parameters)["providers"])
    made = _next(tables, approval.object_id, providers, who)
    return () if made is None else (made,)


def render(policy: RoutingPolicy, *, created_ms: int, livemode: bool, approval: str = "") -> dict[str, Any]:
    """A version. `created` is null until it has landed; `approval`: of the version that is to follow it."""
    who = policy.attribution
    return {
        "id": f"rp_{policy.policy_version}",
        "object": "routing_policy",
        "approval": approval or None,
        "created": created_ms // 1000 or None,
        "created_by": {
            "id": who.actor_id or None,
            "kind": who.actor_kind,
            "reason": who.reason or None,
            "request": who.request_id or None,
        },
        "livemode": livemode,
        "own": bool(policy.tenant),
        "providers": list(policy.providers),
        "version": policy.policy_version,
    }


def _examples() -> Mapping[str, dict[str, Any]]:
    who = Attribution(
        actor_kind="api_key", actor_id="key_5a0e1c6f3b2d4a7e9c8b1f02", request_id="req_4b1f9c2a6d7e8f001122"
    )
    policy = RoutingPolicy(tenant="acme", policy_version=2, providers=("southpay", "northpay"), attribution=who)
    return {"second": render(policy, created_ms=1_790_000_000_000, livemode=False)}


OBJECTS: tuple[Described, ...] = (
    Described(
        name="routing_policy",
        summary="The order in which providers are asked. Each routing decision names the version that it followed.",
        schema=of_object(
            "routing_policy",
            {
                "approval": nullable(TEXT),
                "created": nullable(SECONDS),
                "created_by": closed(
                    {"id": nullable(TEXT), "kind": TEXT, "reason": nullable(TEXT), "request": nullable(TEXT)}
                ),
                "livemode": BOOLEAN,
                "own": BOOLEAN,
                "providers": array(TEXT),
                "version": INTEGER,
            },
        ),
        examples=_examples,
    ),
)
