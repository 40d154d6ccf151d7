"""The demo's upstream system: what it asks for when an event says that something was not carried out."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from infra.demo.intents import Planned, Step
from infra.demo.upstream import REPEATS_MAX, Upstream, _Payment
from schemas import codec
from schemas.records import PaymentCommand, PaymentEvent, PaymentObject

PLANNED = Planned(
    tenant="acme",
    intent_key="order-1",
    amount_minor=500,
    currency="EUR",
    payment_method="pm_test_flaky",
    capture_method="manual",
    then=(Step(kind="capture"),),
)


@pytest.fixture
def asked(monkeypatch):
    """An upstream system without a broker; what it would have sent."""
    commands: list[PaymentCommand] = []
    monkeypatch.setattr(Upstream, "_produce", lambda self, topic, key, value: commands.append(codec.decode(value)))
    return Upstream("127.0.0.1:1"), commands


def event(kind: str, status: str) -> PaymentEvent:
    """One event of the payment."""
    return PaymentEvent(type=kind, payment_id="pi_1", tenant="acme", to_status=status)


def test_a_capture_that_was_not_carried_out_is_asked_for_again(asked):
    """A provider that is down for a while costs a payment nothing but time; the repeat has a key of its own."""
    upstream, commands = asked
    payment = _Payment(PLANNED)
    upstream._follow(event("payment_intent.amount_capturable_updated", "requires_capture"), payment)
    upstream._follow(event("charge.capture_failed", "requires_capture"), payment)
    upstream._follow(event("charge.capture_failed", "requires_capture"), payment)
    assert [command.kind for command in commands] == ["capture"] * 3
    keys = [command.attribution.idempotency_key for command in commands]
    assert keys == ["order-1/1", "order-1/1.1", "order-1/1.2"]


def test_it_does_not_ask_for_ever(asked):
    """A provider that always refuses is given up; the payment stays open, and the tally says so."""
    upstream, commands = asked
    payment = _Payment(PLANNED)
    upstream._follow(event("payment_intent.amount_capturable_updated", "requires_capture"), payment)
    for _ in range(REPEATS_MAX + 5):
        upstream._follow(event("charge.capture_failed", "requires_capture"), payment)
    assert len(commands) == 1 + REPEATS_MAX
    assert not payment.finished


def test_a_customer_acts_once_at_each_address(monkeypatch):
    """The event comes with every change of the payment; another provider asks at an address of its own."""
    monkeypatch.setattr(Upstream, "_produce", lambda self, topic, key, value: None)
    upstream = Upstream("127.0.0.1:1", providers="http://providers")
    payment = _Payment(PLANNED)
    for address in ("/northpay/act", "/northpay/act", "/southpay/act"):
        asked_to_act = event("payment_intent.requires_action", "requires_action")
        upstream._follow(replace(asked_to_act, payment=PaymentObject(action_url=address)), payment)
    assert list(upstream._challenges) == ["http://providers/northpay/act", "http://providers/southpay/act"]
    upstream._challenges.clear()
    upstream._follow(replace(asked_to_act, payment=PaymentObject(action_url="/southpay/act")), payment)
    assert not upstream._challenges
