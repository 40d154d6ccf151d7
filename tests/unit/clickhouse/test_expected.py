"""What the comparison expects, without Kafka or ClickHouse."""

import re

from connectors.clickhouse import _expected
from connectors.clickhouse.landing import _tables
from schemas.records import BalanceTransaction, ClockTick, PaymentEvent, PaymentObject, Posting

TOPIC = "payments.events"


def rows(record, topic=TOPIC):
    """The rows of one record."""
    return list(_expected.rows(topic, record, key=b"key", value=b"value"))


def test_every_table_that_landing_fills_is_compared_by_columns_that_it_has():
    """All but the attempts of webhooks, of which a topic with a retention tells; each expression is made of a column."""
    compared = {table.name: table for table in _tables.BOOKS if table is not _tables.WEBHOOK_ATTEMPTS}
    assert set(_expected.SHAPES) == set(compared)
    for name, shape in _expected.SHAPES.items():
        columns = set(compared[name].columns)
        for expression in (*shape.digest, *filter(None, [shape.amount_column])):
            assert columns & set(re.findall(r"\w+", expression)), f"{name} has no column in {expression}"


def test_an_event_has_a_row_and_one_for_each_leg_and_change():
    """Legs and changes of the balance are numbered; each sum is of its own currency."""
    event = PaymentEvent(
        event_id="evt_1",
        payment=PaymentObject(currency="EUR", amount_received_minor=9),
        postings=(Posting(account="a", amount_minor=5, currency="EUR"), Posting(amount_minor=-5, currency="JPY")),
        balance_transactions=(BalanceTransaction(id="txn_1", net_minor=4, currency="EUR"),),
    )
    found = [(row.table, row.digest.get("_ordinal"), row.unit, row.amount) for row in rows(event)]
    assert found == [
        ("payment_events", None, "EUR", 9),
        ("balance_transactions", 0, "EUR", 4),
        ("ledger_entries", 0, "EUR", 5),
        ("ledger_entries", 1, "JPY", -5),
    ]


def test_what_cannot_be_booked_is_expected_among_the_errors_and_a_tick_nowhere():
    """Unreadable bytes and a currency that nobody knows, byte for byte."""
    unknown = PaymentEvent(payment=PaymentObject(currency="XQQ"))
    for record in (None, unknown):
        (row,) = rows(record)
        assert (row.table, row.text(3)) == ("landing_errors", b"key|value|3")
    assert rows(ClockTick(), "payments.inputs") == []
