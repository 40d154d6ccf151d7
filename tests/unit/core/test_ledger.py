import inspect

import pytest

from schemas.records import Posting
from streams.core import Unbalanced, ledger


def test_every_pattern_is_described_and_balances():
    """Chart, patterns and functions are the same list; each makes two legs on known accounts that sum to zero."""
    for name in ledger.PATTERNS:
        function = getattr(ledger, name)
        values = {
            "provider": "northpay",
            "tenant": "acme",
            "amount_minor": 5,
            "fee_minor": 5,
            "net_minor": -5,
            "currency": "EUR",
        }
        postings = function(**{parameter: values[parameter] for parameter in inspect.signature(function).parameters})
        assert len(postings) == 2
        assert ledger.balanced(postings) == postings
    made = {name for name, one in vars(ledger).items() if inspect.isfunction(one) and one.__module__ == ledger.__name__}
    assert made - {"balanced", "_legs"} == set(ledger.PATTERNS)


def test_opposite_patterns_cancel_out():
    """release undoes hold, refund_failed undoes refund, and so on with all that come in pairs: account by account."""
    for one, other in (
        (ledger.hold("p", "t", 5, "EUR"), ledger.release("p", "t", 5, "EUR")),
        (ledger.refund("p", "t", 5, "EUR"), ledger.refund_failed("p", "t", 5, "EUR")),
        (ledger.stray("p", 5, "EUR"), ledger.stray_returned("p", 5, "EUR")),
        (ledger.reserve("t", 5, "EUR"), ledger.reserve_release("t", 5, "EUR")),
        (ledger.converted_in("p", 5, "EUR"), ledger.converted_in("p", -5, "EUR")),
        (ledger.converted_refund("p", 5, "EUR"), ledger.converted_refund("p", -5, "EUR")),
        (ledger.converted_out("p", "t", 5, "EUR"), ledger.fx_difference("p", "t", 5, "EUR")),
    ):
        balances: dict[str, int] = {}
        for leg in (*one, *other):
            balances[leg.account] = balances.get(leg.account, 0) + leg.amount_minor
        assert set(balances.values()) == {0}


@pytest.mark.parametrize(
    "legs",
    [
        [("tenant_payable:acme", 5, "EUR")],
        [("tenant_payable:acme", 5, "EUR"), ("provider_receivable:p", -4, "EUR")],
        [("tenant_payable:acme", 5, "EUR"), ("provider_receivable:p", -5, "USD")],
        [
            ("tenant_payable:acme", 5, "EUR"),
            ("provider_receivable:p", -5, "EUR"),
            ("tenant_payable:acme", 5, "USD"),
            ("provider_receivable:p", -4, "USD"),
        ],
        [("tenant_payable:acme", 0, "EUR"), ("provider_receivable:p", 0, "EUR")],
        [("pocket:acme", 5, "EUR"), ("provider_receivable:p", -5, "EUR")],
    ],
)
def test_postings_that_do_not_balance_raise(legs):
    """P2: a sum that is not zero in some currency, an empty leg, an account outside the chart."""
    with pytest.raises(Unbalanced):
        ledger.balanced(tuple(Posting(account=a, amount_minor=n, currency=c) for a, n, c in legs))


def test_two_currencies_balance_apart():
    """Each currency sums to zero by itself."""
    legs = (*ledger.capture("p", "t", 5, "EUR"), *ledger.capture("p", "t", 7, "JPY"))
    assert ledger.balanced(legs) == legs
