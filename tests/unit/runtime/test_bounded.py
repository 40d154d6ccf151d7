"""A call that ignores its time-out is given up."""

from __future__ import annotations

import threading

import pytest

from streams.runtime import _bounded
from streams.runtime._bounded import BoundedCalls
from streams.runtime.errors import Indefinite


def test_answers_and_exceptions_come_back():
    """As if the call had been made here."""
    calls = BoundedCalls("test")
    assert calls.run(lambda: 7, timeout_s=60, doing="counting") == 7
    with pytest.raises(ZeroDivisionError):
        calls.run(lambda: 1 / 0, timeout_s=60, doing="dividing")
    with pytest.raises(TimeoutError):
        calls.run(lambda: (_ for _ in ()).throw(TimeoutError("its own")), timeout_s=60, doing="waiting")
    calls.close()


def test_a_call_that_never_returns_is_indefinite_and_so_is_every_later_one(monkeypatch):
    """The client behind it can't be trusted again."""
    monkeypatch.setattr(_bounded, "GRACE_S", 0.05)
    calls, release = BoundedCalls("test"), threading.Event()
    try:
        with pytest.raises(Indefinite, match="did not keep its time-out"):
            calls.run(release.wait, timeout_s=0.05, doing="committing")
        with pytest.raises(Indefinite, match="never came back"):
            calls.run(lambda: 7, timeout_s=60, doing="aborting")
    finally:
        release.set()
        calls.close()
