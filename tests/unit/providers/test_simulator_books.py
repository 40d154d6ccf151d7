"""The simulated providers' books: money, memory and limits."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from connectors.providers.errors import BooksError
from connectors.providers.simulator._books import Books, KeyReused
from connectors.providers.simulator._terms import Request, fee_minor
from tests.unit.providers._world import Clock

CHARGE = Request(
    kind="authorize",
    amount_minor=1_000,
    currency="USD",
    payment_reference="acme/pi_1",
    payment_method="pm_card_visa",
    capture=True,
)


@pytest.fixture
def clock():
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def books(tmp_path, clock):
    """Empty books on that clock."""
    books = Books(tmp_path / "books.sqlite", refund_delay_ms=1_000, now_ms=clock)
    yield books
    books.close_file()


def _charged(books: Books, **changes: object) -> str:
    request = Request(**{**{name: getattr(CHARGE, name) for name in CHARGE.__struct_fields__}, **changes})
    return books.perform("northpay", "key-1", request).reference


def _refund(charge: str, amount_minor: int = 400) -> Request:
    return Request(kind="refund", amount_minor=amount_minor, currency="USD", charge=charge)


@pytest.mark.parametrize(
    ("provider", "amount_minor", "fee"),
    [
        ("northpay", 10_000, 165),
        ("northpay", 10_035, 165),
        ("northpay", 10_036, 166),
        ("southpay", 10_000, 200),
        ("other", 10_000, 170),
        ("northpay", 1, 1),
    ],
)
def test_fees_follow_the_schedule(provider, amount_minor, fee):
    """Basis points rounded half up and a fixed part, never more than the amount."""
    assert fee_minor(provider, amount_minor) == fee


def test_uncommitted_work_is_lost_and_committed_work_is_not(tmp_path):
    """What was committed is there after the process is gone; what wasn't is as if it had never been asked."""
    first = Books(tmp_path / "books.sqlite")
    first.perform("northpay", "key-1", CHARGE)
    first.commit()
    first.perform("northpay", "key-2", CHARGE)
    first._db.close()  # as a killed process leaves it
    again = Books(tmp_path / "books.sqlite")
    assert again.inquire("northpay", "key-1") is not None
    assert again.inquire("northpay", "key-2") is None
    assert [charge.key for charge in again.charges("northpay", after=0, limit=10)] == ["key-1"]
    again.close_file()


def test_the_same_books_are_not_opened_twice(books, tmp_path):
    """A second simulator on the same directory is refused, with what to do."""
    books.commit()
    with pytest.raises(BooksError, match="another simulator"):
        Books(tmp_path / "books.sqlite", busy_timeout_s=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 1_001},
        {"currency": "EUR"},
        {"payment_method": "pm_card_mastercard"},
        {"payment_reference": "acme/pi_2"},
        {"capture": False},
    ],
)
def test_every_parameter_counts_for_the_key(books, changes):
    """A known key with any parameter different is an error, and has no effect."""
    _charged(books)
    with pytest.raises(KeyReused):
        _charged(books, **changes)
    assert len(books.charges("northpay", after=0, limit=10)) == 1


def test_keys_belong_to_one_provider(books):
    """The same key at another provider is another operation."""
    books.perform("northpay", "key-1", CHARGE)
    books.perform("southpay", "key-1", CHARGE)
    assert books.payments_held_twice() == [("acme/pi_1", 2)]


def test_a_voided_charge_is_not_held(books):
    """A payment with one voided and one captured charge isn't counted as held twice."""
    held = _charged(books, capture=False)
    books.perform("northpay", "key-2", Request(kind="void", amount_minor=1_000, currency="USD", charge=held))
    books.perform("southpay", "key-1", CHARGE)
    assert books.payments_held_twice() == []


def test_the_first_provider_asked_refuses_and_goes_on_refusing(books):
    """pm_test_refusedByFirst: for each payment the first provider asked refuses it for good, any other takes it."""
    request = Request(
        **{
            **{name: getattr(CHARGE, name) for name in CHARGE.__struct_fields__},
            "payment_method": "pm_test_refusedByFirst",
        }
    )
    assert books.perform("southpay", "key-1", request).status == "refused"
    assert books.perform("southpay", "key-2", request).status == "refused"
    assert books.perform("northpay", "key-1", request).status == "captured"


