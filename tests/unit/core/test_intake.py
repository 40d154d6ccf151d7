import pytest
from msgspec.structs import replace

from schemas.records import PaymentIntent, Tenant
from streams.core import Refused, command_of, ids
from streams.core.checks import check_command
from streams.core.idempotency import fingerprint
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


SEALED = {"personal_key": "ck_" + "0" * 24, "personal": b"\x01sealed"}


def test_sealed_personal_data_stands_in_every_event_as_it_came():
    """The core keeps the sealed bytes and the name of their key, and never opens them; other bytes are another wish."""
    command = replace(command_of(INTENT, TENANTS), **SEALED)
    world = World()
    events = world.put(command).events
    assert events
    assert {(event.payment.personal_key, event.payment.personal) for event in events} == {tuple(SEALED.values())}
    assert fingerprint(command) != fingerprint(replace(command, personal=b"\x01other"))
    assert fingerprint(command) != fingerprint(command_of(INTENT, TENANTS))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"personal": b"\x01sealed"}, "personal_key"),
        ({"personal_key": SEALED["personal_key"]}, "personal"),
        ({**SEALED, "personal_key": "jenny"}, "personal_key"),
        ({**SEALED, "personal": b"x" * 8_193}, "personal"),
        ({**SEALED, "kind": "cancel"}, "personal"),
    ],
)
def test_personal_data_that_is_not_sealed_properly_is_refused(change, field):
    """Without a key, with something else as key, too long, or with another command than create."""
    with pytest.raises(Refused) as caught:
        check_command(replace(command_of(INTENT, TENANTS), **change))
    assert (caught.value.reason, caught.value.field) == ("invalid_field", field)
