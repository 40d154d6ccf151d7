"""The recorder turns what clients do into operations."""

from __future__ import annotations

from streams.runtime import Output, Record
from tests.history import Recorder, check


class Fixed:
    """Everything goes to partition 0."""

    @staticmethod
    def partition_for(_output):
        return 0


def test_a_recorded_transaction_is_a_clean_history():
    """Begin, sends, commit and polls of known topics, in order; what is on other topics is left out."""
    recorder = Recorder({"t"})
    recorder.began("w", "w:1")
    recorder.sent(
        "w", "w:1", [Output("t", b"1", b"k"), Output("t", b"2", b"k"), Output("changelog", b"3", b"k")], Fixed()
    )
    recorder.ended("w", "w:1", "commit", "ok", recorder.now())
    recorder.assigned("r", {("t", 0): 0, ("changelog", 0): 0})
    recorder.polled("r", [Record("t", 0, 0, 5, b"k", b"1"), Record("t", 0, 1, 5, b"k", b"2")])
    recorder.read_to_the_end("r", "t", 0)
    kinds = [operation.kind for operation in recorder.history]
    assert kinds == ["begin", "send", "send", "commit", "assign", "poll", "poll", "end"]
    assert check(recorder.history) == []
    times = [time for operation in recorder.history for time in (operation.began, operation.ended)]
    assert times == sorted(times)


def test_a_lost_record_shows_in_what_was_recorded():
    """The same with a record that never arrives."""
    recorder = Recorder({"t"})
    recorder.sent("w", "w:1", [Output("t", b"1"), Output("t", b"2")], Fixed())
    recorder.ended("w", "w:1", "commit", "ok", recorder.now())
    recorder.polled("r", [Record("t", 0, 1, 5, None, b"2")])
    assert [anomaly.kind for anomaly in check(recorder.history)] == ["lost-write"]
