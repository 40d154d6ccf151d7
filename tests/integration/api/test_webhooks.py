"""Webhook endpoints by Stripe's SDK: made, changed, paged through, told of payments, told again; and nobody else's."""

from __future__ import annotations

import json
import time
import uuid

import pytest
import stripe

from tests.integration._house import wait_until
from tests.integration._webhooks_house import Receiver
from tests.integration.api.test_sdk import VISA, raw

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

PATH = "/v1/webhook_endpoints"
ABSENT = "we_" + "0" * 24


@pytest.fixture(scope="module")
def key(api) -> str:
    """A secret key of globex."""
    return api.key("globex")


@pytest.fixture(scope="module")
def client(api, key) -> stripe.StripeClient:
    """Its client."""
    return api.client(key)


@pytest.fixture(autouse=True)
def _none_left(client) -> None:
    """Each test begins without endpoints, whatever other files have made: as many as a tenant may have are soon made."""
    for one in client.v1.webhook_endpoints.list({"limit": 100}).data:
        client.v1.webhook_endpoints.delete(one.id)


def make(client, url="https://example.com/hook", **parameters):
    """An endpoint."""
    return client.v1.webhook_endpoints.create({"url": url, "enabled_events": ["*"], **parameters})


def ours(api, key, path, parameters=None, **headers):
    """A request that the SDK has no method for: status and body."""
    status, _, body = raw(api, key, PATH + path, parameters=parameters, **headers)
    return status, json.loads(body)


def test_made_shown_changed_deleted(client) -> None:
    """The secret is in the first answer only; what is given changes, and nothing else; what is deleted is not there."""
    made = make(client, description="Orders", metadata={"team": "a", "old": "b"}, api_version="2026-08-26.dahlia")
    assert made.secret.startswith("whsec_")
    assert (made.status, made.api_version, made.livemode, made.object) == (
        "enabled",
        "2026-08-26.dahlia",
        False,
        "webhook_endpoint",
    )
    found = client.v1.webhook_endpoints.retrieve(made.id)
    assert "secret" not in found
    assert {**found.to_dict(), "secret": made.secret} == made.to_dict()
    changed = client.v1.webhook_endpoints.update(
        made.id, {"disabled": True, "metadata": {"old": "", "new": "c"}, "enabled_events": ["refund.created"]}
    )
    assert (changed.status, changed.metadata.to_dict()) == ("disabled", {"team": "a", "new": "c"})
    assert (changed.enabled_events, changed.description, changed.url) == (["refund.created"], "Orders", made.url)
    assert client.v1.webhook_endpoints.update(made.id, {"disabled": False}).status == "enabled"
    gone = client.v1.webhook_endpoints.delete(made.id)
    assert (gone.id, gone.deleted) == (made.id, True)
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.v1.webhook_endpoints.retrieve(made.id)
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")


def test_one_key_one_effect(api, client, key) -> None:
    """The same key again is answered the same, secret and all; with other parameters, or for another request, it is an error."""
    name = uuid.uuid4().hex
    parameters = {"url": "https://example.com/a", "enabled_events[0]": "*"}
    first, again = (raw(api, key, PATH, parameters=parameters, **{"Idempotency-Key": name}) for _ in range(2))
    assert (first[0], first[2]) == (again[0], again[2])
    assert (first[1]["Idempotent-Replayed"], again[1]["Idempotent-Replayed"]) == (None, "true")
    one = json.loads(first[2])
    status, body = ours(api, key, "", {**parameters, "url": "https://example.com/b"}, **{"Idempotency-Key": name})
    assert (status, body["error"]["type"]) == (400, "idempotency_error")
    status, body = ours(api, key, f"/{one['id']}/roll_secret", {}, **{"Idempotency-Key": name})
    assert (status, body["error"]["type"]) == (400, "idempotency_error")
    assert len(client.v1.webhook_endpoints.list().data) == 1
    rolling = uuid.uuid4().hex
    rolled, same = (
        ours(api, key, f"/{one['id']}/roll_secret", {"expires_in": 60}, **{"Idempotency-Key": rolling})
        for _ in range(2)
    )
    assert rolled == same
    assert rolled[1]["secret"] not in (None, one["secret"])
    assert len(rolled[1]["clearline"]["secrets"]) == 2


