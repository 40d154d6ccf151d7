"""Goal: audit sees who changed what, of its own organisation and no other. Method: people signed in to the running API, and SQL."""

from __future__ import annotations

import pytest

from connectors.clickhouse import verify
from connectors.clickhouse.client import connect
from schemas import environment
from schemas.catalogue import IDENTITY_HISTORY
from tests.integration._house import wait_until
from tests.integration.api._office import Browser, Office, opened

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

PATH = "/v1/operators/history"


@pytest.fixture(scope="module")
def auditor(office: Office) -> Browser:
    """Who reads everything."""
    return office.person("auditor")


def whole(browser: Browser, given: dict | None = None, **more) -> list[dict]:
    """The list, page by page."""
    found: list[dict] = []
    while True:
        cursor = {"starting_after": found[-1]["id"]} if found else {}
        page = browser.get(PATH, {"limit": "7", **(given or {}), **cursor}, **more)
        found += page["data"]
        if not page["has_more"]:
            return found


def test_a_change_is_listed_with_its_author_and_what_came_of_it(office: Office, auditor: Browser) -> None:
    """Asked and approved: who asked and why, who agreed, and the change in the asker's name; each under its request."""
    admin, second = office.person("admin", tenant=office.live), office.person("second")
    terms = {"capture_days": "5"}
    asked = admin.ask("POST", f"/v1/tenants/{office.live}", terms, Clearline_Reason="As agreed")
    approval = asked.json()["approval"]
    agreed = second.ask("POST", f"/v1/operators/approvals/{approval}/approve")
    assert agreed.status_code == 200, agreed.text
    newest = auditor.get(PATH, {"limit": "3"})["data"]
    by_act = {one["act"]: one for one in newest}
    assert set(by_act) == {"approval.asked", "approval.approved", "tenant.changed"}
    assert by_act["approval.asked"]["actor"] == {
        "id": office.ids["admin"],
        "kind": "operator",
        "on_behalf_of": office.live,
        "reason": "As agreed",
    }
    assert by_act["approval.asked"]["request"] == asked.headers["request-id"]
    assert by_act["approval.approved"]["actor"]["id"] == office.ids["second"]
    assert by_act["approval.approved"]["request"] == agreed.headers["request-id"]
    changed = by_act["tenant.changed"]
    assert (changed["actor"]["id"], changed["after"]["capture_days"], changed["tenant"]) == (
        office.ids["admin"],
        5,
        office.live,
    )


def test_the_list_can_be_paged_and_filtered(office: Office, auditor: Browser) -> None:
    """Each change once, newest first, both ways; by act, actor, kind, object and time."""
    every = whole(auditor)
    assert len({one["id"] for one in every}) == len(every) > 10
    assert [one["created"] for one in every] == sorted((one["created"] for one in every), reverse=True)
    back = auditor.get(PATH, {"limit": "5", "ending_before": every[6]["id"]})
    assert [one["id"] for one in back["data"]] == [one["id"] for one in every[1:6]]
    for name, value, of in (
        ("act", "operator.created", lambda one: one["act"]),
        ("actor", office.ids["admin"], lambda one: one["actor"]["id"]),
        ("kind", "operator_session", lambda one: one["kind"]),
        ("object_id", office.ids["admin"], lambda one: one["object_id"]),
    ):
        found = whole(auditor, {name: value})
        assert found == [one for one in every if of(one) == value], name
        assert found, name
    assert whole(auditor, {"created[lt]": "1"}) == []
    assert auditor.ask("GET", PATH, {"starting_after": "ie_nowhere"}).status_code == 400


def test_nothing_of_another_organisation_is_seen(office: Office, auditor: Browser) -> None:
    """Neither its changes nor its cursors; who is kept to a tenant sees that one's; roles without it see none."""
    other = opened(office.house, office.port, office.issuer, f"other-{office.port}")
    other.add("auditor", "auditor")
    theirs = other.person("auditor")
    mine, foreign = whole(auditor), whole(theirs)
    assert not {one["id"] for one in mine} & {one["id"] for one in foreign}
    assert {one["tenant"] for one in foreign} == {None, other.test, other.live}
    assert {one["tenant"] for one in mine} == {None, office.test, office.live}
    assert not [one for one in foreign if office.organization in str(one) or office.live in str(one)]
    hidden, nothing = [theirs.ask("GET", PATH, {"starting_after": one}) for one in (mine[0]["id"], "ie_" + 16 * "f")]
    assert (hidden.status_code, hidden.text) == (nothing.status_code, nothing.text) == (400, nothing.text)
    of_tenant = whole(auditor, tenant=office.live)
    assert of_tenant == [{**one, "livemode": True} for one in mine if one["tenant"] == office.live]
    for role in ("analyst", "developer", "operator"):
        assert office.person(role).ask("GET", PATH).status_code == 403
    # A tenant that goes to another organisation takes its history along.
    third = office.house.clearline("organizations", "create", "Third")
    taken = office.house.clearline("organizations", "take", third.stdout.strip(), other.test)
    assert taken.returncode == 0, taken.stderr
    wait_until(lambda: other.test not in {one["tenant"] for one in whole(theirs)}, "it is theirs no longer")
    assert {one["tenant"] for one in whole(theirs)} == {None, other.live}


def test_the_warehouse_holds_what_the_topic_does(office: Office) -> None:
    """Record by record, read anew; and without a secret, a digest or anybody's address."""
    told = environment.read(office.house.environment)
    client = connect(told.warehouse, wait_s=60)
    try:
        topics = (IDENTITY_HISTORY,)
        wait_until(lambda: not verify.unlanded(told.kafka, client, topics=topics), "the history has landed")
        assert verify.compare(told.kafka, client, topics=topics) == []
        rows = client.rows(
            "SELECT count(), countIf(after ILIKE '%@example.com%' OR after ILIKE '%digest%') FROM identity_events"
        )
        ((count, telling),) = rows
        assert count == len(office.history())
        assert telling == 0
        acts = client.rows(
            "SELECT act, count() FROM identity_events WHERE actor_id = {actor:String} GROUP BY act",
            {"actor": office.ids["admin"]},
        )
        assert "operator_session.began" in dict(acts)
    finally:
        client.close()
