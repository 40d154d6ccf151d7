"""Goal: `make bench` still works when it is needed. Method: its payments part, tiny, on a broker of its own."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from tests.bench import payments
from tests.bench.figures import save
from tests.bench.ground import Ground

# Some 10 s; the time-out only ends what hangs, however busy the machine.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

TINY = payments.Sizes(payments=100, rounds=1, ways=("at once",), warmed=False)


def test_a_tiny_run_measures_both_sides_and_checks_ours(kafka_broker, tmp_path):
    """The worker and the bare loop carry every payment through, each captured once, and a figure of both is kept."""
    ground = Ground(kafka_broker.broker, tmp_path)
    (figure,) = payments.measure(ground, TINY, Console(quiet=True), profile=False)
    save([figure], tmp_path / "latest.json")
    (kept,) = json.loads((tmp_path / "latest.json").read_text())
    assert kept["value"] > 0
    assert kept["ratios"]["bare"]["median"] > 0
    assert set(kept["details"]["us of CPU per payment"]) >= {
        "ours",
        "bare",
        "provider beside ours",
        "broker beside ours",
    }
