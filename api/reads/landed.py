"""What this process's callers wrote and the warehouse may not have yet: lists wait for it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterator

from api.reads.errors import WAREHOUSE_BACK_S, Unavailable
from api.reads.warehouse import Warehouse
from schemas.catalogue import CUSTOMERS_INPUTS, PAYMENTS_INPUTS, SETTLEMENT_INPUTS
from schemas.records import CustomerReply, PayoutReply, Reply

DEADLINE_S = 20.0
"""Landing takes about a second, and a while after a start; what takes longer is told to the caller as 503."""
PAUSE_S = 0.05
PAUSE_LONGEST_S = 0.5
"""Pauses double up to this, so that those who wait for a late landing don't ask the warehouse all the time."""
TENANTS_MAX = 10_000
WRITES_PER_TENANT_MAX = 1_000
"""Beyond these the oldest are forgotten: a list may then miss what was written longest ago for a moment."""

_EFFECTS = (200, 201, 202, 402)

_LANDED = """
SELECT payment_id, toInt64(max(cause_offset)) AS offset
FROM payment_events
INNER JOIN landed_positions USING (_topic, _partition)
WHERE tenant = {tenant:String} AND payment_id IN {payments:Array(String)} AND cause_topic = {topic:String}
    AND _offset < next_offset
GROUP BY payment_id"""

_ASKED = """
SELECT payment_id, toInt64(max(_offset)) AS offset
FROM payment_inputs
INNER JOIN landed_positions USING (_topic, _partition)
WHERE tenant = {tenant:String} AND payment_id IN {payments:Array(String)} AND _offset < next_offset
GROUP BY payment_id"""


_PAYOUTS_LANDED = """
SELECT payout_id AS payment_id, toInt64(max(cause_offset)) AS offset
FROM payout_events
INNER JOIN landed_positions USING (_topic, _partition)
WHERE tenant = {tenant:String} AND payout_id IN {payments:Array(String)} AND cause_topic = {topic:String}
    AND _offset < next_offset
GROUP BY payout_id"""

_CUSTOMERS_LANDED = """
SELECT '' AS payment_id, toInt64(max(cause_offset)) AS offset FROM customer_events
INNER JOIN landed_positions USING (_topic, _partition)
WHERE tenant = {tenant:String} AND cause_topic = {topic:String} AND _offset < next_offset
HAVING count() > 0"""


def pauses_s() -> Iterator[float]:
    """How long to wait before each further look."""
    pause_s = PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, PAUSE_LONGEST_S)


class Landed:
    """
    Writes of each tenant that are not known to be landed, by payment: the offset of the newest command that had an effect.

    An event says which input caused it, and events of a payment land in order; so a command has landed as soon as the
    warehouse has an event of its payment whose cause is not before it, in a range that is done: an event's balance
    transactions and postings come after the event itself. Of commands through another API process it knows
    nothing.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._open: OrderedDict[str, OrderedDict[str, int]] = OrderedDict()

    topic = PAYMENTS_INPUTS.name
    """The inputs that are followed."""

    def note(self, reply: Reply | PayoutReply | CustomerReply) -> None:
        """A command was answered. Answers without an effect of their own leave nothing to wait for."""
        if reply.replayed or reply.status_code not in _EFFECTS or reply.cause_topic != self.topic:
            return
        about = _about(reply)
        writes = self._open.setdefault(reply.tenant, OrderedDict())
        self._open.move_to_end(reply.tenant)
        writes[about] = max(reply.cause_offset, writes.pop(about, -1))
        if len(writes) > WRITES_PER_TENANT_MAX:
            writes.popitem(last=False)
        if len(self._open) > TENANTS_MAX:
            self._open.popitem(last=False)

    def waiting(self, tenant: str) -> int:
        """How many payments of the tenant have writes that are not known to be landed."""
        return len(self._open.get(tenant, ()))

    async def wait(self, tenant: str) -> None:
        """Return when the tenant's writes of before this call have landed. Raises `Unavailable` after the deadline."""
        wanted = dict(self._open.get(tenant, {}))
        end_s, pauses = time.monotonic() + DEADLINE_S, pauses_s()
        while wanted:
            self._strike(tenant, wanted, await self._landed(tenant, wanted))
            if not wanted:
                return
            if time.monotonic() >= end_s:
                # A command whose answer changed nothing makes no event, which is rare: its input is there and nothing more
                # comes. Asked at the end only, since inputs may land before the events that they cause.
                self._strike(tenant, wanted, await self._asked(tenant, wanted))
                if wanted:
                    why = f"{len(wanted)} of this caller's writes did not land in {DEADLINE_S:.0f} s"
                    raise Unavailable(why, retry_after_s=WAREHOUSE_BACK_S)
                return
            await asyncio.sleep(next(pauses))

    async def _landed(self, tenant: str, wanted: dict[str, int]) -> dict[str, int]:
        return await self._offsets(_LANDED, tenant, wanted, topic=self.topic)

    async def _asked(self, tenant: str, wanted: dict[str, int]) -> dict[str, int]:
        return await self._offsets(_ASKED, tenant, wanted)

    async def _offsets(self, sql: str, tenant: str, wanted: dict[str, int], **more: str) -> dict[str, int]:
        rows = await self._warehouse.rows(sql, {"tenant": tenant, "payments": list(wanted), **more})
        return {row["payment_id"]: row["offset"] for row in rows}

    def _strike(self, tenant: str, wanted: dict[str, int], found: dict[str, int]) -> None:
        writes = self._open.get(tenant)
        for payment_id, offset in list(wanted.items()):
            if found.get(payment_id, -1) < offset:
                continue
            del wanted[payment_id]
            # A newer write may have come meanwhile.
            if writes is not None and writes.get(payment_id, offset + 1) <= found[payment_id]:
                del writes[payment_id]
        if writes is not None and not writes and self._open.get(tenant) is writes:
            del self._open[tenant]


def _about(reply: Reply | PayoutReply | CustomerReply) -> str:
    """What is waited for by name: of a tenant's customers nothing, since all that is about them is in one order."""
    match reply:
        case Reply():
            return reply.payment_id
        case PayoutReply():
            return reply.payout_id
        case CustomerReply():
            return ""


class LandedPayouts(Landed):
    """The same of payouts: whatever of them is answered as done has an event."""

    topic = SETTLEMENT_INPUTS.name

    async def _landed(self, tenant: str, wanted: dict[str, int]) -> dict[str, int]:
        return await self._offsets(_PAYOUTS_LANDED, tenant, wanted, topic=self.topic)

    async def _asked(self, tenant: str, wanted: dict[str, int]) -> dict[str, int]:
        del tenant, wanted
        return {}


class LandedCustomers(Landed):
    """The same of customers, methods and setup intents, of which a tenant's newest stands for all before it."""

    topic = CUSTOMERS_INPUTS.name

    def note(self, reply: Reply | PayoutReply | CustomerReply) -> None:
        """What was declined and changed no setup intent has no event either."""
        if isinstance(reply, CustomerReply) and reply.error is not None and reply.setup is None:
            return
        super().note(reply)

    async def _landed(self, tenant: str, wanted: dict[str, int]) -> dict[str, int]:
        del wanted
        rows = await self._warehouse.rows(_CUSTOMERS_LANDED, {"tenant": tenant, "topic": self.topic})
        return {row["payment_id"]: row["offset"] for row in rows}

    async def _asked(self, tenant: str, wanted: dict[str, int]) -> dict[str, int]:
        del tenant, wanted
        return {}
