"""Customers, saved payment methods and setup intents with Stripe's own SDK, and what of them is where."""

from __future__ import annotations

import uuid

import pytest
import stripe

from tests.integration._house import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]


def key() -> dict[str, str]:
    """Options of a request with an idempotency key of its own."""
    return {"idempotency_key": uuid.uuid4().hex}


def person(acme, **more) -> stripe.Customer:
    """A customer with everything personal."""
    return acme.v1.customers.create(
        {
            "name": "Jenny Rosen",
            "email": "jenny.rosen@example.com",
            "phone": "+4915112345",
            "description": "likes socks",
            "metadata": {"crm": "17"},
            **more,
        }
    )


def logs(api) -> str:
    """Everything that any process of the stack wrote."""
    return "".join(path.read_text(errors="replace") for path in api.house.directory.glob("*.log"))


def test_a_customer_is_made_read_changed_and_deleted(acme) -> None:
    """Stripe's SDK sees its own objects; a field that is not named stays, an empty one is cleared, a deleted one is gone."""
    made = person(acme)
    assert (made.object, made.name, made.email, made.livemode) == (
        "customer",
        "Jenny Rosen",
        "jenny.rosen@example.com",
        False,
    )
    assert acme.v1.customers.retrieve(made.id).to_dict() == made.to_dict()
    changed = acme.v1.customers.update(
        made.id, {"email": "", "phone": "+441632960", "metadata": {"crm": "", "tier": "gold"}}
    )
    assert (changed.name, changed.email, changed.phone) == ("Jenny Rosen", None, "+441632960")
    assert changed.metadata.to_dict() == {"tier": "gold"}
    deleted = acme.v1.customers.delete(made.id)
    assert deleted.to_dict() == {"id": made.id, "object": "customer", "deleted": True}
    assert acme.v1.customers.retrieve(made.id).to_dict() == deleted.to_dict()
    assert acme.v1.customers.delete(made.id).deleted
    with pytest.raises(stripe.InvalidRequestError) as gone:
        acme.v1.customers.update(made.id, {"name": "Nobody"})
    assert gone.value.code == "resource_missing"


def test_a_repeated_create_is_one_customer(acme) -> None:
    """Also with personal data, sealed again by the same key: the same body; other data under the key is an error."""
    options = key()
    first = acme.v1.customers.create({"name": "Ann", "email": "ann@example.com"}, options)
    again = acme.v1.customers.create({"name": "Ann", "email": "ann@example.com"}, options)
    assert again.to_dict() == first.to_dict()
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        acme.v1.customers.create({"name": "Ann", "email": "bob@example.com"}, options)


def test_methods_are_made_of_tokens_attached_listed_and_detached(acme) -> None:
    """Newest first, by both lists; detached, a method is nobody's and can't be used again."""
    customer = person(acme)
    one = acme.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    assert (one.card.brand, one.card.last4, one.customer) == ("visa", "4242", None)
    one = acme.v1.payment_methods.attach(one.id, {"customer": customer.id})
    assert one.customer == customer.id
    two = acme.v1.payment_methods.attach("pm_card_mastercard", {"customer": customer.id})
    assert two.id != "pm_card_mastercard"
    assert [method.id for method in acme.v1.payment_methods.list({"customer": customer.id}).data] == [two.id, one.id]
    page = acme.v1.customers.payment_methods.list(customer.id, {"limit": 1})
    assert ([method.id for method in page.data], page.has_more) == ([two.id], True)
    assert [method.id for method in page.auto_paging_iter()] == [two.id, one.id]
    assert acme.v1.customers.payment_methods.retrieve(customer.id, one.id).id == one.id
    named = acme.v1.payment_methods.update(one.id, {"metadata": {"nickname": "blue"}})
    assert named.metadata.to_dict() == {"nickname": "blue"}
    acme.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": one.id}})
    assert acme.v1.customers.retrieve(customer.id).invoice_settings.default_payment_method == one.id
    expanded = acme.v1.payment_methods.retrieve(one.id, {"expand": ["customer"]})
    assert expanded.customer.email == "jenny.rosen@example.com"
    assert acme.v1.payment_methods.detach(one.id).customer is None
    assert acme.v1.customers.retrieve(customer.id).invoice_settings.default_payment_method is None
    with pytest.raises(stripe.InvalidRequestError) as again:
        acme.v1.payment_methods.attach(one.id, {"customer": customer.id})
    assert again.value.code == "payment_method_unexpected_state"


def test_test_methods_can_be_looked_at(acme) -> None:
    """pm_card_visa by its own name, as at Stripe; a name that nobody knows is not there."""
    shown = acme.v1.payment_methods.retrieve("pm_card_visa")
    assert (shown.id, shown.card.last4, shown.customer) == ("pm_card_visa", "4242", None)
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        acme.v1.payment_methods.retrieve("pm_card_of_nobody")
    assert unknown.value.http_status == 404


