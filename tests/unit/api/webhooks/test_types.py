"""What endpoints hear of a payment's events."""

from __future__ import annotations

import json

import msgspec
import pytest
import stripe

from api.http import versions
from api.webhooks import types
from schemas.records import (
    Attribution,
    ChargeObject,
    CustomerEvent,
    CustomerObject,
    DisputeObject,
    MethodObject,
    PaymentEvent,
    PaymentObject,
    PayoutEvent,
    PayoutObject,
    Posting,
    RefundObject,
    SealedField,
    SetupObject,
    WebhookEndpoint,
)
from tests.unit.core.situations import SITUATIONS
from tests.unit.core.world import World

PAYMENT = PaymentObject(
    id="pi_1", status="succeeded", amount_minor=1_250, currency="EUR", capture_method="automatic", created_ms=999_000
)
CHARGE = ChargeObject(id="ch_1", attempt=1, status="succeeded", amount_minor=1_250, currency="EUR")
EVENT = PaymentEvent(
    event_id="evt_b",
    type="payment_intent.succeeded",
    tenant="acme",
    payment_id="pi_1",
    sequence=7,
    previous_event_id="evt_a",
    occurred_ms=1_000_500,
    from_status="processing",
    to_status="succeeded",
    payment=PAYMENT,
    charge=CHARGE,
    attribution=Attribution(request_id="req_1", idempotency_key="k"),
)
PLACE = ("payments.events", 3, 42)


def held(amount_minor: int) -> tuple[Posting, ...]:
    """So much more is authorised, or, negative, less."""
    return (
        Posting(account="authorization_hold:northpay", amount_minor=amount_minor, currency="EUR"),
        Posting(account="authorized_funds:acme", amount_minor=-amount_minor, currency="EUR"),
    )


def endpoint(name: str = "we_1", **changes) -> WebhookEndpoint:
    """An endpoint of acme that hears of everything."""
    fields = {"tenant": "acme", "enabled_events": ("*",), "status": "enabled", "created_ms": 1, "api_version": "v"}
    return WebhookEndpoint(endpoint_id=name, **{**fields, **changes})


def queued(*endpoints: WebhookEndpoint, event: PaymentEvent = EVENT) -> list[tuple[str, str]]:
    """Endpoint and type of what is queued."""
    found = types.deliveries(event, b"raw", place=PLACE, endpoints=endpoints, queued_ms=5)
    return [(one.endpoint_id, one.event_type) for one in found]


@pytest.mark.parametrize(
    ("changes", "heard"),
    [
        ({}, ["payment_intent.succeeded", "charge.succeeded"]),
        ({"postings": held(-1_250)}, ["payment_intent.succeeded"]),
        ({"charge": None}, ["payment_intent.succeeded"]),
        ({"type": "payment_intent.amount_capturable_updated", "postings": held(1_250)}, ["payment_intent.amount_capturable_updated", "charge.succeeded"]),
        ({"type": "payment_intent.amount_capturable_updated", "postings": held(250)}, ["payment_intent.amount_capturable_updated", "charge.updated"]),
        ({"type": "payment_intent.amount_capturable_updated"}, ["payment_intent.amount_capturable_updated"]),
        ({"type": "payment_intent.payment_failed"}, ["payment_intent.payment_failed", "charge.failed"]),
        ({"type": "refund.created"}, ["refund.created", "charge.refunded"]),
        ({"type": "charge.dispute.created"}, ["charge.dispute.created"]),
        ({"type": "charge.outcome_unknown"}, ["charge.outcome_unknown"]),
    ],
)  # fmt: skip
def test_told(changes, heard):
    """An event is told under its own type and, where Stripe tells of the charge too, once more under the charge's."""
    assert [one.type for one in types.told(msgspec.structs.replace(EVENT, **changes))] == heard


