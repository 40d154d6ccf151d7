"""One request's way to a definite outcome: perform, and while that is unknown inquire, send again, and at last close the key.

Sending again uses the same key, so that at most one try has an effect. It is done only after an inquiry found nothing, while the request is
young and few tries were made. After that, inquiries close the key: found nothing then means that nothing can happen any more, and the outcome
is a definite `refused`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

import msgspec

from connectors.providers.base import NotFound, Operation, Outcome, OutcomeKind, Provider
from connectors.providers.gateway._schedule import delay_s
from connectors.providers.gateway._settings import GatewaySettings

NEVER_CARRIED_OUT = Outcome(
    kind=OutcomeKind.REFUSED,
    code="never_carried_out",
    message="The provider has no such operation and has closed its key: nothing happened, and nothing will.",
)


class Ports:
    """A provider with bounds on how many calls and inquiries it gets at a time."""

    def __init__(self, provider: Provider, settings: GatewaySettings, calls: asyncio.Semaphore) -> None:
        self._provider, self._timeout_s, self._all_calls = provider, settings.timeout_s, calls
        self._stalled_after_s = settings.stalled_after_s
        self._calls = asyncio.Semaphore(settings.calls_per_provider_max)
        # Inquiries have places of their own: thousands about a provider that is down keep none from those that are up.
        self._inquiries = asyncio.Semaphore(settings.inquiries_per_provider_max)
        self._waiting_since: deque[float] = (
            deque()
        )  # the semaphore serves in order, so its oldest waiter is the leftmost

    def stalled(self) -> bool:
        """Whether requests wait so long for this provider that more of them shouldn't fill the window."""
        return bool(self._waiting_since) and time.monotonic() - self._waiting_since[0] > self._stalled_after_s

    async def perform(self, operation: Operation) -> Outcome:
        """`Provider.perform` when a place is free."""
        self._waiting_since.append(time.monotonic())
        try:
            await self._calls.acquire()
        finally:
            self._waiting_since.popleft()
        try:
            async with self._all_calls:
                return await self._provider.perform(operation, timeout_s=self._timeout_s)
        finally:
            self._calls.release()

    async def inquire(self, operation: Operation, *, close: bool) -> Outcome | NotFound:
        """`Provider.inquire` when a place is free."""
        async with self._inquiries:
            return await self._provider.inquire(operation, timeout_s=self._timeout_s, close=close)


class Settlement(msgspec.Struct, frozen=True):
    """What a request came to, and how many inquiries it took."""

    outcome: Outcome
    inquiries: int


class Settling:
    """The state of one request on its way; `report` is called with the first unknown outcome."""

    def __init__(
        self,
        ports: Ports,
        operation: Operation,
        *,
        settings: GatewaySettings,
        may_send: Callable[[], bool],
        report: Callable[[Outcome], None],
    ) -> None:
        self._ports, self._operation, self._settings = ports, operation, settings
        self._young_enough, self._report = may_send, report
        self._sends = self._inquiries = 0
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """Inquire now instead of after the back-off; while a call is under way, right after it."""
        self._hurried.set()

    async def outcome(self, *, fresh: bool) -> Settlement:
        """The definite outcome, however long it takes. A request that isn't `fresh` may have been sent before, and is inquired first."""
        if fresh and self._may_send():
            outcome = await self._send()
            if outcome.definite:
                return Settlement(outcome, self._inquiries)
            self._report(outcome)
        while True:
            await self._back_off()
            found = await self._inquire()
            if isinstance(found, NotFound):
                if found.closed:
                    return Settlement(NEVER_CARRIED_OUT, self._inquiries)
                if not self._may_send():
                    continue  # nothing is waited for: the next inquiry closes the key
                found = await self._send()
            if found.definite:
                return Settlement(found, self._inquiries)
            self._report(found)

    async def last_word(self) -> Settlement:
        """What a pending refund came to in the end."""
        while True:
            await self._back_off()
            found = await self._inquire(may_close=False)
            if isinstance(found, Outcome) and found.settled:
                return Settlement(found, self._inquiries)

    async def again(self) -> Settlement | None:
        """What the provider says of a request that was settled before, as soon as it says something. None: it knows of none."""
        while True:
            found = await self._inquire(may_close=False)
            if isinstance(found, NotFound):
                return None
            if found.kind is not OutcomeKind.UNKNOWN:
                return Settlement(found, self._inquiries)
            self._report(found)
            await self._back_off()

    def _may_send(self) -> bool:
        return self._sends < self._settings.sends_max and self._young_enough()

    async def _send(self) -> Outcome:
        self._sends += 1
        return await self._ports.perform(self._operation)

    async def _inquire(self, *, may_close: bool = True) -> Outcome | NotFound:
        self._inquiries += 1
        return await self._ports.inquire(self._operation, close=may_close and not self._may_send())

    async def _back_off(self) -> None:
        first_s, longest_s = self._settings.inquiry_first_s, self._settings.inquiry_longest_s
        key = self._operation.idempotency_key
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s(key, self._inquiries, first_s=first_s, longest_s=longest_s)):
                await self._hurried.wait()
        self._hurried.clear()
