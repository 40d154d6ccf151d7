from __future__ import annotations

import re
from pathlib import Path

from api.http.catalogue import operations
from api.http.keys import SCOPES
from api.identity.roles import PEOPLE_ONLY, PERMISSIONS, ROLES, may

DOCS = Path(__file__).parents[4] / "docs" / "identity.md"


def test_every_operation_stands_in_the_table() -> None:
    """No operation needs a scope of which nobody has said who has it; admins have every one."""
    scopes = {one.scope for one in operations()}
    assert {scope.partition(":")[0] for scope in scopes} <= set(PERMISSIONS)
    assert all(may(("admin",), scope) for scope in scopes)


def test_scopes_of_keys_are_those_of_all_operations() -> None:
    """A restricted key can be given every scope that an operation needs but those that only people have, and no other."""
    needed = {one.scope for one in operations() if one.scope.partition(":")[0] not in PEOPLE_ONLY}
    # A tenant's keys set no terms of their tenant.
    needed -= {"tenants:write"}
    assert needed <= set(SCOPES)
    names = {one.scope.partition(":")[0] for one in operations()}
    assert {scope.partition(":")[0] for scope in SCOPES} <= names
    assert not {scope.partition(":")[0] for scope in SCOPES} & set(PEOPLE_ONLY)


def test_roles_reach_as_far_as_they_should() -> None:
    """Analysts and auditors change nothing, developers no money, operators no keys and no people."""
    writes = [f"{name}:write" for name in PERMISSIONS]
    assert not [scope for scope in writes if may(("analyst", "auditor"), scope)]
    assert [scope for scope in writes if may(("developer",), scope)] == ["webhook_endpoints:write", "api_keys:write"]
    assert not may(("operator",), "api_keys:read")
    assert not may(("operator",), "operators:read")
    assert may(("operator",), "operations:write")
    assert may(("auditor",), "operators:read")


def test_unknown_roles_and_scopes_have_nothing() -> None:
    """A role or resource that this release does not know reaches nothing."""
    assert not may(("root",), "payment_intents:read")
    assert not may(("admin",), "secrets:read")
    assert not may((), "payment_intents:read")


def test_the_docs_have_the_table() -> None:
    """docs/identity.md says of each role and resource what the code says: w, r or nothing."""
    rows = re.findall(r"^\| `(\w+)` \|(.+)\|$", DOCS.read_text(), re.MULTILINE)
    told = {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows if name in PERMISSIONS}
    wanted = {
        name: ["w" if may((role,), f"{name}:write") else "r" if may((role,), f"{name}:read") else "" for role in ROLES]
        for name in PERMISSIONS
    }
    assert told == wanted
