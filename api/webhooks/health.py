"""When each endpoint last accepted something, as all senders together know it: `webhooks.health`, about to the hundredth of the promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from confluent_kafka import Message

from api.http._follower import Follower
from api.webhooks.errors import WebhooksStopped
from schemas.catalogue import WEBHOOKS_HEALTH
from schemas.transactions import Produce

READ_DEADLINE_S = 60.0
SAID_PER_PROMISE = 100


class _Health(msgspec.Struct, frozen=True):
    accepted_ms: int


class Health:
    """Follows the topic on a thread of its own; `failed` is called once if that ends."""

    def __init__(self, kafka: dict[str, Any], *, promised_s: float, failed: Callable[[BaseException], None]) -> None:
        self._follower = Follower(kafka["bootstrap.servers"], kafka, on_message=self._take, failed=failed)
        self._every_ms = int(promised_s * 1000 / SAID_PER_PROMISE)
        self._accepted_ms: dict[str, int] = {}

    def start(self) -> None:
        """Read it to its end. Raises `WebhooksStopped` and KafkaException."""
        self._follower.start([(WEBHOOKS_HEALTH.name, 0)], from_end=False)
        if not self._follower.caught_up.wait(READ_DEADLINE_S):
            raise WebhooksStopped(f"{WEBHOOKS_HEALTH.name} was not read within {READ_DEADLINE_S:.0f} s")

    def close(self) -> None:
        """End the thread."""
        self._follower.close()

    def accepted_ms(self, lane: str) -> int:
        """When an endpoint last accepted something, ms since the epoch; 0: never."""
        return self._accepted_ms.get(lane, 0)

    def accepted(self, lane: str, *, at_ms: int) -> Produce | None:
        """The record that says so; None when that was said not long ago."""
        if at_ms - self.accepted_ms(lane) < self._every_ms:
            return None
        self._accepted_ms[lane] = at_ms
        return Produce(WEBHOOKS_HEALTH.name, lane.encode(), msgspec.json.encode(_Health(at_ms)), 0)

    def _take(self, message: Message) -> None:
        lane, value = (message.key() or b"").decode(errors="replace"), message.value()
        if value is None:
            self._accepted_ms.pop(lane, None)
            return
        try:
            said = msgspec.json.decode(value, type=_Health)
        except msgspec.MsgspecError:
            return  # not ours
        self._accepted_ms[lane] = max(self._accepted_ms.get(lane, 0), said.accepted_ms)
