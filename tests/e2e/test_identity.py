"""Goal: people sign in to a whole stack and act. Method: the stack's own issuer, two API processes, the commands that people use, `kill -9`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from api.identity.people import COOKIE
from schemas import codec
from schemas.catalogue import PAYMENTS_EVENTS
from schemas.records import PaymentEvent
from tests.e2e.conftest import RunningStack
from tests.e2e.test_personal import clearline
from tests.integration._runtime_kit import committed_records, wait_until
from tests.integration.api._office import Browser, close_browsers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ME = "/v1/operators/me"


def said(stack: RunningStack, *arguments: str) -> str:
    """What a command prints, once it has done its work."""
    done = clearline(stack, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_an_organisation_from_the_first_command_to_the_last_session(make_stack: Callable[..., RunningStack]) -> None:
    """
    Made by command, its people sign in, act and are taken out, on every API process.

    Issuer and API may die: whoever is signed in stays so, and whoever was taken out stays out.
    """
    try:
        _story(make_stack(apis=2, CLEARLINE_DEVELOPMENT_ISSUER="1"))
    finally:
        close_browsers()


def _story(stack: RunningStack) -> None:
    # 1. An organisation with a tenant, a key and two people.
    organization = said(stack, "organizations", "create", "Example Group")
    assert organization.startswith("org_")
    said(stack, "organizations", "take", organization, "acme")
    listed = said(stack, "organizations", "list")
    assert "Example Group" in listed
    assert "acme" in listed
    assert said(stack, "organizations", "key", organization).startswith("sk_org_test_")
    assert "providers' own" in said(stack, "tenants", "fees", "acme", "--none")
    rule = "basis_points=100,fixed=5,currency=eur"
    assert said(stack, "tenants", "fees", "acme", rule, "basis_points=300") == f"{rule}\nbasis_points=300"
    assert organization in said(stack, "tenants", "list")
    ada = said(stack, "operators", "add", organization, "Ada@example.com", "--role", "admin", "--name", "Ada")
    eve = said(stack, "operators", "add", organization, "eve@example.com", "--role", "operator")
    assert {ada, eve} <= set(said(stack, "operators", "list").split())
    refused = {
        ("operators", "add", organization, "ada@example.com", "--role", "admin"): "already",
        ("operators", "add", organization, "no-address", "--role", "admin"): "e-mail",
        ("operators", "add", "org_none", "a@example.com", "--role", "admin"): "clearline organizations list",
        ("operators", "add", organization, "a@example.com", "--role", "root"): "root",
        ("operators", "disable", "op_none"): "op_none",
        ("organizations", "take", organization, "nobody"): "nobody",
        ("tenants", "fees", "nobody", rule): "nobody",
        ("tenants", "fees", "acme", "3%"): "no rule",
        ("tenants", "fees", "acme", "basis_points=10001"): "10000",
        ("organizations", "key", "org_none"): "clearline organizations list",
    }
    for arguments, words in refused.items():
        done = clearline(stack, *arguments)
        assert done.returncode != 0, arguments
        assert words in done.stdout + done.stderr, (arguments, done.stderr)

    # 2. They sign in at one API process; the other knows them.
    first, other = stack.apis
    admin = Browser(first, tenant="acme").sign_in("ada@example.com")
    assert admin.get(ME)["id"] == ada
    stranger = Browser(first)
    assert stranger.http.get(stranger.at_the_issuer("mallory@example.com")).status_code == 403
    elsewhere = Browser(other, tenant="acme")
    elsewhere.http.cookies.set(COOKIE, admin.http.cookies[COOKIE], domain="127.0.0.1")
    wait_until(lambda: elsewhere.ask("GET", ME).status_code == 200, "the other process knows the session")

    # 3. What one does is told in their name.
    operator = Browser(first, tenant="acme").sign_in("eve@example.com")
    paid = operator.post(
        "/v1/payment_intents",
        {"amount": "900", "currency": "eur", "payment_method": "pm_card_visa", "confirm": "true"},
        Clearline_Reason="By telephone",
    )
    events = map(codec.decode, (one.value() for one in committed_records(stack.read.kafka, PAYMENTS_EVENTS.name)))
    told = [one for one in events if isinstance(one, PaymentEvent) and one.payment_id == paid["id"]]
    assert max(one.charge.tenant_fee_minor for one in told if one.charge is not None) == 14
    asked = [one.attribution for one in told if one.attribution.actor_kind == "operator"]
    assert asked
    assert {(one.actor_id, one.on_behalf_of, one.reason) for one in asked} == {(eve, "acme", "By telephone")}

    # 4. The issuer and the API die; sessions don't.
    for name in ("identity", "api"):
        process = stack.stack.process(name)
        process.wait_ready(180, other_than_pid=process.kill())
    assert operator.get(ME)["id"] == eve
    assert Browser(first).sign_in("ada@example.com").get(ME)["id"] == ada

    # 5. Out is out, on both processes, and after a restart.
    said(stack, "operators", "disable", eve)
    beside = Browser(other)
    beside.http.cookies.set(COOKIE, operator.http.cookies[COOKIE], domain="127.0.0.1")
    for browser in (operator, beside):
        wait_until(lambda browser=browser: browser.ask("GET", ME).status_code == 401, "the session is refused")
    assert "disabled" in said(stack, "operators", "list")
    process = stack.stack.process("api")
    process.wait_ready(180, other_than_pid=process.kill())
    assert operator.ask("GET", ME).status_code == 401
    assert admin.http.post("/v1/operators/logout").status_code == 200
    wait_until(lambda: elsewhere.ask("GET", ME).status_code == 401, "signed out everywhere")
