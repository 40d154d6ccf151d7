"""Rows of events: the fields that `_shapes` names, and what is made of them."""

from __future__ import annotations

import base64

from connectors.clickhouse.landing import _shapes
from connectors.clickhouse.landing._money import exponent
from connectors.clickhouse.landing._parts import Row
from schemas import records
from schemas.holds import held_minor


def payment_event(event: records.PaymentEvent) -> Row:
    """A payment's event; its currency is that of whatever it is about."""
    payment, charge, refund = event.payment, event.charge, event.refund
    currency = (payment and payment.currency) or (charge and charge.currency) or (refund and refund.currency) or ""
    return _shapes.PAYMENT_EVENT.row(
        event,
        currency,
        exponent(currency),
        len(event.postings),
        len(event.balance_transactions),
        held_minor(event),
    )


def settlement_event(event: records.SettlementEvent) -> Row:
    """A window's event."""
    return _shapes.SETTLEMENT_EVENT.row(event, exponent(event.currency), len(event.postings))


def payout_event(event: records.PayoutEvent) -> Row:
    """A payout's event."""
    return _shapes.PAYOUT_EVENT.row(event, exponent(event.currency), len(event.postings))


_NO_CUSTOMER = records.CustomerObject()
_NO_METHOD = records.MethodObject()
_NO_SETUP = records.SetupObject()
_OBJECTS = {"cus": "customer", "pm": "payment_method", "seti": "setup_intent"}


def customer_event(event: records.CustomerEvent) -> Row:
    """Of personal data what the log has: each field sealed, behind the id of its key; of tokens nothing."""
    customer = event.customer or _NO_CUSTOMER
    method = event.method or _NO_METHOD
    setup = event.setup or _NO_SETUP
    card = method.card
    about = event.customer or event.method or event.setup
    return _shapes.CUSTOMER_EVENT.row(
        event,
        _OBJECTS.get(event.object_id.partition("_")[0], ""),
        0 if about is None else about.created_ms,
        customer.id or method.customer or setup.customer,
        customer.deleted,
        {one.name: f"{one.key_id} {base64.b64encode(one.sealed).decode()}" for one in customer.personal},
        {} if about is None else about.metadata,
        customer.default_method or method.id or setup.method,
        card.brand,
        card.last4,
        card.exp_month,
        card.exp_year,
        card.fingerprint,
        card.funding,
        card.country,
    )
