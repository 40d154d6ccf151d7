"""Tenants, operators and keys as their operations answer, with the tables in memory."""

from __future__ import annotations

import pytest

from api.identity.api_keys import KEYS_PER_TENANT_MAX
from schemas.records import OperatorSession
from tests.unit.api.identity._memory import ORG, OTHER_ORG, Memory, group, person, program

ADA = person("ada", "admin")


async def test_a_tenant_is_made_and_changed_by_its_organisation() -> None:
    """What is given is so, what is not is as always; each change is a version, attributed; a repeated request has one effect."""
    memory = Memory()
    asked = {
        "id": "corner",
        "name": "Corner",
        "timezone": "Europe/Paris",
        "settlement_cutoff": "18:00",
        "reserve_days": "30",
    }
    made = await memory.ask(group(), "POST", "/v1/tenants", dict(asked), key="k")
    assert (made["organization"], made["version"], made["status"], made["capture_days"]) == (ORG, 1, "active", 7)
    again = await memory.ask(group(), "POST", "/v1/tenants", dict(asked), key="k")
    assert again == made
    other = await memory.ask(group(), "POST", "/v1/tenants", {**asked, "name": "Other"}, key="k")
    assert other.type == "idempotency_error"
    changed = await memory.ask(ADA, "POST", "/v1/tenants/{id}", {"settlement_currency": "usd", "name": ""}, id="corner")
    assert (changed["version"], changed["settlement_currency"], changed["name"]) == (2, "usd", "corner")
    assert memory.tenants["corner"].settlement_currency == "USD"
    assert memory.tenants["corner"].attribution.actor_id == "op_ada"
    same = await memory.ask(ADA, "POST", "/v1/tenants/{id}", {"settlement_currency": "usd"}, id="corner")
    assert same == changed
    assert len(memory.history) == 2


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"timezone": "../etc"}, "timezone"),
        ({"settlement_cutoff": "24:00"}, "settlement_cutoff"),
        ({"settlement_interval_ms": "5"}, "settlement_interval_ms"),
        ({"settlement_currency": "EUR"}, "settlement_currency"),
        ({"reserve_basis_points": "100"}, "reserve_days"),
        ({"capture_days": "32"}, "capture_days"),
        ({"fees": [{"basis_points": "10001"}]}, "fees[0][basis_points]"),
        ({"fees": [{"fixed": "1"}, {"currency": "eux"}]}, "fees[1][currency]"),
        ({"fees": [{"percent": "3"}]}, "fees[0][percent]"),
        ({"payout_schedule": "hourly"}, "payout_schedule"),
        ({"api_version": "2001-01-01"}, "api_version"),
        ({"status": "suspended"}, "status"),
    ],
)
async def test_terms_are_checked(given, param) -> None:
    """What the folds would refuse is refused here, with its parameter; status has an operation of its own."""
    memory = Memory()
    refused = await memory.ask(ADA, "POST", "/v1/tenants/{id}", given, id="acme")
    assert (refused.status, refused.param) == (400, param)
    assert not memory.history


async def test_other_organisations_tenants_are_not_there() -> None:
    """Neither listed, nor found, nor changed; an id that is another's is taken like any other."""
    memory = Memory()
    listed = await memory.ask(ADA, "GET", "/v1/tenants")
    assert [one["id"] for one in listed["data"]] == ["acme", "shop"]
    for method, path in (("GET", "/v1/tenants/{id}"), ("POST", "/v1/tenants/{id}")):
        hidden, nothing = [await memory.ask(ADA, method, path, id=one) for one in ("globex", "nowhere")]
        assert (hidden.status, hidden.body()) == (404, nothing.body())
    kept = await memory.ask(person("ada", "admin", tenants=("shop",)), "GET", "/v1/tenants")
    assert [one["id"] for one in kept["data"]] == ["shop"]


async def test_operators_are_added_and_changed_by_another_admin() -> None:
    """Roles hold at once; nobody changes their own; unknown roles and foreign tenants are refused."""
    memory = Memory()
    del memory.tenants["shop"]  # where there is real money, it takes two
    made = await memory.ask(ADA, "POST", "/v1/operators", {"email": "Eve@Example.com", "roles": ["operator"]}, key="e")
    assert (made["email"], made["roles"], made["organization"]["name"]) == ("eve@example.com", ["operator"], "Group")
    assert (
        await memory.ask(ADA, "POST", "/v1/operators", {"email": "eve@example.com"})
    ).code == "resource_already_exists"
    path = "/v1/operators/{id}"
    changed = await memory.ask(ADA, "POST", path, {"roles": ["admin"], "tenants": ["acme"]}, id=made["id"])
    assert (changed["roles"], changed["tenants"], changed["version"]) == (["admin"], ["acme"], 2)
    assert (await memory.ask(ADA, "POST", path, {"roles": ["root"]}, id=made["id"])).param == "roles"
    assert (await memory.ask(ADA, "POST", path, {"tenants": ["globex"]}, id=made["id"])).param == "tenants"
    eve = person("x", "admin")
    eve = type(eve)(**{**{name: getattr(eve, name) for name in eve.__struct_fields__}, "key_id": made["id"]})
    assert (await memory.ask(eve, "POST", path, {"tenants": []}, id=made["id"])).status == 403
    assert (await memory.ask(eve, "GET", "/v1/operators/me"))["id"] == made["id"]
    disabled = await memory.ask(ADA, "POST", path, {"status": "disabled"}, id=made["id"])
    assert disabled["status"] == "disabled"
    foreign = person("mallory", "admin", organization=OTHER_ORG)
    assert (await memory.ask(foreign, "GET", path, id=made["id"])).status == 404
    assert (await memory.ask(foreign, "GET", "/v1/operators"))["data"] == []
    assert (await memory.ask(person("x", "operator"), "POST", "/v1/operators", {"email": "a@b.c"})).status == 403
    assert (await memory.ask(program("acme"), "GET", "/v1/operators")).status == 403


