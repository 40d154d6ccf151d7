"""What becomes of the load's payments beside what their plans say: challenges, raised authorisations, disputes and answers to them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from infra.demo.intents import Planned, Step
from infra.demo.upstream import _Payment
from streams.core.disputes import CLOSED

Challenge = Literal["", "succeeded", "failed", "canceled", "raced"]
"""How a challenge ends: by its customer, or because the merchant calls the payment off; raced: both at once."""

Response = Literal["", "win", "lose", "keep", "accept", "silence"]
"""What the merchant does about a dispute. keep: evidence is kept first and submitted with more later."""

CALLED_OFF = ("canceled", "raced")

# Of all payments; of those that are captured later, so many have their authorisation raised.
CHALLENGED, DISPUTED, RAISED = 0.06, 0.08, 0.4
REFUNDED_BESIDE = 0.25

_ENDS: dict[Challenge, int] = {"succeeded": 60, "failed": 15, "canceled": 15, "raced": 10}
_METHODS = {
    "pm_card_createDispute": 50,
    "pm_test_createDisputePartial": 20,
    "pm_card_createDisputeInquiry": 20,
    "pm_test_disputePrevented": 10,
}
_RESPONSES: dict[Response, int] = {"win": 30, "lose": 20, "keep": 20, "accept": 20, "silence": 10}
_RESPONSES_TO_INQUIRIES: dict[Response, int] = {"win": 50, "keep": 30, "silence": 20}
_WINS = {"uncategorized_text": "winning_evidence"}
_LOSES = {"uncategorized_text": "nothing that convinces anybody"}


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """How one payment goes. `response` other than empty: its customer's bank disputes it."""

    challenge: Challenge = ""
    response: Response = ""


@dataclass
class Followed(_Payment):
    """A payment with its course, and where its disputes stand."""

    course: Course = field(default_factory=Course)
    disputes: dict[str, str] = field(default_factory=dict)
    responded: set[str] = field(default_factory=set)

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen; what is disputed may be refused the refund that was planned."""
        if not self.course.response or self.status != "succeeded":
            return super().finished
        waits = self.next_step is not None or any(status == "pending" for status in self.refunds.values())
        return not waits and bool(self.disputes) and all(status in CLOSED for status in self.disputes.values())


def courses(plans: Iterable[Planned], *, seed: int) -> Iterator[Followed]:
    """The plans, some of them changed so that more happens to them."""
    chance = random.Random(f"courses of {seed}")
    for planned in plans:
        draw = chance.random()
        if draw < CHALLENGED:
            yield _challenged(planned, chance)
        elif draw < CHALLENGED + DISPUTED:
            yield _disputed(planned, chance)
        elif planned.capture_method == "manual" and chance.random() < RAISED:
            yield Followed(_raised(planned, chance))
        else:
            yield Followed(planned)


def _pick(chance: random.Random, weights: dict[Any, int]) -> Any:
    return chance.choices(list(weights), weights=list(weights.values()))[0]


def _challenged(planned: Planned, chance: random.Random) -> Followed:
    end = _pick(chance, _ENDS)
    then = (Step(kind="cancel", reason="abandoned"),) if end in CALLED_OFF else planned.then
    changed = replace(planned, payment_method="pm_card_authenticationRequired", then=then)
    return Followed(changed, course=Course(challenge=end))


def _disputed(planned: Planned, chance: random.Random) -> Followed:
    method = _pick(chance, _METHODS)
    response = _pick(chance, _RESPONSES_TO_INQUIRIES if method == "pm_card_createDisputeInquiry" else _RESPONSES)
    then: tuple[Step, ...] = (Step(kind="capture"),) if planned.capture_method == "manual" else ()
    if chance.random() < REFUNDED_BESIDE and planned.amount_minor > 1:
        then = (*then, Step(kind="refund", amount_minor=chance.randrange(1, planned.amount_minor)))
    return Followed(replace(planned, payment_method=method, then=then), course=Course(response=response))


def _raised(planned: Planned, chance: random.Random) -> Planned:
    more_minor = planned.amount_minor + max(1, planned.amount_minor // chance.randrange(2, 20))
    steps = [Step(kind="increment", amount_minor=more_minor)]
    if chance.random() < 0.2:
        steps.append(Step(kind="increment", amount_minor=more_minor + 1))
    method = "pm_test_incrementDeclined" if chance.random() < 0.2 else planned.payment_method
    return replace(planned, payment_method=method, then=(*steps, *planned.then))


def response(course: Course, status: str) -> list[dict[str, Any]]:
    """The commands that answer a dispute which waits for its merchant: their fields, in order; none while nobody answers."""
    if course.response == "accept" and status == "needs_response":
        return [{"kind": "close_dispute"}]
    if course.response == "keep":
        return [
            {"kind": "update", "given": ("evidence",), "evidence": {"customer_name": "Jenny"}},
            {"kind": "submit_evidence", "evidence": _WINS},
        ]
    if course.response in ("win", "lose"):
        return [{"kind": "submit_evidence", "evidence": _WINS if course.response == "win" else _LOSES}]
    return []
