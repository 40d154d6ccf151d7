"""The simulated providers' conversions: whole numbers, rates that come again, facts that agree."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest

from connectors.providers.simulator._books import Books
from connectors.providers.simulator._rates import (
    MOVE_BASIS_POINTS_MAX,
    PER_EURO,
    converted_minor,
    convertible,
    rate,
)
from connectors.providers.simulator._terms import Answer, Request
from schemas.currencies import EXPONENTS
from tests.unit.providers._world import Clock

PAIRS = [(one, other) for one in PER_EURO for other in PER_EURO if one != other]
CHARGE = Request(
    kind="authorize",
    amount_minor=100_000,
    currency="EUR",
    payment_reference="acme/pi_1",
    payment_method="pm_card_visa",
    capture=True,
    settlement_currency="JPY",
)


def _with(**changes):
    return msgspec.structs.replace(CHARGE, **changes)


def _refund(charge: str, amount_minor: int = 40_000) -> Request:
    return Request(kind="refund", amount_minor=amount_minor, currency="EUR", charge=charge, settlement_currency="JPY")


def _exact(answer: Answer) -> Fraction:
    """What an answer's amount comes to at its own rate, in minor units."""
    major = Fraction(answer.amount_minor, 10 ** EXPONENTS[answer.currency]) * Fraction(answer.fx_rate)
    return major * 10 ** EXPONENTS[answer.settlement_currency]


@pytest.fixture
def clock():
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def books(tmp_path, clock):
    """Empty books with a seed."""
    books = Books(tmp_path / "books.sqlite", refund_delay_ms=1_000, seed=7, now_ms=clock)
    yield books
    books.close_file()


@pytest.mark.parametrize(("currency", "to"), PAIRS)
def test_rates_stay_near_the_table_and_have_few_digits(currency, to):
    """Every pair, under ten keys: within one per cent of the cross rate, and at most twelve digits."""
    cross = Fraction(PER_EURO[to]) / Fraction(PER_EURO[currency])
    texts = {rate(seed=7, key=f"key-{number}", currency=currency, to=to) for number in range(10)}
    for text in texts:
        assert abs(Fraction(text) / cross - 1) <= Fraction(MOVE_BASIS_POINTS_MAX, 10_000) + Fraction(1, 100_000)
        assert len(text.replace(".", "")) <= 12
        assert Fraction(text) > 0
    assert len(texts) > 5
    assert rate(seed=7, key="key-1", currency=currency, to=to) in texts


@pytest.mark.parametrize(
    ("amount_minor", "currency", "to", "at", "came_to_minor"),
    [
        (1_000, "EUR", "JPY", "162.40000000", 1_624),
        (1, "JPY", "EUR", "0.00500000", 0),
        (3, "JPY", "EUR", "0.00500000", 2),
        (1_000, "KWD", "JPY", "500.50000000", 500),
        (1, "JPY", "KWD", "0.00250000", 2),
        (3, "JPY", "KWD", "0.00250000", 8),
        (999, "USD", "BHD", "0.37700000", 3_766),
        (10**15, "KWD", "KRW", "4440.00000000", 10**15),
    ],
)
def test_amounts_are_converted_exactly_and_rounded_half_to_even(amount_minor, currency, to, at, came_to_minor):
    """Between 0, 2 and 3 decimals: 0.5 is 0, 1.5 is 2, 2.5 is 2; and never more than an amount can be."""
    assert converted_minor(amount_minor, currency=currency, to=to, rate=at) == came_to_minor


def test_who_converts_what():
    """northpay, between currencies of the table; nobody else, nothing else."""
    assert convertible("northpay", currency="EUR", to="JPY")
    assert not convertible("southpay", currency="EUR", to="JPY")
    assert not convertible("northpay", currency="EUR", to="EUR")
    assert not convertible("northpay", currency="EUR", to="")
    assert not convertible("northpay", currency="EUR", to="XOF")


