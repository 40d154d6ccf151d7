"""Requests to operations and outcomes to results, nothing lost on the way."""

from __future__ import annotations

import msgspec
import pytest

from connectors.providers.base import DeclineKind, Notice, OperationKind, Outcome, OutcomeKind
from connectors.providers.errors import UntranslatableRequest
from connectors.providers.gateway._items import result_of
from connectors.providers.gateway._translation import notice, operation_of, read, rejection, result
from schemas import codec
from schemas.errors import NotAvro, WrongRecord
from schemas.records import (
    Attribution,
    ClockTick,
    PayoutRequest,
    PayoutResult,
    ProviderRequest,
    ProviderResult,
    Rejection,
)
from tests.unit.core.situations import at

REQUEST = ProviderRequest(
    request_id="rq_1",
    tenant="acme",
    payment_id="pi_1",
    object_id="ch_1",
    attempt=1,
    provider="northpay",
    operation="authorize",
    amount_minor=1_000,
    currency="USD",
    payment_method="pm_card_visa",
    capture=True,
    requested_ms=1_700_000_000_000,
    attribution=Attribution(
        actor_kind="api_key", actor_id="key_1", request_id="req_1", idempotency_key="k", traceparent="00-ab-cd-01"
    ),
)


def _with(**changes):
    return msgspec.structs.replace(REQUEST, **changes)


def test_an_authorisation_carries_everything_a_provider_compares():
    """The request id is the idempotency key; tenant and payment are the provider's reference."""
    operation = operation_of(REQUEST)
    assert (operation.kind, operation.idempotency_key) == (OperationKind.AUTHORIZE, "rq_1")
    assert (operation.payment_reference, operation.amount_minor, operation.currency) == ("acme/pi_1", 1_000, "USD")
    assert (operation.payment_method, operation.capture, operation.charge_reference) == ("pm_card_visa", True, None)
    assert operation.settlement_currency is None
    assert operation_of(_with(settlement_currency="EUR")).settlement_currency == "EUR"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"operation": "unrecognized"}, "invalid_field"),
        ({"request_id": ""}, "invalid_field"),
        ({"request_id": "r" * 256}, "invalid_field"),
        ({"request_id": "a\nb"}, "invalid_field"),
        ({"amount_minor": 0}, "invalid_amount"),
        ({"amount_minor": -1}, "invalid_amount"),
        ({"operation": "capture"}, "invalid_field"),
        ({"operation": "refund", "provider_reference": "ch_x", "amount_minor": 0}, "invalid_amount"),
    ],
)
def test_what_no_provider_can_be_asked_is_untranslatable(changes, code):
    """Such a request is rejected with a reason of the contract's, not retried for ever."""
    with pytest.raises(UntranslatableRequest) as raised:
        operation_of(_with(**changes))
    assert raised.value.code == code


def test_a_void_needs_no_amount():
    """A void releases whatever was authorised."""
    assert operation_of(_with(operation="void", amount_minor=0, provider_reference="ch_x")).kind is OperationKind.VOID


def test_a_request_is_as_old_as_the_later_of_its_two_times():
    """Replayed old inputs and clocks that differ don't make a fresh request old."""
    value, key = codec.encode(REQUEST), b"acme/pi_1"
    assert read(key=key, value=value, timestamp_ms=REQUEST.requested_ms + 5).made_ms == REQUEST.requested_ms + 5
    assert read(key=key, value=value, timestamp_ms=0).made_ms == REQUEST.requested_ms


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        (b"acme/pi_2", codec.encode(REQUEST), UntranslatableRequest),
        (None, codec.encode(REQUEST), UntranslatableRequest),
        (b"acme/pi_1", b"plain", NotAvro),
        (b"acme/pi_1", None, NotAvro),
        (b"acme/pi_1", codec.encode(ClockTick()), WrongRecord),
    ],
)
def test_unreadable_records_become_rejections_with_their_bytes(key, value, error):
    """Whatever is wrong with a record, its rejection names the reason and holds its bytes."""
    with pytest.raises(error) as raised:
        read(key=key, value=value, timestamp_ms=0)
    encoded = rejection(raised.value, topic="t", partition=2, offset=9, timestamp_ms=5, key=key, value=value)
    found = codec.decode(encoded, expected=(Rejection,))
    assert (found.source_topic, found.source_partition, found.source_offset) == ("t", 2, 9)
    assert (found.key, found.value, found.component) == (key, value, "gateway")
    assert found.reason not in ("", "unrecognized")
    assert found.message


