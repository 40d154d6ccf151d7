"""The simulation finds every runtime that is known to be bad: what it does not find in these, it proves nothing about."""

from __future__ import annotations

import pytest

from tests.simulation.bad import BAD
from tests.simulation.run import simulate

pytestmark = pytest.mark.timeout(900)

# Each is found within far fewer seeds than this, most in a handful, the rarest in one or two hundred. A change anywhere
# changes what seeds do, so the bound leaves room.
SEEDS_MAX = 1_500

# The checks that must find it. Whatever else it breaks (it may not even drain) doesn't count.
SEEN_BY = {
    "commit on a timer": {"outputs", "state"},
    "state applied before the commit": {"outputs", "state"},
    "no rewind after an abort": {"outputs"},
    "overlay kept after an abort": {"outputs", "state"},
    "the coordinator is believed": {"outputs", "state", "offsets"},
    "no contiguity check": {"outputs", "state", "offsets"},
    "commit after revoke": {"outputs", "offsets", "state"},
    "no fencing": {"outputs", "offsets", "state"},
    "one of two producers fenced": {"outputs", "offsets", "state"},
    "offsets outside the transaction": {"outputs", "offsets", "state"},
    "changelog outside the transaction": {"outputs", "state"},
    "producer reused after an indefinite answer": {"outputs", "state", "offsets", "history"},
    "reads uncommitted": {"outputs", "history", "state"},
    "offsets before the records, and not stable": {"outputs", "state", "offsets"},
    "offsets that are not stable": {"outputs", "state", "offsets"},
    "restore to the last stable offset": {"outputs", "state"},
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_known_bad_runtime_is_caught(name):
    """Within a bounded number of seeds, by the checks that it should fail; the real runtime passes the same seed."""
    for seed in range(SEEDS_MAX):
        failure = simulate(seed, engine=BAD[name]).failure
        if failure.partition(":")[0] in SEEN_BY[name]:
            assert not simulate(seed).failure
            return
    pytest.fail(f"{name} was not caught in {SEEDS_MAX} seeds")


def test_every_known_bad_runtime_has_its_checks():
    """The two lists are one."""
    assert set(SEEN_BY) == set(BAD)
