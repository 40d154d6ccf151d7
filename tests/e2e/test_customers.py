"""Customers through a whole stack: listed from the warehouse, sealed everywhere, erased for ever, and folded again alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import stripe

from schemas import codec
from schemas.catalogue import CUSTOMERS_CHANGELOG, CUSTOMERS_EVENTS, CUSTOMERS_INPUTS, CUSTOMERS_KEYS
from schemas.records import CustomerEvent
from tests.e2e import test_personal as personal
from tests.e2e.conftest import RunningStack
from tests.integration._runtime_kit import committed_records, wait_until
from tests.integration.api._answers import Watched

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def client(stack: RunningStack, tenant: str) -> stripe.StripeClient:
    """Stripe's SDK with a key of the tenant."""
    made = personal.clearline(stack, "keys", "create", tenant)
    assert made.returncode == 0, made.stderr
    return stripe.StripeClient(made.stdout.strip(), base_addresses={"api": stack.apis[0]}, http_client=Watched())


def values(stack: RunningStack, topic: str) -> list[bytes]:
    """Everything on a topic."""
    return [one.value() or b"" for one in committed_records(stack.read.kafka, topic)]


def test_customers_are_listed_sealed_and_erased(make_stack: Callable[..., RunningStack], tmp_path: Path) -> None:
    """
    A list has what its caller just wrote, in the clear for its tenant alone; on topics and in files nothing is.

    Deleted, a customer's data can be read by nobody, and the log folds to the same events.
    """
    stack = make_stack()
    acme, globex = client(stack, "acme"), client(stack, "globex")
    jenny = acme.v1.customers.create(
        {"name": personal.NAME, "email": personal.EMAIL, "description": "Quintessenz", "metadata": {"crm": "17"}}
    )
    others = [acme.v1.customers.create({"metadata": {"number": str(number)}}) for number in range(4)]
    setups = [
        acme.v1.setup_intents.create({"customer": jenny.id, "payment_method": "pm_card_visa", "confirm": True})
        for _ in range(2)
    ]
    listed = acme.v1.customers.list({"limit": 2})
    assert [one.id for one in listed.data] == [others[3].id, others[2].id]
    assert listed.has_more
    whole = list(listed.auto_paging_iter())
    assert [one.id for one in whole] == [one.id for one in (*reversed(others), jenny)]
    assert whole[-1].to_dict() == jenny.to_dict()
    backwards = acme.v1.customers.list({"limit": 3, "ending_before": jenny.id})
    assert [one.id for one in backwards.data] == [others[2].id, others[1].id, others[0].id]
    assert [one.id for one in acme.v1.setup_intents.list({"customer": jenny.id}).data] == [
        setups[1].id,
        setups[0].id,
    ]
    assert globex.v1.customers.list().data == []
    assert globex.v1.setup_intents.list().data == []
    with pytest.raises(stripe.InvalidRequestError) as cursor:
        globex.v1.customers.list({"starting_after": jenny.id})
    assert cursor.value.code == "resource_missing"

    paid = acme.v1.payment_intents.create(
        {
            "amount": 900,
            "currency": "eur",
            "customer": jenny.id,
            "payment_method": "pm_card_mastercard",
            "setup_future_usage": "off_session",
            "confirm": True,
        }
    )
    wait_until(
        lambda: len(acme.v1.payment_methods.list({"customer": jenny.id}).data) == 3,
        "the method is saved",
        deadline_s=90,
    )
    assert [one.payment_method for one in acme.v1.payment_intents.list({"customer": jenny.id}).data] == [
        paid.payment_method
    ]

    sealed = [
        field.sealed
        for event in map(codec.decode, values(stack, CUSTOMERS_EVENTS.name))
        if isinstance(event, CustomerEvent) and event.customer is not None
        for field in event.customer.personal
    ]
    assert len(sealed) == 3
    for topic in (CUSTOMERS_INPUTS, CUSTOMERS_EVENTS, CUSTOMERS_CHANGELOG):
        assert any(sealed[0] in value for value in values(stack, topic.name)), topic.name
    assert values(stack, CUSTOMERS_KEYS.name)
    assert personal.leaks(stack, tmp_path) == []
    assert personal.landed_leaks(stack) == []
    shown = personal.clearline(stack, "customers", "show", "acme", jenny.id)
    assert personal.EMAIL in shown.stdout, shown.stdout + shown.stderr

    acme.v1.customers.delete(jenny.id)
    keys = personal.keys(stack).values()
    assert {(key.customer, key.status, key.wrapped) for key in keys} == {(jenny.id, "erased", b"")}
    assert [one.id for one in acme.v1.customers.list().data] == [one.id for one in reversed(others)]
    assert "Quintessenz" not in str(acme.v1.customers.retrieve(jenny.id))
    again = personal.clearline(stack, "customers", "show", "acme", jenny.id)
    assert personal.EMAIL not in again.stdout
    assert personal.landed_leaks(stack) == []
    replayed = personal.clearline(stack, "replay")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
