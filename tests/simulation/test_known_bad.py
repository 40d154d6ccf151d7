"""The simulation finds every runtime that is known to be bad: what it does not find in these, it proves nothing about."""

from __future__ import annotations

import pytest

from tests.simulation.bad import BAD
from tests.simulation.run import simulate

pytestmark = pytest.mark.timeout(900)

# Each is found within far fewer seeds than this, most in a handful.
SEEDS_MAX = 1_000

# How each must be found, at least once among the first violations: not by an accident of its own making.
SEEN_BY = {
    "commit on a timer": {"outputs", "state"},
    "state applied before the commit": {"outputs", "state"},
    "no rewind after an abort": {"outputs"},
    "overlay kept after an abort": {"outputs", "state"},
    "no contiguity check": {"outputs", "state", "offsets"},
    "commit after revoke": {"outputs", "offsets", "state"},
    "no fencing": {"outputs", "offsets", "state"},
    "offsets outside the transaction": {"outputs", "offsets", "state"},
    "changelog outside the transaction": {"outputs", "state"},
    # Liveness: the runtime's own guard stops it where the group's offsets were lost with the answer.
    "producer reused after an indefinite answer": {"outputs", "state", "offsets", "history", "liveness"},
    "reads uncommitted": {"outputs", "history", "state"},
    "offsets that are not stable": {"outputs", "state", "offsets"},
    "restore to the last stable offset": {"outputs", "state"},
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_known_bad_runtime_is_caught(name):
    """Within a bounded number of seeds, by the checks that it should fail; the real runtime passes the same seed."""
    for seed in range(SEEDS_MAX):
        result = simulate(seed, engine=BAD[name])
        if not result.failure:
            continue
        check = result.failure.partition(":")[0]
        assert check in SEEN_BY[name], f"seed {seed}: {result.failure}"
        assert not simulate(seed).failure
        return
    pytest.fail(f"{name} was not caught in {SEEDS_MAX} seeds")


def test_every_known_bad_runtime_has_its_checks():
    """The two lists are one."""
    assert set(SEEN_BY) == set(BAD)
