"""What we take and refuse, beside what stripe-mock does."""

from __future__ import annotations

import urllib.parse

import pytest

from api.http import catalogue, versions
from api.http.errors import ApiError
from api.http.operations import Operation
from api.http.parameters import check
from api.http.wire import Tree, read_form
from tests.contract.stripe import verdicts
from tests.contract.stripe.make import SHARED
from tests.integration.api._answers import operation_of

RECORDED = verdicts.recorded()


def test_every_difference_has_its_reason() -> None:
    """Of all requests that tests made, whatever one takes and the other refuses is explained, and the page says so."""
    assert len(RECORDED) > 300
    unexplained = [one for one in verdicts.differing(RECORDED) if not verdicts.reason(one)]
    assert unexplained == []
    assert verdicts.DIFFERENCES.read_text(encoding="utf-8") == verdicts.page(RECORDED)


def refusal(operation: Operation, tree: dict[str, Tree]) -> str:
    """The code of what parameters alone are refused for; empty where they are taken."""
    try:
        check(operation.spec, tree)
    except ApiError as error:
        return error.code
    return ""


def test_we_take_what_we_took() -> None:
    """What was taken is taken still; what was refused for its parameters alone is refused still, with the same code."""
    for one in RECORDED:
        operation = operation_of(one["method"], one["path"])
        assert operation is not None, one
        assert operation.id == one["operation"], one
        tree = versions.request_forwards(
            one["version"] or versions.NEWEST,
            operation.object,
            read_form(urllib.parse.urlencode([(name, value) for name, value in one["sent"]])),
        )
        if operation.answers == "list" and isinstance(tree.get("created"), str):
            del tree["created"]  # an exact second, which reads take beside the range that they declare
        code = refusal(operation, tree)
        assert not code or (one["ours"], one["code"]) == ("refused", code), one


def test_stripe_mock_says_what_it_said() -> None:
    """Asked anew, where there is one, it takes and refuses the same."""
    with verdicts.stripe_mock() as url:
        if not url:
            pytest.skip("there is no stripe-mock here: set STRIPE_MOCK, or put it on the path")
        assert [one for one in RECORDED if verdicts.ask(url, one) != one["stripe"]] == []


def test_what_is_collected() -> None:
    """Each request once, ids and times made alike; what met a state or a decline was taken all the same."""
    line = (
        '{"method": "POST", "path": "/v1/refunds", "sent": "charge=ch_%s&created=17%s", "version": "", '
        '"status": %d, "code": "%s"}'
    )
    lines = [
        line % ("a" * 26, "9" * 8, 400, "charge_already_refunded"),
        line % ("b" * 26, "8" * 8, 200, ""),
        line % ("b" * 26, "8" * 8, 401, ""),
    ]
    (one,) = verdicts.collected(lines)
    assert (one["operation"], one["ours"], one["code"]) == ("PostRefunds", "taken", "")
    assert one["sent"] == [["charge", "ch_00000000000000000000000" + "1"], ["created", "1790000000"]]
    (refused,) = verdicts.collected([line % ("a" * 26, "9" * 8, 400, "parameter_unknown")])
    assert (refused["ours"], refused["code"]) == ("refused", "parameter_unknown")


def test_every_shared_operation_was_compared() -> None:
    """Of each operation on what Stripe has as well there is a request in the record; what is new has to be recorded too."""
    shared = {one.id for one in catalogue.operations() if one.object in SHARED}
    missing = shared - {one["operation"] for one in RECORDED}
    assert not missing, "run the API's tests with CLEARLINE_REQUESTS, see docs/api.md"