@pytest.mark.parametrize("to", ["JPY", "USD", "KWD"])
def test_a_converted_capture_states_amount_rate_and_a_fee_in_the_other_currency(books, to):
    """The facts agree, an inquiry repeats them, and the totals have the fee with its currency."""
    answer = books.perform("northpay", "key-1", _with(settlement_currency=to))
    assert (answer.status, answer.amount_minor, answer.currency) == ("captured", 100_000, "EUR")
    assert answer.settlement_currency == to
    assert abs(answer.settlement_amount_minor - _exact(answer)) <= Fraction(1, 2)
    assert 0 < answer.fee_minor < answer.settlement_amount_minor
    assert books.inquire("northpay", "key-1") == answer
    totals = {one.currency: one for one in books.totals()}
    assert (totals["EUR"].captured_minor, totals["EUR"].fee_minor) == (100_000, 0)
    assert (totals[to].captured_minor, totals[to].fee_minor) == (0, answer.fee_minor)


def test_a_refund_has_a_rate_of_its_own(books, clock):
    """Made at once or later, it states what it came to then; one that fails states nothing."""
    charge = books.perform("northpay", "key-1", CHARGE)
    refund = books.perform("northpay", "key-2", _refund(charge.reference))
    assert (refund.status, refund.settlement_currency) == ("refunded", "JPY")
    assert refund.fx_rate != charge.fx_rate
    assert abs(refund.settlement_amount_minor - _exact(refund)) <= Fraction(1, 2)
    for number, (method, outcome) in enumerate(
        (("pm_test_refundPending", "refunded"), ("pm_test_refundPendingFails", "refund_failed"))
    ):
        later = books.perform("northpay", f"later-{number}", _with(payment_method=method))
        pending = books.perform("northpay", f"pending-{number}", _refund(later.reference))
        assert (pending.status, pending.fx_rate) == ("refund_pending", "")
        clock.now_ms += 2_000
        made = books.inquire("northpay", f"pending-{number}")
        assert (made.status, bool(made.fx_rate)) == (outcome, outcome == "refunded")


def test_what_is_captured_later_is_converted_when_it_is(books):
    """After an authorisation, in parts, and when a customer has passed a challenge."""
    held = books.perform("northpay", "key-1", _with(capture=False))
    assert (held.status, held.fx_rate) == ("authorized", "")
    part = Request(kind="capture", amount_minor=30_000, currency="EUR", charge=held.reference, final=False)
    rest = Request(kind="capture", amount_minor=70_000, currency="EUR", charge=held.reference)
    rates = {books.perform("northpay", key, one).fx_rate for key, one in (("key-2", part), ("key-3", rest))}
    assert len(rates) == 2
    challenged = books.perform("northpay", "key-4", _with(payment_method="pm_card_authenticationRequired"))
    assert books.complete_challenge("northpay", challenged.reference, succeeded=True).settlement_currency == "JPY"


def test_what_nobody_asked_to_convert_is_not(books):
    """No currency asked, a provider that can't, a currency that isn't in the table: settled as it is."""
    for key, provider, changes in (
        ("key-1", "northpay", {"settlement_currency": ""}),
        ("key-2", "southpay", {}),
        ("key-3", "northpay", {"settlement_currency": "XOF"}),
    ):
        answer = books.perform(provider, key, _with(**changes))
        assert (answer.status, answer.settlement_amount_minor, answer.fx_rate) == ("captured", None, "")


def test_a_wrong_conversion_is_really_wrong(books):
    """pm_test_wrongConversion states more than its rate gives, by more than any rounding, so that it is held."""
    answer = books.perform("northpay", "key-1", _with(payment_method="pm_test_wrongConversion"))
    assert answer.settlement_amount_minor - _exact(answer) >= 1


def test_requests_without_a_conversion_have_the_fingerprints_they_had():
    """A key that was used before there were conversions still stands for the same request; with one, for another."""
    plain = Request(
        kind="authorize",
        amount_minor=1_000,
        currency="USD",
        payment_reference="acme/pi_1",
        payment_method="pm_card_visa",
        capture=True,
    )
    assert plain.fingerprint == "206a6e7c4e04873073187e23a0e03a62"
    assert msgspec.structs.replace(plain, settlement_currency="EUR").fingerprint != plain.fingerprint
