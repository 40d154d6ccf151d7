"""Goal: what a web page does with a publishable key. Method: the running API, asked as a browser and as Stripe's SDK ask."""

from __future__ import annotations

import http.client
import json

import pytest
import stripe

from tests.contract.stripe.schemas import STRIPE
from tests.integration._house import wait_until
from tests.integration.api._asking import ask

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

PAYMENT = {"amount": "1200", "currency": "eur", "description": "Two chairs", "metadata[order]": "17"}
HIDDEN = {"amount_received", "clearline", "customer", "latest_charge", "metadata"}


@pytest.fixture(scope="module")
def port(api) -> int:
    """Where the API is."""
    return api.house.ports.api


@pytest.fixture(scope="module")
def secret(api) -> str:
    """A secret key of acme."""
    return api.key("acme")


@pytest.fixture(scope="module")
def public(api) -> str:
    """A publishable key of acme."""
    return api.key("acme", "--kind", "publishable")


def begun(port: int, key: str, **more: str) -> dict:
    """A payment that waits to be confirmed."""
    answer = ask(port, key, "POST", "/v1/payment_intents", {**PAYMENT, **more})
    assert answer.status == 200, answer.body
    return answer.json


def test_a_page_confirms_what_its_server_began(port, secret, public) -> None:
    """It reads the payment and charges a card, seeing nothing but what its customer may; the server sees who confirmed."""
    made = begun(port, secret)
    path, opened = f"/v1/payment_intents/{made['id']}", {"client_secret": made["client_secret"]}
    read = ask(port, public, "GET", path, opened)
    assert (read.status, read.json["status"]) == (200, "requires_payment_method"), read.body
    assert not HIDDEN & set(read.json)
    assert STRIPE.wrong("payment_intent", read.json) == []
    done = ask(port, public, "POST", f"{path}/confirm", {**opened, "payment_method": "pm_card_visa"}, Origin="https://shop.example")  # fmt: skip
    assert (done.status, done.json["status"], done.json["description"]) == (200, "succeeded", "Two chairs"), done.body
    assert not HIDDEN & set(done.json)
    whole = ask(port, secret, "GET", path).json
    assert (whole["status"], whole["metadata"], whole["client_secret"]) == (
        "succeeded",
        {"order": "17"},
        made["client_secret"],
    )
    page = wait_until(
        lambda: (found := ask(port, secret, "GET", "/v1/payment_intents", {"limit": "1"})).status == 200 and found,
        "the list shows it",
    )
    listed = page.json["data"][0]
    assert (listed["id"], listed["client_secret"]) == (made["id"], made["client_secret"])


def test_stripes_sdk_confirms_with_a_publishable_key(api, port, secret, public) -> None:
    """Unmodified, it makes a method of a token, confirms a payment and a setup, and is told of a declined card."""
    shop = stripe.StripeClient(public, base_addresses={"api": api.url}, max_network_retries=0)
    method = shop.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    made = begun(port, secret)
    paid = shop.v1.payment_intents.confirm(
        made["id"], {"client_secret": made["client_secret"], "payment_method": method.id}
    )
    assert paid.status == "succeeded"
    again = shop.v1.payment_intents.retrieve(made["id"], {"client_secret": made["client_secret"]})
    assert (again.status, again.id) == ("succeeded", paid.id)
    setup = ask(port, secret, "POST", "/v1/setup_intents", {"usage": "off_session"}).json
    opened = {"client_secret": setup["client_secret"]}
    assert shop.v1.setup_intents.retrieve(setup["id"], opened).status == "requires_payment_method"
    kept = shop.v1.setup_intents.confirm(setup["id"], {**opened, "payment_method": "pm_card_visa"})
    assert kept.status == "succeeded"
    assert "customer" not in kept.to_dict()
    lost = begun(port, secret)
    with pytest.raises(stripe.CardError) as declined:
        shop.v1.payment_intents.confirm(
            lost["id"],
            {"client_secret": lost["client_secret"], "payment_method": "pm_card_chargeDeclinedStolenCard"},
        )
    told = declined.value.json_body["error"]
    assert told["decline_code"] == told["payment_intent"]["last_payment_error"]["decline_code"] == "generic_decline"
    assert not {"charge"} & set(told)
    assert not HIDDEN & set(told["payment_intent"])
    whole = ask(port, secret, "GET", f"/v1/payment_intents/{lost['id']}").json
    assert whole["last_payment_error"]["decline_code"] == "stolen_card"
    with pytest.raises(stripe.PermissionError):
        shop.v1.payment_intents.list()
    with pytest.raises(stripe.PermissionError):
        shop.v1.refunds.create({"payment_intent": paid.id})


