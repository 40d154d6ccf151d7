from __future__ import annotations

import pytest
from msgspec.structs import replace

from api.http.catalogue import operations
from api.http.errors import ApiError, Unauthenticated
from api.identity import acts, four_eyes
from api.identity.four_eyes import DECIDED_WITHIN_MS
from schemas.records import ApiKey, Attribution, RoutingPolicy
from tests.unit.api.identity._memory import OTHER_ORG, Memory, group, person, program

ADA, BOB = person("ada", "admin"), person("bob", "admin")
SHOP = program("shop", livemode=True)
STATUS = "/v1/tenants/{id}/status"
APPROVE = "/v1/operators/approvals/{id}/approve"
REJECT = "/v1/operators/approvals/{id}/reject"


def works(memory: Memory, secret: str) -> bool:
    """Whether a key is taken."""
    try:
        memory.keys.identify(f"Bearer {secret}", now_ms=1)
    except Unauthenticated:
        return False
    return True


async def test_suspending_takes_two() -> None:
    """Asked for by one and approved by another, it is done, by whoever asked; the approval says who agreed."""
    memory = Memory().known(ADA, BOB)
    asked = await memory.ask(ADA, "POST", STATUS, {"status": "suspended"}, id="acme")
    assert (asked["status"], asked["proposed_by"], asked["parameters"]) == (
        "pending",
        "op_ada",
        {"status": "suspended"},
    )
    assert memory.tenants["acme"].status == "active"
    own = await memory.ask(ADA, "POST", APPROVE, id=asked["id"])
    assert (own.status, own.code) == (403, "approval_by_proposer")
    assert memory.tenants["acme"].status == "active"
    done = await memory.ask(BOB, "POST", APPROVE, id=asked["id"])
    assert (done["status"], done["decided_by"]) == ("approved", "op_bob")
    changed = memory.tenants["acme"]
    assert (changed.status, changed.version, changed.attribution.actor_id) == ("suspended", 2, "op_ada")
    assert changed.attribution.reason == "because"
    # Once more changes nothing; another decision comes too late.
    again = await memory.ask(BOB, "POST", APPROVE, id=asked["id"])
    assert again == done
    assert (await memory.ask(ADA, "POST", REJECT, id=asked["id"])).code == "approval_decided"
    assert len(memory.history) == 3


async def test_rejected_is_never_done() -> None:
    """A rejected act can't be approved afterwards; whoever asked may reject it."""
    memory = Memory().known(ADA, BOB)
    asked = await memory.ask(ADA, "POST", STATUS, {"status": "suspended"}, id="acme")
    assert (await memory.ask(ADA, "POST", REJECT, id=asked["id"]))["status"] == "rejected"
    assert (await memory.ask(BOB, "POST", APPROVE, id=asked["id"])).code == "approval_decided"
    assert memory.tenants["acme"].status == "active"


async def test_an_approval_expires() -> None:
    """What nobody decided on within three days is shown as expired, and can't be approved."""
    memory = Memory().known(ADA, BOB)
    asked = await memory.ask(ADA, "POST", STATUS, {"status": "suspended"}, id="acme")
    old = memory.approvals[asked["id"]]
    memory.approvals[asked["id"]] = replace(old, expires_ms=old.expires_ms - DECIDED_WITHIN_MS - 1)
    assert (await memory.ask(BOB, "GET", "/v1/operators/approvals/{id}", id=asked["id"]))["status"] == "expired"
    assert (await memory.ask(BOB, "POST", APPROVE, id=asked["id"])).code == "approval_expired"


async def test_only_the_organisations_admins_decide() -> None:
    """An operator may not; of another organisation, or kept to another tenant, there is no such approval."""
    memory = Memory().known(ADA, BOB)
    asked = await memory.ask(ADA, "POST", STATUS, {"status": "suspended"}, id="acme")
    assert (await memory.ask(person("eve", "operator"), "POST", APPROVE, id=asked["id"])).status == 403
    for other in (person("eve", "admin", organization=OTHER_ORG), person("eve", "admin", tenants=("shop",))):
        hidden = await memory.ask(other, "POST", APPROVE, id=asked["id"])
        nothing = await memory.ask(other, "POST", APPROVE, id="apr_" + 24 * "0")
        assert (hidden.status, hidden.body()) == (nothing.status, nothing.body()) == (404, nothing.body())
        assert (await memory.ask(other, "GET", "/v1/operators/approvals"))["data"] == []
    assert (await memory.ask(program("acme"), "POST", APPROVE, id=asked["id"])).status == 403
    assert (await memory.ask(group(), "POST", APPROVE, id=asked["id"])).status == 403


