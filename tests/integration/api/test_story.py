"""A payment's whole story by Stripe's official SDK, unmodified but for its base address: nothing but what its users do."""

from __future__ import annotations

import urllib.parse
import urllib.request
import uuid

import pytest
import stripe

from tests.integration._house import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

VISA = {"amount": 1_000, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True}


@pytest.fixture(scope="module")
def shop(api) -> stripe.StripeClient:
    """A client of a tenant that settles in the currency of its payments."""
    return api.client(api.key("acme"))


def challenge(api, payment, outcome: str) -> None:
    """What the customer does on the provider's page."""
    page = urllib.parse.urljoin(
        f"http://127.0.0.1:{api.house.ports.simulator}", payment.next_action.redirect_to_url.url
    )
    done = urllib.request.Request(
        page, data=b'{"outcome": "%s"}' % outcome.encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(done, timeout=60):
        pass


def dispute_of(shop, payment_id: str):
    """The payment's dispute, once its provider has told of it."""
    return wait_until(
        lambda: next(iter(shop.v1.disputes.list({"payment_intent": payment_id}).data), None), "the dispute is told of"
    )


def test_a_payments_life(api, shop) -> None:
    """Created, confirmed, challenged, captured in part, refunded twice; everything made is found, expanded and paged through both ways."""
    made = shop.v1.payment_intents.create(
        {
            "amount": 2_000,
            "currency": "eur",
            "capture_method": "manual",
            "description": "A chair",
            "metadata": {"order": "6735", "hall": "b"},
        }
    )
    assert made.status == "requires_payment_method"
    changed = shop.v1.payment_intents.update(
        made.id, {"metadata": {"order": "6736", "hall": ""}, "description": "A stool"}
    )
    assert (changed.metadata.to_dict(), changed.description) == ({"order": "6736"}, "A stool")
    asked = shop.v1.payment_intents.confirm(made.id, {"payment_method": "pm_card_authenticationRequired"})
    assert (asked.status, asked.next_action.type) == ("requires_action", "redirect_to_url")
    challenge(api, asked, "succeeded")
    wait_until(lambda: shop.v1.payment_intents.retrieve(made.id).status == "requires_capture", "it can be captured")
    taken = shop.v1.payment_intents.capture(
        made.id, {"amount_to_capture": 1_500, "expand": ["latest_charge.balance_transaction"]}
    )
    assert (taken.status, taken.amount_received) == ("succeeded", 1_500)
    assert (taken.latest_charge.amount_captured, taken.latest_charge.description) == (1_500, "A stool")
    assert taken.latest_charge.balance_transaction.amount == 1_500

    refunds = [
        shop.v1.refunds.create({"payment_intent": made.id, "amount": 500, "metadata": {"case": "1"}}),
        shop.v1.refunds.create(
            {"charge": taken.latest_charge.id, "amount": 300, "expand": ["charge", "payment_intent"]}
        ),
    ]
    assert [(one.status, one.amount) for one in refunds] == [("succeeded", 500), ("succeeded", 300)]
    assert refunds[0].metadata.to_dict() == {"case": "1"}
    assert refunds[0].created >= made.created
    assert (refunds[1].charge.id, refunds[1].payment_intent.id) == (taken.latest_charge.id, made.id)
    relabeled = shop.v1.refunds.update(refunds[0].id, {"metadata": {"desk": "9"}})
    assert relabeled.metadata.to_dict() == {"case": "1", "desk": "9"}
    assert shop.v1.refunds.retrieve(refunds[0].id).to_dict() | {"balance_transaction": None} == relabeled.to_dict()
    noted = shop.v1.charges.update(taken.latest_charge.id, {"description": "A better stool", "metadata": {"row": "7"}})
    assert (noted.description, noted.metadata.to_dict()) == ("A better stool", {"order": "6736", "row": "7"})
    assert shop.v1.payment_intents.retrieve(made.id).description == "A stool"

    listed = shop.v1.refunds.list({"payment_intent": made.id})
    assert [one.id for one in listed.data] == [refunds[1].id, refunds[0].id]
    assert listed.data[1].metadata.to_dict() == {"case": "1", "desk": "9"}
    (charge,) = shop.v1.charges.list({"payment_intent": made.id}).data
    assert (charge.description, charge.metadata.to_dict()) == ("A better stool", {"order": "6736", "row": "7"})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.v1.refunds.cancel(refunds[0].id)
    assert refused.value.code == "refund_unexpected_state"


def test_a_dispute_is_answered_with_evidence(shop) -> None:
    """A disputed payment: evidence is kept, added to and submitted; the answers, the reads and the outcome agree."""
    made = shop.v1.payment_intents.create({**VISA, "payment_method": "pm_card_createDispute"})
    dispute = dispute_of(shop, made.id)
    assert (dispute.status, dispute.amount, dispute.payment_intent) == ("needs_response", 1_000, made.id)
    assert dispute.created >= made.created
    kept = shop.v1.disputes.update(
        dispute.id,
        {"evidence": {"product_description": "A chair"}, "submit": False, "metadata": {"desk": "9"}},
    )
    assert (kept.status, kept.evidence.product_description) == ("needs_response", "A chair")
    assert (kept.evidence_details.has_evidence, kept.evidence_details.submission_count) == (True, 0)
    assert kept.created == dispute.created
    sent = shop.v1.disputes.update(
        dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}, "expand": ["charge"]}
    )
    assert (sent.status, sent.evidence_details.submission_count) == ("under_review", 1)
    assert sent.evidence.to_dict() == {
        "enhanced_evidence": {},
        "product_description": "A chair",
        "uncategorized_text": "winning_evidence",
    }
    assert sent.charge.disputed
    wait_until(lambda: shop.v1.disputes.retrieve(dispute.id).status == "won", "the dispute is won")
    found = shop.v1.disputes.retrieve(dispute.id)
    assert (found.evidence.to_dict(), found.metadata.to_dict()) == (sent.evidence.to_dict(), {"desk": "9"})
    with pytest.raises(stripe.InvalidRequestError) as late:
        shop.v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": "more"}})
    assert late.value.code == "dispute_unexpected_state"
    with pytest.raises(stripe.InvalidRequestError) as file:
        shop.v1.disputes.update(dispute.id, {"evidence": {"receipt": "file_1"}})
    assert (file.value.code, file.value.param) == ("parameter_unknown", "evidence[receipt]")