def test_a_wrong_secret_is_answered_as_an_unknown_id_is(api, port, secret, public) -> None:
    """One's own id with a wrong secret, another tenant's with its right one, and nobody's: one answer, byte for byte."""
    mine = begun(port, secret)
    theirs = begun(port, api.key("globex"))
    asked = (
        (mine["id"], f"{mine['id']}_secret_{26 * 'a'}"),
        (mine["id"], theirs["client_secret"]),
        (theirs["id"], theirs["client_secret"]),
        ("pi_" + 24 * "0", f"pi_{24 * '0'}_secret_{26 * 'a'}"),
    )
    answers = set()
    for method, tail in (("GET", ""), ("POST", "/confirm")):
        for object_id, presented in asked:
            found = ask(port, public, method, f"/v1/payment_intents/{object_id}{tail}", {"client_secret": presented})
            answers.add((found.status, found.body))
    assert len(answers) == 1
    ((status, body),) = answers
    assert (status, json.loads(body)["error"]["code"]) == (404, "resource_missing")
    assert body == ask(port, secret, "GET", f"/v1/payment_intents/{theirs['id']}").body
    bare = ask(port, public, "GET", f"/v1/payment_intents/{mine['id']}")
    assert (bare.status, bare.json["error"]["param"]) == (400, "client_secret")


def test_a_page_reaches_nothing_else(port, secret, public) -> None:
    """No capture, cancel, refund, update or list, though the secret is right; no amount, no expansion."""
    made = begun(port, secret, capture_method="manual", payment_method="pm_card_visa", confirm="true")
    path, opened = f"/v1/payment_intents/{made['id']}", {"client_secret": made["client_secret"]}
    for method, tail in (("POST", "/capture"), ("POST", "/cancel"), ("POST", ""), ("POST", "/increment_authorization")):
        refused = ask(port, public, method, path + tail, opened)
        assert (refused.status, refused.json["error"]["type"]) == (403, "invalid_request_error"), tail
        assert STRIPE.wrong("error", refused.json) == []
    for other in ("/v1/payment_intents", "/v1/events", "/v1/customers", "/v1/api_keys", "/v1/account"):
        assert ask(port, public, "GET", other, opened).status == 403, other
    assert ask(port, public, "POST", "/v1/refunds", {"payment_intent": made["id"]}).status == 403
    assert ask(port, public, "GET", path, {**opened, "expand[]": "latest_charge"}).status == 403
    assert ask(port, public, "POST", f"{path}/confirm", {**opened, "amount": "1"}).status == 400
    assert ask(port, secret, "GET", path).json["status"] == "requires_capture"


def preflight(port: int, path: str) -> tuple[int, dict[str, str]]:
    """What a browser is told before it asks."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        told = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
        connection.request("OPTIONS", path, headers={**told, "Access-Control-Request-Headers": "authorization"})
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def test_any_site_may_ask_what_browsers_may_and_nothing_else(port, secret, public) -> None:
    """Preflight and answers allow every origin on those paths, errors too, and never with cookies; other paths allow none."""
    made = begun(port, secret)
    path = f"/v1/payment_intents/{made['id']}"
    for one in (path, f"{path}/confirm", "/v1/setup_intents/seti_1/confirm", "/v1/payment_methods"):
        status, told = preflight(port, one)
        assert (status, told["access-control-allow-origin"]) == (204, "*"), one
        assert "Authorization" in told["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in told
    for one in ("/v1/refunds", f"{path}/capture", "/v1/operators/me"):
        assert "access-control-allow-origin" not in preflight(port, one)[1], one
    from_a_page = {"Origin": "https://shop.example"}
    read = ask(port, public, "GET", path, {"client_secret": made["client_secret"]}, **from_a_page)
    assert (read.status, read.headers["access-control-allow-origin"]) == (200, "*")
    assert "Request-Id" in read.headers["access-control-expose-headers"]
    assert ask(port, "pk_test_guess", "GET", path, **from_a_page).headers["access-control-allow-origin"] == "*"
    assert ask(port, public, "GET", "/v1/refunds", **from_a_page).headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in ask(port, secret, "GET", "/v1/refunds", **from_a_page).headers


def test_who_only_reads_is_given_no_secret(api, port, secret) -> None:
    """A key that may not confirm finds none in what it reads."""
    made = begun(port, secret)
    reader = api.key("acme", "--kind", "restricted", "--scope", "payment_intents:read")
    read = ask(port, reader, "GET", f"/v1/payment_intents/{made['id']}")
    assert (read.status, read.json["client_secret"]) == (200, None)