def test_pages_both_ways(client) -> None:
    """Newest first, the same order from both ends; a cursor that isn't there is an error."""
    made = [make(client, url=f"https://example.com/{number}").id for number in range(5)]
    listed = [one.id for one in client.v1.webhook_endpoints.list({"limit": 2}).auto_paging_iter()]
    assert sorted(listed) == sorted(made)
    page = client.v1.webhook_endpoints.list({"limit": 2, "ending_before": listed[4]})
    assert ([one.id for one in page.data], page.has_more) == (listed[2:4], True)
    last = client.v1.webhook_endpoints.list({"starting_after": listed[2]})
    assert ([one.id for one in last.data], last.has_more) == (listed[3:], False)
    for wrong in ({"starting_after": ABSENT}, {"starting_after": listed[0], "ending_before": listed[1]}):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.webhook_endpoints.list(wrong)


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"url": "http://example.com/", "enabled_events": ["*"]}, "url"),
        ({"url": "https://10.0.0.1/", "enabled_events": ["*"]}, "url"),
        ({"url": "https://169.254.169.254/latest", "enabled_events": ["*"]}, "url"),
        ({"url": "https://user:pass@example.com/", "enabled_events": ["*"]}, "url"),
        ({"url": "https://example.com/"}, "enabled_events"),
        ({"url": "https://example.com/", "enabled_events": ["every thing"]}, "enabled_events[0]"),
        ({"url": "https://example.com/", "enabled_events": ["*", "invoice.paid"]}, "enabled_events[1]"),
        ({"url": "https://example.com/", "enabled_events": ["*"], "api_version": "2020-01-01"}, "api_version"),
        ({"url": "https://example.com/", "enabled_events": ["*"], "connect": True}, "connect"),
    ],
)
def test_what_is_refused(client, parameters, param) -> None:
    """What can't be called or meant is refused with the parameter's name."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.webhook_endpoints.create(parameters)
    assert (refused.value.http_status, refused.value.param) == (400, param)


def test_as_many_as_may_be(client) -> None:
    """One endpoint more than a tenant may have is refused, and made once there is room again."""
    made = [make(client, url=f"https://example.com/{number}") for number in range(16)]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        make(client)
    assert refused.value.code == "limit_exceeded"
    client.v1.webhook_endpoints.delete(made[0].id)
    assert make(client).status == "enabled"


def test_another_tenants_endpoint_is_not_there(api, client) -> None:
    """Whatever is asked of another tenant's endpoint, the answer is that of an id that never was."""
    theirs = make(client).id
    key = api.key("tiny")  # which has none: no other test gives it any
    stranger = api.client(key)
    asked = [
        ("", None),
        ("", {"description": "mine"}),
        ("/roll_secret", {}),
        ("/deliveries", None),
        ("/replay", {"created[gte]": "1"}),
    ]
    for path, parameters in asked:
        answers = [ours(api, key, f"/{one}{path}", parameters) for one in (theirs, ABSENT)]
        assert answers[0] == answers[1]
        assert (answers[0][0], answers[0][1]["error"]["code"]) == (404, "resource_missing")
    with pytest.raises(stripe.InvalidRequestError):
        stranger.v1.webhook_endpoints.delete(theirs)
    assert stranger.v1.webhook_endpoints.list().data == []
    assert client.v1.webhook_endpoints.retrieve(theirs).description is None