@pytest.mark.parametrize(
    ("payment_method", "last", "refunded_minor"),
    [("pm_test_refundPending", "refunded", 400), ("pm_test_refundPendingFails", "refund_failed", 0)],
)
def test_a_pending_refund_takes_its_course_in_time(books, clock, payment_method, last, refunded_minor):
    """A pending refund reserves its amount, and later either counts or gives it back."""
    charge = _charged(books, payment_method=payment_method)
    assert books.perform("northpay", "key-2", _refund(charge)).status == "refund_pending"
    assert books.perform("northpay", "key-3", _refund(charge, 601)).code == "amount_too_large"
    clock.now_ms += 999
    assert books.inquire("northpay", "key-2").status == "refund_pending"
    clock.now_ms += 1
    assert books.inquire("northpay", "key-2").status == last
    assert books.perform("northpay", "key-2", _refund(charge)).status == last
    found = books.charge("northpay", charge)
    assert (found.refunded_minor, found.refund_pending_minor) == (refunded_minor, 0)


def test_a_failing_refund_leaves_the_money(books):
    """A refund that fails at once can be tried again under another key."""
    charge = _charged(books, payment_method="pm_test_refundFails")
    assert books.perform("northpay", "key-2", _refund(charge, 1_000)).status == "refund_failed"
    assert books.charge("northpay", charge).refunded_minor == 0


@pytest.mark.parametrize(("capture", "status"), [(True, "captured"), (False, "authorized")])
def test_a_passed_challenge_authorises(books, capture, status):
    """After the customer passed, the authorisation's own key answers with the outcome; passing twice changes nothing."""
    charge = _charged(books, payment_method="pm_card_authenticationRequired", capture=capture)
    assert books.inquire("northpay", "key-1").status == "requires_action"
    assert books.complete_challenge("northpay", charge, succeeded=True).status == status
    assert books.complete_challenge("northpay", charge, succeeded=False).status == status
    assert books.inquire("northpay", "key-1").status == status


def test_a_failed_challenge_declines(books):
    """After the customer failed, the authorisation is declined and holds nothing."""
    charge = _charged(books, payment_method="pm_card_authenticationRequired")
    answer = books.complete_challenge("northpay", charge, succeeded=False)
    assert (answer.status, answer.code) == ("declined", "authentication_failed")
    assert books.totals("northpay")[0].captured_minor == 0
    assert books.complete_challenge("northpay", "nothing", succeeded=True) is None


def test_totals_add_up_per_currency(books):
    """The summary is the sum of the charges, for one provider or for all."""
    books.perform("northpay", "key-1", CHARGE)
    charge = books.perform("southpay", "key-2", CHARGE).reference
    books.perform("southpay", "key-3", _refund(charge))
    north, south = books.totals()
    assert (north.provider, north.captured_minor, north.refunded_minor, north.fee_minor) == ("northpay", 1_000, 0, 39)
    assert (south.provider, south.captured_minor, south.refunded_minor, south.fee_minor) == ("southpay", 1_000, 400, 29)
    assert books.totals("southpay") == [south]


def _increment(charge: str, amount_minor: int) -> Request:
    return Request(kind="increment", amount_minor=amount_minor, currency="USD", charge=charge)


def test_an_authorisation_is_raised_and_captured(books):
    """More is authorised in all, once under a key, and can be captured; no more than that."""
    charge = _charged(books, capture=False)
    for _ in range(2):
        raised = books.perform("northpay", "key-2", _increment(charge, 1_500))
        assert (raised.status, raised.amount_minor, raised.reference) == ("incremented", 1_500, charge)
    capture = Request(kind="capture", amount_minor=1_501, currency="USD", charge=charge)
    assert books.perform("northpay", "key-3", capture).code == "amount_too_large"
    assert books.perform("northpay", "key-4", replace(capture, amount_minor=1_500)).status == "captured"
    assert books.perform("northpay", "key-5", _increment(charge, 2_000)).code == "charge_not_incrementable"


@pytest.mark.parametrize(
    ("amount_minor", "changes", "status", "code"),
    [
        (1_000, {}, "refused", "amount_too_small"),
        (1_500, {"payment_method": "pm_test_incrementDeclined"}, "declined", "insufficient_funds"),
        (1_500, {"capture": True}, "refused", "charge_not_incrementable"),
    ],
)
def test_an_authorisation_that_is_not_raised_stays(books, amount_minor, changes, status, code):
    """No more than now, an issuer that says no, a charge that is captured: the charge is as it was."""
    charge = _charged(books, **{"capture": False, **changes})
    before = books.charge("northpay", charge)
    answer = books.perform("northpay", "key-2", _increment(charge, amount_minor))
    assert (answer.status, answer.code) == (status, code)
    assert books.charge("northpay", charge) == before


def test_not_every_provider_raises_authorisations(books):
    """southpay refuses it, before any effect."""
    charge = books.perform("southpay", "key-1", replace(CHARGE, capture=False)).reference
    answer = books.perform("southpay", "key-2", _increment(charge, 1_500))
    assert (answer.status, answer.code) == ("refused", "increment_unsupported")
    assert books.charge("southpay", charge).authorized_minor == 1_000