def test_a_dispute_is_given_up(shop) -> None:
    """Closing a dispute loses it, once: the same key again is answered alike, another one is refused."""
    made = shop.v1.payment_intents.create({**VISA, "payment_method": "pm_card_createDispute"})
    dispute, key = dispute_of(shop, made.id), {"idempotency_key": uuid.uuid4().hex}
    closed = shop.v1.disputes.close(dispute.id, options=key)
    assert closed.status == "lost"
    assert shop.v1.disputes.close(dispute.id, options=key).to_dict() == closed.to_dict()
    with pytest.raises(stripe.InvalidRequestError) as again:
        shop.v1.disputes.close(dispute.id)
    assert again.value.code == "dispute_unexpected_state"


def test_paging_through_everything_both_ways(api) -> None:
    """Forwards and backwards, in pages of two: every payment once, newest first; what was just made is there."""
    shop = api.client(api.key("globex"))
    before = [one.id for one in shop.v1.payment_intents.list({"limit": 100}).auto_paging_iter()]
    made = [shop.v1.payment_intents.create({**VISA, "amount": 100 + number}).id for number in range(5)]
    forwards = list(shop.v1.payment_intents.list({"limit": 2}).auto_paging_iter())
    assert [one.id for one in forwards] == [*reversed(made), *before]
    last = forwards[-1].id
    backwards = shop.v1.payment_intents.list({"limit": 2, "ending_before": last}).auto_paging_iter()
    assert [one.id for one in backwards] == [one.id for one in reversed(forwards[:-1])]
    charges = list(shop.v1.charges.list({"limit": 2, "expand": ["data.payment_intent"]}).auto_paging_iter())
    assert [one.payment_intent.id for one in charges][:5] == list(reversed(made))
    since = shop.v1.payment_intents.list({"created": {"gte": forwards[0].created}, "limit": 100})
    assert made[-1] in [one.id for one in since.data]


