from __future__ import annotations

import json

from tests.bench import stages


class Work:
    """Something to time; its clock is turned by hand."""

    def __init__(self, clock):
        self.clock = clock

    def outer(self):
        """1 s of its own, then 2 s in inner."""
        self.clock.now += 1
        return self.inner()

    def inner(self):
        self.clock.now += 2
        return []


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_an_inner_call_is_taken_off_the_outer_one(monkeypatch):
    """Times are exclusive: the sum over the labels is the time that passed."""
    clock = Clock()
    monkeypatch.setattr(stages.time, "perf_counter", clock)
    monkeypatch.setattr(Work, "outer", Work.outer)
    monkeypatch.setattr(Work, "inner", Work.inner)
    timed = stages.Stages()
    timed.wrap(Work, "outer", "outer")
    timed.wrap(Work, "inner", "inner")
    work = Work(clock)
    work.outer()
    work.inner()
    assert timed.seconds == {"outer": 1.0, "inner": 4.0}
    assert timed.calls == {"outer": 1, "inner": 2}


def test_calls_that_found_nothing_can_be_left_out(monkeypatch):
    """A poll that waited in vain is no work."""
    clock = Clock()
    monkeypatch.setattr(stages.time, "perf_counter", clock)
    monkeypatch.setattr(Work, "inner", Work.inner)
    timed = stages.Stages()
    timed.wrap(Work, "inner", "inner", counts=bool)
    Work(clock).inner()
    assert timed.seconds == {"inner": 0.0}


def test_the_handover_is_what_it_is_without_the_batch(tmp_path):
    """Waiting for the agent includes what the agent does in its own thread; per item, it is taken off."""
    path = tmp_path / "stages.json"
    seconds = {"to the agent and back, batch included": 5.0, "batch and handler": 3.0, "decide": 1.0, "commit": 0.5}
    path.write_text(json.dumps({label: [1, value] for label, value in seconds.items()}))
    assert stages.per_item(path, 1_000_000) == {
        "batch and handler": 3.0,
        "decide": 1.0,
        "to the agent and back": 1.0,
        "commit": 0.5,
    }
