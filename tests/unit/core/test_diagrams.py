from pathlib import Path

import pytest

from streams.core import diagrams

DOCUMENT = Path(__file__).parents[3] / "docs" / "lifecycle.md"


def test_the_document_is_up_to_date():
    """Diagrams, tables and the error catalogue in docs/lifecycle.md are what the code runs on; `python -m streams.core.diagrams` renews them."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert diagrams.fill(text) == text
    for name in diagrams.SECTIONS:
        assert f"<!-- generated: {name} -->" in text


def test_a_section_that_changed_is_made_anew():
    """What stands between the marks is replaced, the rest is left; an unknown section is an error."""
    old = "before\n<!-- generated: chart -->\nold\n<!-- end -->\nafter\n"
    new = diagrams.fill(old)
    assert new.startswith("before\n")
    assert new.endswith("after\n")
    assert "tenant_payable" in new
    assert "old\n" not in new
    with pytest.raises(KeyError):
        diagrams.fill(old.replace("chart", "nothing"))


def test_the_payment_diagram_shows_every_status():
    """Each of Stripe's statuses is a state of the diagram."""
    text = diagrams.payment_diagram()
    for status in (
        "requires_payment_method",
        "requires_confirmation",
        "requires_action",
        "processing",
        "requires_capture",
        "canceled",
        "succeeded",
    ):
        assert f"--> {status}" in text
