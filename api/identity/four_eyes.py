"""Dangerous acts that two people answer for: one asks, another approves, and only then is it done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from api.http._tables import Tables
from api.http.errors import Forbidden, InvalidRequest
from api.http.service import Caller
from api.identity.log import Change, Kept
from schemas.records import ApiKey, Approval, Attribution, Tenant, TenantStatus

DECIDED_WITHIN_MS = 3 * 24 * 3_600_000
PENDING_MAX = 100
"""Of one organisation."""

CREATE_KEY = "api_keys.create"
SET_STATUS = "tenants.set_status"


def ask(
    tables: Tables,
    caller: Caller,
    *,
    approval_id: str,
    organization: str,
    tenant: str,
    action: str,
    object_id: str,
    parameters: Mapping[str, Any],
    now_ms: int,
) -> Approval:
    """The approval that is then waited for. Raises `InvalidRequest` where nobody could give it, or too many wait."""
    if not organization:
        raise InvalidRequest(
            "Another person has to approve this, and the tenant is of no organisation. Give it one: `clearline organizations`.",
            code="approval_not_possible",
        )
    waiting = sum(
        one.organization == organization and one.status == "pending" and one.expires_ms > now_ms
        for one in list(tables.approvals.values())
    )
    if waiting >= PENDING_MAX:
        raise InvalidRequest(f"{waiting} approvals are pending. Decide on some first.", code="limit_exceeded")
    return Approval(
        approval_id=approval_id,
        organization=organization,
        tenant=tenant,
        action=action,
        object_id=object_id,
        parameters=msgspec.json.encode(parameters, order="sorted").decode(),
        status="pending",
        proposed_by=caller.identity.key_id,
        reason=caller.identity.reason,
        created_ms=now_ms,
        expires_ms=now_ms + DECIDED_WITHIN_MS,
        attribution=caller.attribution(),
    )


def decide(tables: Tables, caller: Caller, approval: Approval, *, approve: bool, now_ms: int) -> Change[Approval]:
    """Approve or reject. Raises `Forbidden` for whoever asked, `InvalidRequest` where it is decided, late or no longer possible."""
    person = caller.identity.key_id
    wanted = "approved" if approve else "rejected"
    if approval.status == wanted and approval.decided_by == person:
        return Change(result=approval)  # the same request once more
    if approval.status != "pending":
        raise InvalidRequest(f"This was {approval.status} already.", code="approval_decided")
    if approval.expires_ms <= now_ms:
        raise InvalidRequest("Nobody decided on this in time. Ask again.", code="approval_expired")
    if approve and approval.proposed_by == person:
        raise Forbidden("Another person has to approve than the one who asked.", code="approval_by_proposer")
    decided = replace(
        approval,
        status="approved" if approve else "rejected",
        decided_by=person,
        attribution=caller.attribution(),
    )
    if not approve:
        return Change(result=decided, records=(decided,))
    # Whoever asked is the cause; who agreed is in the approval that is written with it.
    who = replace(
        approval.attribution,
        reason=approval.reason or caller.identity.reason,
        request_id=caller.request_id,
        idempotency_key=approval.attribution.idempotency_key,
    )
    made = _ACTIONS[approval.action](tables, approval, who, now_ms)
    decided = replace(decided, result=approval.object_id)
    return Change(result=decided, records=(decided, *made))


def _create_key(tables: Tables, approval: Approval, who: Attribution, now_ms: int) -> tuple[Kept, ...]:
    if tables.keys.get(approval.object_id) is not None:
        return ()
    key = pending_key(approval)
    return (replace(key, status="active", created_ms=now_ms, attribution=who),)


def pending_key(approval: Approval) -> ApiKey:
    """The key that an approval is about; it works once another person has agreed."""
    return msgspec.convert(msgspec.json.decode(approval.parameters), ApiKey)


def key_parameters(key: ApiKey) -> dict[str, Any]:
    """A key as an approval keeps it: its digest, never itself."""
    kept: dict[str, Any] = msgspec.to_builtins(replace(key, attribution=Attribution()))
    del kept["attribution"]
    return kept


def _set_status(tables: Tables, approval: Approval, who: Attribution, _now_ms: int) -> tuple[Kept, ...]:
    tenant = tables.tenants.get(approval.object_id)
    if tenant is None:
        raise InvalidRequest("This tenant is no longer there.", code="approval_not_possible")
    wanted = cast("TenantStatus", msgspec.json.decode(approval.parameters)["status"])
    if tenant.status == wanted:
        return ()
    changed: Tenant = replace(tenant, status=wanted, version=tenant.version + 1, attribution=who)
    return (changed,)


_ACTIONS: Mapping[str, Callable[[Tables, Approval, Attribution, int], tuple[Kept, ...]]] = {
    CREATE_KEY: _create_key,
    SET_STATUS: _set_status,
}
