"""The tables without Kafka: a change is in them when it is decided."""

from __future__ import annotations

from typing import Any

from api.http.errors import ApiError
from api.http.keys import Identity, KeyTable
from api.http.operations import Route
from api.http.service import Caller
from api.http.versions import LIVE
from api.identity import account, api_keys, approvals, operators, policies, tenants
from schemas.records import ApiKey, Approval, Operator, OperatorSession, Organization, RoutingPolicy, Tenant

ORG, OTHER_ORG = "org_1", "org_2"


class Memory:
    """Tables and their log in one."""

    def __init__(self) -> None:
        self.keys = KeyTable()
        for tenant in ("acme", "shop", "lone"):
            key = ApiKey(key_id=f"key_{tenant}", tenant=tenant, kind="secret", status="active", digest=tenant.encode())
            self.keys.put(key.key_id, key)
        self.tenants: dict[str, Tenant] = {
            "acme": Tenant(tenant="acme", organization=ORG, version=1),
            "shop": Tenant(tenant="shop", organization=ORG, livemode=True, version=1),
            "globex": Tenant(tenant="globex", organization=OTHER_ORG, version=1),
            "lone": Tenant(tenant="lone", livemode=True, version=1),
        }
        self.policies: dict[str, RoutingPolicy] = {}
        self.organizations = {
            ORG: Organization(organization=ORG, name="Group"),
            OTHER_ORG: Organization(organization=OTHER_ORG),
        }
        self.operators: dict[str, Operator] = {}
        self.sessions: dict[bytes, OperatorSession] = {}
        self.approvals: dict[str, Approval] = {}
        self.history: list[Any] = []
        self.routes: dict[tuple[str, str], Route] = {
            (one.operation.method, one.operation.path): one
            for made in (
                account.routes(self),
                *(each.routes(self, self) for each in (api_keys, approvals, operators, tenants)),
                policies.routes(self, self, self),
            )
            for one in made
        }

    def known(self, *people: Identity) -> Memory:
        """Have operators on the books, as they are by what they show."""
        for one in people:
            self.operators[one.key_id] = Operator(
                operator_id=one.key_id,
                organization=one.organization,
                email=f"{one.key_id}@example.com",
                roles=one.roles,
                tenants=one.tenants,
                status="active",
            )
        return self

    async def rows(self, _sql: str, _parameters: Any) -> list[dict[str, Any]]:
        """Nothing has landed."""
        return []

    def catch_up(self) -> None:
        """They always have."""

    def used_ms(self, _key_id: str) -> int:
        """Never, here."""
        return 0

    async def write(self, decide: Any) -> Any:
        """Decide, and put what is decided into the tables."""
        change = decide()
        for record in change.records:
            self.history.append(record)
            match record:
                case ApiKey():
                    self.keys.put(record.key_id, record)
                case RoutingPolicy():
                    self.policies[record.tenant] = record
                case Tenant():
                    self.tenants[record.tenant] = record
                case Operator():
                    self.operators[record.operator_id] = record
                case Approval():
                    self.approvals[record.approval_id] = record
                case OperatorSession() if record.status == "active":
                    self.sessions[record.digest] = record
                case OperatorSession():
                    self.sessions.pop(record.digest, None)
        return change.result

    async def ask(
        self, who: Identity, method: str, path: str, given: dict[str, Any] | None = None, *, key: str = "", **names: str
    ) -> Any:
        """An operation's answer: its body, or the error."""
        caller = Caller(identity=who, version=LIVE[0], request_id="req_1", idempotency_key=key, traceparent="")
        try:
            return (await self.routes[method, path].run(caller, names, given or {})).body
        except ApiError as error:
            return error


def person(
    name: str, *roles: str, tenant: str = "", organization: str = ORG, livemode: bool = False, **more: Any
) -> Identity:
    """An operator."""
    return Identity(
        tenant=tenant, key_id=f"op_{name}", kind="operator", livemode=livemode, scopes=(), api_version="", organization=organization,
        roles=roles, reason="because", **more,
    )  # fmt: skip


def program(tenant: str, *, livemode: bool = False) -> Identity:
    """A tenant's secret key."""
    return Identity(tenant=tenant, key_id=f"key_{tenant}", kind="secret", livemode=livemode, scopes=(), api_version="")


def group(tenant: str = "") -> Identity:
    """An organisation's key."""
    return Identity(
        tenant=tenant,
        key_id="key_group",
        kind="organization",
        livemode=False,
        scopes=(),
        api_version="",
        organization=ORG,
    )
