import string

import pytest

from schemas.records import RejectionReason
from streams.core import Refused
from streams.core.errors import CATALOGUE, CommandError, last_error_message, of_refusal

STRIPE_TYPES = {"api_error", "card_error", "idempotency_error", "invalid_request_error"}


def test_every_error_has_stripes_type_a_status_and_words():
    """The catalogue is complete: Stripe's types, HTTP statuses of errors, and a message that ends as a sentence."""
    for code, kind in CATALOGUE.items():
        assert kind.code == code
        assert kind.type in STRIPE_TYPES
        assert 400 <= kind.http_status < 600
        assert kind.message.endswith((".", "{detail}"))


@pytest.mark.parametrize("code", ["card_declined", "processing_error", "no_route", "capture_failed", "void_failed"])
def test_errors_that_a_payment_keeps_need_no_names(code):
    """What stands as a payment's last error is the same text without anything filled in."""
    names = [name for _, name, _, _ in string.Formatter().parse(CATALOGUE[code].message) if name]
    assert names == []
    assert last_error_message(code) == CATALOGUE[code].message
    assert last_error_message("") == ""


def test_every_refusal_has_an_answer():
    """Whatever reason a record is rejected for, its caller gets a typed error naming the field."""
    for reason in RejectionReason.__args__:
        problem = of_refusal(Refused(reason=reason, field="amount_minor", message="Say what."))
        assert isinstance(problem, CommandError)
        assert (problem.error.message, problem.error.param) == ("Say what.", "amount_minor")
        assert 400 <= problem.http_status < 500
