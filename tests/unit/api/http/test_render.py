from __future__ import annotations

from api.http import render
from schemas.records import ChargeObject, DisputeObject, PaymentObject, RefundObject

PAYMENT = PaymentObject(
    id="pi_" + "0" * 24,
    status="requires_action",
    amount_minor=1_230,
    currency="EUR",
    capture_method="manual",
    latest_charge="ch_" + "0" * 24 + "01",
    action_url="https://bank.example/challenge",
    last_error_code="card_declined",
    last_error_decline_code="do_not_honor",
    last_error_message="The issuer declined the payment.",
    created_ms=1_700_000_000_999,
)


def test_a_payment_in_stripes_words() -> None:
    """Lower-case currency, whole seconds, null for what is empty, the customer's next step and the last error."""
    body = render.payment_intent(PAYMENT, livemode=False)
    assert (body["object"], body["amount"], body["currency"], body["created"]) == (
        "payment_intent",
        1_230,
        "eur",
        1_700_000_000,
    )
    assert body["next_action"]["redirect_to_url"]["url"] == "https://bank.example/challenge"
    assert body["last_payment_error"] == {
        "type": "card_error",
        "code": "card_declined",
        "message": "The issuer declined the payment.",
        "decline_code": "do_not_honor",
        "charge": PAYMENT.latest_charge,
    }
    assert body["customer"] is body["description"] is body["cancellation_reason"] is None
    assert (body["capture_method"], body["livemode"]) == ("manual", False)


def test_no_personal_data_is_rendered() -> None:
    """What is sealed stays sealed: neither the data nor the key's name is part of an answer."""
    body = render.payment_intent(PaymentObject(personal_key="ck_1", personal=b"sealed"), livemode=True)
    assert "ck_1" not in repr(body)
    assert "sealed" not in repr(body)


def test_refunds_charges_and_disputes() -> None:
    """Each has its object's name, the payment that it belongs to, and only words of Stripe's enumerations."""
    charge_id = "ch_" + "a" * 24 + "01"
    refund = render.refund(
        RefundObject(id="re_1", charge=charge_id, currency="USD", status="failed", failure_reason="no such account")
    )
    assert (refund["object"], refund["payment_intent"], refund["failure_reason"]) == (
        "refund",
        "pi_" + "a" * 24,
        "unknown",
    )
    charge = render.charge(
        ChargeObject(id=charge_id, amount_captured_minor=5, amount_refunded_minor=5, status="succeeded"),
        PAYMENT,
        livemode=False,
    )
    assert (charge["paid"], charge["captured"], charge["refunded"]) == (True, True, True)
    dispute = render.dispute(
        DisputeObject(id="dp_1", status="needs_response", reason="a network's own word"),
        payment_id="pi_1",
        livemode=False,
    )
    assert (dispute["reason"], dispute["clearline"]["reason"]) == ("general", "a network's own word")
