"""Payouts under load: reads what settles, asks for some of it on the topic as the API does, calls some off, asks for too much."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer
from msgspec.structs import replace

from schemas import catalogue, codec
from schemas.ids import payout_id
from schemas.records import Attribution, PayoutCommand, PayoutEvent, SettlementEvent

EVERY_S = (0.3, 2.0)
READ_AT_ONCE = 500
# Of the payouts, so many are called off at once, are for more than there is, or come again with another amount.
CANCELED, TOO_MUCH, REUSED, CHANGED = 0.15, 0.08, 0.08, 0.1
RETURNED = "ba_test_returned"
DESTINATIONS = {
    "": 30,
    "ba_test_instant": 20,
    "ba_test_accountClosed": 10,
    "ba_test_pendsThenFails": 10,
    RETURNED: 12,
    "ba_test_dropAfterPaying": 5,
    "ba_test_error500": 4,
    "ba_test_error500AfterPaying": 5,
    "ba_test_flaky": 6,
    "ba_test_timeout": 2,
    "ba_of_nobody": 3,
}

Flow = tuple[str, str, str]
"""Tenant, provider and currency."""


class Paying:
    """Asks for payouts of what its consumer of `settlement.events` says is settled; `send` takes topic, key and value."""

    def __init__(
        self, consumer: Consumer, send: Callable[[str, str, bytes], None], *, seed: int, reply_partitions: int
    ) -> None:
        self._consumer, self._send, self._reply_partitions = consumer, send, reply_partitions
        self._chance = random.Random(f"payouts of {seed}")
        self._name = f"chaos-{seed}"
        self._left: Counter[Flow] = Counter()
        self._next = time.monotonic()
        self.asked = 0

    def work(self, *, more: bool) -> None:
        """Read what happened; ask for the next payout when its time has come, while there shall be `more`."""
        for record in self._consumer.consume(READ_AT_ONCE, 0.0):
            if record.error() is None:
                self._take(codec.decode(record.value()))
        if more and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._chance.uniform(*EVERY_S)
            payable = sorted(of for of, minor in self._left.items() if minor > 1)
            if payable:
                self._ask(self._chance.choice(payable))

    def _take(self, event: Any) -> None:
        if isinstance(event, SettlementEvent) and event.type == "settlement_window.closed" and event.totals:
            self._left[event.tenant, event.provider, event.currency] += event.totals.net_minor
        elif isinstance(event, PayoutEvent) and event.transaction is not None:
            self._left[event.tenant, event.provider, event.currency] += event.transaction.amount_minor

    def _ask(self, of: Flow) -> None:
        tenant, provider, currency = of
        chance, left_minor = self._chance, self._left[of]
        self.asked += 1
        key = f"{self._name}/payout/{self.asked}"
        too_much = chance.random() < TOO_MUCH
        amount_minor = left_minor * 1_000 if too_much else chance.randrange(max(1, left_minor // 3), left_minor)
        make = PayoutCommand(
            tenant=tenant,
            provider=provider,
            currency=currency,
            payout_id=payout_id(tenant, key),
            kind="create",
            amount_minor=amount_minor,
            destination=chance.choices(list(DESTINATIONS), weights=list(DESTINATIONS.values()))[0],
            description=f"Payout {self.asked}",
            attribution=Attribution(
                actor_kind="api_key", actor_id="key_chaos", on_behalf_of=tenant, request_id=key, idempotency_key=key
            ),
        )
        self._put(replace(make, kind="claim"))
        self._put(make)
        if chance.random() < REUSED:
            self._put(replace(make, fingerprint="of other parameters"))
        if chance.random() < CANCELED:
            self._put(_about(make, "cancel"))
        if chance.random() < CHANGED:
            self._put(replace(_about(make, "update"), metadata={"by": "chaos"}))

    def _put(self, command: PayoutCommand) -> None:
        waits = {
            "reply_partition": self._chance.randrange(self._reply_partitions),
            "correlation_id": f"{command.attribution.request_id}/{command.kind}/{command.fingerprint}",
        }
        flow = "/" if command.kind == "claim" else f"{command.provider}/{command.currency}"
        self._send(
            catalogue.SETTLEMENT_INPUTS.name, f"{command.tenant}/{flow}", codec.encode(replace(command, **waits))
        )


def _about(made: PayoutCommand, kind: str) -> PayoutCommand:
    """A command about a payout that was asked for before, under a key of its own."""
    key = f"{made.attribution.idempotency_key}/{kind}"
    who = replace(made.attribution, request_id=key, idempotency_key=key)
    fields: dict[str, Any] = {"kind": kind, "amount_minor": 0, "description": "", "destination": ""}
    return replace(made, attribution=who, **fields)