async def test_keys_have_a_limit_and_rolling_keeps_to_it() -> None:
    """Beyond a hundred that work no further one is made; one that was revoked makes room."""
    memory = Memory()
    made = [await memory.ask(program("acme"), "POST", "/v1/api_keys", {}) for _ in range(KEYS_PER_TENANT_MAX)]
    assert (await memory.ask(program("acme"), "POST", "/v1/api_keys", {})).code == "limit_exceeded"
    await memory.ask(program("acme"), "POST", "/v1/api_keys/{id}/revoke", id=made[0]["id"])
    assert (await memory.ask(program("acme"), "POST", "/v1/api_keys", {}))["status"] == "active"


async def test_pages_of_keys_go_both_ways() -> None:
    """Newest first, each once, with both cursors; both at once and foreign cursors are refused alike."""
    memory = Memory()
    memory.keys.put("key_acme", None)
    for number in range(7):
        await memory.ask(program("acme"), "POST", "/v1/api_keys", {"name": str(number)})
    theirs = await memory.ask(program("globex"), "POST", "/v1/api_keys", {})
    path, whole = "/v1/api_keys", []
    while True:
        cursor = {"starting_after": whole[-1]["id"]} if whole else {}
        page = await memory.ask(program("acme"), "GET", path, {"limit": "3", **cursor})
        whole += page["data"]
        if not page["has_more"]:
            break
    assert len({one["id"] for one in whole}) == 7
    back = await memory.ask(program("acme"), "GET", path, {"limit": "2", "ending_before": whole[4]["id"]})
    assert back["data"] == whole[2:4]
    assert back["has_more"]
    hidden = await memory.ask(program("acme"), "GET", path, {"starting_after": theirs["id"]})
    nothing = await memory.ask(program("acme"), "GET", path, {"starting_after": "key_" + 24 * "0"})
    assert hidden.body() == nothing.body()
    both = await memory.ask(program("acme"), "GET", path, {"starting_after": "a", "ending_before": "b"})
    assert both.param == "ending_before"


async def test_what_a_tenant_pays_is_set_by_rules() -> None:
    """In order, each change a version; where there are none, the providers' own fees are paid; live it takes two."""
    memory = Memory().known(ADA, person("bob", "admin"))
    path = "/v1/tenants/{id}"
    rules = [{"currency": "eur", "basis_points": "290", "fixed": "30", "dispute": "1500"}, {"basis_points": "350"}]
    paid = await memory.ask(ADA, "POST", path, {"fees": rules}, id="acme")
    assert (paid["version"], [one["basis_points"] for one in paid["fees"]]) == (2, [290, 350])
    first = memory.tenants["acme"].fees[0]
    assert (first.currency, first.basis_points, first.fixed_minor, first.dispute_minor) == ("EUR", 290, 30, 1500)
    assert (await memory.ask(ADA, "POST", path, {"fees": rules}, id="acme"))["version"] == 2
    none = await memory.ask(ADA, "POST", path, {"fees": ""}, id="acme")
    assert (none["version"], none["fees"]) == (3, [])
    assert (await memory.ask(program("acme"), "POST", path, {"fees": rules}, id="acme")).status == 403
    asked = await memory.ask(ADA, "POST", path, {"fees": rules}, id="shop")
    assert (asked["fees"], memory.tenants["shop"].fees) == ([], ())
    approve = "/v1/operators/approvals/{id}/approve"
    await memory.ask(person("bob", "admin"), "POST", approve, id=asked["approval"])
    assert [one.basis_points for one in memory.tenants["shop"].fees] == [290, 350]


async def test_who_is_disabled_has_no_session_left() -> None:
    """Their sessions end with them, other people's don't; made active again they sign in anew."""
    memory = Memory().known(ADA, person("eve", "analyst"))
    for number, who in enumerate(("op_eve", "op_eve", "op_ada")):
        key = bytes([number])
        memory.sessions[key] = OperatorSession(session_id=f"os_{number}", operator_id=who, digest=key, status="active")
    await memory.ask(ADA, "POST", "/v1/operators/{id}", {"status": "disabled"}, id="op_eve")
    assert [one.operator_id for one in memory.sessions.values()] == ["op_ada"]
    ended = [one for one in memory.history if isinstance(one, OperatorSession)]
    assert [(one.status, one.attribution.actor_id) for one in ended] == [("ended", "op_ada")] * 2


async def test_a_policys_key_makes_one_version() -> None:
    """The same request again is that version and is marked as replayed; other providers under its key are refused."""
    memory, who = Memory(), program("acme")
    path = "/v1/routing/policies"
    first = await memory.ask(who, "POST", path, {"providers": ["northpay"]}, key="k")
    again = await memory.ask(who, "POST", path, {"providers": ["northpay"]}, key="k")
    assert (first["version"], again) == (1, first)
    other = await memory.ask(who, "POST", path, {"providers": ["southpay"]}, key="k")
    assert (other.status, other.type, memory.policies["acme"].policy_version) == (400, "idempotency_error", 1)
    after = await memory.ask(who, "POST", path, {"providers": ["southpay"]}, key="l")
    assert after["version"] == 2