@pytest.mark.parametrize("name", SITUATIONS)
def test_that_a_charge_succeeded_is_told_once(name):
    """Authorised, raised, captured at once, later, in parts, by two operators' word: once each charge that did, never one that did not."""
    world = World()
    SITUATIONS[name](world)
    told = [(event, one.type) for event in world.events for one in types.told(event)]
    succeeded = [event.charge.id for event, kind in told if kind == "charge.succeeded"]
    assert len(succeeded) == len(set(succeeded))
    last = world.events[-1].payment if world.events else PaymentObject()
    if last.status in ("succeeded", "requires_capture"):
        assert succeeded == [last.latest_charge]
    assert all(event.charge.status == "succeeded" for event, kind in told if kind == "charge.succeeded")


def test_a_raised_authorisation_is_an_update_of_its_charge():
    """With the new amount; beside the payment's own event."""
    world = World()
    SITUATIONS["incremented"](world)
    raised = world.events[-1]
    assert [one.type for one in types.told(raised)] == ["payment_intent.amount_capturable_updated", "charge.updated"]
    said = json.loads(types.body(raised, event_type="charge.updated", api_version=versions.NEWEST, livemode=False))
    assert (said["data"]["object"]["object"], said["data"]["object"]["amount"]) == ("charge", 1_500)


def test_ids_and_order():
    """The primary has the event's own id and names the one before; a companion has an id of its own, always the same, and names its primary."""
    primary, companion = types.told(EVENT)
    assert (primary.id, primary.previous) == ("evt_b", "evt_a")
    assert companion.previous == "evt_b"
    assert companion == types.told(EVENT)[1]
    assert companion.id != types.companion_id("evt_c", companion.type) != types.companion_id("evt_c", "charge.failed")


def test_filters():
    """An endpoint hears what it named, exactly; * is everything, and nothing named is nothing."""
    assert queued(
        endpoint("we_all"),
        endpoint("we_one", enabled_events=("charge.succeeded",)),
        endpoint("we_other", enabled_events=("charge", "charge.*", "charge.succeeded.x")),
        endpoint("we_none", enabled_events=()),
    ) == [
        ("we_all", "payment_intent.succeeded"),
        ("we_all", "charge.succeeded"),
        ("we_one", "charge.succeeded"),
    ]


@pytest.mark.parametrize(
    "changes",
    [{"tenant": "globex"}, {"status": "disabled"}, {"status": "deleted"}, {"created_ms": EVENT.occurred_ms + 1}],
)
def test_who_hears_nothing(changes):
    """Another tenant's endpoint, a disabled or deleted one, and one that was made later hear nothing."""
    assert queued(endpoint(**changes)) == []


def test_deliveries_are_the_same_again():
    """Queued again, the deliveries have the same ids, which differ between endpoints, tellings and replays."""
    first, again = (
        types.deliveries(EVENT, b"raw", place=PLACE, endpoints=[endpoint("we_1"), endpoint("we_2")], queued_ms=at)
        for at in (1, 2)
    )
    ids = [one.delivery_id for one in first]
    assert ids == [one.delivery_id for one in again]
    assert len({*ids, types.delivery_id("evt_b", "we_1", replay="r1")}) == 5
    assert first[0].event == b"raw"
    assert (first[0].source_topic, first[0].source_partition, first[0].source_offset) == PLACE


def test_body_as_the_sdk_reads_it():
    """The body is an event to the official SDK, with the payment as it is and was, its request, and its place in the payment's history."""
    body = types.body(EVENT, event_type="payment_intent.succeeded", api_version=versions.NEWEST, livemode=True)
    read = stripe.Event.construct_from(json.loads(body), "sk_test")
    assert (read.id, read.type, read.api_version, read.created) == ("evt_b", EVENT.type, versions.NEWEST, 1_000)
    assert (read.data.object.id, read.data.object.amount, read.data.object.status) == ("pi_1", 1_250, "succeeded")
    assert read.data.previous_attributes.to_dict() == {"status": "processing"}
    assert (read.livemode, read.request.id, read.request.idempotency_key) == (True, "req_1", "k")
    assert read.clearline.to_dict() == {"payment_intent": "pi_1", "sequence": 7, "previous_event": "evt_a"}


