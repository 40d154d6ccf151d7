"""What each test payment method makes a simulated provider do.

A behaviour has two halves: a *verdict*, which is the provider's business answer and is the same for every try under a key, and a
*fault*, which is what the network makes of one try. A verdict is kept in the books; a fault never changes what is in them.
"""

from __future__ import annotations

import hashlib
from enum import Enum, auto

import msgspec

from connectors.providers.base import DeclineKind

SLOW_ANSWER_S = 2.0
HELD_ANSWER_S = 120.0
"""Longer than any client waits; the connection's end is noticed before."""
FLAKY_DELAY_MAX_S = 1.5


class RefundCourse(Enum):
    """How a refund of the charge goes."""

    SUCCEEDS = auto()
    FAILS = auto()
    PENDS_THEN_SUCCEEDS = auto()
    PENDS_THEN_FAILS = auto()


class DisputeCourse(Enum):
    """What a customer's bank does some time after the capture."""

    NONE = auto()
    CHARGEBACK = auto()
    INQUIRY = auto()
    PARTIAL = auto()
    PREVENTED = auto()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's business answer to a payment method."""

    decline: tuple[DeclineKind, str] | None = None
    refusal: str | None = None
    refused_by_first_only: bool = False
    challenge: bool = False
    increment_declined: str = ""
    """Why the issuer does not authorise more; empty: it does."""
    refund: RefundCourse = RefundCourse.SUCCEEDS
    amount_off_by: int = 0
    other_currency: bool = False
    conversion_off_by: int = 0
    dispute: DisputeCourse = DisputeCourse.NONE
    payout_at_once: bool = False
    payout_fails: str = ""
    """Why a payout fails; empty: it is paid."""
    payout_returns: str = ""
    """Why it comes back some time after it was paid; empty: it doesn't."""