async def test_a_live_key_works_once_another_person_agreed() -> None:
    """It is shown to whoever asks, works only from the approval on, and the approval holds nothing secret."""
    memory = Memory().known(ADA, BOB)
    asked = await memory.ask(SHOP, "POST", "/v1/api_keys", {"name": "Shop"}, key="k")
    secret = asked["secret"]
    assert secret.startswith("sk_live_")
    assert (asked["status"], asked["livemode"]) == ("pending_approval", True)
    assert not works(memory, secret)
    approval = memory.approvals[asked["approval"]]
    assert secret not in approval.parameters
    shown = await memory.ask(BOB, "GET", "/v1/operators/approvals/{id}", id=asked["approval"])
    assert not {"digest", "fingerprint"} & set(shown["parameters"])
    assert (shown["tenant"], shown["object_id"], shown["proposed_by"]) == ("shop", asked["id"], "key_shop")
    again = await memory.ask(SHOP, "POST", "/v1/api_keys", {"name": "Shop"}, key="k")
    assert again == {**asked, "secret": None}
    await memory.ask(BOB, "POST", APPROVE, id=asked["approval"])
    assert works(memory, secret)
    found = await memory.ask(SHOP, "GET", "/v1/api_keys/{id}", id=asked["id"])
    assert (found["status"], found["approval"], found["name"]) == ("active", None, "Shop")


async def test_a_rejected_live_key_never_works() -> None:
    """Nor is it a key of the tenant's."""
    memory = Memory().known(ADA, BOB)
    asked = await memory.ask(SHOP, "POST", "/v1/api_keys", {})
    await memory.ask(BOB, "POST", REJECT, id=asked["approval"])
    assert not works(memory, asked["secret"])
    listed = await memory.ask(SHOP, "GET", "/v1/api_keys")
    assert [one["id"] for one in listed["data"]] == ["key_shop"]


async def test_who_has_no_organisation_gets_no_live_key() -> None:
    """Where nobody could approve, asking is refused with what to do."""
    refused = await Memory().ask(program("lone", livemode=True), "POST", "/v1/api_keys", {})
    assert isinstance(refused, ApiError)
    assert (refused.status, refused.code) == (400, "approval_not_possible")


@pytest.mark.parametrize("who", [program("acme"), person("eve", "operator"), person("eve", "developer")])
async def test_suspending_is_not_for_everybody(who) -> None:
    """A tenant's own key and roles below admin don't even ask for it."""
    memory = Memory().known(ADA, BOB)
    refused = await memory.ask(who, "POST", STATUS, {"status": "suspended"}, id="acme")
    assert refused.status == 403
    assert not memory.history


def at_shop(name: str, *roles: str, **more):
    """An operator who acts for the live tenant."""
    return person(name, *roles, tenant="shop", livemode=True, **more)


async def approved(memory: Memory, approval: str, who=BOB):
    """What comes of approving."""
    return await memory.ask(who, "POST", APPROVE, id=approval)


def test_every_act_that_takes_two_can_be_carried_out() -> None:
    """Each act has its scope and what does it; none is only in one of the two."""
    assert set(acts.CARRY_OUT) == set(four_eyes.SCOPES) == set(four_eyes.ASKED_BY.values())
    assert set(four_eyes.ASKED_BY) <= {one.id for one in operations()}


async def test_a_live_policy_takes_two_and_a_test_one_does_not() -> None:
    """The old version decides until another person has agreed; the new one is the asker's."""
    memory = Memory().known(ADA, BOB)
    memory.policies["shop"] = RoutingPolicy(tenant="shop", policy_version=4, providers=("a", "b"))
    path = "/v1/routing/policies"
    asked = await memory.ask(SHOP, "POST", path, {"providers": ["b", "a"]}, key="p")
    assert (asked["version"], asked["providers"]) == (4, ["a", "b"])
    assert memory.policies["shop"].policy_version == 4
    again = await memory.ask(SHOP, "POST", path, {"providers": ["b", "a"]}, key="p")
    assert again == asked
    assert (await memory.ask(SHOP, "POST", path, {"providers": ["a"]}, key="p")).type == "idempotency_error"
    done = await approved(memory, asked["approval"])
    assert (done["status"], done["action"]) == ("approved", "routing.policies.create")
    policy = memory.policies["shop"]
    assert (policy.policy_version, policy.providers, policy.attribution.actor_id) == (5, ("b", "a"), "key_shop")
    same = await memory.ask(SHOP, "POST", path, {"providers": ["b", "a"]})
    assert same["approval"] is None
    at_once = await memory.ask(program("acme"), "POST", path, {"providers": ["b"]})
    assert (at_once["version"], at_once["approval"]) == (1, None)


