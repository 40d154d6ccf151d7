"""A sender that kills itself at a step: `python -m tests.integration._webhooks_dies queued amid`.

`amid`: everything of the step's transaction is in the log and nothing is committed. `after`: it is committed, and the process does not know.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import Any

from api.webhooks import pump, queue
from api.webhooks.__main__ import main
from api.webhooks._transactions import PRODUCE_BYTES_MAX
from schemas.catalogue import WEBHOOKS_ATTEMPTS, WEBHOOKS_DELIVERIES, WEBHOOKS_PENDING
from schemas.transactions import Produce, Transactions

_NO_DELIVERY = b"\xff"


def _is(step: str, records: list[Produce]) -> bool:
    """Whether a transaction with these records is that step."""
    match step:
        case "queued":
            return any(one.topic == WEBHOOKS_DELIVERIES.name for one in records)
        case "parked":
            return any(
                one.topic == WEBHOOKS_PENDING.name
                and one.value is not None
                and not (one.key or b"").startswith(_NO_DELIVERY)
                for one in records
            )
        case "settled":
            return any(one.topic == WEBHOOKS_ATTEMPTS.name for one in records)
    raise ValueError(step)


class _Dying(Transactions):
    """Dies in the first transaction that is the step."""

    step, when = "", ""
    armed = False

    def commit(self, records: Any, **more: Any) -> bool:
        """Commit, or die."""
        records = list(records)
        self.armed = _is(self.step, records)
        committed = super().commit(records, **more)
        if self.armed and committed:
            _die()
        return committed

    def _flush(self) -> None:
        super()._flush()
        if self.armed and self.when == "amid":
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _Dying.step, _Dying.when = sys.argv[1:3]
    pump.transactions = queue.transactions = partial(_Dying, record_bytes_max=PRODUCE_BYTES_MAX)
    raise SystemExit(main())
