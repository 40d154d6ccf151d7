"""Fields as columns: names, types and values from one list."""

import pytest

from connectors.clickhouse.landing import _tables
from connectors.clickhouse.landing._parts import Part, Shape
from schemas.records import ChargeObject, PaymentEvent, PaymentObject, Rejection

EVENT = Part(PaymentEvent, "tenant sequence")
CHARGE = Part(ChargeObject, "id status has_texts metadata", at="charge", prefix="charge_", empty="status")
PAYMENT = Part(PaymentObject, "currency capture_method", at="payment", named={"currency": "money"})
SHAPE = Shape(EVENT, CHARGE, PAYMENT, more="postings UInt32")


def test_columns_are_the_fields_with_their_types():
    """In the order of the parts, under the part's prefix or a name of their own; what is computed comes last."""
    assert SHAPE.structure == (
        "tenant String, sequence Int64, charge_id String, charge_status String, charge_has_texts Bool, "
        "charge_metadata Map(String, String), money String, capture_method String, postings UInt32"
    )
    assert Shape(Part(Rejection, "tenant key")).structure == "tenant String, key Nullable(String)"


def test_a_row_has_the_values_in_the_columns_order():
    """Of the record, of what it holds, and what is given."""
    charge = ChargeObject(id="ch_1", status="succeeded", has_texts=True, metadata={"a": "b"})
    payment = PaymentObject(currency="EUR", capture_method="manual")
    event = PaymentEvent(tenant="t", sequence=7, charge=charge, payment=payment)
    assert SHAPE.row(event, 2) == ("t", 7, "ch_1", "succeeded", True, {"a": "b"}, "EUR", "manual", 2)


def test_what_is_not_there_has_defaults_and_no_status():
    """An enumeration of something that isn't there is '', unless its default is wanted."""
    assert SHAPE.row(PaymentEvent(tenant="t"), 0) == ("t", 0, "", "", False, {}, "", "unrecognized", 0)


@pytest.mark.parametrize("table", [_tables.CLAIMS, _tables.RANGES, *_tables.BOOKS], ids=lambda table: table.name)
def test_no_table_has_a_column_twice(table):
    """Two parts with a field of the same name need a prefix."""
    assert len(set(table.columns)) == len(table.columns)
