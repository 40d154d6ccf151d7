from __future__ import annotations

import pytest

from tests.bench.engines import expected_counts, faults, records

COUNT = 500


def _good():
    outputs = list(records(COUNT))
    expected = expected_counts(COUNT)
    return outputs, list(expected.items()), expected


def test_a_right_run_has_no_fault():
    """Every record once and every count right: nothing is said."""
    outputs, changes, expected = _good()
    assert faults(COUNT, iter(outputs), iter([(changes[0][0], 0), *changes]), expected) == ""


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda outputs, changes: outputs.pop(), "1 missing outputs"),
        (lambda outputs, changes: outputs.append(outputs[3]), "1 repeated outputs"),
        (lambda outputs, changes: outputs.append((b"key-00000", b"x" * 200)), "1 strange outputs"),
        (lambda outputs, changes: changes.append((changes[0][0], 99)), "1 wrong counts"),
        (lambda outputs, changes: changes.append((b"nobody", 1)), "1 wrong counts"),
        (lambda outputs, changes: changes.pop(), "1 wrong counts"),
    ],
    ids=["lost", "doubled", "strange", "wrong-count", "unknown-key", "missing-count"],
)
def test_what_is_wrong_is_said(spoil, said):
    """A lost, doubled or strange output and a wrong count are each found."""
    outputs, changes, expected = _good()
    spoil(outputs, changes)
    assert faults(COUNT, iter(outputs), iter(changes), expected) == said
