"""Fault points trip where and when they were asked to."""

from __future__ import annotations

import pytest

from streams.runtime import ConfigurationFault, Fatal, faults
from streams.runtime.errors import Abortable
from streams.runtime.faults import FAULT_POINTS, arm, arm_from_environment, disarm, fault


@pytest.fixture(autouse=True)
def disarmed():
    """Nothing stays armed."""
    yield
    disarm()


def test_nothing_happens_when_nothing_is_armed():
    """All points can be passed."""
    for name in FAULT_POINTS:
        fault(name)
    assert faults._passed == {}


def test_a_point_trips_at_its_nth_passage_only():
    """Not before, not after."""
    arm("after_poll", "raise", nth=2)
    fault("after_poll")
    with pytest.raises(Abortable):
        fault("after_poll")
    fault("after_poll")


def test_the_environment_arms_several():
    """`name:action[:nth]`, separated by commas."""
    arm_from_environment("after_poll:raise, after_apply:fatal:2")
    with pytest.raises(Abortable):
        fault("after_poll")
    fault("after_apply")
    with pytest.raises(Fatal, match="start the process again"):
        fault("after_apply")


@pytest.mark.parametrize("text", ["nowhere:kill", "after_poll:dance", "after_poll:kill:often", "after_poll:kill:0"])
def test_what_cannot_be_armed_is_refused(text):
    """A misspelt fault would make a test that proves nothing."""
    with pytest.raises(ConfigurationFault):
        arm_from_environment(text)


def test_every_point_is_passed_somewhere():
    """The registry and the code agree: each registered name is used, none is used unregistered."""
    import re
    from pathlib import Path

    used = set()
    for path in Path(faults.__file__).parent.glob("*.py"):
        used |= set(re.findall(r'(?:\bfault\(|point=)"([a-z_]+)"', path.read_text()))
    assert used == set(FAULT_POINTS)