@pytest.mark.parametrize(
    ("event_type", "kind"),
    [
        ("payment_intent.succeeded", "payment_intent"),
        ("charge.captured", "charge"),
        ("charge.dispute.updated", "dispute"),
        ("refund.updated", "refund"),
        ("balance.adjusted", "payment_intent"),
    ],
)
def test_object(event_type, kind):
    """`data.object` is what the type names; what is about no object of its own is about the payment."""
    event = msgspec.structs.replace(
        EVENT, type=event_type, refund=RefundObject(id="re_1", charge="ch_1"), dispute=DisputeObject(id="dp_1")
    )
    said = json.loads(types.body(event, event_type=event_type, api_version=versions.NEWEST, livemode=False))
    assert said["data"]["object"]["object"] == kind


def test_version_of_the_endpoint():
    """Each endpoint's body is in its own API version: a field that a later version brought is missing in an older one."""
    bodies = {
        version: json.loads(types.body(EVENT, event_type=EVENT.type, api_version=version, livemode=False))
        for version in versions.LIVE
    }
    for version, said in bodies.items():
        assert said["api_version"] == version
        assert ("allowed_payment_method_types" in said["data"]["object"]) == version.endswith(".endive")


def test_only_what_is_told():
    """A type that the event isn't told under is refused."""
    with pytest.raises(ValueError, match=r"evt_b is not told as charge\.failed"):
        types.body(EVENT, event_type="charge.failed", api_version=versions.NEWEST, livemode=False)


def test_customers_events_are_told_without_personal_data():
    """Of a customer, a saved method or a setup intent the object is told as it was after the event, and never what is sealed."""
    shared = {"event_id": "evt_c", "tenant": "acme", "sequence": 2, "previous_event_id": "evt_b", "occurred_ms": 5_000}
    sealed = (SealedField(name="email", sealed=b"sealed-email", key_id="ck_1"),)
    events = {
        "customer": CustomerEvent(
            type="customer.updated", object_id="cus_1", customer=CustomerObject(id="cus_1", personal=sealed), **shared
        ),
        "payment_method": CustomerEvent(
            type="payment_method.attached", object_id="pm_1", method=MethodObject(id="pm_1", customer="cus_1"), **shared
        ),
        "setup_intent": CustomerEvent(
            type="setup_intent.succeeded",
            object_id="seti_1",
            setup=SetupObject(id="seti_1", status="succeeded"),
            **shared,
        ),
    }
    for name, event in events.items():
        [delivery] = types.deliveries(event, b"raw", place=PLACE, endpoints=[endpoint()], queued_ms=5)
        assert (delivery.payment_id, delivery.event_id) == (event.object_id, "evt_c")
        raw = types.body(event, event_type=event.type, api_version=versions.NEWEST, livemode=False)
        body = json.loads(raw)
        assert (body["type"], body["data"]["object"]["object"]) == (event.type, name)
        assert body["clearline"] == {"payment_intent": None, "sequence": 2, "previous_event": "evt_b"}
        assert b"sealed" not in raw


def test_payouts_are_told():
    """A payout's event is told as it is, with the payout after it and its place in the payout's history."""
    event = PayoutEvent(
        event_id="evt_p",
        type="payout.paid",
        tenant="acme",
        payout_id="po_1",
        sequence=3,
        previous_event_id="evt_o",
        occurred_ms=9_000,
        to_status="paid",
        payout=PayoutObject(id="po_1", amount_minor=500, currency="EUR", status="paid"),
    )
    [delivery] = types.deliveries(event, b"raw", place=PLACE, endpoints=[endpoint()], queued_ms=5)
    assert (delivery.payment_id, delivery.event_type) == ("po_1", "payout.paid")
    body = json.loads(types.body(event, event_type="payout.paid", api_version=versions.NEWEST, livemode=False))
    assert (body["data"]["object"]["object"], body["data"]["object"]["amount"]) == ("payout", 500)
    assert body["clearline"] == {"payment_intent": None, "sequence": 3, "previous_event": "evt_o"}
