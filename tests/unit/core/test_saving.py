"""Payments that use saved methods, and those whose method is saved once they succeed."""

from __future__ import annotations

import pytest

from schemas import ids
from streams.core.customers_state import Method
from streams.core.keys import method as method_key
from streams.core.state import decode
from tests.unit.core.people import People
from tests.unit.core.world import TENANT, World

CUSTOMER = ids.customer_id(TENANT, "c1")
PAYMENT = ids.payment_id(TENANT, "k1")
SAVED = ids.saved_method_id(TENANT, PAYMENT)
METHOD = ids.method_id(TENANT, "m1")


def wishes(world: World) -> list:
    """What the customers' fold was asked, in order."""
    return [wish for decision in world.decisions for wish in decision.wishes]


def authorised(world: World, outcome: str = "captured", **fields) -> None:
    """A payment of a customer, as far as the provider's answer."""
    created = world.create(customer=CUSTOMER, setup_future_usage="off_session", **fields)
    world.answer(created.requests[0], outcome, provider_fee_minor=30)


@pytest.mark.parametrize("capture", ["automatic", "manual"])
def test_a_payment_that_succeeds_saves_its_method_once(capture) -> None:
    """With the authorisation, and not again with the capture; the payment names the method that will be."""
    world = World()
    authorised(world, "captured" if capture == "automatic" else "authorized", capture_method=capture)
    (wish,) = wishes(world)
    assert (wish.kind, wish.object_id, wish.customer, wish.token, wish.payment_id) == (
        "save_method",
        SAVED,
        CUSTOMER,
        "pm_card_visa",
        PAYMENT,
    )
    assert wish.reply_partition is None
    if capture == "manual":
        asked = world.send("capture", "k2", of="k1")
        world.answer(asked.requests[0], "captured", provider_fee_minor=30)
    assert len(wishes(world)) == 1
    event = world.decisions[-1].events[-1]
    assert (event.payment.status, event.payment.saved_method) == ("succeeded", SAVED)


def test_what_fails_or_was_not_asked_for_saves_nothing() -> None:
    """A declined payment; one without a customer of ours; one that did not want it."""
    world = World()
    authorised(world, "declined")
    for key, fields in (
        ("a", {"customer": "cust_17", "setup_future_usage": "off_session"}),
        ("b", {"setup_future_usage": "off_session"}),
        ("c", {"customer": CUSTOMER}),
    ):
        created = world.create(key, **fields)
        world.answer(created.requests[0], "captured", provider_fee_minor=30)
    assert not wishes(world)


def test_a_saved_method_is_charged_by_its_token_and_kept_by_its_id() -> None:
    """Providers hear the token; the payment's own record says which saved method that was; another method replaces both."""
    world = World()
    created = world.create(customer=CUSTOMER, saved_method=METHOD, setup_future_usage="on_session")
    assert created.requests[0].payment_method == "pm_card_visa"
    assert created.events[-1].payment.saved_method == METHOD
    world.answer(created.requests[0], "declined")
    again = world.send("confirm", "k2", of="k1", payment_method="pm_card_mastercard")
    assert again.events[-1].payment.saved_method == ""
    world.answer(again.requests[0], "captured", provider_fee_minor=30)
    (wish,) = wishes(world)
    assert (wish.object_id, wish.token) == (SAVED, "pm_card_mastercard")


def test_the_wish_is_what_the_customers_fold_takes() -> None:
    """From one fold to the other: the method is the customer's, by the id that the payment names."""
    world, people = World(), People()
    people.customer("c1")
    authorised(world)
    (wish,) = wishes(world)
    for _ in range(2):
        decision = people.put(wish)
        assert decision.refused is None
    assert decode(Method, people.view.get(method_key(TENANT, SAVED))).customer == CUSTOMER


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"saved_method": "pm_card_visa"}, "saved_method"),
        ({"saved_method": METHOD, "payment_method": "", "confirm": False}, "saved_method"),
        ({"setup_future_usage": "always"}, "setup_future_usage"),
    ],
)
def test_what_breaks_the_contract_is_refused(fields, field) -> None:
    """An id without its token would be charged as a token; a usage that nobody knows is none."""
    refused = World().create(**fields).refused
    assert refused is not None
    assert refused.field == field