def test_a_retry_after_a_change_is_answered_as_before(shop) -> None:
    """The answer to an idempotency key stays, also when metadata has changed since; other parameters are refused."""
    key = {"idempotency_key": uuid.uuid4().hex}
    asked = {**VISA, "metadata": {"order": "1"}}
    first = shop.v1.payment_intents.create(asked, key)
    shop.v1.payment_intents.update(first.id, {"metadata": {"order": "2"}})
    again = shop.v1.payment_intents.create(asked, key)
    assert again.to_dict() == first.to_dict()
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    expanded = shop.v1.payment_intents.create({**asked, "expand": ["latest_charge"]}, key)
    assert expanded.latest_charge.id == first.latest_charge
    assert shop.v1.payment_intents.retrieve(first.id).metadata.to_dict() == {"order": "2"}
    with pytest.raises(stripe.IdempotencyError):
        shop.v1.payment_intents.create({**asked, "metadata": {"order": "3"}}, key)


def test_updates_of_payments(shop) -> None:
    """Currency and capture before the first attempt, words at any time, and metadata cleared as a whole."""
    made = shop.v1.payment_intents.create({"amount": 500, "currency": "eur", "metadata": {"a": "b"}})
    changed = shop.v1.payment_intents.update(
        made.id, {"currency": "usd", "capture_method": "manual", "customer": "c_1"}
    )
    assert (changed.currency, changed.capture_method, changed.customer) == ("usd", "manual", "c_1")
    held = shop.v1.payment_intents.confirm(made.id, {"payment_method": "pm_card_visa"})
    assert (held.status, held.currency) == ("requires_capture", "usd")
    cleared = shop.v1.payment_intents.update(made.id, {"metadata": "", "description": "late"})
    assert (cleared.metadata.to_dict(), cleared.description, cleared.status) == ({}, "late", "requires_capture")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.v1.payment_intents.update(made.id, {"amount": 600})
    assert refused.value.code == "payment_intent_unexpected_state"


def test_what_belongs_to_another_tenant_is_not_there(api, shop) -> None:
    """Whatever is asked of another tenant's charge, refund or dispute, the answer is that of an id that never was."""
    made = shop.v1.payment_intents.create({**VISA, "payment_method": "pm_card_createDispute"})
    refund = shop.v1.refunds.create({"payment_intent": made.id, "amount": 1})
    dispute = dispute_of(shop, made.id)
    other = api.client(api.key("globex"))
    for ids in (
        (made.latest_charge, refund.id, dispute.id),
        ("ch_" + "0" * 26, "re_" + "0" * 24, "dp_" + "0" * 24),
    ):
        charge_id, refund_id, dispute_id = ids
        said = []
        for ask in (
            lambda charge_id=charge_id: other.v1.charges.update(charge_id, {"description": "x"}),
            lambda refund_id=refund_id: other.v1.refunds.update(refund_id, {"metadata": {"a": "b"}}),
            lambda refund_id=refund_id: other.v1.refunds.cancel(refund_id),
            lambda dispute_id=dispute_id: other.v1.disputes.update(dispute_id, {"metadata": {"a": "b"}}),
            lambda dispute_id=dispute_id: other.v1.disputes.close(dispute_id),
        ):
            with pytest.raises(stripe.InvalidRequestError) as missing:
                ask()
            said.append((missing.value.http_status, missing.value.code, missing.value.user_message))
        assert {one[:2] for one in said} == {(404, "resource_missing")}
    assert len({message for *_, message in said}) == 3


def test_a_version_is_pinned(shop) -> None:
    """A client of an older version is answered in it, expanded objects too."""
    pinned = {"stripe_version": "2026-08-26.dahlia"}
    made = shop.v1.payment_intents.create({**VISA, "expand": ["latest_charge.payment_intent"]}, pinned)
    assert made.last_response.headers["Stripe-Version"] == "2026-08-26.dahlia"
    assert "allowed_payment_method_types" not in made.to_dict()
    assert "allowed_payment_method_types" not in made.latest_charge.payment_intent.to_dict()


