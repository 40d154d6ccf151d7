"""The watch over a process whose interpreter stands still."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, time
from schemas import deadman
deadman.arm(still_max_s=1.0)
{what}
print("went on")
"""
HOLDS_THE_LOCK = "ctypes.PyDLL(None).sleep(300)"  # `PyDLL` calls with the lock held, as Kafka's client does
LETS_IT_GO = "time.sleep(4)"


@pytest.mark.parametrize(("what", "status"), [(HOLDS_THE_LOCK, 1), (LETS_IT_GO, 0)])
def test_only_a_process_that_stands_still_is_ended(what, status):
    """A call that never gives the lock back ends the process, which shows where it was; one that merely takes long doesn't."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(what=what)], capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode == status, ended.stderr
    assert ("went on" in ended.stdout) == (status == 0)
    assert ("Timeout" in ended.stderr) == (status == 1)
