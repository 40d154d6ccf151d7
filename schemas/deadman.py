"""Ends a process whose interpreter stands still, so that its supervisor can start it again.

Kafka's client calls some of its functions with the interpreter's lock held. One of them was seen never to come back (`unassign` inside
`close`, after a broker's `kill -9`): then no thread of Python runs any more, none that could notice it either. The watch is therefore
kept by a thread of the interpreter's C code, which needs no lock.
"""

from __future__ import annotations

import faulthandler
import sys
import threading
import time

STILL_MAX_S = 60.0
"""Nothing of ours holds the lock for longer than a second; a machine that is stopped for so long loses its sessions anyway."""

_LOOKS = 12
"""How often within that time somebody shows that he is alive."""


def arm(*, still_max_s: float = STILL_MAX_S) -> None:
    """From now on, end with status 1 and every thread's stack on standard error when no Python has run for so long."""

    def show() -> None:
        while True:
            faulthandler.dump_traceback_later(still_max_s, exit=True, file=sys.__stderr__ or sys.stderr)
            time.sleep(still_max_s / _LOOKS)

    threading.Thread(target=show, name="deadman", daemon=True).start()
