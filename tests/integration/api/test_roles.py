"""Goal: each role may do what docs/identity.md says, and no more. Method: every operation of the catalogue, asked by a person of each role."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api.http.catalogue import operations
from api.identity.roles import ROLES
from tests.integration.api._asking import ask
from tests.integration.api._office import Browser, Office
from tests.integration.api.test_isolation import _required

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

DOCS = Path(__file__).parents[3] / "docs" / "identity.md"


def told() -> dict[str, dict[str, str]]:
    """What the page says: of each resource, w, r or nothing for each role."""
    text = DOCS.read_text(encoding="utf-8")
    head = re.search(r"^\| resource \|(.+)\|$", text, re.MULTILINE)
    assert head is not None
    roles = [cell.strip() for cell in head[1].split("|")]
    rows = re.findall(r"^\| `(\w+)` \|(.+)\|$", text, re.MULTILINE)
    return {
        name: dict(zip(roles, (cell.strip() for cell in cells.split("|")), strict=True))
        for name, cells in rows
        if cells.count("|") == len(roles) - 1
    }


def says_no(browser: Browser, operation) -> bool:
    """Whether the operation is refused for want of a role. What it is asked about is nobody's, so nothing is done."""
    path = re.sub(r"\{\w+\}", "nobody", operation.path)
    answer = browser.ask(operation.method, path, _required(operation))
    assert answer.status_code != 500, (operation.id, answer.text)
    return answer.status_code == 403 and answer.json()["error"]["message"].startswith("None of your roles has")


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reaches_as_far_as_the_page_says(office: Office, role: str) -> None:
    """Of all operations exactly those are refused that the page does not give the role."""
    browser, page = office.person(role, tenant=office.test), told()
    wrong = []
    for operation in operations():
        name, _, act = operation.scope.partition(":")
        given = page[name][role]
        allowed = given == "w" or (given == "r" and act == "read")
        if says_no(browser, operation) == allowed:
            wrong.append((operation.id, operation.scope, given))
    assert wrong == []


def test_a_person_acts_for_tenants_of_their_organisation_only(office: Office) -> None:
    """Another organisation's tenant, one of nobody's and one that is not there: one answer; their own of both modes are reached."""
    admin = office.person("admin")
    answers = {admin.ask("GET", "/v1/balance", tenant=one).text for one in ("acme", "globex", "nowhere")}
    assert len(answers) == 1
    assert admin.ask("GET", "/v1/balance", tenant="acme").status_code == 403
    assert admin.get("/v1/balance", tenant=office.live)["livemode"] is True
    assert admin.get("/v1/balance", tenant=office.test)["livemode"] is False
    assert [one["id"] for one in admin.get("/v1/tenants")["data"]] == [office.live, office.test]
    assert "Stripe-Context" in admin.ask("GET", "/v1/balance").json()["error"]["message"]


def test_who_is_kept_to_a_tenant_reaches_no_other(office: Office) -> None:
    """Neither by naming it, nor in lists; their admin's approvals are of their tenants only."""
    admin = office.person("admin")
    made = admin.post("/v1/operators", {"email": office.email("kept"), "roles[]": "operator", "tenants[]": office.test})
    assert (made["status"], made["approval"]) == ("active", None)
    kept = office.person("kept")
    assert [one["id"] for one in kept.get("/v1/tenants")["data"]] == [office.test]
    assert kept.ask("GET", "/v1/payment_intents", tenant=office.live).status_code == 403
    assert kept.ask("GET", "/v1/payment_intents", tenant=office.test).status_code == 200


def test_people_and_programs_have_what_is_theirs(office: Office) -> None:
    """No key reaches operators, approvals or operations, whatever its scopes; an operator's cookie beside a key counts for nothing."""
    for path in ("/v1/operators", "/v1/operators/approvals"):
        assert ask(office.port, office.live_key, "GET", path).status == 403
    given = {"amount": "1", "currency": "eur", "reason": "because"}
    assert ask(office.port, office.live_key, "POST", "/v1/operators/payouts", given).status == 403
    cookie = office.person("admin").http.cookies["clearline_session"]
    both = ask(office.port, office.live_key, "GET", "/v1/operators", Cookie=f"clearline_session={cookie}")
    assert both.status == 403
