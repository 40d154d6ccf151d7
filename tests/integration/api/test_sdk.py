"""Stripe's official SDK, unmodified but for its base address, against a running stack."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pytest
import stripe

from tests.integration._house import wait_until
from tests.integration.api._answers import look

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

VISA = {"amount": 1_000, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True}


def raw(api, key: str, path: str, *, parameters=None, **headers: str):
    """A request by hand: status, headers and the body's bytes."""
    sent = None if parameters is None else urllib.parse.urlencode(parameters)
    data = None if sent is None else sent.encode()
    request = urllib.request.Request(api.url + path, data=data, headers={"Authorization": f"Bearer {key}", **headers})
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            status, given, body = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refused:
        status, given, body = refused.code, refused.headers, refused.read()
    look("GET" if data is None else "POST", request.full_url, sent or "", status=status, headers=given, body=body)
    return status, given, body


def test_create_and_confirm(acme) -> None:
    """A payment confirmed at once succeeds, and is found as it was answered."""
    made = acme.v1.payment_intents.create({**VISA, "metadata": {"order": "6735"}, "description": "A chair"})
    assert (made.status, made.amount_received, made.currency) == ("succeeded", 1_000, "eur")
    assert (made.metadata.order, made.description, made.livemode) == ("6735", "A chair", False)
    assert made.latest_charge.startswith("ch_")
    assert made.last_response.headers["Request-Id"].startswith("req_")
    found = acme.v1.payment_intents.retrieve(made.id)
    assert found.to_dict() == made.to_dict()


def test_steps_one_by_one(acme) -> None:
    """Created bare, given another amount and a method, confirmed."""
    made = acme.v1.payment_intents.create({"amount": 500, "currency": "eur"})
    assert made.status == "requires_payment_method"
    changed = acme.v1.payment_intents.update(made.id, {"amount": 700, "payment_method": "pm_card_visa"})
    assert (changed.status, changed.amount) == ("requires_confirmation", 700)
    done = acme.v1.payment_intents.confirm(made.id)
    assert (done.status, done.amount_received) == ("succeeded", 700)


def test_capture_part_and_refund_twice(acme) -> None:
    """A part of an authorisation is captured, refunded in two parts, and no third one fits."""
    held = acme.v1.payment_intents.create({**VISA, "capture_method": "manual"})
    assert (held.status, held.amount_capturable) == ("requires_capture", 1_000)
    taken = acme.v1.payment_intents.capture(held.id, {"amount_to_capture": 600})
    assert (taken.status, taken.amount_received) == ("succeeded", 600)
    first = acme.v1.refunds.create({"payment_intent": held.id, "amount": 200, "reason": "requested_by_customer"})
    second = acme.v1.refunds.create({"charge": taken.latest_charge})
    assert [(one.status, one.amount) for one in (first, second)] == [("succeeded", 200), ("succeeded", 400)]
    assert first.id != second.id
    assert first.payment_intent == second.payment_intent == held.id
    with pytest.raises(stripe.InvalidRequestError) as refused:
        acme.v1.refunds.create({"payment_intent": held.id})
    assert refused.value.code == "charge_already_refunded"


def test_cancel(acme) -> None:
    """An authorisation is given up, with the reason."""
    held = acme.v1.payment_intents.create({**VISA, "capture_method": "manual"})
    gone = acme.v1.payment_intents.cancel(held.id, {"cancellation_reason": "duplicate"})
    assert (gone.status, gone.cancellation_reason) == ("canceled", "duplicate")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        acme.v1.payment_intents.confirm(held.id)
    assert refused.value.code == "payment_intent_unexpected_state"


def test_a_decline_is_a_card_error(acme) -> None:
    """A declined payment is answered with 402, why, and the payment, which can be confirmed with another card."""
    with pytest.raises(stripe.CardError) as declined:
        acme.v1.payment_intents.create({**VISA, "payment_method": "pm_card_chargeDeclinedInsufficientFunds"})
    error = declined.value.error
    assert (declined.value.http_status, error.code, error.decline_code) == (402, "card_declined", "insufficient_funds")
    payment = error.payment_intent
    assert payment.status == "requires_payment_method"
    assert payment.last_payment_error.decline_code == "insufficient_funds"
    again = acme.v1.payment_intents.confirm(payment.id, {"payment_method": "pm_card_visa"})
    assert (again.status, again.last_payment_error) == ("succeeded", None)


