from __future__ import annotations

from schemas import ids
from streams.core import ids as core


def test_a_payments_id_is_pinned() -> None:
    """The id of a tenant and key is the same in every release: a retried create must always meet its first try."""
    assert ids.payment_id("acme", "order-1") == "pi_b2643c1f900b6927a27d75e7"


def test_both_sides_compute_the_same() -> None:
    """The fold checks an id with the very function that the API makes it with."""
    assert core.payment_id is ids.payment_id


def test_a_charge_shows_its_payment() -> None:
    """From the id of any attempt follows the payment, and from anything else nothing."""
    payment = ids.payment_id("acme", "order-1")
    assert ids.payment_of_charge(core.charge_id(payment, 255)) == payment
    for other in ("", "ch_", payment, "ch_" + "g" * 26, "re_" + "0" * 26, "ch_" + "0" * 25):
        assert ids.payment_of_charge(other) == ""


def test_what_is_no_payment_id() -> None:
    """Length, prefix and digits are all looked at."""
    payment = ids.payment_id("acme", "order-1")
    assert ids.is_payment_id(payment)
    for other in ("", payment[:-1], payment + "0", payment.upper(), "ch_" + payment[3:], "pi_" + "z" * 24):
        assert not ids.is_payment_id(other)
