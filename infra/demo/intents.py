"""Realistic payment intents from a seed: `python -m infra.demo.intents --count 10000 --seed 7 --events > intents.jsonl`.

The same seed gives the same bytes. Amounts have a long tail; currencies have 0, 2 and 3 decimals; payments are captured
at once or later, wholly or in part, refunded, canceled, declined, and run into every trouble that a provider can make. With
`--events` some customers are challenged (3-D Secure) and some go to their bank afterwards (disputes).
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterable, Iterator
from typing import Literal, TypeVar

import msgspec

from schemas.currencies import EXPONENTS

_T = TypeVar("_T")
StepKind = Literal["capture", "refund", "cancel", "increment"]


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the upstream system asks for once the payment allows it; `amount_minor` None means all that is left, of an increment it is the new amount."""

    kind: StepKind
    amount_minor: int | None = None
    reason: str = ""


class Planned(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of an intents file: the intent's fields, and what its upstream system will ask for later."""

    tenant: str
    intent_key: str
    amount_minor: int
    currency: str
    payment_method: str
    capture_method: Literal["automatic", "manual"] = "automatic"
    customer: str = ""
    description: str = ""
    metadata: dict[str, str] = {}
    then: tuple[Step, ...] = ()


# Weights in tenths of a per cent. Ours (`pm_test_...`) are the ways in which a network or a provider misbehaves.
_METHODS = {
    "pm_card_visa": 560,
    "pm_card_mastercard": 280,
    "pm_card_chargeDeclined": 30,
    "pm_card_chargeDeclinedInsufficientFunds": 30,
    "pm_card_chargeDeclinedExpiredCard": 10,
    "pm_test_softDecline": 20,
    "pm_test_refusedByFirst": 30,
    "pm_test_dropAfterCharge": 10,
    "pm_test_error500AfterCharge": 10,
    "pm_test_error500": 8,
    "pm_test_timeout": 4,
    "pm_test_flaky": 8,
}
_CURRENCIES = {
    "acme": {"EUR": 80, "CHF": 12, "SEK": 8},
    "globex": {"USD": 85, "CAD": 15},
    "initech": {"JPY": 90, "USD": 10},
    "petrogulf": {"KWD": 70, "BHD": 30},
    "tiny": {"GBP": 100},
}
_TENANTS = {"acme": 40, "globex": 30, "initech": 15, "petrogulf": 8, "tiny": 7}
# Bands in major units: most payments are small, a few are very large.
_BANDS = {(1, 20): 45, (20, 100): 35, (100, 500): 15, (500, 5_000): 4, (5_000, 250_000): 1}
_GOODS = ("Order", "Subscription", "Invoice", "Booking", "Ticket", "Donation", "Top-up")
_REFUND_REASONS = ("requested_by_customer", "duplicate", "fraudulent")
_YEN_PER_UNIT = 100


def _pick(rng: random.Random, weights: dict[_T, int]) -> _T:
    return rng.choices(list(weights), weights=list(weights.values()))[0]


def _amount_minor(rng: random.Random, currency: str) -> int:
    low, high = _pick(rng, _BANDS)
    exponent = EXPONENTS[currency]
    if exponent == 0:
        return rng.randrange(low * _YEN_PER_UNIT, high * _YEN_PER_UNIT)
    return rng.randrange(low * 10**exponent, high * 10**exponent)


def _steps(rng: random.Random, amount_minor: int, *, manual: bool) -> tuple[Step, ...]:
    steps: list[Step] = []
    captured = amount_minor
    if manual:
        draw = rng.randrange(100)
        if draw < 12:
            return (Step(kind="cancel", reason="requested_by_customer"),)
        if draw < 35 and amount_minor > 1:
            captured = rng.randrange(1, amount_minor)
        steps.append(Step(kind="capture", amount_minor=None if captured == amount_minor else captured))
    draw = rng.randrange(100)
    if draw < 5:
        steps.append(Step(kind="refund", reason=rng.choice(_REFUND_REASONS)))
    elif draw < 10 and captured > 2:
        first = rng.randrange(1, captured - 1)
        steps.append(Step(kind="refund", amount_minor=first, reason=rng.choice(_REFUND_REASONS)))
        if rng.randrange(2):
            steps.append(Step(kind="refund", amount_minor=rng.randrange(1, captured - first + 1)))
    return tuple(steps)


_EVERY = 250
_CHALLENGED = 17
_DISPUTED = {117: "pm_card_createDispute", 217: "pm_test_createDisputePartial"}
DISPUTE_METHODS = frozenset(_DISPUTED.values())


def disputes(plans: Iterable[Planned]) -> int:
    """How many disputes these intents lead to: one each, because they are captured and not given back."""
    return sum(planned.payment_method in DISPUTE_METHODS for planned in plans)


def generate(count: int, *, seed: int, prefix: str = "order", events: bool = False) -> Iterator[Planned]:
    """Yields `count` planned intents; their keys are `prefix-seed-number`.

    `events`: one of 250 has to be completed by its customer (`requires_action`), and two are disputed after their capture.
    """
    for number, planned in enumerate(_generate(count, seed=seed, prefix=prefix)):
        place = number % _EVERY
        if events and place == _CHALLENGED:
            yield msgspec.structs.replace(planned, payment_method="pm_card_authenticationRequired")
        elif events and place in _DISPUTED:
            yield msgspec.structs.replace(planned, payment_method=_DISPUTED[place], capture_method="automatic", then=())
        else:
            yield planned


def _generate(count: int, *, seed: int, prefix: str) -> Iterator[Planned]:
    rng = random.Random(seed)
    for number in range(count):
        tenant = _pick(rng, _TENANTS)
        currency = _pick(rng, _CURRENCIES[tenant])
        amount_minor = _amount_minor(rng, currency)
        manual = rng.randrange(100) < 22
        goods = rng.choice(_GOODS)
        yield Planned(
            tenant=tenant,
            intent_key=f"{prefix}-{seed}-{number}",
            amount_minor=amount_minor,
            currency=currency,
            payment_method=_pick(rng, _METHODS),
            capture_method="manual" if manual else "automatic",
            customer=f"cus_{rng.randrange(10**6):06d}",
            description=f"{goods} {rng.randrange(10**8):08d}",
            metadata={"channel": rng.choice(("web", "app", "store")), "order": str(number)},
            then=_steps(rng, amount_minor, manual=manual),
        )


def main(arguments: list[str]) -> int:
    """Writes the lines to standard output."""
    parser = argparse.ArgumentParser(description="Writes realistic payment intents, one JSON object a line.")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--prefix", default="order")
    parser.add_argument("--events", action="store_true", help="challenges and disputes too")
    options = parser.parse_args(arguments)
    encoder = msgspec.json.Encoder()
    for planned in generate(options.count, seed=options.seed, prefix=options.prefix, events=options.events):
        sys.stdout.buffer.write(encoder.encode(planned) + b"\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