def test_a_challenge_requires_action(api, acme) -> None:
    """3-D Secure: the customer is sent to the provider's page, and once the challenge is passed the payment succeeds."""
    made = acme.v1.payment_intents.create({**VISA, "payment_method": "pm_card_authenticationRequired"})
    assert made.status == "requires_action"
    assert made.next_action.type == "redirect_to_url"
    simulator = f"http://127.0.0.1:{api.house.ports.simulator}"
    passed = urllib.request.Request(
        urllib.parse.urljoin(simulator, made.next_action.redirect_to_url.url),
        data=b'{"outcome": "succeeded"}',
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(passed, timeout=60):
        pass
    wait_until(lambda: acme.v1.payment_intents.retrieve(made.id).status == "succeeded", "the payment has succeeded")


def test_the_same_key_again(api, acme) -> None:
    """The same key and parameters, in whatever order: the same bytes, marked as replayed; others: an idempotency error."""
    secret, name = api.key("acme"), uuid.uuid4().hex
    asked = {**VISA, "confirm": "true"}
    turned = dict(reversed(asked.items()))
    first, again = (
        raw(api, secret, "/v1/payment_intents", parameters=parameters, **{"Idempotency-Key": name})
        for parameters in (asked, turned)
    )
    assert (first[0], again[0]) == (200, 200)
    assert first[2] == again[2]
    assert (first[1]["Idempotent-Replayed"], again[1]["Idempotent-Replayed"]) == (None, "true")
    assert first[1]["Idempotency-Key"] == again[1]["Idempotency-Key"] == name
    with pytest.raises(stripe.IdempotencyError):
        acme.v1.payment_intents.create({**VISA, "amount": 1_001}, {"idempotency_key": name})


def test_a_declined_answer_is_replayed_too(api) -> None:
    """The answer of a failure is kept like any other, bit for bit."""
    secret, name = api.key("acme"), uuid.uuid4().hex
    asked = {**VISA, "confirm": "true", "payment_method": "pm_card_chargeDeclined"}
    first, again = (
        raw(api, secret, "/v1/payment_intents", parameters=asked, **{"Idempotency-Key": name}) for _ in range(2)
    )
    assert (first[0], again[0]) == (402, 402)
    assert first[2] == again[2]
    assert again[1]["Idempotent-Replayed"] == "true"


def test_keys_that_are_not_valid(api) -> None:
    """A wrong key, none, a revoked one: 401. A rotated one works on until its overlap ends."""
    for wrong in ("sk_test_" + "a" * 52, "no"):
        with pytest.raises(stripe.AuthenticationError):
            api.client(wrong).v1.payment_intents.create(VISA)
    assert raw(api, "", "/v1/payment_intents", parameters=VISA)[0] == 401
    secret = api.key("acme", "--name", "to be revoked")
    assert secret not in api.house.clearline("keys", "list", "acme").stdout
    listed = api.house.clearline("keys", "list", "acme").stdout
    key_id = next(line.split()[0] for line in listed.splitlines() if "to be revoked" in line)
    assert raw(api, secret, "/v1/payment_intents", parameters={"amount": 1, "currency": "eur"})[0] == 200
    rotated = api.house.clearline("keys", "rotate", "acme", key_id)
    assert rotated.returncode == 0, rotated.stderr
    for valid in (secret, rotated.stdout.strip()):
        assert raw(api, valid, "/v1/payment_intents", parameters={"amount": 1, "currency": "eur"})[0] == 200
    assert api.house.clearline("keys", "revoke", "acme", key_id).returncode == 0
    wait_until(
        lambda: raw(api, secret, "/v1/payment_intents", parameters={"amount": 1, "currency": "eur"})[0] == 401,
        "the revoked key is refused",
    )


def test_a_restricted_key_does_what_its_scopes_say(api) -> None:
    """It reads and writes payments and may not refund."""
    client = api.client(api.key("acme", "--kind", "restricted", "--scope", "payment_intents:write"))
    made = client.v1.payment_intents.create(VISA)
    assert client.v1.payment_intents.retrieve(made.id).id == made.id
    with pytest.raises(stripe.PermissionError):
        client.v1.refunds.create({"payment_intent": made.id})


def test_another_tenants_payment_is_not_there(api, acme) -> None:
    """Whatever is asked of another tenant's payment, the answer is that of an id that never was."""
    theirs = acme.v1.payment_intents.create(VISA).id
    globex = api.client(api.key("globex"))
    for payment in (theirs, "pi_" + "0" * 24):
        for ask in (
            lambda payment=payment: globex.v1.payment_intents.retrieve(payment),
            lambda payment=payment: globex.v1.payment_intents.confirm(payment),
            lambda payment=payment: globex.v1.payment_intents.cancel(payment),
            lambda payment=payment: globex.v1.refunds.create({"payment_intent": payment}),
        ):
            with pytest.raises(stripe.InvalidRequestError) as missing:
                ask()
            assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")


@pytest.mark.parametrize(
    ("parameters", "code", "param"),
    [
        ({**VISA, "amuont": 1}, "parameter_unknown", "amuont"),
        ({"amount": 1_000}, "parameter_missing", "currency"),
        ({**VISA, "amount": "ten"}, "parameter_invalid_integer", "amount"),
        ({**VISA, "currency": "xxq"}, "parameter_invalid", "currency"),
        ({**VISA, "shipping": {"name": "a"}}, "parameter_unknown", "shipping"),
    ],
)
def test_wrong_parameters(acme, parameters, code, param) -> None:
    """What can't be meant is refused before anything is begun, with the parameter's name."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        acme.v1.payment_intents.create(parameters)
    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, code, param)


def test_a_card_number_is_refused_and_not_logged(api, acme) -> None:
    """A card number in a text is refused, and stands in no log; neither does any key."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        acme.v1.payment_intents.create({**VISA, "description": "card 4242424242424242"})
    assert refused.value.code == "card_number_refused"
    log = (api.house.directory / "api.log").read_text()
    assert "4242424242424242" not in log
    assert "sk_test_" not in log
    assert "status=400" in log


def test_versions_side_by_side(api) -> None:
    """An older version takes and gives the older names; one that never was is refused."""
    key = api.key("acme")
    parameters = {"amount": 1_000, "currency": "eur", "payment_method_types[0]": "card"}
    old = raw(api, key, "/v1/payment_intents", parameters=parameters, **{"Stripe-Version": "2026-08-26.dahlia"})
    new = raw(api, key, "/v1/payment_intents", parameters=parameters, **{"Stripe-Version": "2026-10-28.endive"})
    assert (old[0], new[0]) == (200, 200)
    assert old[1]["Stripe-Version"] == "2026-08-26.dahlia"
    assert "allowed_payment_method_types" not in json.loads(old[2])
    assert json.loads(new[2])["allowed_payment_method_types"] == ["card"]
    status, _, body = raw(api, key, "/v1/payment_intents", parameters=parameters, **{"Stripe-Version": "2020-01-01"})
    assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_api_version")


def test_json_and_basic_authentication(api) -> None:
    """JSON bodies and Basic credentials are taken as well; an unknown path is 404 in the same shape."""
    import base64

    key = api.key("acme")
    basic = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
    request = urllib.request.Request(
        api.url + "/v1/payment_intents",
        data=json.dumps(VISA).encode(),
        headers={"Authorization": basic, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=90) as answer:
        assert json.load(answer)["status"] == "succeeded"
    status, headers, body = raw(api, key, "/v1/nothing")
    assert (status, json.loads(body)["error"]["type"]) == (404, "invalid_request_error")
    assert headers["Request-Id"].startswith("req_")


def test_sigterm_ends_it_with_0_and_another_takes_over(api) -> None:
    """A second API process beside the first answers under the same keys; SIGTERM ends it with status 0."""
    house = api.house
    from infra.supervisor import free_ports

    (port,) = free_ports(1)
    from dataclasses import replace

    from infra.supervisor import Ready

    spec = house.specs["api"]
    argv = [*spec.argv[:-1], str(port)]
    house.specs["api-2"] = replace(
        spec, name="api-2", argv=argv, ports={"http": port}, ready=Ready.http(f"http://127.0.0.1:{port}/ready")
    )
    second = house.start("api-2").ready()
    client = stripe.StripeClient(api.key("acme"), base_addresses={"api": f"http://127.0.0.1:{port}"})
    assert client.v1.payment_intents.create(VISA).status == "succeeded"
    second.process.send_signal(signal.SIGTERM)
    assert second.wait() == 0
    assert second.last_line().endswith("ended")