def test_told_of_a_payment_and_told_again(api, client, key) -> None:
    """A payment's events arrive, verified; the log of deliveries has each; a replay by id and one by time tell them again, once for each key."""
    began = int(time.time())
    with Receiver() as receiver:
        made = make(client, receiver.url())
        payment = client.v1.payment_intents.create(VISA)

        def heard(kind: str, count: int = 1) -> bool:
            return [one.event["type"] for one in receiver.accepted].count(kind) >= count

        wait_until(lambda: heard("payment_intent.succeeded") and heard("charge.succeeded"), "it is told of")
        for one in receiver.accepted:
            event = one.verified(made.secret)
            assert event.data.object.object in ("payment_intent", "charge")
        [charge] = [one.event for one in receiver.accepted if one.event["type"] == "charge.succeeded"]
        assert charge["data"]["object"]["payment_intent"] == payment.id

        listed = {one.id: one.to_dict() for one in client.v1.events.list({"limit": 100}).data}
        for one in receiver.accepted:
            assert listed[one.event["id"]] | {"pending_webhooks": 1} == one.event

        def logged():
            status, body = ours(api, key, f"/{made.id}/deliveries?limit=100")
            assert status == 200
            return body["data"] if len(body["data"]) >= len(receiver.accepted) else []

        deliveries = wait_until(logged, "deliveries are in the log")
        assert {one["event"] for one in deliveries} == {one.event["id"] for one in receiver.accepted}
        assert {(one["status"], one["attempts"], one["response_status"]) for one in deliveries} == {
            ("accepted", 1, 200)
        }
        status, page = ours(api, key, f"/{made.id}/deliveries?limit=1&starting_after={deliveries[0]['id']}")
        assert (status, [one["id"] for one in page["data"]], page["has_more"]) == (200, [deliveries[1]["id"]], True)
        assert ours(api, key, f"/{made.id}/deliveries?status=abandoned")[1]["data"] == []

        name = uuid.uuid4().hex
        first, again = (
            ours(api, key, f"/{made.id}/replay", {"event": charge["id"]}, **{"Idempotency-Key": name}) for _ in range(2)
        )
        assert first == again
        assert (first[0], first[1]["object"], first[1]["queued"]) == (200, "webhook_replay", 1)
        before = len(deliveries)
        times = {"created[gte]": str(began), "created[lt]": str(began + 3_600)}
        status, ranged = ours(api, key, f"/{made.id}/replay", times)
        assert (status, ranged["has_more"], ranged["queued"]) == (200, False, before)
        wait_until(lambda: len(receiver.accepted) >= 2 * before + 1, "they are told again")
        told = [one.event["id"] for one in receiver.accepted]
        assert told.count(charge["id"]) == 3
        assert {told.count(one["event"]) for one in deliveries if one["event"] != charge["id"]} == {2}
        receiver.accepted[-1].verified(made.secret)
        wait_until(
            lambda: len(ours(api, key, f"/{made.id}/deliveries?limit=100")[1]["data"]) == 2 * before + 1,
            "they are logged",
        )
        assert ours(api, key, f"/{made.id}/replay", {"event": "evt_nothing"})[0] == 404
        assert ours(api, key, f"/{made.id}/replay", {})[0] == 400
    log = (api.house.directory / "webhooks.log").read_text() + (api.house.directory / "api.log").read_text()
    assert "whsec_" not in log


def test_a_ping_is_heard_once_whatever_is_asked_for(api, client, key) -> None:
    """It comes to that endpoint alone, verified, under the answer's id; its key used again queues nothing; a disabled one can't be pinged."""
    with Receiver() as receiver:
        made = make(client, receiver.url("/pinged"), enabled_events=["payout.paid"])
        make(client, receiver.url("/other"))
        name = uuid.uuid4().hex
        first, again = (ours(api, key, f"/{made.id}/ping", {}, **{"Idempotency-Key": name}) for _ in range(2))
        assert first == again
        status, event = first
        assert (status, event["type"], event["data"]["object"]["id"]) == (200, "webhook_endpoint.ping", made.id)
        wait_until(lambda: receiver.accepted, "it is heard")
        status, later = ours(api, key, f"/{made.id}/ping", {})
        wait_until(lambda: len(receiver.accepted) >= 2, "another is heard")
        assert [one.event for one in receiver.accepted] == [event, later]
        assert receiver.accepted[0].verified(made.secret).id == event["id"]
        client.v1.webhook_endpoints.update(made.id, {"disabled": True})
        status, refused = ours(api, key, f"/{made.id}/ping", {})
        assert (status, refused["error"]["code"]) == (400, "endpoint_disabled")
