"""What is made of a delivery that is due: a body, an attempt, and what came of it."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from api.webhooks import notices, secrets, types
from api.webhooks.book import Book
from api.webhooks.calls import Answer, Caller
from api.webhooks.parked import Taken
from api.webhooks.schedule import Schedule
from schemas import codec
from schemas.errors import DecodingError, SealingError
from schemas.records import WebhookDelivery, WebhookEndpoint
from schemas.sealing import MasterKeys

SECRETS_OPENED_MAX = 10_000
_OVER = ("accepted", "abandoned", "skipped", "dropped")

log = logging.getLogger("clearline.webhooks")


class Outcome(NamedTuple):
    """What came of a delivery, to be committed. `epoch` None: it was never parked."""

    partition: int
    epoch: int | None
    delivery: WebhookDelivery

    @property
    def over(self) -> bool:
        """Whether nothing more is done about it."""
        return self.delivery.state in _OVER


class Attempts:
    """Makes attempts, on an event loop. `emit` is told each outcome."""

    def __init__(
        self,
        caller: Caller,
        book: Book,
        *,
        master: MasterKeys | None,
        schedule: Schedule,
        emit: Callable[[Outcome], None],
    ) -> None:
        self._caller, self._book, self._master, self._schedule, self._emit = caller, book, master, schedule, emit
        self._opened: OrderedDict[str, str] = OrderedDict()

    async def attempt(self, lane: str, taken: Taken) -> bool | None:
        """Whether the endpoint accepted; None: it was not called."""
        delivery = codec.decode(taken.value)
        assert isinstance(delivery, WebhookDelivery)
        began_ms = _now_ms()
        tenant, _, endpoint_id = lane.partition("/")
        endpoint = self._book.held(tenant, endpoint_id)
        if endpoint is None or endpoint.status != "enabled":
            said = "deleted" if endpoint is None or endpoint.status == "deleted" else "disabled"
            skipped = replace(delivery, state="skipped", failure=f"the endpoint is {said}", next_attempt_ms=0)
            self._emit(Outcome(taken.partition, taken.epoch, skipped))
            return None
        answer = await self._post(endpoint, delivery)
        done = self._after(delivery, answer, began_ms=began_ms)
        self._emit(Outcome(taken.partition, taken.epoch, done))
        return answer.accepted

    async def _post(self, endpoint: WebhookEndpoint, delivery: WebhookDelivery) -> Answer:
        try:
            body = self._body(endpoint, delivery)
            signing = self._secrets(endpoint)
        except (DecodingError, ValueError) as error:
            log.error("%s can't be written: %s", delivery.delivery_id, error)  # noqa: TRY400 - its text says it
            return Answer(failure="the event can't be written by this release")
        except SealingError as error:
            log.error("%s: %s; %s", endpoint.endpoint_id, error, error.remedy)  # noqa: TRY400
            return Answer(failure="the signing secret can't be opened here")
        return await self._caller.post(endpoint.url, body, secrets=signing)

    def _body(self, endpoint: WebhookEndpoint, delivery: WebhookDelivery) -> bytes:
        event = codec.decode(delivery.event, expected=(*types.TOLD, WebhookEndpoint))
        if isinstance(event, WebhookEndpoint):
            return notices.body(event, delivery, livemode=endpoint.livemode)
        assert isinstance(event, types.TOLD)
        return types.body(
            event, event_type=delivery.event_type, api_version=delivery.api_version, livemode=endpoint.livemode
        )

    def _secrets(self, endpoint: WebhookEndpoint) -> list[str]:
        valid = secrets.valid(endpoint.secrets, now_ms=_now_ms())
        if not valid or self._master is None:
            raise SealingError("there is no secret to sign with, or no master key")
        found = []
        for sealed in valid:
            name = secrets.name(sealed)
            if name not in self._opened:
                self._opened[name] = secrets.opened(self._master, endpoint, sealed)
                if len(self._opened) > SECRETS_OPENED_MAX:
                    self._opened.popitem(last=False)
            found.append(self._opened[name])
        return found

    def _after(self, delivery: WebhookDelivery, answer: Answer, *, began_ms: int) -> WebhookDelivery:
        attempt, now_ms = delivery.attempt + 1, _now_ms()
        due_ms = None
        if not answer.accepted:
            due_ms = self._schedule.next_attempt_ms(
                delivery_id=delivery.delivery_id, attempt=attempt, queued_ms=delivery.queued_ms, now_ms=now_ms
            )
        state = "accepted" if answer.accepted else "abandoned" if due_ms is None else "retrying"
        return replace(
            delivery,
            state=state,
            attempt=attempt,
            attempted_ms=began_ms,
            next_attempt_ms=due_ms or 0,
            duration_ms=answer.duration_ms,
            status_code=answer.status_code,
            failure=answer.failure,
        )


def lane_of(delivery: WebhookDelivery) -> str:
    """What waits for the same endpoint."""
    return f"{delivery.tenant}/{delivery.endpoint_id}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
