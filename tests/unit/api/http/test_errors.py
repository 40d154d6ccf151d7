from __future__ import annotations

import json

import pytest
import stripe
from stripe._api_requestor import _APIRequestor

from api.http import errors
from schemas.records import ErrorObject
from streams.core.errors import CATALOGUE


def test_the_body_is_stripes() -> None:
    """Type, code, message and parameter, under `error`, without what is empty."""
    body = json.loads(errors.encode(errors.ParameterMissing("amount")))
    assert body == {
        "error": {
            "type": "invalid_request_error",
            "code": "parameter_missing",
            "message": "Missing required param: amount.",
            "param": "amount",
        }
    }


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_answer_of_the_fold(code) -> None:
    """Every error that a command can end in has its status and type, and says whether the same request may be retried."""
    kind = CATALOGUE[code]
    error = ErrorObject(type=kind.type, code=code, message="m", param="amount_minor", retryable=kind.retryable)
    refused = errors.Refused(kind.http_status, error, payment=None)
    assert refused.body() == {"type": kind.type, "code": code, "message": "m", "param": "amount"}
    if kind.http_status == 409:
        assert refused.should_retry is True
    if kind.http_status >= 500:
        assert refused.should_retry is False, "the answer is stored: the same key gets it again"


def test_what_the_sdk_makes_of_them() -> None:
    """The SDK's own choice of exception, by status and type, is the one that its users expect."""
    requestor = _APIRequestor()
    for error, expected in (
        (errors.ParameterUnknown("a"), stripe.InvalidRequestError),
        (errors.NotFound("refund"), stripe.InvalidRequestError),
        (errors.Unauthenticated("no"), stripe.AuthenticationError),
        (errors.Forbidden("no"), stripe.PermissionError),
        (errors.Overloaded(), stripe.RateLimitError),
        (errors.NoAnswer(), stripe.APIError),
        (errors.Refused(402, ErrorObject(type="card_error"), payment=None), stripe.CardError),
        (errors.Refused(400, ErrorObject(type="idempotency_error"), payment=None), stripe.IdempotencyError),
    ):
        body = errors.encode(error).decode()
        with pytest.raises(expected) as raised:
            requestor.handle_error_response(body, error.status, json.loads(body), {}, "V1")
        assert type(raised.value) is expected