async def test_live_terms_take_two_unless_they_move_nothing() -> None:
    """Reserve, delays and the like wait for another person; name and API version don't. They are applied to what is so by then."""
    memory = Memory().known(ADA, BOB)
    path = "/v1/tenants/{id}"
    asked = await memory.ask(ADA, "POST", path, {"available_delay_ms": "0", "capture_days": "3"}, id="shop")
    assert (asked["capture_days"], memory.tenants["shop"].capture_days) == (7, 7)
    named = await memory.ask(ADA, "POST", path, {"name": "Corner"}, id="shop")
    assert (named["name"], named["approval"]) == ("Corner", None)
    assert (await memory.ask(ADA, "POST", path, {"capture_days": "99"}, id="shop")).param == "capture_days"
    await approved(memory, asked["approval"])
    shop = memory.tenants["shop"]
    assert (shop.capture_days, shop.name, shop.version, shop.attribution.actor_id) == (3, "Corner", 3, "op_ada")
    test = await memory.ask(ADA, "POST", path, {"capture_days": "3"}, id="acme")
    assert (test["capture_days"], test["approval"]) == (3, None)


async def live_key(memory: Memory, given: dict | None = None) -> dict:
    """A live key that works, with its secret."""
    made = await memory.ask(SHOP, "POST", "/v1/api_keys", given or {})
    await approved(memory, made["approval"])
    return made


async def test_rolling_a_live_key_takes_two() -> None:
    """The old one works on until another person has agreed and its overlap has passed; the new one from then on."""
    memory = Memory().known(ADA, BOB)
    made = await live_key(memory)
    roll = "/v1/api_keys/{id}/roll"
    rolled = await memory.ask(SHOP, "POST", roll, {"expires_in": "3600"}, key="r", id=made["id"])
    assert rolled["status"] == "pending_approval"
    assert works(memory, made["secret"])
    assert not works(memory, rolled["secret"])
    assert memory.keys.get(made["id"]).expires_ms == 0
    again = await memory.ask(SHOP, "POST", roll, {"expires_in": "3600"}, key="r", id=made["id"])
    assert again == {**rolled, "secret": None}
    shown = await memory.ask(BOB, "GET", "/v1/operators/approvals/{id}", id=rolled["approval"])
    assert shown["parameters"]["rolls"] == made["id"]
    await approved(memory, rolled["approval"])
    assert works(memory, rolled["secret"])
    old = memory.keys.get(made["id"])
    assert old.successor == rolled["id"]
    assert old.expires_ms > old.updated_ms + 3_599_000


async def test_a_leaked_live_key_ends_at_once_by_one_person() -> None:
    """Rolled without overlap, or revoked, it is refused from that moment; only its successor waits."""
    memory = Memory().known(ADA, BOB)
    made, other = await live_key(memory), await live_key(memory)
    rolled = await memory.ask(
        at_shop("ada", "admin"), "POST", "/v1/api_keys/{id}/roll", {"expires_in": "0"}, id=made["id"]
    )
    old = memory.keys.get(made["id"])
    assert old.expires_ms == old.updated_ms + 1
    assert not works(memory, rolled["secret"])
    await memory.ask(at_shop("ada", "admin"), "POST", "/v1/api_keys/{id}/revoke", id=other["id"])
    assert not works(memory, other["secret"])
    await approved(memory, rolled["approval"])
    assert works(memory, rolled["secret"])


async def test_of_two_rolls_one_is_done() -> None:
    """A key has one successor, however many were asked for."""
    memory = Memory().known(ADA, BOB)
    made = await live_key(memory)
    first, second = [
        await memory.ask(SHOP, "POST", "/v1/api_keys/{id}/roll", {}, key=key, id=made["id"]) for key in "ab"
    ]
    await approved(memory, first["approval"])
    assert (await approved(memory, second["approval"])).code == "key_rolled"
    assert not works(memory, second["secret"])


async def test_a_live_restricted_key_gets_more_scopes_by_two_and_fewer_by_one() -> None:
    """What it may do is taken at once and given when another person agrees."""
    memory = Memory().known(ADA, BOB)
    made = await live_key(memory, {"type": "restricted", "scopes": ["charges:write", "refunds:write"]})
    one = "/v1/api_keys/{id}"
    less = await memory.ask(SHOP, "POST", one, {"scopes": ["charges:read"]}, id=made["id"])
    assert (less["scopes"], less["approval"]) == (["charges:read"], None)
    more = await memory.ask(SHOP, "POST", one, {"scopes": ["charges:write"]}, id=made["id"])
    assert (more["scopes"], more["status"]) == (["charges:read"], "active")
    await approved(memory, more["approval"])
    assert memory.keys.get(made["id"]).scopes == ("charges:write",)


