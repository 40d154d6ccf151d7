"""Our examples against Stripe's own published schemas, of the version that both have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from api.http import catalogue
from api.openapi.document import examples
from tests.contract.stripe import make
from tests.contract.stripe.schemas import STRIPE, VERSION, as_json_schema

SPEC = Path(make.KEPT)


@pytest.mark.parametrize("name", [name for name in make.SHARED if name in catalogue.objects()])
def test_examples_are_as_stripe_says(name) -> None:
    """Every example of an object that Stripe has as well fits Stripe's schema: what is required is there, types and words are Stripe's."""
    for which, body in examples(VERSION, catalogue.objects()[name]).items():
        assert STRIPE.wrong(name, body) == [], which


def test_what_does_not_fit_is_found() -> None:
    """A missing field, a wrong type, a word that Stripe does not have: each is told."""
    (body, *_) = examples(VERSION, catalogue.objects()["charge"]).values()
    assert STRIPE.wrong("charge", body) == []
    without = {name: value for name, value in body.items() if name != "billing_details"}
    for wrong in (without, {**body, "amount": "1999"}, {**body, "status": "paid"}, {**body, "created": None}):
        assert STRIPE.wrong("charge", wrong) != []


def test_nullable_becomes_null() -> None:
    """OpenAPI 3.0's `nullable` is a type, an enumeration or a reference that may be null."""
    made = as_json_schema({"type": "string", "nullable": True, "enum": ["a"]})
    assert made == {"type": ["string", "null"], "enum": ["a", None]}
    assert as_json_schema({"anyOf": [{"$ref": "#/x"}], "nullable": True}) == {
        "anyOf": [{"$ref": "#/x"}, {"type": "null"}]
    }
    assert as_json_schema({"properties": {"nullable": {"type": "integer"}}}) == {
        "properties": {"nullable": {"type": "integer"}}
    }


def test_the_extract_leads_nowhere_else() -> None:
    """Every reference of the extract is answered in it, and all that we share is there."""
    whole = json.loads(SPEC.read_text(encoding="utf-8"))["components"]["schemas"]
    text = SPEC.read_text(encoding="utf-8")
    assert {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]} <= set(whole)
    assert set(make.SHARED) <= set(whole)
