"""The whole of what a shop does, by Stripe's SDK in each of its three styles, against one stack in which every process runs."""

from __future__ import annotations

import uuid
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import stripe

from api.http import versions
from infra.configure import apply
from tests.integration._house import wait_until
from tests.integration._webhooks_house import Receiver
from tests.integration.api._voices import Voice, speaking
from tests.integration.api.test_story import VISA, challenge

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

WAYS = ("client", "async", "module")
TENANT = """
[[tenants]]
tenant = "story-{way}"
name = "Story"
timezone = "UTC"
settlement_cutoff = "00:00"
settlement_interval_ms = 1000
"""
OLDER = "2026-08-26.dahlia"
LISTS = (
    "payment_intents",
    "charges",
    "refunds",
    "disputes",
    "balance_transactions",
    "payouts",
    "events",
    "customers",
    "setup_intents",
    "webhook_endpoints",
)
"""Every list that a shop's SDK has; payment methods are listed for a customer."""


@pytest.fixture(scope="module")
def tenants(api, tmp_path_factory):
    """A shop for each style."""
    file = tmp_path_factory.mktemp("story") / "tenants.toml"
    file.write_text("".join(TENANT.format(way=way) for way in WAYS))
    apply(api.house.bootstrap, file)
    return api


def pay(api, shop: Voice) -> Any:
    """Created, created again, confirmed, challenged, captured in part; the payment with its charge."""
    asked = {"amount": 100_000, "currency": "eur", "capture_method": "manual", "metadata": {"order": "6735"}}
    key = uuid.uuid4().hex
    made = shop("payment_intents.create", asked, idempotency_key=key)
    again = shop("payment_intents.create", asked, idempotency_key=key)
    assert again.to_dict() == made.to_dict()
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        shop("payment_intents.create", {**asked, "amount": 1}, idempotency_key=key)
    held = shop("payment_intents.confirm", made.id, {"payment_method": "pm_card_authenticationRequired"})
    assert (held.id, held.status) == (made.id, "requires_action")
    challenge(api, held, "succeeded")
    wait_until(lambda: shop("payment_intents.retrieve", made.id).status == "requires_capture", "it can be captured")
    taken = shop("payment_intents.capture", made.id, {"amount_to_capture": 80_000, "expand": ["latest_charge"]})
    assert (taken.status, taken.amount_received, taken.latest_charge.amount_captured) == ("succeeded", 80_000, 80_000)
    return taken


def refund_twice(shop: Voice, payment: Any) -> None:
    """Both are made, and both are known to the charge."""
    first = shop("refunds.create", {"payment_intent": payment.id, "amount": 500, "reason": "requested_by_customer"})
    second = shop("refunds.create", {"charge": payment.latest_charge.id, "amount": 300})
    assert [(one.status, one.amount) for one in (first, second)] == [("succeeded", 500), ("succeeded", 300)]
    assert shop("charges.retrieve", payment.latest_charge.id).amount_refunded == 800