async def test_a_publishable_live_key_takes_one() -> None:
    """What every browser may show works at once."""
    made = await Memory().ask(SHOP, "POST", "/v1/api_keys", {"type": "publishable"})
    assert (made["status"], made["approval"]) == ("active", None)


async def test_nobody_makes_themselves_a_second_person() -> None:
    """Who would handle a live tenant's money is agreed to by another; who reads, or handles test money, is not."""
    memory = Memory().known(ADA, BOB)
    path = "/v1/operators"
    puppet = await memory.ask(ADA, "POST", path, {"email": "ada2@example.com", "roles": ["admin"]}, key="e")
    assert puppet["status"] == "pending_approval"
    assert puppet["id"] not in memory.operators
    assert (await approved(memory, puppet["approval"], ADA)).code == "approval_by_proposer"
    reader = await memory.ask(ADA, "POST", path, {"email": "eve@example.com", "roles": ["analyst"]})
    assert (reader["status"], reader["approval"]) == ("active", None)
    raised = await memory.ask(ADA, "POST", path + "/{id}", {"roles": ["admin"]}, id=reader["id"])
    assert (raised["roles"], memory.operators[reader["id"]].roles) == (["analyst"], ("analyst",))
    kept = await memory.ask(ADA, "POST", path + "/{id}", {"roles": ["operator"], "tenants": ["acme"]}, id=reader["id"])
    assert (kept["roles"], kept["approval"]) == (["operator"], None)
    widened = await memory.ask(ADA, "POST", path + "/{id}", {"tenants": []}, id=reader["id"])
    assert widened["approval"] is not None
    await approved(memory, widened["approval"])
    assert memory.operators[reader["id"]].tenants == ()
    await approved(memory, puppet["approval"])
    assert memory.operators[puppet["id"]].roles == ("admin",)
    assert memory.operators[puppet["id"]].attribution.actor_id == "op_ada"
    # Taking away takes one; giving back takes two.
    gone = await memory.ask(ADA, "POST", path + "/{id}", {"status": "disabled"}, id=puppet["id"])
    assert (gone["status"], gone["approval"]) == ("disabled", None)
    back = await memory.ask(ADA, "POST", path + "/{id}", {"status": "active"}, id=puppet["id"])
    assert (back["status"], memory.operators[puppet["id"]].status) == ("disabled", "disabled")


async def test_who_asked_must_still_be_allowed_to() -> None:
    """An operator who lost the role or is disabled, and a key that was revoked, get nothing more; rejecting still works."""
    for change in (
        {"roles": ("analyst",)},
        {"status": "disabled"},
        {"organization": OTHER_ORG},
        {"tenants": ("acme",)},
    ):
        memory = Memory().known(ADA, BOB)
        asked = await memory.ask(ADA, "POST", STATUS, {"status": "suspended"}, id="shop")
        memory.operators["op_ada"] = replace(memory.operators["op_ada"], **change)
        assert (await approved(memory, asked["id"])).code == "approval_not_possible", change
        assert memory.tenants["shop"].status == "active"
        assert (await memory.ask(BOB, "POST", REJECT, id=asked["id"]))["status"] == "rejected"
    memory = Memory().known(ADA, BOB)
    asked = await memory.ask(SHOP, "POST", "/v1/api_keys", {})
    memory.keys.put("key_shop", replace(memory.keys.get("key_shop"), status="revoked"))
    assert (await approved(memory, asked["approval"])).code == "approval_not_possible"
    assert not works(memory, asked["secret"])


async def test_nobody_approves_what_their_own_key_asked_for() -> None:
    """Whoever made a key is no second person to it, also where keys made keys."""
    memory = Memory().known(ADA, BOB)
    for key_id, maker in (("key_shop", "key_first"), ("key_first", "op_ada")):
        kind = ApiKey(key_id=key_id, tenant="shop", kind="secret", status="active", digest=key_id.encode())
        memory.keys.put(key_id, replace(kind, attribution=Attribution(actor_id=maker)))
    asked = await memory.ask(SHOP, "POST", "/v1/api_keys", {})
    assert (await approved(memory, asked["approval"], ADA)).code == "approval_by_proposer"
    assert (await approved(memory, asked["approval"], BOB))["status"] == "approved"


async def test_what_a_newer_release_asked_is_not_done() -> None:
    """An act that this release does not know is refused and stays pending, for one that does."""
    memory = Memory().known(ADA, BOB)
    asked = await memory.ask(ADA, "POST", STATUS, {"status": "suspended"}, id="acme")
    memory.approvals[asked["id"]] = replace(memory.approvals[asked["id"]], action="tenants.teleport")
    assert (await approved(memory, asked["id"])).code == "approval_not_possible"
    assert memory.approvals[asked["id"]].status == "pending"
