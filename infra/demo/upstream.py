"""A small upstream system: sends payment intents, watches their events, and asks for captures, cancels and refunds.

It speaks only through topics, as anybody's system would. Sending a file again has no second effect: the intents' keys and
the commands' idempotency keys are the same, and what happened before is read from the events first.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from schemas import catalogue, codec
from schemas.clients import CLIENT_TIMEOUT_MS, consumer_config, producer_config
from schemas.records import Attribution, PaymentCommand, PaymentEvent, PaymentIntent
from streams.core.ids import payment_id

if TYPE_CHECKING:
    from infra.demo.intents import Planned, Step

PLANS_MAX = 1_000_000
"""More lines than this in one run would not fit in memory comfortably; split the file."""
IN_FLIGHT_MAX = 2_000
_POLL_RECORDS = 2_000
_POLL_S = 0.05
_STALL_S = 120.0
_UPSTREAM = "demo-shop"
REPEATS_MAX = 20
"""How often a step that certainly was not carried out is asked for again, under a key of its own."""
_PASSES = b'{"outcome": "succeeded"}'
_CHALLENGES_AT_ONCE = 20
_CHALLENGE_TIMEOUT_S = 5.0
_CHALLENGE_AGAIN_S = 1.0
_NOT_CARRIED_OUT = frozenset({"charge.capture_failed", "charge.void_failed"})


class UpstreamError(Exception):
    """The upstream system can't go on; the message says what to do."""