def dispute(shop: Voice) -> None:
    """Somebody disputes a payment; evidence is kept, submitted, and wins."""
    paid = shop("payment_intents.create", {**VISA, "payment_method": "pm_card_createDispute"})
    found = wait_until(
        lambda: next(iter(shop("disputes.list", {"payment_intent": paid.id}).data), None), "the dispute is told of"
    )
    kept = shop("disputes.update", found.id, {"evidence": {"product_description": "A chair"}, "submit": False})
    assert (kept.status, kept.evidence_details.has_evidence) == ("needs_response", True)
    sent = shop("disputes.update", found.id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    assert sent.status == "under_review"
    wait_until(lambda: shop("disputes.retrieve", found.id).status == "won", "the dispute is won")


def save(shop: Voice) -> str:
    """Two customers, a method that is verified and saved, and a payment by it; the customer who has it."""
    shop("customers.create", {"name": "Somebody"})
    customer = shop("customers.create", {"name": "Jenny Rosen", "email": "jenny@example.com"})
    setup = shop("setup_intents.create", {"customer": customer.id, "payment_method": "pm_card_visa", "confirm": True})
    assert setup.status == "succeeded"
    shop("setup_intents.create", {"customer": customer.id})
    other = shop("payment_methods.attach", "pm_card_mastercard", {"customer": customer.id})
    assert other.customer == customer.id
    paid = shop("payment_intents.create", {**VISA, "customer": customer.id, "payment_method": setup.payment_method})
    assert (paid.status, paid.payment_method) == ("succeeded", setup.payment_method)
    return str(customer.id)


def pay_out(shop: Voice) -> None:
    """What is settled is paid out, and off the balance."""

    def settled() -> Any:
        try:
            return shop("payouts.create", {"amount": 5_000, "currency": "eur"})
        except stripe.InvalidRequestError as early:
            if early.code != "balance_insufficient":
                raise
            return None

    made = wait_until(settled, "something is settled")
    wait_until(lambda: shop("payouts.retrieve", made.id).status == "paid", "the payout is paid")
    second = shop("payouts.create", {"amount": 100, "currency": "eur"})
    wait_until(lambda: shop("payouts.retrieve", second.id).status == "paid", "the second payout is paid")
    assert shop("balance.retrieve").available[0].currency == "eur"
    (moved,) = shop("balance_transactions.list", {"type": "payout", "source": made.id}).data
    assert moved.amount == -5_000


def page_both_ways(shop: Voice, resource: str, given: dict[str, Any], method: str = "list") -> int:
    """In twos, forwards and backwards: everything once, in one order, as one large page has it."""
    whole = [one.id for one in shop.every(resource, {**given, "limit": 100}, method=method)]
    assert len(whole) > 1, resource
    assert len(set(whole)) == len(whole), resource
    forwards = [one.id for one in shop.every(resource, {**given, "limit": 2}, method=method)]
    assert forwards == whole, resource
    if method == "list":
        backwards = [one.id for one in shop.every(resource, {**given, "limit": 2, "ending_before": whole[-1]})]
        assert backwards == whole[-2::-1], resource
    return len(whole)


def expand(shop: Voice, payment: Any) -> None:
    """Four steps on one and in a list; a fifth is refused."""
    deep = "latest_charge.balance_transaction.source.payment_intent"
    one = shop("payment_intents.retrieve", payment.id, {"expand": [deep]})
    assert one.latest_charge.balance_transaction.source.payment_intent.id == payment.id
    listed = shop("payment_intents.list", {"expand": ["data.latest_charge.balance_transaction.source"], "limit": 100})
    (found,) = [one for one in listed.data if one.id == payment.id]
    assert found.latest_charge.balance_transaction.source.id == payment.latest_charge.id
    for method, given in (("retrieve", [payment.id]), ("list", [])):
        before = "data." if method == "list" else ""
        with pytest.raises(stripe.InvalidRequestError) as refused:
            shop(f"payment_intents.{method}", *given, {"expand": [f"{before}{deep}.latest_charge"]})
        assert refused.value.param == "expand"


def pin(shop: Voice, payment: Any) -> None:
    """An older version, asked for by one request, is answered in it."""
    newest = shop("payment_intents.retrieve", payment.id)
    older = shop("payment_intents.retrieve", payment.id, stripe_version=OLDER)
    assert newest.last_response.headers["Stripe-Version"] == versions.NEWEST
    assert older.last_response.headers["Stripe-Version"] == OLDER
    assert "allowed_payment_method_types" in newest.to_dict()
    assert "allowed_payment_method_types" not in older.to_dict()


def hear(shop: Voice, receiver: Receiver, secret: str) -> int:
    """Each event was told of, signed, as it can be read; each object's are numbered from 1 and name the one before."""
    known = {one.id for one in shop.every("events", {"limit": 100})}
    wait_until(lambda: known <= {one.event["id"] for one in list(receiver.accepted)}, "everything was told of")
    steps: dict[str, dict[int, set[tuple[str, str]]]] = defaultdict(lambda: defaultdict(set))
    for heard in list(receiver.accepted):
        event = heard.verified(secret)
        assert {**event.to_dict(), "pending_webhooks": 0} == shop("events.retrieve", event.id).to_dict(), event.type
        place = heard.event["clearline"]
        about = place["payment_intent"] or event.data.object.id
        steps[about][place["sequence"]].add((event.id, place["previous_event"]))
    for about, told in steps.items():
        assert sorted(told) == list(range(1, len(told) + 1)), about
        for number in range(2, len(told) + 1):
            before = {one for one, _ in told[number - 1]}
            own = {one for one, _ in told[number]}
            assert all(previous in before | own for _, previous in told[number]), (about, number)
            assert any(previous in before for _, previous in told[number]), (about, number)
    return len(known)


def story(api, way: str) -> int:
    """All of it in one style; how many events were told of."""
    with Receiver() as receiver, speaking(way, api.url, api.key(f"story-{way}")) as shop:
        idle = {"url": "https://example.com/nobody", "enabled_events": ["payout.failed"]}
        shop("webhook_endpoints.create", idle)
        endpoint = shop("webhook_endpoints.create", {"url": receiver.url(), "enabled_events": ["*"]})
        payment = pay(api, shop)
        refund_twice(shop, payment)
        dispute(shop)
        paid = shop("payment_intents.create", {**VISA, "payment_method": "pm_card_createDispute"})
        wait_until(lambda: shop("disputes.list", {"payment_intent": paid.id}).data, "another dispute is told of")
        customer = save(shop)
        pay_out(shop)
        for resource in LISTS:
            page_both_ways(shop, resource, {})
        page_both_ways(shop, "payment_methods", {"customer": customer, "type": "card"})
        query = "amount>0 AND currency:'eur'"
        assert page_both_ways(shop, "payment_intents", {"query": query}, "search") >= 4
        assert page_both_ways(shop, "charges", {"query": query}, "search") >= 4
        expand(shop, payment)
        pin(shop, payment)
        return hear(shop, receiver, endpoint.secret)


def test_the_whole_story(tenants) -> None:
    """
    All of it in one go, nothing but what a shop's own code does, in the three styles at once, each a shop of its own.

    Create, retry, confirm, 3-D Secure, capture in part, refund twice, dispute and evidence, saved methods, payout; then everything paged
    through both ways, expanded, searched, read in an older version, and heard of by a webhook whose signatures the SDK itself has checked.
    """
    with ThreadPoolExecutor(len(WAYS)) as shops:
        told = list(shops.map(partial(story, tenants), WAYS))
    assert min(told) > 20
