import pytest
from msgspec.structs import replace

from schemas.records import PaymentIntent, Tenant
from streams.core import Refused, command_of, ids
from tests.unit.core.world import World

TENANTS = {"acme": Tenant(tenant="acme", version=1), "gone": Tenant(tenant="gone", version=1, status="suspended")}
INTENT = PaymentIntent(
    tenant="acme",
    intent_key="order-1",
    amount_minor=1000,
    currency="EUR",
    payment_method="pm_card_visa",
    upstream="shop",
    request_id="req-9",
    metadata={"order": "1"},
)


def test_an_intent_becomes_a_create_that_the_lifecycle_takes():
    """Its key is the idempotency key, its sender the actor; sending it again has no second effect."""
    command = command_of(INTENT, TENANTS)
    assert command.payment_id == ids.payment_id("acme", "order-1")
    assert (command.attribution.actor_kind, command.attribution.actor_id) == ("upstream", "shop")
    assert (command.attribution.idempotency_key, command.attribution.request_id) == ("order-1", "req-9")
    assert command.reply_partition is None
    world = World()
    assert len(world.put(command).requests) == 1
    again = world.put(command_of(INTENT, TENANTS))
    assert not again.events
    assert not again.requests


@pytest.mark.parametrize("tenant", ["nobody", "gone"])
def test_an_intent_of_an_unknown_or_suspended_tenant_is_refused(tenant):
    """Typed, so that it stands among the rejected records."""
    with pytest.raises(Refused) as caught:
        command_of(replace(INTENT, tenant=tenant), TENANTS)
    assert (caught.value.reason, caught.value.field) == ("unknown_tenant", "tenant")


def test_an_intent_that_breaks_its_contract_is_refused():
    """The same checks as at every door."""
    with pytest.raises(Refused) as caught:
        command_of(replace(INTENT, amount_minor=-1), TENANTS)
    assert caught.value.reason == "invalid_amount"