@dataclass(slots=True)
class _Payment:
    """What the upstream system knows of one of its payments."""

    planned: Planned
    status: str = "none"
    steps_asked: int = 0
    repeats: int = 0
    refunds: dict[str, str] = field(default_factory=dict)
    attempted: bool = False
    unknown: bool = False
    challenged: str = ""
    """Where its customer was last asked to act."""

    @property
    def next_step(self) -> Step | None:
        steps = self.planned.then
        return steps[self.steps_asked] if self.steps_asked < len(steps) else None

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen unless somebody asks for it."""
        if self.status == "canceled" or (self.status == "requires_payment_method" and self.attempted):
            return True
        if self.status != "succeeded" or any(status == "pending" for status in self.refunds.values()):
            return False
        refunds_planned = sum(step.kind == "refund" for step in self.planned.then)
        return self.next_step is None and len(self.refunds) >= refunds_planned


@dataclass(frozen=True, slots=True)
class Tally:
    """How many payments the run sent and where they stand."""

    planned: int
    sent: int
    finished: int
    by_status: dict[str, int]
    challenges: int = 0
    """Customers that had to act, and did."""

    @property
    def open(self) -> int:
        """Sent and not finished."""
        return self.sent - self.finished


class Upstream:
    """Sends plans and follows them. Not thread-safe; use it as a context manager."""

    def __init__(self, bootstrap: str, *, client: dict[str, Any] | None = None, providers: str = "") -> None:
        """`providers`: base URL of the simulated providers, where challenged customers act; empty: nobody acts for them."""
        self._providers = providers
        self._producer = Producer(producer_config(bootstrap, {"linger.ms": 5, **(client or {})}))
        self._consumer = Consumer(consumer_config(bootstrap, f"{_UPSTREAM}-unused", client))
        self._payments: dict[str, _Payment] = {}
        self._finished = 0
        self._sent = 0
        self._challenges: dict[str, tuple[float, bytes]] = {}
        self._challenged = 0
        self._delivery_error: KafkaError | None = None

    def __enter__(self) -> Self:
        topic = catalogue.PAYMENTS_EVENTS.name
        metadata = self._consumer.list_topics(topic, timeout=CLIENT_TIMEOUT_MS / 1000).topics[topic]
        if metadata.error is not None:
            message = f"topic {topic} is not there ({metadata.error}): start the stack with `clearline up`"
            raise UpstreamError(message)
        self._consumer.assign([TopicPartition(topic, number, 0) for number in metadata.partitions])
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def run(
        self,
        plans: Iterable[Planned],
        *,
        in_flight_max: int = IN_FLIGHT_MAX,
        stall_s: float = _STALL_S,
        progress: Callable[[Tally], None] = lambda _: None,
    ) -> Tally:
        """Sends every plan and follows it until it is finished, or until nothing has moved for `stall_s`.

        Returns the tally; what is still open is counted there. Raises `UpstreamError` when Kafka refuses a record.
        """
        waiting = self._load(plans)
        moved_at = time.monotonic()
        while waiting or self._finished < len(self._payments):
            while waiting and self._sent - self._finished < in_flight_max:
                self._send_intent(waiting.pop())
            if self._absorb() + self._complete_challenges():
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > stall_s:
                break
            progress(self.tally())
        self._flush()
        return self.tally()

    def tally(self) -> Tally:
        """Where the payments of this run stand now."""
        by_status: dict[str, int] = {}
        for payment in self._payments.values():
            by_status[payment.status] = by_status.get(payment.status, 0) + 1
        return Tally(len(self._payments), self._sent, self._finished, by_status, self._challenged)

    def _load(self, plans: Iterable[Planned]) -> list[Planned]:
        waiting: list[Planned] = []
        for planned in plans:
            if len(waiting) >= PLANS_MAX:
                message = f"more than {PLANS_MAX:,} intents in one run: split the file"
                raise UpstreamError(message)
            self._payments[payment_id(planned.tenant, planned.intent_key)] = _Payment(planned)
            waiting.append(planned)
        waiting.reverse()
        return waiting

    def _send_intent(self, planned: Planned) -> None:
        self._sent += 1
        key = f"{planned.tenant}/{planned.intent_key}"
        self._produce(catalogue.PAYMENT_INTENTS.name, key, codec.encode(self._intent(planned)))

    def _intent(self, planned: Planned) -> PaymentIntent:
        return PaymentIntent(
            tenant=planned.tenant,
            intent_key=planned.intent_key,
            amount_minor=planned.amount_minor,
            currency=planned.currency,
            payment_method=planned.payment_method,
            capture_method=planned.capture_method,
            customer=planned.customer,
            description=planned.description,
            metadata=planned.metadata,
            upstream=_UPSTREAM,
            request_id=f"req_{planned.intent_key}",
        )

    def _absorb(self) -> int:
        """Reads what happened and asks for what is next; returns how many events were about these payments."""
        self._producer.poll(0)
        if self._delivery_error is not None:
            message = f"Kafka refused a record: {self._delivery_error}"
            raise UpstreamError(message)
        ours = 0
        for record in self._consumer.consume(_POLL_RECORDS, _POLL_S):
            error = record.error()
            if error is not None:
                if error.retriable() or error.code() in _PASSING:
                    continue
                raise KafkaException(error)
            event = codec.decode(record.value(), expected=(PaymentEvent,))
            assert isinstance(event, PaymentEvent)
            payment = self._payments.get(event.payment_id)
            if payment is not None:
                ours += 1
                self._follow(event, payment)
        return ours

    def _follow(self, event: PaymentEvent, payment: _Payment) -> None:
        was_finished = payment.finished
        self._take(event, payment)
        self._finished += payment.finished - was_finished

    def _take(self, event: PaymentEvent, payment: _Payment) -> None:
        """What follows from an event: the payment is further, and what is next is asked for."""
        payment.status = event.to_status
        payment.attempted = payment.attempted or event.charge is not None
        if event.refund is not None:
            payment.refunds[event.refund.id] = event.refund.status
        if event.to_status == "requires_action" and event.payment is not None:
            self._challenge(event.payment.action_url, payment)
        step = payment.next_step
        if step is not None and self._allowed(step, payment):
            payment.steps_asked += 1
            payment.repeats = 0
            self._ask(event.payment_id, payment, step)
        elif event.type in _NOT_CARRIED_OUT and payment.steps_asked and payment.repeats < REPEATS_MAX:
            payment.repeats += 1
            self._ask(event.payment_id, payment, payment.planned.then[payment.steps_asked - 1])

    def _challenge(self, action_url: str, payment: _Payment) -> None:
        if payment.challenged == action_url:
            return
        payment.challenged = action_url
        answer = self._answer_of_customer(payment)
        if self._providers and answer:
            self._challenges[f"{self._providers}{action_url}"] = 0.0, answer

    def _answer_of_customer(self, payment: _Payment) -> bytes:
        """What a challenged customer says to the provider, as JSON; empty: nothing."""
        del payment
        return _PASSES

    def _complete_challenges(self) -> int:
        """What the customers do: follow the address and answer. Who finds nobody there comes again; returns how many answered."""
        now = time.monotonic()
        answered = 0
        due = [(url, answer) for url, (not_before, answer) in self._challenges.items() if not_before <= now]
        for url, answer in due[:_CHALLENGES_AT_ONCE]:
            asked = urllib.request.Request(  # noqa: S310 - the provider's own address, from its answer
                url, data=answer, headers={"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(asked, timeout=_CHALLENGE_TIMEOUT_S):  # noqa: S310
                    pass
            except OSError:
                self._challenges[url] = now + _CHALLENGE_AGAIN_S, answer
            else:
                del self._challenges[url]
                answered += 1
        self._challenged += answered
        return answered

    def _allowed(self, step: Step, payment: _Payment) -> bool:
        if step.kind == "refund":
            earlier = sum(done.kind == "refund" for done in payment.planned.then[: payment.steps_asked])
            return payment.status == "succeeded" and len(payment.refunds) >= earlier
        return payment.status == "requires_capture"

    def _ask(self, identity: str, payment: _Payment, step: Step) -> None:
        number = f"{payment.steps_asked}" + (f".{payment.repeats}" if payment.repeats else "")
        asked = {"kind": step.kind, "amount_minor": step.amount_minor, "reason": step.reason}
        self._command(identity, payment.planned, number, **asked)

    def _command(self, identity: str, planned: Planned, number: str, **fields: Any) -> None:
        """Append a command about a payment; `number` makes its idempotency key."""
        command = PaymentCommand(
            tenant=planned.tenant,
            payment_id=identity,
            **fields,
            attribution=Attribution(
                actor_kind="upstream",
                actor_id=_UPSTREAM,
                request_id=f"req_{planned.intent_key}_{number}",
                idempotency_key=f"{planned.intent_key}/{number}",
            ),
        )
        self._produce(catalogue.PAYMENTS_INPUTS.name, f"{planned.tenant}/{identity}", codec.encode(command))

    def _produce(self, topic: str, key: str, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key.encode(), on_delivery=self._delivered)
            except BufferError:
                self._producer.poll(1.0)
            else:
                return

    def _delivered(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._delivery_error = error

    def _flush(self) -> None:
        if self._producer.flush(CLIENT_TIMEOUT_MS / 1000):
            message = "Kafka did not take the last records in time: is the broker up? `clearline status`"
            raise UpstreamError(message)


# What a consumer says while a broker is away and librdkafka is finding its way back.
_PASSING = frozenset((KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT))
