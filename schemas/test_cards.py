"""Cards that providers' test modes know by name: Stripe's tokens, and what each of them stands for.

A token is no secret and no card number. Of one that is not listed nothing is known; it is passed on as it is.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Verification = Literal["passes", "declined", "challenge"]


class TestCard(msgspec.Struct, frozen=True, kw_only=True):
    """What can be known of a card without its number, and how its bank behaves."""

    __test__ = False  # pytest collects what is called Test...

    token: str
    """What the provider knows it by."""
    brand: str
    last4: str
    funding: str = "credit"
    country: str = "US"
    verification: Verification = "passes"
    decline_code: str = ""


EXP_MONTH = 12
EXP_YEAR = 2034
"""Of every test card."""

_VISA, _MASTERCARD, _AMEX = ("visa", "4242"), ("mastercard", "4444"), ("amex", "8431")


def _card(token: str, brand: tuple[str, str], **facts: str) -> TestCard:
    return msgspec.convert({"token": token, "brand": brand[0], "last4": brand[1], **facts}, TestCard)


def _declined(name: str, last4: str, decline_code: str) -> TestCard:
    return _card(f"pm_card_{name}", ("visa", last4), verification="declined", decline_code=decline_code)


_CARDS = (
    _card("pm_card_visa", _VISA),
    _card("pm_card_mastercard", _MASTERCARD),
    _card("pm_card_amex", _AMEX),
    _declined("chargeDeclined", "0002", "card_declined"),
    _declined("chargeDeclinedInsufficientFunds", "9995", "insufficient_funds"),
    _declined("chargeDeclinedExpiredCard", "0069", "expired_card"),
    _declined("chargeDeclinedStolenCard", "9979", "stolen_card"),
    _declined("chargeDeclinedLostCard", "9987", "lost_card"),
    _declined("chargeDeclinedIncorrectCvc", "0127", "incorrect_cvc"),
    _card("pm_card_chargeCustomerFail", ("visa", "0341")),
    _card("pm_card_authenticationRequired", ("visa", "3184"), verification="challenge"),
    _card("pm_card_createDispute", ("visa", "0259")),
    _card("pm_card_createDisputeInquiry", ("visa", "1976")),
)

TEST_CARDS = {card.token: card for card in _CARDS}
"""By what the provider knows them by."""

_SAME = {card.token.replace("pm_card_", "tok_"): card.token for card in _CARDS}


def provider_token(token: str) -> str:
    """What the provider knows a token by: pm_card_visa for tok_visa; any other as it is."""
    return _SAME.get(token, token)


def known(token: str) -> TestCard | None:
    """The test card behind a token; None for a token of no test card."""
    return TEST_CARDS.get(provider_token(token))
