"""
Named points at which a test, or an operator who doubts, can make the runtime fail.

`CLEARLINE_FAULT="after_commit_before_apply:kill:3"` kills the process the third time the point is passed. Several are
separated by commas. Actions: `kill` (SIGKILL, as a crash), `stop` (SIGSTOP, as a machine that
sleeps; SIGCONT wakes it), `raise` (an abortable error), `fatal`, `hang` (for ever).
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable

from streams.runtime.errors import Abortable, ConfigurationFault, Fatal

logger = logging.getLogger(__name__)

VARIABLE = "CLEARLINE_FAULT"

FAULT_POINTS: dict[str, str] = {
    "after_assign": "partitions were assigned; nothing of them was asked or restored yet",
    "during_restore": "a slice of a changelog was read and applied, more is to come",
    "after_restore": "a partition is restored; none of its records was polled yet",
    "after_poll": "records were polled; nothing was decided",
    "after_process_before_begin": "the batch was decided; no transaction is open",
    "after_produce_before_offsets": "outputs and changelog were produced; the offsets are not in the transaction",
    "after_offsets_before_commit": "offsets are in the transaction; it was not committed",
    "after_commit_before_apply": "the transaction is committed; the store has not followed",
    "after_apply": "the store has followed; the next poll has not begun",
    "on_revoke_before_close": "partitions are being revoked; their stores are still open",
    "on_lost_before_close": "partitions were lost; their stores are still open",
    "before_leave": "the task is closing; its consumer has not left",
}

HANG_S = 3_600

_armed: dict[str, list[tuple[Callable[[], None], int]]] = {}
_passed: dict[str, int] = {}


def fault(name: str) -> None:
    """Fail here if a test asked for it; one look into an empty dictionary otherwise."""
    if _armed:
        _trip(name)


def arm(name: str, action: str | Callable[[], None], *, nth: int = 1) -> None:
    """Make the nth passage of a point from now on do the action."""
    if name not in FAULT_POINTS:
        raise ConfigurationFault(f"no fault point is called {name!r}; there are {', '.join(FAULT_POINTS)}")
    if isinstance(action, str):
        if action not in _ACTIONS:
            raise ConfigurationFault(f"no fault action is called {action!r}; there are {', '.join(_ACTIONS)}")
        action = _ACTIONS[action]
    if nth < 1:
        raise ConfigurationFault(f"fault {name}: nth counts from 1")
    _armed.setdefault(name, []).append((action, _passed.setdefault(name, 0) + nth))


def disarm() -> None:
    """Forget everything armed."""
    _armed.clear()
    _passed.clear()


def arm_from_environment(text: str | None = None) -> None:
    """Arm what `CLEARLINE_FAULT` asks for; `ConfigurationFault` if it isn't `name:action[:nth]`."""
    text = os.environ.get(VARIABLE, "") if text is None else text
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, rest = part.partition(":")
        action, _, nth = rest.partition(":")
        if nth and not nth.isdecimal():
            raise ConfigurationFault(f"{VARIABLE}: {part!r} must read name:action or name:action:nth")
        arm(name, action, nth=int(nth or 1))
        logger.warning("fault point %s armed: %s at passage %s", name, action, nth or 1)


def _trip(name: str) -> None:
    assert name in FAULT_POINTS, f"fault point {name} is not registered"
    _passed[name] = passage = _passed.get(name, 0) + 1
    for action, nth in _armed.get(name, ()):
        if passage == nth:
            logger.warning("fault point %s trips at passage %d", name, passage)
            action()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _raise() -> None:
    raise Abortable("fault point: raised for a test")


def _fatal() -> None:
    raise Fatal("fault point: fatal for a test; start the process again")


def _hang() -> None:
    time.sleep(HANG_S)


_ACTIONS: dict[str, Callable[[], None]] = {
    "kill": _kill,
    "stop": _stop,
    "raise": _raise,
    "fatal": _fatal,
    "hang": _hang,
}
