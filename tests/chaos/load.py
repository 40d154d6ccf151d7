"""An endless upstream system: keyed intents from a seed and all that follows them, repeats, and records nobody should send."""

from __future__ import annotations

import collections
import random
import threading
import time
from typing import Any, Self

from confluent_kafka import Consumer, Producer, TopicPartition
from msgspec.structs import replace

from infra.demo.bad import BadRecord, bad_records
from infra.demo.intents import Planned, Step, generate
from infra.demo.upstream import Upstream, _Payment
from schemas import catalogue, codec
from schemas.clients import CLIENT_TIMEOUT_MS, consumer_config, producer_config
from schemas.records import Attribution, PaymentCommand, PaymentEvent, PaymentIntent
from streams.core.ids import payment_id
from tests.chaos.checks import Sent, fingerprint
from tests.chaos.courses import CALLED_OFF, Followed, courses, response
from tests.chaos.live import Live
from tests.chaos.paying import Paying
from tests.chaos.shopping import Shopping

IN_FLIGHT_MAX = 150
RATE_PER_S = 40.0
# A record waits for a broker that is away for this long before its delivery counts as failed, which ends the run.
DELIVERY_MS = 1_200_000
ENDLESS = 1_000_000
SEEDS = 100_000
BAD_EVERY = 97
REPEATED = 0.04
REPEATS_WAITING_MAX = 200
# Of the commands, so many have somebody who waits for the answer, as the API does.
AWAITED = 0.5
# Of the payments, so many come as the API's commands do and save their method for one of the load's customers.
SAVED = 0.15
# Of the intents, so many have personal data of one of so many persons.
PERSONAL, PERSONS = 0.1, 100
RESPONDS_TO = frozenset({"needs_response", "warning_needs_response"})


