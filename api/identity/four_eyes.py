"""Dangerous acts that two people answer for: one asks, another approves, and only then is it done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from api.http._tables import Tables
from api.http.errors import Forbidden, InvalidRequest, KeyReused
from api.http.service import Caller
from api.identity._asking import made_id
from api.identity.log import Change, Kept
from api.identity.roles import may
from schemas.records import Approval, Attribution

DECIDED_WITHIN_MS = 3 * 24 * 3_600_000
PENDING_MAX = 100
"""Of one organisation."""
_MAKERS_MAX = 10
"""Keys that made keys, looked through for the person who made the first."""

CREATE_KEY = "api_keys.create"
ROLL_KEY = "api_keys.roll"
UPDATE_KEY = "api_keys.update"
CREATE_OPERATOR = "operators.create"
UPDATE_OPERATOR = "operators.update"
CREATE_PAYOUT = "payouts.create"
SET_POLICY = "routing.policies.create"
SET_STATUS = "tenants.set_status"
UPDATE_TENANT = "tenants.update"

SCOPES: Mapping[str, str] = {
    CREATE_KEY: "api_keys:write",
    ROLL_KEY: "api_keys:write",
    UPDATE_KEY: "api_keys:write",
    CREATE_OPERATOR: "operators:write",
    UPDATE_OPERATOR: "operators:write",
    CREATE_PAYOUT: "operations:write",
    SET_POLICY: "routing:write",
    SET_STATUS: "tenants:write",
    UPDATE_TENANT: "tenants:write",
}
"""Each act, and what whoever asked must still have when another person approves."""

ASKED_BY: Mapping[str, str] = {
    "PostApiKeys": CREATE_KEY,
    "PostApiKeysApiKey": UPDATE_KEY,
    "PostApiKeysApiKeyRoll": ROLL_KEY,
    "PostOperators": CREATE_OPERATOR,
    "PostOperatorsOperator": UPDATE_OPERATOR,
    "PostOperatorsPayouts": CREATE_PAYOUT,
    "PostRoutingPolicies": SET_POLICY,
    "PostTenantsTenant": UPDATE_TENANT,
    "PostTenantsTenantStatus": SET_STATUS,
}
"""Operations that may answer with an approval, and the act that then waits."""

CarryOut = Callable[[Tables, Approval, Attribution, int], tuple[Kept, ...]]
"""Of the tables, the approval, who caused it and the time in ms: what is then so. Raises `ApiError` where it can't be done any more."""


def ask(
    tables: Tables,
    caller: Caller,
    *,
    organization: str,
    tenant: str,
    action: str,
    object_id: str,
    parameters: Mapping[str, Any],
    now_ms: int,
) -> tuple[Approval, bool]:
    """The approval that is waited for, and whether this very request asked for it before.

    Raises `InvalidRequest` where nobody could give it, or too many wait, and `KeyReused`.
    """
    assert action in SCOPES, f"{action} is no act that takes two"
    asked = Approval(
        approval_id=made_id("apr", caller),
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
    known = tables.approvals.get(asked.approval_id)
    if known is not None:
        what = (known.action, known.object_id, known.parameters)
        if what != (asked.action, asked.object_id, asked.parameters):
            raise KeyReused
        return known, True
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
    return asked, False


def decide(
    tables: Tables, caller: Caller, approval: Approval, *, approve: bool, now_ms: int, carry_out: CarryOut
) -> Change[Approval]:
    """Approve or reject.

    Raises `Forbidden` for whoever asked, `InvalidRequest` where it is decided, late or no longer possible.
    """
    person = caller.identity.key_id
    wanted = "approved" if approve else "rejected"
    if approval.status == wanted and approval.decided_by == person:
        return Change(result=approval)  # the same request once more
    if approval.status != "pending":
        raise InvalidRequest(f"This was {approval.status} already.", code="approval_decided")
    if approval.expires_ms <= now_ms:
        raise InvalidRequest("Nobody decided on this in time. Ask again.", code="approval_expired")
    decided = replace(
        approval,
        status="approved" if approve else "rejected",
        decided_by=person,
        attribution=caller.attribution(),
    )
    if not approve:
        return Change(result=decided, records=(decided,))
    if person in _makers(tables, approval.proposed_by):
        raise Forbidden("Another person has to approve than the one who asked.", code="approval_by_proposer")
    if not may_still(
        tables,
        approval.proposed_by,
        scope=SCOPES[approval.action],
        organization=approval.organization,
        tenant=approval.tenant,
        object_id=approval.object_id,
        now_ms=now_ms,
    ):
        message = "Whoever asked for this may not do so any more. Reject it, and ask for it anew if it is wanted."
        raise InvalidRequest(message, code="approval_not_possible")
    # Whoever asked is the cause; who agreed is in the approval that is written with it.
    who = replace(approval.attribution, reason=approval.reason or caller.identity.reason, request_id=caller.request_id)
    made = carry_out(tables, approval, who, now_ms)
    decided = replace(decided, result=approval.object_id)
    return Change(result=decided, records=(decided, *made))


def _makers(tables: Tables, proposer: str) -> list[str]:
    """Whoever asked and, where that was a key, who made it: a person does not approve what their own key asked for."""
    found = [proposer]
    while (key := tables.keys.get(found[-1])) is not None and len(found) < _MAKERS_MAX:
        found.append(key.attribution.actor_id)
    return found


def may_still(
    tables: Tables, proposer: str, *, scope: str, organization: str, tenant: str, object_id: str, now_ms: int
) -> bool:
    """Whether whoever asked or proposed something could do so now. `tenant` empty: it is about the organisation itself."""
    key = tables.keys.get(proposer)
    if key is not None:
        # A key that was given up for the very one that is asked for has ended, and may ask all the same.
        ended = 0 < key.expires_ms <= now_ms and key.successor != object_id
        allowed = key.kind == "secret" or scope in key.scopes
        if key.status != "active" or ended or not allowed:
            return False
        if key.tenant:
            return tenant == key.tenant
        known = tables.tenants.get(tenant)
        return key.organization == (known.organization if known is not None else organization)
    person = tables.operators.get(proposer)
    if person is None or person.status != "active" or not may(person.roles, scope):
        return False
    kept_to = not person.tenants or not tenant or tenant in person.tenants
    return person.organization == organization and kept_to
