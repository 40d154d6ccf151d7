"""Rows of `identity.history`: what became of a tenant, policy, key, person, session or approval, and how it is after that."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas import records

Change = (
    records.ApiKey
    | records.Approval
    | records.Operator
    | records.OperatorSession
    | records.Organization
    | records.RoutingPolicy
    | records.Tenant
)

_KINDS: dict[type[Any], tuple[str, str]] = {
    records.ApiKey: ("api_key", "key_id"),
    records.Approval: ("approval", "approval_id"),
    records.Operator: ("operator", "operator_id"),
    records.OperatorSession: ("operator_session", "session_id"),
    records.Organization: ("organization", "organization"),
    records.RoutingPolicy: ("routing_policy", "tenant"),
    records.Tenant: ("tenant", "tenant"),
}
_KEPT_BACK = ("attribution", "digest", "fingerprint")
"""What no auditor needs: it is in columns of its own, or would help whoever guesses."""
_PERSONAL = ("email", "issuer", "name", "subject")
"""Of people: who an operator is, the organisation knows by their id."""

_encode = msgspec.json.Encoder(order="sorted").encode


def row(change: Change) -> tuple[Any, ...]:
    """A row but for its attribution and place."""
    object_, field = _KINDS[type(change)]
    organization = getattr(change, "organization", "")
    version = change.policy_version if isinstance(change, records.RoutingPolicy) else getattr(change, "version", 0)
    return (
        getattr(change, "tenant", ""),
        organization,
        object_,
        getattr(change, field),
        f"{object_}.{_act(change)}",
        version,
        _encode(_after(change)).decode(),
    )


def _act(change: Change) -> str:
    """In one word: a status that is not the usual one says it, else what is new about the record."""
    if isinstance(change, records.Approval):
        return "asked" if change.status == "pending" else change.status
    status: str = getattr(change, "status", "active")
    if status != "active":
        return status
    if isinstance(change, records.ApiKey):
        return "rolled" if change.successor else "changed" if change.updated_ms else "created"
    if isinstance(change, records.OperatorSession):
        return "began"
    return "created" if isinstance(change, records.RoutingPolicy) or change.version == 1 else "changed"


def _after(change: Change) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: value for name, value in msgspec.to_builtins(change).items() if name not in _KEPT_BACK
    }
    if isinstance(change, records.Operator):
        return _without(found, _PERSONAL)
    if isinstance(change, records.Approval):
        found["parameters"] = _parameters(change)
    return found


def _parameters(approval: records.Approval) -> dict[str, Any]:
    """What was asked, as an object; where that can't be read, nothing."""
    try:
        found = msgspec.json.decode(approval.parameters or "{}", type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}
    personal = _PERSONAL if approval.action.startswith("operators.") else ()
    return _without(found, (*_KEPT_BACK, *personal))


def _without(found: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in names}
