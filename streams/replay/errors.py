"""
What replay raises.

    ReplayError                  the text says what happened, `remedy` what to do
    ├── NotComparable            there is nothing to compare with, or it can't be read: no verdict
    │   ├── InputsGone           inputs before an offset are no longer there, so state can't be folded from the start
    │   └── TooMuch              more than a limit of replay's takes
    └── PublishRefused           digests were not published

A difference is no error: it is in the report.
"""

from __future__ import annotations


class ReplayError(Exception):
    """Root of the tree."""

    exit_status = 2

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(f"{message}. {remedy}")
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        """Crosses processes whole."""
        return _again, (type(self), str(self), self.remedy)


class NotComparable(ReplayError):
    """No verdict is possible."""


class InputsGone(NotComparable):
    """A kept-for-ever topic does not begin at offset 0 any more."""


class TooMuch(NotComparable):
    """A limit was met."""


class PublishRefused(ReplayError):
    """Nothing was published."""


def _again(kind: type[ReplayError], text: str, remedy: str) -> ReplayError:
    error = kind.__new__(kind)
    Exception.__init__(error, text)
    error.remedy = remedy
    return error
