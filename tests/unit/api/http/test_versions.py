from __future__ import annotations

import pytest

from api.http import versions
from api.http.errors import VersionUnknown

DAHLIA, ENDIVE = "2026-08-26.dahlia", "2026-10-28.endive"


def test_the_request_wins_over_the_key_and_the_key_over_the_tenant() -> None:
    """Header, key, tenant, newest: the first that says something."""
    assert versions.chosen(DAHLIA, key=ENDIVE, tenant=ENDIVE) == DAHLIA
    assert versions.chosen("", key=DAHLIA, tenant=ENDIVE) == DAHLIA
    assert versions.chosen("", key="", tenant=DAHLIA) == DAHLIA
    assert versions.chosen("", key="", tenant="") == versions.NEWEST == ENDIVE


@pytest.mark.parametrize("header", ["2020-01-01", "endive", "x" * 10_000, "2026-08-26.Dahlia"])
def test_a_version_that_never_was(header) -> None:
    """It is refused, and the live ones are named."""
    with pytest.raises(VersionUnknown, match=DAHLIA) as refused:
        versions.chosen(header, key="", tenant="")
    assert len(refused.value.message) < 400


def test_requests_go_forwards() -> None:
    """An older request's parameter has its newer name; a newer request and other objects stay as they are."""
    tree = {"amount": "1", "payment_method_types": {"0": "card"}}
    assert versions.request_forwards(DAHLIA, "payment_intent", tree) == {
        "amount": "1",
        "allowed_payment_method_types": {"0": "card"},
    }
    assert versions.request_forwards(ENDIVE, "payment_intent", tree) == tree
    assert versions.request_forwards(DAHLIA, "refund", tree) == tree


def test_responses_go_backwards() -> None:
    """An object has its older shape wherever it stands, in lists and within others too; the newer one is not touched."""
    payment = {"object": "payment_intent", "id": "pi_1", "allowed_payment_method_types": ["card"]}
    older = {"object": "payment_intent", "id": "pi_1"}
    page = {"object": "list", "data": [payment], "other": {"object": "x", "payment_intent": payment}}
    assert versions.response_backwards(DAHLIA, page) == {
        "object": "list",
        "data": [older],
        "other": {"object": "x", "payment_intent": older},
    }
    assert versions.response_backwards(ENDIVE, page) == page


def test_every_change_is_described() -> None:
    """The changelog has a sentence for each."""
    assert versions.changelog()
    assert all(len(text) > 20 for _, _, text in versions.changelog())
