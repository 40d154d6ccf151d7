from __future__ import annotations

import pytest
from msgspec.structs import replace

from api.http.errors import ApiError, Unauthenticated
from api.identity.four_eyes import DECIDED_WITHIN_MS
from tests.unit.api.identity._memory import OTHER_ORG, Memory, group, person, program

ADA, BOB = person("ada", "admin"), person("bob", "admin")
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
    memory = Memory()
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
    memory = Memory()
    asked = await memory.ask(ADA, "POST", STATUS, {"status": "suspended"}, id="acme")
    assert (await memory.ask(ADA, "POST", REJECT, id=asked["id"]))["status"] == "rejected"
    assert (await memory.ask(BOB, "POST", APPROVE, id=asked["id"])).code == "approval_decided"
    assert memory.tenants["acme"].status == "active"


async def test_an_approval_expires() -> None:
    """What nobody decided on within three days is shown as expired, and can't be approved."""
    memory = Memory()
    asked = await memory.ask(ADA, "POST", STATUS, {"status": "suspended"}, id="acme")
    old = memory.approvals[asked["id"]]
    memory.approvals[asked["id"]] = replace(old, expires_ms=old.expires_ms - DECIDED_WITHIN_MS - 1)
    assert (await memory.ask(BOB, "GET", "/v1/operators/approvals/{id}", id=asked["id"]))["status"] == "expired"
    assert (await memory.ask(BOB, "POST", APPROVE, id=asked["id"])).code == "approval_expired"


async def test_only_the_organisations_admins_decide() -> None:
    """An operator may not; of another organisation, or kept to another tenant, there is no such approval."""
    memory = Memory()
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
    memory = Memory()
    asked = await memory.ask(program("shop", livemode=True), "POST", "/v1/api_keys", {"name": "Shop"}, key="k")
    secret = asked["secret"]
    assert secret.startswith("sk_live_")
    assert (asked["status"], asked["livemode"]) == ("pending_approval", True)
    assert not works(memory, secret)
    approval = memory.approvals[asked["approval"]]
    assert secret not in approval.parameters
    shown = await memory.ask(BOB, "GET", "/v1/operators/approvals/{id}", id=asked["approval"])
    assert not {"digest", "fingerprint"} & set(shown["parameters"])
    assert (shown["tenant"], shown["object_id"], shown["proposed_by"]) == ("shop", asked["id"], "key_shop")
    again = await memory.ask(program("shop", livemode=True), "POST", "/v1/api_keys", {"name": "Shop"}, key="k")
    assert again == {**asked, "secret": None}
    await memory.ask(BOB, "POST", APPROVE, id=asked["approval"])
    assert works(memory, secret)
    found = await memory.ask(program("shop", livemode=True), "GET", "/v1/api_keys/{id}", id=asked["id"])
    assert (found["status"], found["approval"], found["name"]) == ("active", None, "Shop")


async def test_a_rejected_live_key_never_works() -> None:
    """Nor is it a key of the tenant's."""
    memory = Memory()
    asked = await memory.ask(program("shop", livemode=True), "POST", "/v1/api_keys", {})
    await memory.ask(BOB, "POST", REJECT, id=asked["approval"])
    assert not works(memory, asked["secret"])
    assert (await memory.ask(program("shop", livemode=True), "GET", "/v1/api_keys"))["data"] == []


async def test_who_has_no_organisation_gets_no_live_key() -> None:
    """Where nobody could approve, asking is refused with what to do."""
    refused = await Memory().ask(program("lone", livemode=True), "POST", "/v1/api_keys", {})
    assert isinstance(refused, ApiError)
    assert (refused.status, refused.code) == (400, "approval_not_possible")


@pytest.mark.parametrize("who", [program("acme"), person("eve", "operator"), person("eve", "developer")])
async def test_suspending_is_not_for_everybody(who) -> None:
    """A tenant's own key and roles below admin don't even ask for it."""
    memory = Memory()
    refused = await memory.ask(who, "POST", STATUS, {"status": "suspended"}, id="acme")
    assert refused.status == 403
    assert not memory.history
