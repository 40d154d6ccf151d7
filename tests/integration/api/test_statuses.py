"""Goal: what the document says can be answered, is. Method: for each such status that no other test comes to, a request that does."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from api.http import keys
from schemas import codec
from schemas.catalogue import API_KEYS
from schemas.clients import producer_config
from schemas.records import Attribution
from tests.integration._house import wait_until
from tests.integration.api._asking import ask

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

DECLINED = "pm_card_chargeDeclined"


def test_what_a_request_names_and_is_not_there_is_404(api) -> None:
    """A method, a payout, a balance transaction that nobody made: 404 `resource_missing`, as for a path that names them."""
    port, key = api.house.ports.api, api.key("acme")
    for method, path, given in (
        ("POST", "/v1/customers", {"invoice_settings[default_payment_method]": "pm_000000000000000000000000"}),
        ("POST", "/v1/payouts/po_000000000000000000000000", {"metadata[a]": "b"}),
        ("GET", "/v1/balance_transactions/txn_000000000000000000000000", None),
    ):
        answer = ask(port, key, method, path, given)
        assert (answer.status, answer.json["error"]["code"]) == (404, "resource_missing"), (path, answer.body)


def test_a_tenant_that_was_never_configured_has_no_account(api) -> None:
    """Its key is one, though no command of ours makes it; but there is no account to show and none to route for."""
    port, (key, record) = api.house.ports.api, keys.make("unconfigured", now_ms=1, who=Attribution())
    producer = Producer(producer_config(api.house.bootstrap))
    producer.produce(API_KEYS.name, codec.encode(record), record.key_id.encode())
    assert producer.flush(60) == 0
    wait_until(lambda: ask(port, key, "GET", "/v1/charges").status != 401, "the key is known")
    for method, path, given in (
        ("GET", "/v1/account", None),
        ("POST", "/v1/routing/policies", {"providers[0]": "northpay"}),
    ):
        answer = ask(port, key, method, path, given)
        assert (answer.status, answer.json["error"]["code"]) == (404, "resource_missing"), (path, answer.body)


def test_a_declined_setup_is_402(api) -> None:
    """A bank that says no to a saved card says so when the setup intent is confirmed."""
    port, key = api.house.ports.api, api.key("acme")
    made = ask(port, key, "POST", "/v1/setup_intents", {"payment_method": DECLINED})
    assert made.status == 200, made.body
    answer = ask(port, key, "POST", f"/v1/setup_intents/{made.json['id']}/confirm")
    assert (answer.status, answer.json["error"]["code"]) == (402, "card_declined"), answer.body
