"""The chaos run's replay check holds for a recorded history, and not for one in which a byte, a record or everything is wrong."""

from __future__ import annotations

import copy

from streams.replay import replay
from tests.chaos.replayed import judged
from tests.unit.replay._recorded import EVENTS, SETTLEMENT, MemoryLog, history

MADE = history()


def _log() -> MemoryLog:
    return copy.deepcopy(MADE.log)


def test_equality_is_reported_with_counts():
    """The check holds, and says how many records of each topic were compared."""
    report = replay(_log(), with_digests=True)
    check = judged(report)
    assert check.holds
    assert check.count > report.inputs > 0
    assert f"{EVENTS} " in check.name
    assert f"{report.inputs:,} inputs" in check.name


def test_one_changed_byte_breaks_it():
    """The difference is named."""
    log = _log()
    log.change(EVENTS, 0, 3, lambda value: value[:-1] + bytes([value[-1] ^ 1]))
    check = judged(replay(log))
    assert not check.holds
    assert "lifecycle, partition 0" in check.problems[0]


def test_a_movement_that_nobody_made_breaks_it():
    """What belongs to no fold counts as well."""
    log = _log()
    partition = next(number for (topic, number), records in log.records.items() if topic == SETTLEMENT and records)
    del log.records[SETTLEMENT, partition][-1]
    assert not judged(replay(log)).holds


def test_a_replay_of_nothing_proves_nothing():
    """An empty log doesn't pass for an equal one."""
    report = replay(_log())
    report.folds = []
    assert not judged(report).holds