PAYOUT = PayoutRequest(
    request_id="po_1_payout_1",
    tenant="acme",
    payout_id="po_1",
    provider="northpay",
    currency="EUR",
    amount_minor=600,
    destination="ba_1",
    requested_ms=5,
    attribution=REQUEST.attribution,
)


def test_a_payout_is_asked_for_under_its_own_key_and_answered_to_settlement():
    """Everything that the provider compares; the result goes to the flow's key, whatever the outcome."""
    asked = read(key=b"acme/po_1", value=codec.encode(PAYOUT), timestamp_ms=9)
    operation = asked.operation
    assert (operation.kind, operation.idempotency_key, operation.destination) == ("payout", "po_1_payout_1", "ba_1")
    assert (operation.payment_reference, operation.amount_minor, asked.made_ms) == ("acme/po_1", 600, 9)
    told = {}
    for kind in OutcomeKind:
        made = result_of(asked, Outcome(kind=kind, amount_minor=600, currency="EUR", reference="np_1", code="c"), 0)
        assert (made.topic, made.key) == ("settlement.inputs", b"acme/northpay/EUR")
        found = codec.decode(made.value, expected=(PayoutResult,))
        assert (found.request_id, found.provider_reference, found.failure_code) == ("po_1_payout_1", "np_1", "c")
        told[kind.value] = found.outcome
    assert {kind: outcome for kind, outcome in told.items() if outcome != "unknown"} == {
        "payout_in_transit": "in_transit",
        "paid_out": "paid",
        "payout_failed": "failed",
        "declined": "failed",
        "refused": "failed",
        "integrity_failure": "integrity_failure",
    }


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"amount_minor": 0}, b"acme/po_1"),
        ({"request_id": ""}, b"acme/po_1"),
        ({"inquiry": -1}, b"acme/po_1"),
        ({"inquiry": 1, "request_id": 255 * "x"}, b"acme/po_1"),
        ({}, b"acme/pi_1"),
    ],
)
def test_a_payout_that_makes_no_sense_is_not_asked_for(changes, key):
    """It is rejected, with the field's name."""
    with pytest.raises(UntranslatableRequest):
        read(key=key, value=codec.encode(msgspec.structs.replace(PAYOUT, **changes)), timestamp_ms=0)


def test_an_inquiry_about_a_payout_asks_under_the_payouts_own_request():
    """Among what is pending it has a name of its own; at the provider, and in the answer, it is the request that it asks about."""
    inquiry = msgspec.structs.replace(PAYOUT, inquiry=4)
    asked = read(key=b"acme/po_1", value=codec.encode(inquiry), timestamp_ms=9)
    assert asked.about is not None
    assert (asked.request.request_id, asked.about.request_id) == ("po_1_payout_1_inquire_4", "po_1_payout_1")
    assert asked.operation == read(key=b"acme/po_1", value=codec.encode(PAYOUT), timestamp_ms=9).operation
    made = result_of(asked, Outcome(kind=OutcomeKind.PAID_OUT, amount_minor=600, currency="EUR"), 1)
    assert codec.decode(made.value, expected=(PayoutResult,)).request_id == "po_1_payout_1"


def test_a_notice_of_a_payout_goes_to_settlement():
    """It failed after it was paid; whatever else a provider would tell is refused there."""
    told = Notice(
        number=1, notice_id="n_1", payment_reference="acme/po_1", charge="", dispute="", sequence=1, status="failed",
        amount_minor=600, currency="EUR", withdrawn_minor=0, fee_minor=0, reason="no_account", evidence_due_ms=0,
        occurred_ms=7, payout="np_po_1",
    )  # fmt: skip
    topic, key, value = notice("northpay", told)
    found = codec.decode(value, expected=(PayoutResult,))
    assert (topic, key) == ("settlement.inputs", b"acme/northpay/EUR")
    assert (found.outcome, found.payout_id, found.provider_reference) == ("failed", "po_1", "np_po_1")
    assert (found.failure_code, found.request_id) == ("no_account", "n_1")
    _, _, value = notice("northpay", msgspec.structs.replace(told, status="odd"))
    assert codec.decode(value).outcome == "unrecognized"


