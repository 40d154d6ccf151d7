"""What operators' roles may do, as a table: a row for each resource, who reads it and who changes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, get_args

Role = Literal["admin", "operator", "analyst", "auditor", "developer"]

ROLES: tuple[Role, ...] = get_args(Role)
"""admin: runs the organisation. operator: looks after payments. analyst: reads money. auditor: reads everything. developer: integrates."""


class Row(NamedTuple):
    """Who may read a resource, and who may change it; whoever may change it reads it too."""

    read: tuple[Role, ...]
    write: tuple[Role, ...] = ()


_MONEY = Row(ROLES, ("admin", "operator"))
_BOOKS = Row(("admin", "operator", "analyst", "auditor"))
_WIRING = Row(("admin", "operator", "auditor", "developer"), ("admin", "developer"))
_HOUSE = Row(("admin", "auditor"), ("admin",))

PERMISSIONS: Mapping[str, Row] = {
    "payment_intents": _MONEY,
    "charges": _MONEY,
    "refunds": _MONEY,
    "disputes": _MONEY,
    "customers": _MONEY,
    "payment_methods": _MONEY,
    "setup_intents": _MONEY,
    "payouts": Row(_BOOKS.read, ("admin", "operator")),
    "balance": _BOOKS,
    "balance_transactions": _BOOKS,
    "settlement_windows": _BOOKS,
    "reconciliations": _BOOKS,
    "events": Row(ROLES),
    "traces": Row(ROLES),
    "account": Row(ROLES),
    "routing": Row(ROLES, ("admin", "operator")),
    "webhook_endpoints": _WIRING,
    "api_keys": Row(("admin", "auditor", "developer"), ("admin", "developer")),
    "tenants": Row(ROLES, ("admin",)),
    "operations": Row(("admin", "operator", "auditor"), ("admin", "operator")),
    "approvals": Row(("admin", "operator", "auditor"), ("admin", "operator")),
    "operators": _HOUSE,
}
"""By the name before a scope's colon. `operations`: what operators say is true of a payment; keys never have it, nor approvals and operators."""

PEOPLE_ONLY = ("operations", "approvals", "operators")
"""What no key can be given: each of these is answered for by a person."""


def may(roles: Iterable[str], scope: str) -> bool:
    """Whether one of the roles reaches so far. What is not in the table nobody may."""
    name, _, act = scope.partition(":")
    row = PERMISSIONS.get(name)
    if row is None:
        return False
    allowed = row.write if act == "write" else (*row.read, *row.write)
    return any(role in allowed for role in roles)
