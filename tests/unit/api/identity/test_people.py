from __future__ import annotations

from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from api.http.errors import ApiError, Forbidden, Unauthenticated
from api.http.keys import Identity, KeyTable, make
from api.identity.people import COOKIE, People, acting, digest
from schemas.records import Attribution, Operator, OperatorSession, Tenant

NOW = 1_790_000_000_000
SESSION = OperatorSession(
    session_id="os_1",
    operator_id="op_1",
    digest=digest("value"),
    status="active",
    created_ms=NOW,
    expires_ms=NOW + 1_000,
)
OPERATOR = Operator(
    operator_id="op_1", organization="org_1", email="ada@example.com", roles=("operator",), status="active"
)
TENANTS = {
    "acme": Tenant(tenant="acme", organization="org_1"),
    "live": Tenant(tenant="live", organization="org_1", livemode=True),
    "globex": Tenant(tenant="globex", organization="org_2"),
    "nobodys": Tenant(tenant="nobodys"),
}


def people(*, session: OperatorSession = SESSION, operator: Operator = OPERATOR) -> People:
    """What knows one person."""
    return People(SimpleNamespace(sessions={session.digest: session}, operators={operator.operator_id: operator}))


def headers(**more: str) -> dict[str, str]:
    """A request of theirs."""
    return {"cookie": f"{COOKIE}=value", "host": "api.example", **more}


def test_a_session_is_its_operator() -> None:
    """The cookie's digest finds the session, which says who it is, with their roles and reason, acting for no tenant yet."""
    found = people().identify(headers(**{"clearline-reason": "looking into it"}), now_ms=NOW)
    assert (found.key_id, found.kind, found.tenant, found.organization) == ("op_1", "operator", "", "org_1")
    who = found.attribution(request_id="req_1", idempotency_key="k")
    assert (who.actor_kind, who.actor_id, who.reason) == ("operator", "op_1", "looking into it")


@pytest.mark.parametrize(
    ("session", "operator"),
    [
        (replace(SESSION, status="ended"), OPERATOR),
        (replace(SESSION, expires_ms=NOW), OPERATOR),
        (SESSION, replace(OPERATOR, status="disabled")),
        (SESSION, replace(OPERATOR, operator_id="op_2")),
        (replace(SESSION, digest=digest("other")), OPERATOR),
    ],
    ids=["ended", "expired", "disabled", "gone", "unknown"],
)
def test_no_session_is_refused_in_one_way(session, operator) -> None:
    """Ended, expired, unknown, or of somebody who is disabled: 401, in the same words."""
    with pytest.raises(Unauthenticated) as refused:
        people(session=session, operator=operator).identify(headers(), now_ms=NOW)
    assert refused.value.message == "You are not signed in, or your session has ended. Sign in again."


@pytest.mark.parametrize(
    "more",
    [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}],
    ids=lambda one: next(iter(one)),
)
def test_other_sites_requests_are_refused(more) -> None:
    """A browser that another site made send the cookie says so, and is refused."""
    with pytest.raises(Forbidden):
        people().identify(headers(**more), now_ms=NOW)
    assert people().identify(headers(origin="https://api.example"), now_ms=NOW)


@pytest.mark.parametrize("cookie", ["", "a=b", "clearline_session", "\x00", "clearline_session=" + "x" * 5_000, "=;=;"])
def test_odd_cookies_are_none(cookie) -> None:
    """Whatever the header holds, it is a session or none."""
    assert People.presented({"cookie": cookie}) == ""


def test_an_operator_acts_for_tenants_of_the_organisation_only() -> None:
    """Another organisation's tenant, one of nobody's and one that is not there are refused in the same words."""
    found = people().identify(headers(), now_ms=NOW)
    assert acting(found, "acme", TENANTS).tenant == "acme"
    assert acting(found, "live", TENANTS).livemode is True
    refusals = set()
    for wanted in ("globex", "nobodys", "nowhere"):
        with pytest.raises(Forbidden) as refused:
            acting(found, wanted, TENANTS)
        refusals.add(refused.value.message)
    assert len(refusals) == 1
    kept = replace(found, tenants=("live",))
    with pytest.raises(Forbidden):
        acting(kept, "acme", TENANTS)


def test_without_a_tenant_only_the_organisation_is_reached() -> None:
    """Nobody reads objects before they have said whose; no query is ever made for a tenant without a name."""
    found = people().identify(headers(), now_ms=NOW)
    found.require("tenants:read")
    for scope in ("payment_intents:read", "balance:read", "operations:write"):
        with pytest.raises(Forbidden) as refused:
            found.require(scope)
        assert "Stripe-Context" in refused.value.message
        acting(found, "acme", TENANTS).require(scope)
    with pytest.raises(Forbidden):
        acting(found, "acme", TENANTS).require("api_keys:write")


def test_an_organisations_key_acts_and_is_no_person() -> None:
    """It reaches its tenants' objects once it names one, and nothing that only people answer for."""
    secret, record = make("", organization="org_1", now_ms=NOW, who=Attribution())
    assert secret.startswith("sk_org_test_")
    table = KeyTable()
    table.put(record.key_id, record)
    found = table.identify(f"Bearer {secret}", now_ms=NOW)
    assert (found.kind, found.tenant, found.organization) == ("organization", "", "org_1")
    with pytest.raises(Forbidden):
        found.require("payment_intents:read")
    mine = acting(found, "acme", TENANTS)
    mine.require("payment_intents:write")
    assert mine.attribution(request_id="r", idempotency_key="k").on_behalf_of == "acme"
    with pytest.raises(Forbidden):
        mine.require("approvals:write")


def test_a_tenants_key_is_never_an_organisations() -> None:
    """Key and organisation exclude each other, and an organisation's key is secret."""
    for tenant, organization, kind in (("acme", "org_1", "secret"), ("", "", "secret"), ("", "org_1", "publishable")):
        with pytest.raises(ValueError, match="organisation"):
            make(tenant, organization=organization, kind=kind, now_ms=NOW, who=Attribution())


def test_reasons_are_bounded() -> None:
    """A reason that is too long is refused before it reaches a record."""
    with pytest.raises(ApiError):
        people().identify(headers(**{"clearline-reason": "x" * 256}), now_ms=NOW)


def test_restricted_keys_still_need_their_scope() -> None:
    """What a key may do is what it was given, whatever roles there are."""
    who = Identity(
        tenant="acme", key_id="key_1", kind="restricted", livemode=False, scopes=("charges:read",), api_version=""
    )
    who.require("charges:read")
    with pytest.raises(Forbidden):
        who.require("tenants:read")
