"""Goal: a short fixed ladder of faults changes no record. Method: real processes, and everything recomputed from the inputs."""

from __future__ import annotations

import shutil

import pytest

from tests.chaos.faults import BY_NAME
from tests.chaos.run import chaos

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1_800)]

LADDER = ("worker kill", "worker zombie", "broker and worker kill", "gateway kill", "state deleted", "fault point")
SEED = 20_261_128
"""Its fault point is passed by mere work, and raises: one that stops a worker again would wait for another session time-out."""
HAPPENS = (
    "payment_intent.requires_action",
    "payment_intent.increment_requested",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
)
"""Among the rest, so that nothing of it goes out of the load unseen."""


def test_a_ladder_of_faults_changes_no_record(tmp_path):
    """Two workers through kills, a zombie, a broker's death and a lost disk: nothing lost, nothing twice, state exact."""
    report = chaos(
        tmp_path,
        seed=SEED,
        kinds=[BY_NAME[name] for name in LADDER],
        workers=2,
        rate_per_s=20,
        in_flight_max=60,
        say=print,
    )
    assert report.stuck == ""
    assert [str(check) for check in report.broken] == []
    assert report.faults.total() == len(LADDER)
    assert report.restarts >= 4
    assert report.records > 1_000
    assert {event for event in HAPPENS if not report.happened[event]} == set()
    assert min(report.payouts, report.customers) > 0
    shutil.rmtree(tmp_path)  # a broker's data and a warehouse's; kept when something is wrong
