"""Many customers of one shop at a time, each with Stripe's official SDK and its own retries; what they were answered is kept.

What each of them wants is drawn from a seed before anything runs. Every call has an idempotency key of its own, some are
sent twice, and calls go to the API's processes in turn.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

import stripe

AT_A_TIME = 24
RETRIES_MAX = 40
"""A process that was killed is back after some seconds; on a busy machine after many."""
SETTLE_DEADLINE_S = 240.0
AGAIN = 0.15
"""Share of calls that are sent once more after they were answered."""
CURRENCY = "eur"
VISA = "pm_card_visa"


@dataclass(frozen=True)
class Wish:
    """What one customer will do."""

    number: int
    amount: int
    method: str
    capture: int | None
    """A part, of a payment that is authorised first; None: all of it at once."""
    refunds: tuple[int, ...]
    relabel: bool
    again: tuple[bool, ...]


@dataclass
class Story:
    """What came of a wish: ids and amounts as they were answered."""

    wish: Wish
    payment_id: str = ""
    declined: bool = False
    captured: int = 0
    refunds: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


def wishes(count: int, *, seed: int) -> list[Wish]:
    """The same ones for the same seed."""
    dice = random.Random(seed)
    made = []
    for number in range(count):
        amount = dice.randint(200, 5_000)
        declined = dice.random() < 0.1
        capture = dice.randint(100, amount) if not declined and dice.random() < 0.3 else None
        taken = amount if capture is None else capture
        parts = tuple(dice.randint(1, taken // 3) for _ in range(dice.choice((0, 0, 1, 2))))
        made.append(
            Wish(
                number=number,
                amount=amount,
                method="pm_card_chargeDeclined" if declined else VISA,
                capture=capture,
                refunds=() if declined else parts,
                relabel=dice.random() < 0.3,
                again=tuple(dice.random() < AGAIN for _ in range(6)),
            )
        )
    return made


class Shoppers:
    """Runs wishes; `calls` counts the SDK calls that were answered."""

    def __init__(self, key: str, urls: Sequence[str], *, name: str) -> None:
        self._clients = itertools.cycle(
            [stripe.StripeClient(key, base_addresses={"api": url}, max_network_retries=RETRIES_MAX) for url in urls]
        )
        self._name = name
        self._lock = threading.Lock()
        self.calls = 0
        self.told: Counter[str] = Counter()
        """How calls were answered: at once, replayed, processing."""

    def run(self, wanted: Sequence[Wish]) -> list[Story]:
        """All of them, `AT_A_TIME` at a time. Raises what any call raised that no customer expects."""
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            lives = [pool.submit(self._live, wish) for wish in wanted]
            try:
                return [life.result() for life in as_completed(lives)]
            finally:
                # Nothing is left to cancel where all is well.
                pool.shutdown(wait=False, cancel_futures=True)

    def client(self) -> stripe.StripeClient:
        """The next process's."""
        with self._lock:
            return next(self._clients)

    def _live(self, wish: Wish) -> Story:
        story = Story(wish, metadata={"number": str(wish.number)})
        again = iter(wish.again)
        payment = self._create(story, next(again))
        if payment is None:
            return story
        if wish.capture is not None:
            asked = {"amount_to_capture": wish.capture}
            payment = self._twice(
                wish,
                "capture",
                next(again),
                lambda to, key: to.v1.payment_intents.capture(story.payment_id, asked, key),
            )
            payment = self._settled(payment)
        assert payment.status == "succeeded", (payment.id, payment.status)
        story.captured = payment.amount_received
        for number, amount in enumerate(wish.refunds):
            asked = {"payment_intent": story.payment_id, "amount": amount, "metadata": {"part": str(number)}}
            refund = self._twice(
                wish, f"refund {number}", next(again), lambda to, key, asked=asked: to.v1.refunds.create(asked, key)
            )
            assert refund.amount == amount
            story.refunds[refund.id] = amount
        if wish.relabel:
            changes = {"metadata": {"seen": "yes"}}
            told = self._twice(
                wish,
                "relabel",
                next(again),
                lambda to, key: to.v1.payment_intents.update(story.payment_id, changes, key),
            )
            story.metadata["seen"] = "yes"
            assert told.metadata.to_dict() == story.metadata
        return story

    def _create(self, story: Story, again: bool) -> Any:
        wish = story.wish
        asked = {
            "amount": wish.amount,
            "currency": CURRENCY,
            "payment_method": wish.method,
            "confirm": True,
            "capture_method": "automatic" if wish.capture is None else "manual",
            "metadata": story.metadata,
        }
        made = self._twice(wish, "create", again, lambda to, key: to.v1.payment_intents.create(asked, key))
        if isinstance(made, stripe.CardError):
            story.payment_id, story.declined = made.error.payment_intent.id, True
            return None
        story.payment_id = made.id
        made = self._settled(made)
        if made.status == "requires_payment_method":
            # Its decline came after the deadline of the answer, which was `processing` then.
            assert wish.method != VISA, made
            story.declined = True
            return None
        return made

    def _twice(self, wish: Wish, what: str, again: bool, call: Callable[[stripe.StripeClient, Any], Any]) -> Any:
        """Call, and where it is to be sent again, hear the same once more, from the other process. A decline is an answer."""
        key: dict[str, Any] = {"idempotency_key": f"{self._name} {wish.number} {what}"}
        first = self._answer(wish, lambda: call(self.client(), key))
        if not again:
            return first
        repeated = self._answer(wish, lambda: call(self.client(), key))
        # `processing` was all that could be said when the deadline passed; the stored answer is the outcome.
        if getattr(first, "status", "") != "processing":
            assert _body(repeated) == _body(first), (key, first, repeated)
        return repeated

    def _answer(self, wish: Wish, call: Callable[[], Any]) -> Any:
        """An answer, or the decline that this customer's card brings."""
        try:
            answer = call()
        except stripe.CardError as declined:
            if wish.method == VISA:
                raise
            self._tell("declined")
            return declined
        replayed = answer.last_response.headers.get("Idempotent-Replayed") == "true"
        self._tell("replayed" if replayed else "processing" if answer.status == "processing" else "at once")
        return answer

    def _tell(self, how: str) -> None:
        with self._lock:
            self.calls += 1
            self.told[how] += 1

    def _settled(self, payment: Any) -> Any:
        """The payment once it is not under way any more, read by id."""
        end_s = time.monotonic() + SETTLE_DEADLINE_S
        while payment.status == "processing":
            assert time.monotonic() < end_s, f"{payment.id} is still processing"
            time.sleep(0.2)
            payment = self.client().v1.payment_intents.retrieve(payment.id)
        return payment


def _body(answer: Any) -> Any:
    return answer.json_body if isinstance(answer, stripe.CardError) else answer.to_dict()