def test_a_setup_saves_declines_and_waits(acme) -> None:
    """A good card is saved, a declined one is said with its reason and not saved, a challenge waits for the customer."""
    customer = person(acme)
    good = acme.v1.setup_intents.create(
        {"customer": customer.id, "payment_method": "pm_card_visa", "confirm": True, "usage": "off_session"}
    )
    assert good.status == "succeeded"
    assert [one.id for one in acme.v1.payment_methods.list({"customer": customer.id}).data] == [good.payment_method]
    options = key()
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            acme.v1.setup_intents.create(
                {"customer": customer.id, "payment_method": "pm_card_chargeDeclinedLostCard", "confirm": True}, options
            )
        assert (declined.value.code, declined.value.error.decline_code) == ("card_declined", "lost_card")
        setup = declined.value.error.setup_intent
        assert (setup["status"], setup["last_setup_error"]["code"]) == ("requires_payment_method", "card_declined")
    waiting = acme.v1.setup_intents.create({"customer": customer.id})
    assert waiting.status == "requires_payment_method"
    waiting = acme.v1.setup_intents.update(waiting.id, {"payment_method": "pm_card_authenticationRequired"})
    assert waiting.status == "requires_confirmation"
    waiting = acme.v1.setup_intents.confirm(waiting.id)
    assert (waiting.status, waiting.next_action.type) == ("requires_action", "use_stripe_sdk")
    acme.raw_request("post", f"/v1/test_helpers/setup_intents/{waiting.id}/complete_action", succeeded=True)
    done = acme.v1.setup_intents.retrieve(waiting.id, {"expand": ["payment_method", "customer"]})
    assert (done.status, done.payment_method.customer) == ("succeeded", customer.id)
    assert len(acme.v1.payment_methods.list({"customer": customer.id}).data) == 2
    other = acme.v1.setup_intents.create({"customer": customer.id})
    assert acme.v1.setup_intents.cancel(other.id, {"cancellation_reason": "abandoned"}).status == "canceled"


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ({"number": "4242424242424242", "exp_month": "12", "exp_year": "2034", "cvc": "123"}, "card_number_refused"),
        ({"number": "4000", "cvc": "123"}, "card_data_refused"),
        ({"token": "4242 4242 4242 4242"}, "card_number_refused"),
        ({}, "parameter_missing"),
    ],
)
def test_card_data_is_refused_and_nowhere(acme, api, card, code) -> None:
    """Typed, with what to send instead; the number is in no log."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        acme.v1.payment_methods.create({"type": "card", "card": card or {"token": ""}})
    assert refused.value.code == code
    assert "4242" not in str(refused.value)
    assert "424242424242" not in logs(api)


def test_another_tenant_sees_nothing_of_them(acme, api) -> None:
    """Whatever is asked of another's customer, method or setup intent: the answer of an id that never was."""
    customer = person(acme)
    method = acme.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    setup = acme.v1.setup_intents.create({"customer": customer.id})
    other = api.client(api.key("globex"))
    mine = other.v1.customers.create({"name": "Someone else"})
    never = {"cus": "cus_" + "0" * 24, "pm": "pm_" + "0" * 24, "seti": "seti_" + "0" * 24}
    calls = [
        lambda cus, pm, seti: other.v1.customers.retrieve(cus),
        lambda cus, pm, seti: other.v1.customers.update(cus, {"name": "Mine"}),
        lambda cus, pm, seti: other.v1.customers.update(cus, {"metadata": {"a": "b"}}),
        lambda cus, pm, seti: other.v1.customers.delete(cus),
        lambda cus, pm, seti: other.v1.customers.payment_methods.list(cus),
        lambda cus, pm, seti: other.v1.customers.payment_methods.retrieve(mine.id, pm),
        lambda cus, pm, seti: other.v1.customers.update(mine.id, {"invoice_settings": {"default_payment_method": pm}}),
        lambda cus, pm, seti: other.v1.payment_methods.retrieve(pm),
        lambda cus, pm, seti: other.v1.payment_methods.update(pm, {"metadata": {"a": "b"}}),
        lambda cus, pm, seti: other.v1.payment_methods.attach(pm, {"customer": mine.id}),
        lambda cus, pm, seti: other.v1.payment_methods.attach("pm_card_visa", {"customer": cus}),
        lambda cus, pm, seti: other.v1.payment_methods.detach(pm),
        lambda cus, pm, seti: other.v1.payment_methods.list({"customer": cus}),
        lambda cus, pm, seti: other.v1.setup_intents.retrieve(seti),
        lambda cus, pm, seti: other.v1.setup_intents.update(seti, {"metadata": {"a": "b"}}),
        lambda cus, pm, seti: other.v1.setup_intents.confirm(seti, {"payment_method": "pm_card_visa"}),
        lambda cus, pm, seti: other.v1.setup_intents.cancel(seti),
        lambda cus, pm, seti: other.v1.setup_intents.create({"customer": cus}),
        lambda cus, pm, seti: other.v1.setup_intents.create({"payment_method": pm}),
    ]
    for number, call in enumerate(calls):
        answers = []
        for ids in ({"cus": customer.id, "pm": method.id, "seti": setup.id}, never):
            with pytest.raises(stripe.InvalidRequestError) as refused:
                call(**ids)
            answers.append((refused.value.http_status, refused.value.json_body))
        assert answers[0] == answers[1], number
        assert answers[0][0] == 404, number
    assert acme.v1.customers.retrieve(customer.id).name == "Jenny Rosen"
    assert acme.v1.payment_methods.retrieve(method.id).customer == customer.id