class Answer(Enum):
    """What becomes of the answer to one try."""

    GIVEN = auto()
    DROPPED = auto()
    ERROR_500 = auto()
    GARBLED = auto()


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What the network makes of one try: waits before and after the effect, whether it is reached, and how it is answered."""

    effect: bool = True
    wait_before_s: float = 0.0
    wait_after_s: float = 0.0
    answer: Answer = Answer.GIVEN


NO_FAULT = Fault()

_HARD, _SOFT = DeclineKind.HARD, DeclineKind.SOFT

VERDICTS: dict[str, Verdict] = {
    "pm_card_visa": Verdict(),
    "pm_card_mastercard": Verdict(),
    "pm_card_amex": Verdict(),
    "pm_card_chargeDeclined": Verdict(decline=(_HARD, "card_declined")),
    "pm_card_chargeDeclinedInsufficientFunds": Verdict(decline=(_HARD, "insufficient_funds")),
    "pm_card_chargeDeclinedExpiredCard": Verdict(decline=(_HARD, "expired_card")),
    "pm_card_chargeDeclinedStolenCard": Verdict(decline=(_HARD, "stolen_card")),
    "pm_card_chargeDeclinedLostCard": Verdict(decline=(_HARD, "lost_card")),
    "pm_card_chargeDeclinedIncorrectCvc": Verdict(decline=(_HARD, "incorrect_cvc")),
    "pm_card_chargeCustomerFail": Verdict(decline=(_HARD, "card_declined")),
    "pm_card_authenticationRequired": Verdict(challenge=True),
    "pm_card_createDispute": Verdict(dispute=DisputeCourse.CHARGEBACK),
    "pm_card_createDisputeInquiry": Verdict(dispute=DisputeCourse.INQUIRY),
    "pm_test_createDisputePartial": Verdict(dispute=DisputeCourse.PARTIAL),
    "pm_test_disputePrevented": Verdict(dispute=DisputeCourse.PREVENTED),
    "pm_test_softDecline": Verdict(decline=(_SOFT, "try_again_later")),
    "pm_test_issuerUnavailable": Verdict(decline=(_SOFT, "issuer_unavailable")),
    "pm_test_doNotHonor": Verdict(decline=(_SOFT, "do_not_honor")),
    "pm_test_refused": Verdict(refusal="provider_unavailable"),
    "pm_test_refusedByFirst": Verdict(refusal="provider_unavailable", refused_by_first_only=True),
    "pm_test_wrongAmount": Verdict(amount_off_by=1),
    "pm_test_wrongCurrency": Verdict(other_currency=True),
    "pm_test_wrongConversion": Verdict(conversion_off_by=2),
    "pm_test_incrementDeclined": Verdict(increment_declined="insufficient_funds"),
    "pm_test_refundFails": Verdict(refund=RefundCourse.FAILS),
    "pm_test_refundPending": Verdict(refund=RefundCourse.PENDS_THEN_SUCCEEDS),
    "pm_test_refundPendingFails": Verdict(refund=RefundCourse.PENDS_THEN_FAILS),
    "pm_test_timeout": Verdict(),
    "pm_test_slow": Verdict(),
    "pm_test_dropAfterCharge": Verdict(),
    "pm_test_error500": Verdict(),
    "pm_test_error500AfterCharge": Verdict(),
    "pm_test_flaky": Verdict(),
}
"""Every payment method the providers know; any other is refused as `payment_method_unknown`."""

DESTINATIONS: dict[str, Verdict] = {
    "": Verdict(),
    "ba_test_instant": Verdict(payout_at_once=True),
    "ba_test_accountClosed": Verdict(payout_at_once=True, payout_fails="account_closed"),
    "ba_test_pendsThenFails": Verdict(payout_fails="could_not_process"),
    "ba_test_returned": Verdict(payout_returns="no_account"),
    "ba_test_wrongAmount": Verdict(amount_off_by=1),
    "ba_test_timeout": Verdict(),
    "ba_test_dropAfterPaying": Verdict(),
    "ba_test_error500": Verdict(),
    "ba_test_error500AfterPaying": Verdict(),
    "ba_test_flaky": Verdict(),
}
"""Every account that a payout can go to; any other is refused as `no_account`. Empty: the one on file."""

_FAULTS_OF_DESTINATIONS = {
    "ba_test_timeout": "pm_test_timeout",
    "ba_test_dropAfterPaying": "pm_test_dropAfterCharge",
    "ba_test_error500": "pm_test_error500",
    "ba_test_error500AfterPaying": "pm_test_error500AfterCharge",
    "ba_test_flaky": "pm_test_flaky",
}


def method_of_destination(destination: str) -> str:
    """The payment method whose faults the network has for payouts to this account; empty: none."""
    return _FAULTS_OF_DESTINATIONS.get(destination, "")


_STEADY_FAULTS: dict[str, Fault] = {
    "pm_test_timeout": Fault(wait_after_s=HELD_ANSWER_S),
    "pm_test_slow": Fault(wait_before_s=SLOW_ANSWER_S),
    "pm_test_dropAfterCharge": Fault(answer=Answer.DROPPED),
    "pm_test_error500": Fault(effect=False, answer=Answer.ERROR_500),
    "pm_test_error500AfterCharge": Fault(answer=Answer.ERROR_500),
}

FLAKY = "pm_test_flaky"

# Out of 100 tries under pm_test_flaky, so many go so; the rest (33) go well.
_FLAKY_MIX: tuple[tuple[int, Answer, bool, bool, bool], ...] = (
    # share, answer, effect reached, waits before the effect, waits after it
    (9, Answer.DROPPED, False, False, False),
    (14, Answer.DROPPED, True, False, False),
    (8, Answer.ERROR_500, False, False, False),
    (12, Answer.ERROR_500, True, False, False),
    (8, Answer.GIVEN, True, True, False),
    (8, Answer.GIVEN, True, False, True),
    (3, Answer.DROPPED, True, True, False),
    (5, Answer.GARBLED, True, False, False),
)
_FLAKY_INQUIRIES_FAILING_PERCENT = 20


def dice(*, seed: int, key: str, number: int, purpose: str) -> int:
    """A reproducible number below 2**32."""
    digest = hashlib.blake2b(f"{seed}|{key}|{number}|{purpose}".encode(), digest_size=4).digest()
    return int.from_bytes(digest)


def fault_of_try(payment_method: str, *, seed: int, key: str, number: int) -> Fault:
    """What the network makes of this key's try with this number (from 0)."""
    if payment_method != FLAKY:
        return _STEADY_FAULTS.get(payment_method, NO_FAULT)
    share = dice(seed=seed, key=key, number=number, purpose="try") % 100
    wait_s = FLAKY_DELAY_MAX_S * (dice(seed=seed, key=key, number=number, purpose="wait") % 1000) / 1000
    for size, answer, effect, before, after in _FLAKY_MIX:
        if share < size:
            return Fault(effect=effect, wait_before_s=wait_s * before, wait_after_s=wait_s * after, answer=answer)
        share -= size
    return NO_FAULT


def fault_of_inquiry(payment_method: str, *, seed: int, key: str, number: int) -> Fault:
    """What the network makes of an inquiry; only a flaky method's are ever disturbed."""
    if payment_method != FLAKY:
        return NO_FAULT
    share = dice(seed=seed, key=key, number=number, purpose="inquiry") % 100
    if share >= _FLAKY_INQUIRIES_FAILING_PERCENT:
        return NO_FAULT
    return Fault(answer=Answer.DROPPED if share % 2 else Answer.ERROR_500)