def test_search(shop) -> None:
    """Payments and charges are found by what they are and what was written about them, in pages; a query that can't be read says where."""
    batch = uuid.uuid4().hex
    asked = {**VISA, "metadata": {"batch": batch}}
    made = [shop.v1.payment_intents.create({**asked, "amount": 100 * (number + 1)}).id for number in range(3)]
    bare = shop.v1.payment_intents.create({"amount": 100, "currency": "eur", "metadata": {"batch": batch}}).id
    query = f"metadata['batch']:'{batch}' AND status:'succeeded'"
    found = shop.v1.payment_intents.search({"query": query, "limit": 2, "expand": ["data.latest_charge"]})
    assert [one.id for one in found.data] == made[:0:-1]
    assert found.data[0].latest_charge.amount == 300
    assert [one.id for one in found.auto_paging_iter()] == made[::-1]
    mine = f"metadata['batch']:'{batch}'"
    for more, ids in (
        ("amount>100", made[:0:-1]),
        ("-status:'succeeded'", [bare]),
        ("metadata['batch']:null", []),
        (f"customer:'{batch}'", []),
    ):
        assert [one.id for one in shop.v1.payment_intents.search({"query": f"{mine} {more}"}).data] == ids
    either = shop.v1.payment_intents.search({"query": f"{mine} OR customer:'{batch}'"}).data
    assert {one.id for one in either} == {bare, *made}
    shop.v1.refunds.create({"payment_intent": made[0]})
    charges = shop.v1.charges.search({"query": f"{mine} refunded:'true' currency:'eur'"})
    assert [one.payment_intent for one in charges.data] == made[:1]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.v1.payment_intents.search({"query": "status:succeeded"})
    assert (refused.value.code, refused.value.param) == ("query_invalid", "query")
    assert "at character 8" in refused.value.user_message
    with pytest.raises(stripe.InvalidRequestError) as page:
        shop.v1.payment_intents.search({"query": query, "page": "nothing"})
    assert page.value.param == "page"


def test_another_tenants_objects_are_not_found(api, shop) -> None:
    """A search sees what is the caller's own."""
    batch = uuid.uuid4().hex
    shop.v1.payment_intents.create({**VISA, "metadata": {"batch": batch}})
    query = {"query": f"metadata['batch']:'{batch}'"}
    assert len(shop.v1.payment_intents.search(query).data) == 1
    other = api.client(api.key("globex"))
    assert other.v1.payment_intents.search(query).data == []
    assert other.v1.charges.search(query).data == []


def test_a_keys_use_is_known(api) -> None:
    """When a key was last used is told by the process that it was used at, and shown where keys are listed."""
    client = api.client(api.key("acme", "--name", "watched"))
    client.v1.payment_intents.list({"limit": 1})

    def used() -> bool:
        listed = client.deserialize(client.raw_request("get", "/v1/api_keys?limit=100"), api_mode="V1")
        return any(one.name == "watched" and one.last_used for one in listed.data)

    wait_until(used, "the key's use is shown")


def test_an_authorisation_is_raised(shop) -> None:
    """More is authorised and captured; a decline leaves the old amount, which can still be captured."""
    held = shop.v1.payment_intents.create({**VISA, "capture_method": "manual"})
    raised = shop.v1.payment_intents.increment_authorization(held.id, {"amount": 1_500, "expand": ["latest_charge"]})
    assert (raised.status, raised.amount, raised.amount_capturable) == ("requires_capture", 1_500, 1_500)
    assert raised.latest_charge.amount == 1_500
    with pytest.raises(stripe.InvalidRequestError) as small:
        shop.v1.payment_intents.increment_authorization(held.id, {"amount": 1_500})
    assert (small.value.code, small.value.param) == ("amount_too_small", "amount")
    assert shop.v1.payment_intents.capture(held.id).amount_received == 1_500
    other = shop.v1.payment_intents.create(
        {**VISA, "capture_method": "manual", "payment_method": "pm_test_incrementDeclined"}
    )
    with pytest.raises(stripe.CardError) as declined:
        shop.v1.payment_intents.increment_authorization(other.id, {"amount": 1_500})
    assert (declined.value.code, declined.value.error.decline_code) == ("increment_failed", "insufficient_funds")
    assert declined.value.error.payment_intent.amount_capturable == 1_000
    assert shop.v1.payment_intents.capture(other.id).amount_received == 1_000
