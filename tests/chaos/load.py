"""An endless upstream system: keyed intents from a seed, captures, cancels and refunds, repeats, and records nobody should send."""

from __future__ import annotations

import collections
import random
import threading
import time
from typing import Self

from confluent_kafka import Producer

from infra.demo.bad import BadRecord, bad_records
from infra.demo.intents import Planned, generate
from infra.demo.upstream import Upstream, _Payment
from schemas import catalogue
from schemas.clients import producer_config
from streams.core.ids import payment_id
from tests.chaos.checks import Sent, fingerprint
from tests.chaos.live import Live

IN_FLIGHT_MAX = 150
RATE_PER_S = 40.0
# A record waits for a broker that is away for this long before its delivery counts as failed, which ends the run.
DELIVERY_MS = 1_200_000
ENDLESS = 1_000_000
SEEDS = 100_000
BAD_EVERY = 97
REPEATED = 0.04
REPEATS_WAITING_MAX = 200


class Load(Upstream):
    """
    Sends and follows payments in a thread of its own until told to stop sending, and then until every one is finished.

    Some of what it sends is sent again later, unchanged: a retry under the same idempotency key. What Kafka took is
    counted in `sent`.
    """

    def __init__(
        self, bootstrap: str, *, seed: int, rate_per_s: float = RATE_PER_S, in_flight_max: int = IN_FLIGHT_MAX
    ) -> None:
        super().__init__(bootstrap, client={"log_level": 0})
        patient = {"linger.ms": 5, "message.timeout.ms": DELIVERY_MS, "log_level": 0}
        self._producer = Producer(producer_config(bootstrap, patient))
        self.live = self._consumer = Live(self._consumer)
        self.sent = Sent()
        self.bad: tuple[BadRecord, ...] = bad_records()
        self.bad_sent = 0
        self.repeats = 0
        self.failure: BaseException | None = None
        self._chance = random.Random(seed)
        # Keys hold the seed and a number; with more digits than this, some would look like card numbers and be refused.
        self._plans = generate(ENDLESS, seed=seed % SEEDS, prefix="chaos")
        self._rate_per_s, self._in_flight_max = rate_per_s, in_flight_max
        self._again: collections.deque[tuple[str, bytes, str]] = collections.deque(maxlen=REPEATS_WAITING_MAX)
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Self:
        super().__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._abandoned = True
        self._thread.join()
        super().__exit__()

    _abandoned = False

    def enough(self) -> None:
        """Send no new payments; follow those that are there."""
        self._enough.set()

    @property
    def payments(self) -> int:
        """Payments sent."""
        return self._sent

    @property
    def finished(self) -> int:
        """Payments of which nothing more is expected."""
        return self._finished

    @property
    def done(self) -> bool:
        """Whether the thread has ended: everything is finished, or `failure` says why not."""
        return not self._thread.is_alive()

    def open(self) -> list[str]:
        """The payments that are not finished."""
        return [identity for identity, payment in self._payments.items() if not payment.finished]

    def _run(self) -> None:
        try:
            begun, at_begin = time.monotonic(), self._sent
            while not self._abandoned and not (self._enough.is_set() and self._finished >= len(self._payments)):
                due = at_begin + (time.monotonic() - begun) * self._rate_per_s
                while (
                    not self._enough.is_set() and self._sent < due and self._sent - self._finished < self._in_flight_max
                ):
                    self._send_next(next(self._plans))
                if self._sent - self._finished >= self._in_flight_max:
                    begun, at_begin = time.monotonic(), self._sent  # what was held back is not made up for in a burst
                self._absorb()
            while self._again:
                self._repeat()
            self._flush()
        except BaseException as error:
            self.failure = error

    def _send_next(self, planned: Planned) -> None:
        self._payments[payment_id(planned.tenant, planned.intent_key)] = _Payment(planned)
        self._send_intent(planned)
        if self._sent % BAD_EVERY == 0:
            record = self.bad[self.bad_sent % len(self.bad)]
            self.bad_sent += 1
            super()._produce(catalogue.PAYMENT_INTENTS.name, f"bad/{record.what}", record.value)
            self.sent.intents[fingerprint(f"bad/{record.what}".encode(), record.value)] += 1
        if self._again and self._chance.random() < 2 * REPEATED:
            self._repeat()

    def _repeat(self) -> None:
        topic, value, key = self._again.popleft()
        self.repeats += 1
        self._count(topic, value, key)
        super()._produce(topic, key, value)

    def _produce(self, topic: str, key: str, value: bytes) -> None:
        self._count(topic, value, key)
        super()._produce(topic, key, value)
        if self._chance.random() < REPEATED:
            self._again.append((topic, value, key))

    def _count(self, topic: str, value: bytes, key: str) -> None:
        counter = self.sent.intents if topic == catalogue.PAYMENT_INTENTS.name else self.sent.commands
        counter[fingerprint(key.encode(), value)] += 1