def test_payments_use_and_save_methods(acme) -> None:
    """A payment saves its method once it succeeds; later ones are charged by it, for its customer only."""
    customer = person(acme)
    first = acme.v1.payment_intents.create(
        {
            "amount": 1_000,
            "currency": "eur",
            "customer": customer.id,
            "payment_method": "pm_card_visa",
            "setup_future_usage": "off_session",
            "confirm": True,
        }
    )
    assert (first.status, first.setup_future_usage) == ("succeeded", "off_session")
    assert first.payment_method != "pm_card_visa"

    def saved() -> list[str]:
        return [one.id for one in acme.v1.payment_methods.list({"customer": customer.id}).data]

    assert wait_until(saved, "the method is saved") == [first.payment_method]
    later = {
        "amount": 700,
        "currency": "eur",
        "customer": customer.id,
        "payment_method": first.payment_method,
        "off_session": True,
        "confirm": True,
    }
    shown = acme.v1.payment_intents.retrieve(first.id, {"expand": ["customer", "payment_method"]})
    assert (shown.customer.email, shown.payment_method.customer) == ("jenny.rosen@example.com", customer.id)
    options = key()
    second = acme.v1.payment_intents.create(later, options)
    assert (second.status, second.payment_method) == ("succeeded", first.payment_method)
    waiting = acme.v1.payment_intents.create({"amount": 500, "currency": "eur", "customer": customer.id})
    third = acme.v1.payment_intents.confirm(waiting.id, {"payment_method": first.payment_method})
    assert (third.status, third.payment_method) == ("succeeded", first.payment_method)
    stranger = acme.v1.customers.create({"metadata": {"who": "else"}})
    for change in ({"customer": stranger.id}, {"customer": ""}):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            acme.v1.payment_intents.create({**later, **change})
        assert refused.value.code == "payment_method_customer_mismatch"
    for change in ({"customer": "cus_" + "0" * 24}, {"customer": "cus_17"}, {"payment_method": "pm_" + "0" * 24}):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            acme.v1.payment_intents.create({**later, **change})
        assert (refused.value.code, refused.value.param) == ("resource_missing", next(iter(change)))
    own_name = acme.v1.payment_intents.create({"amount": 5, "currency": "eur", "customer": "customer-17"})
    assert own_name.customer == "customer-17"
    acme.v1.customers.delete(customer.id)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        acme.v1.payment_intents.create(later)
    assert refused.value.param == "customer"
    again = acme.v1.payment_intents.create(later, options)
    assert (again.id, again.last_response.headers["Idempotent-Replayed"]) == (second.id, "true")


def test_events_of_customers_methods_and_setups_are_listed_and_shown(acme) -> None:
    """Right after the answer, under ids that can be retrieved; nothing personal is in any of them."""
    customer = person(acme)
    setup = acme.v1.setup_intents.create({"customer": customer.id, "payment_method": "pm_card_visa", "confirm": True})
    acme.v1.payment_methods.detach(setup.payment_method)
    wanted = {
        "customer.created": customer.id,
        "payment_method.attached": setup.payment_method,
        "payment_method.detached": setup.payment_method,
        "setup_intent.created": setup.id,
        "setup_intent.succeeded": setup.id,
    }
    page = acme.v1.events.list({"types": [*wanted], "limit": 100})
    told = {(one.type, one.data.object["id"]): one for one in page.data}
    for kind, about in wanted.items():
        one = told[kind, about]
        again = acme.v1.events.retrieve(one.id)
        assert (again.to_dict(), again.clearline["payment_intent"]) == (one.to_dict(), None)
        assert "jenny" not in str(again).lower()
    sequences = [one.clearline["sequence"] for one in reversed(page.data) if one.data.object["id"] == setup.id]
    assert sequences == [1, 2]


def test_a_declined_card_is_not_attached_and_lists_go_on(acme) -> None:
    """402 with the bank's reason; what lists wait for is not held up by it. A card that fails later is saved, and its charge declined."""
    customer = person(acme)
    with pytest.raises(stripe.CardError) as declined:
        acme.v1.payment_methods.attach("pm_card_chargeDeclinedLostCard", {"customer": customer.id})
    assert (declined.value.http_status, declined.value.code) == (402, "card_declined")
    assert acme.v1.customers.list({"limit": 1}).data[0].id == customer.id
    assert acme.v1.payment_methods.list({"customer": customer.id}).data == []
    saved = acme.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer.id})
    payment = {"amount": 500, "currency": "eur", "customer": customer.id, "payment_method": saved.id, "confirm": True}
    with pytest.raises(stripe.CardError):
        acme.v1.payment_intents.create(payment)