class Load(Upstream):
    """
    Sends and follows payments in a thread of its own until told to stop sending, and then until every one is finished.

    Some of what it sends is sent again later, unchanged: a retry under the same idempotency key. What Kafka took is
    counted in `sent`.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        providers: str,
        seed: int,
        rate_per_s: float = RATE_PER_S,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        """`providers`: base URL of the simulated providers, where challenged customers act."""
        super().__init__(bootstrap, client={"log_level": 0}, providers=providers)
        patient = {"linger.ms": 5, "message.timeout.ms": DELIVERY_MS, "log_level": 0}
        self._producer = Producer(producer_config(bootstrap, patient))
        self.live = self._consumer = Live(self._consumer)
        self._settled = Consumer(consumer_config(bootstrap, "chaos-payouts-unused", {"log_level": 0}))
        self.sent = Sent()
        self._counters = {
            catalogue.PAYMENT_INTENTS.name: self.sent.intents,
            catalogue.PAYMENTS_INPUTS.name: self.sent.commands,
            catalogue.SETTLEMENT_INPUTS.name: self.sent.payouts,
            catalogue.CUSTOMERS_INPUTS.name: self.sent.customers,
        }
        self.bad: tuple[BadRecord, ...] = bad_records()
        self.bad_sent = 0
        self.repeats = 0
        self.failure: BaseException | None = None
        self._chance = random.Random(seed)
        # Keys hold the seed and a number; with more digits than this, some would look like card numbers and be refused.
        self._plans = courses(generate(ENDLESS, seed=seed % SEEDS, prefix="chaos"), seed=seed)
        self._seed, self._reply_partitions = seed, 1
        self.happened: collections.Counter[str] = collections.Counter()
        self._rate_per_s, self._in_flight_max = rate_per_s, in_flight_max
        self._again: collections.deque[tuple[str, bytes, str]] = collections.deque(maxlen=REPEATS_WAITING_MAX)
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Self:
        super().__enter__()
        self._reply_partitions = len(self._partitions(catalogue.PAYMENTS_REPLIES.name))
        settled = catalogue.SETTLEMENT_EVENTS.name
        self._settled.assign([TopicPartition(settled, number, 0) for number in self._partitions(settled)])
        self._paying = Paying(
            self._settled,
            self._produce,
            seed=self._seed % SEEDS,
            reply_partitions=self._reply_partitions,
        )
        self._shopping = Shopping(self._produce, seed=self._seed % SEEDS, reply_partitions=self._reply_partitions)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._abandoned = True
        self._thread.join()
        self._settled.close()
        super().__exit__()

    def _partitions(self, topic: str) -> list[int]:
        return sorted(self._producer.list_topics(topic, timeout=CLIENT_TIMEOUT_MS / 1000).topics[topic].partitions)

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
    def payouts(self) -> int:
        """Payouts asked for."""
        return self._paying.asked

    @property
    def customers(self) -> int:
        """Commands about customers, saved methods and setup intents."""
        return self._shopping.asked

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
                self._complete_challenges()
                self._paying.work(more=not self._enough.is_set())
                self._shopping.work(more=not self._enough.is_set())
            while self._again:
                self._repeat()
            self._flush()
        except BaseException as error:
            self.failure = error

    def _send_next(self, payment: Followed) -> None:
        planned = payment.planned
        self._payments[payment_id(planned.tenant, planned.intent_key)] = payment
        self._send_intent(planned)
        if self._sent % BAD_EVERY == 0:
            record = self.bad[self.bad_sent % len(self.bad)]
            self.bad_sent += 1
            super()._produce(catalogue.PAYMENT_INTENTS.name, f"bad/{record.what}", record.value)
            self.sent.intents[fingerprint(f"bad/{record.what}".encode(), record.value)] += 1
        if self._again and self._chance.random() < 2 * REPEATED:
            self._repeat()

    def _intent(self, planned: Planned) -> PaymentIntent:
        """Some tell of a person, who comes again: what is personal is sealed with a key that is made once for each."""
        intent = super()._intent(planned)
        if self._chance.random() >= PERSONAL:
            return intent
        who = self._chance.randrange(PERSONS)
        personal = {"billing_name": f"Person {who}", "billing_email": f"person{who}@example.com"}
        return replace(intent, customer=f"person-{who}", personal=personal)

    def _take(self, event: PaymentEvent, payment: _Payment) -> None:
        assert isinstance(payment, Followed)
        self.happened[event.type] += 1
        if event.dispute is not None:
            payment.disputes[event.dispute.id] = event.dispute.status
        super()._take(event, payment)
        dispute = event.dispute
        if dispute is not None and dispute.status in RESPONDS_TO and dispute.id not in payment.responded:
            payment.responded.add(dispute.id)
            for number, fields in enumerate(response(payment.course, dispute.status), 1):
                self._command(event.payment_id, payment.planned, f"dispute/{number}", object_id=dispute.id, **fields)

    def _answer_of_customer(self, payment: _Payment) -> bytes:
        assert isinstance(payment, Followed)
        answer = payment.course.challenge
        if answer == "canceled":
            return b""
        return b'{"outcome": "failed"}' if answer == "failed" else b'{"outcome": "succeeded"}'

    def _allowed(self, step: Step, payment: _Payment) -> bool:
        if payment.status == "requires_action":
            return step.kind == "cancel" and isinstance(payment, Followed) and payment.course.challenge in CALLED_OFF
        return super()._allowed(step, payment)

    def _command(self, identity: str, planned: Planned, number: str, **fields: Any) -> None:
        if self._chance.random() < AWAITED:
            waits = {"reply_partition": self._chance.randrange(self._reply_partitions)}
            fields |= {**waits, "correlation_id": f"{planned.intent_key}/{number}"}
        super()._command(identity, planned, number, **fields)

    def _send_intent(self, planned: Planned) -> None:
        """As an intent; or, for a customer who shops here, as the command that the API makes of it, which saves the method."""
        customer = self._shopping.somebody(planned.tenant)
        if not customer or self._chance.random() >= SAVED:
            super()._send_intent(planned)
            return
        self._sent += 1
        identity = payment_id(planned.tenant, planned.intent_key)
        command = PaymentCommand(
            tenant=planned.tenant,
            payment_id=identity,
            kind="create",
            amount_minor=planned.amount_minor,
            currency=planned.currency,
            payment_method=planned.payment_method,
            capture_method=planned.capture_method,
            confirm=True,
            customer=customer,
            metadata=planned.metadata,
            setup_future_usage="off_session",
            reply_partition=self._chance.randrange(self._reply_partitions),
            correlation_id=planned.intent_key,
            attribution=Attribution(
                actor_kind="api_key",
                actor_id="key_chaos",
                on_behalf_of=planned.tenant,
                request_id=f"req_{planned.intent_key}",
                idempotency_key=planned.intent_key,
            ),
        )
        self._produce(catalogue.PAYMENTS_INPUTS.name, f"{planned.tenant}/{identity}", codec.encode(command))

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
        self._counters[topic][fingerprint(key.encode(), value)] += 1
