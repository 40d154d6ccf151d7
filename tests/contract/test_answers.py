"""The look that the API's tests take at each answer finds what is wrong."""

from __future__ import annotations

import json

import pytest

from api.http import catalogue, versions
from api.openapi.document import examples
from tests.integration.api._answers import look, operation_of

URL = "http://127.0.0.1:1/v1/charges/ch_1"
CHARGE = examples(versions.NEWEST, catalogue.objects()["charge"])["succeeded"]
ERROR = {"error": {"type": "invalid_request_error", "message": "No such charge."}}


def seen(body: dict, *, status: int = 200, **headers: str) -> None:
    """An answer to a GET of a charge."""
    given = {"Request-Id": "req_1", "Stripe-Version": versions.NEWEST, "Content-Type": "application/json", **headers}
    given = {name: value for name, value in given.items() if value is not None}
    look("GET", URL, "", status=status, headers=given, body=json.dumps(body).encode())


def test_what_is_right_passes() -> None:
    """An example, a list of them, and an error."""
    seen(CHARGE)
    seen(ERROR, status=404)
    page = {"object": "list", "url": "/v1/charges", "has_more": False, "data": [CHARGE]}
    look(
        "GET",
        URL.removesuffix("/ch_1"),
        "",
        status=200,
        headers={"request-id": "req_1", "stripe-version": versions.NEWEST, "content-type": "application/json"},
        body=json.dumps(page).encode(),
    )


@pytest.mark.parametrize(
    ("body", "status", "headers"),
    [
        ({**CHARGE, "more": 1}, 200, {}),
        ({name: value for name, value in CHARGE.items() if name != "paid"}, 200, {}),
        ({**CHARGE, "amount": "1"}, 200, {}),
        (ERROR, 409, {}),
        ({"error": {"type": "other", "message": ""}}, 404, {}),
        (ERROR, 402, {}),
        (ERROR, 401, {}),
        (CHARGE, 200, {"Request-Id": ""}),
        (CHARGE, 200, {"Content-Type": "text/plain"}),
        (CHARGE, 200, {"Stripe-Version": None}),
        (ERROR, 503, {"Retry-After": "0"}),
        (ERROR, 503, {"Stripe-Should-Retry": "perhaps"}),
    ],
)
def test_what_is_wrong_fails(body, status, headers) -> None:
    """A field too many or too few, a wrong type, a status or header of which nothing is said, an error of no known type."""
    with pytest.raises(AssertionError):
        seen(body, status=status, **headers)


def test_literal_steps_win_over_names() -> None:
    """`/search` is no id."""
    found = operation_of("GET", "/v1/charges/search")
    assert found is not None
    assert found.path == "/v1/charges/search"
    assert operation_of("GET", "/health") is None