_OF_PAYOUTS = (OutcomeKind.PAYOUT_IN_TRANSIT, OutcomeKind.PAID_OUT, OutcomeKind.PAYOUT_FAILED)


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind not in _OF_PAYOUTS])
def test_every_outcome_has_its_word_in_the_contract(kind):
    """Each kind of outcome survives the way through the record."""
    outcome = Outcome(
        kind=kind,
        reference="np_1",
        amount_minor=1_000,
        currency="USD",
        fee_minor=39,
        code="some_code",
        message="words",
        decline_kind=DeclineKind.SOFT,
        action_url="/somewhere",
        settlement_amount_minor=921,
        settlement_currency="EUR",
        fx_rate="0.9215",
    )
    found = codec.decode(result(REQUEST, outcome, inquiries=4), expected=(ProviderResult,))
    assert (found.outcome, found.provider_reference, found.amount_minor) == (kind.value, "np_1", 1_000)
    assert (found.settlement_amount_minor, found.settlement_currency, found.fx_rate) == (921, "EUR", "0.9215")
    assert (found.provider_fee_minor, found.decline_code, found.decline_kind) == (39, "some_code", "soft")
    assert (found.request_id, found.object_id, found.inquiries, found.action_url) == ("rq_1", "ch_1", 4, "/somewhere")
    assert (found.attribution.actor_kind, found.attribution.actor_id) == ("provider", "northpay")
    assert (found.attribution.request_id, found.attribution.traceparent) == ("req_1", "00-ab-cd-01")


@pytest.mark.parametrize(
    "situation", ["authorising", "capturing", "voiding", "refunding", "in action", "held by conflict"]
)
def test_an_inquiry_as_the_fold_makes_it_asks_for_what_its_original_did(situation):
    """The same key and operation at the provider, but for what the provider has told meanwhile."""
    world = at(situation)
    newest = world.requests[-1]
    (inquiry,) = world.operate("inquire", "i1", object_id=newest.object_id).requests
    original = world.original(inquiry)
    key = f"{inquiry.tenant}/{inquiry.payment_id}".encode()
    asked = read(key=key, value=codec.encode(inquiry), timestamp_ms=0)
    assert asked.request == inquiry
    assert (asked.about.request_id, asked.about.operation) == (original.request_id, original.operation)
    assert asked.operation == operation_of(original)


@pytest.mark.parametrize(
    ("request_id", "object_id"),
    [
        ("ch_1_authorize_1", "ch_1"),
        ("ch_1_inquire_1", "ch_1"),
        ("ch_1_inquire_1_inquire_2", "ch_1"),
        ("ch_2_authorize_1_inquire_2", "ch_1"),
        ("_authorize_1_inquire_2", ""),
    ],
)
def test_an_inquiry_that_names_no_request_is_refused(request_id, object_id):
    """It would ask a provider about a key that nobody used."""
    request = ProviderRequest(
        request_id=request_id,
        object_id=object_id,
        tenant="acme",
        payment_id="pi_1",
        provider="northpay",
        operation="inquire",
        amount_minor=1,
        currency="EUR",
        provider_reference="np_1",
    )
    with pytest.raises(UntranslatableRequest, match="_inquire_") as caught:
        read(key=b"acme/pi_1", value=codec.encode(request), timestamp_ms=0)
    assert caught.value.code == "invalid_field"


@pytest.mark.parametrize("card", [b"4242 4242 4242 4242", b"sk_test_4eC39HqLyjWDarjtT1zdp7dc"])
def test_a_rejection_keeps_no_card_number_and_no_secret(card):
    """Bytes with what looks like one are named by place and digest only, and the message masks it."""
    error = WrongRecord(f"the key is {card.decode()}")
    encoded = rejection(error, topic="t", partition=2, offset=9, timestamp_ms=5, key=b"a/" + card, value=b"\x03" + card)
    found = codec.decode(encoded)
    assert isinstance(found, Rejection)
    assert (found.key, found.value, len(found.value_sha256)) == (None, None, 64)
    assert found.message == f"the key is {'*' * len(card)}"
