"""Payouts, settlement windows and reconciliations as JSON."""

from __future__ import annotations

from typing import get_args

from api.http.errors import Refused
from api.payouts import objects, render
from api.payouts.payouts import STATUSES, _explained
from schemas.records import ErrorObject, MovementKind, PayoutObject, PayoutStatus

WINDOW = {
    "object_id": "sw_1",
    "at": 1_000,
    "provider": "northpay",
    "currency": "EUR",
    "status": "closed",
    "closes_ms": 2_000,
    "closed_ms": 3_000,
    "movements": 9,
    "late_movements": 1,
}


def test_a_windows_parts_add_up_to_its_net():
    """Whatever kinds of movement there are, each is counted in one part, signed as the tenant sees it."""
    moved = {kind: 7**number * (-1) ** number for number, kind in enumerate(get_args(MovementKind)[1:])}
    row = {
        **WINDOW,
        "captured_minor": moved["capture"],
        "refunded_minor": -moved["refund"] - moved["refund_failure"],
        "fees_minor": -moved["fee"],
        "net_minor": sum(moved.values()),
    }
    shown = render.settlement_window(row, moved=moved, payout_id="po_1", livemode=True)
    parts = ("gross", "refunds", "fees", "disputes", "reserve", "adjustments")
    assert sum(shown[name] for name in parts) == shown["net"]
    assert all(shown[name] for name in parts)
    assert (shown["payout"], shown["opens_at"], shown["closed_at"]) == ("po_1", 1, 3)


def test_statuses_are_those_of_the_contract():
    """A list's filter takes each that a payout can have."""
    assert set(STATUSES) == set(get_args(PayoutStatus)) - {"unrecognized"}


def test_a_failure_in_a_providers_own_words_is_told_in_stripes():
    """The provider's word stands beside it."""
    one = PayoutObject(id="po_1", currency="EUR", status="failed", failure_code="tea_break")
    shown = render.payout(one, livemode=False)
    assert (shown["failure_code"], shown["clearline"]["failure_code"]) == ("could_not_process", "tea_break")
    assert render.payout(PayoutObject(id="po_1", currency="EUR"), livemode=False)["failure_code"] is None


def test_a_remainder_or_a_fault_is_open():
    """Only where nothing is left and nothing is broken, two books match; the id tells tenants apart."""
    row = {"kind": "k", "provider": "p", "currency": "EUR", "expected": 5, "found": 5, "records": 1, "faults": 0}
    told = render.reconciliation(row, tenant="a", now_ms=9_000, livemode=False)
    assert (told["status"], told["remainder"]) == ("matched", 0)
    for change in ({"found": 4}, {"faults": 1}):
        assert render.reconciliation({**row, **change}, tenant="a", now_ms=0, livemode=False)["status"] == "open"
    assert render.reconciliation(row, tenant="b", now_ms=0, livemode=False)["id"] != told["id"]


def test_who_named_no_provider_hears_what_there_is_at_each():
    """Only where it is the money that is missing."""
    error = ErrorObject(
        type="invalid_request_error", code="balance_insufficient", message="Too much.", param="amount_minor"
    )
    told = _explained(Refused(400, error, payment=None), {"northpay": 50, "southpay": 20})
    assert (told.status, told.code, told.param) == (400, "balance_insufficient", "amount")
    assert "northpay 50, southpay 20." in told.message
    other = Refused(400, ErrorObject(code="idempotency_error"), payment=None)
    assert _explained(other, {"northpay": 50}) is other


def test_examples_fit_their_schemas():
    """Each field that an example has is one of the schema, and none is missing."""
    for one in objects.OBJECTS:
        for example in one.examples().values():
            assert set(example) == set(one.schema["required"])
