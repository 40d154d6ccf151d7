"""Money that a provider converts: its rate and amount are facts, held against each other once and never computed again.

What a converted charge came to is split over its refunds and disputes by the share of the charge that each takes, so that
parts add up to the whole, to the minor unit, whatever the rounding.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from schemas.currencies import AMOUNT_MINOR_MAX, EXPONENTS
from schemas.records import FxFact, ProviderOperation, ProviderResult
from streams.core.fees import share_minor
from streams.core.state import Attempt, Conversion, TenantState

RATE_DIGITS_MAX = 12
"""Of a rate, before and after its point together: enough for any pair of currencies, and too few for a card number."""
_RATE = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,11}))?")

CONVERTED: tuple[ProviderOperation, ...] = ("authorize", "capture", "refund")
"""What a provider is asked to convert."""


def wanted(tenant: TenantState | None, currency: str) -> Conversion | None:
    """What a new attempt in this currency asks of its provider; None when it is to settle as it is."""
    if tenant is None or not tenant.settlement_currency or tenant.settlement_currency == currency:
        return None
    return Conversion(tenant.settlement_currency)


def asked_currency(attempt: Attempt | None, operation: ProviderOperation) -> str:
    """The currency that a request about this attempt asks to settle in; empty for the payment's own."""
    if attempt is None or attempt.conversion is None or operation not in CONVERTED:
        return ""
    return attempt.conversion.currency


def of(attempt: Attempt | None) -> Conversion | None:
    """The conversion that the attempt's money came through; None where nothing of it was converted."""
    if attempt is None or attempt.conversion is None or not attempt.conversion.rate:
        return None
    return attempt.conversion


def is_rate(text: str) -> bool:
    """Whether it is a decimal number above zero of at most `RATE_DIGITS_MAX` digits."""
    return _parts(text) is not None


def _parts(text: str) -> tuple[int, int] | None:
    """A rate as a whole number and how many of its digits are decimals."""
    match = _RATE.fullmatch(text)
    if match is None:
        return None
    whole, decimals = match[1], match[2] or ""
    number = int(whole + decimals)
    return (number, len(decimals)) if number and len(whole) + len(decimals) <= RATE_DIGITS_MAX else None


def agree(*, from_minor: int, from_currency: str, to_minor: int, to_currency: str, rate: str) -> bool:
    """Whether an amount is another one at this rate, rounded in whichever way: less than one minor unit apart."""
    parts = _parts(rate)
    if parts is None or from_currency not in EXPONENTS or to_currency not in EXPONENTS:
        return False
    number, decimals = parts
    exact: int = from_minor * number * 10 ** EXPONENTS[to_currency]
    unit: int = 10 ** (EXPONENTS[from_currency] + decimals)
    return abs(to_minor * unit - exact) < unit


def fits(result: ProviderResult, attempt: Attempt) -> bool:
    """
    Whether what a provider says of a conversion can be right.

    A provider that can't convert says nothing of one, and the charge settles in its own currency; then all of it does. Of
    a charge that it has converted, every capture and refund is.
    """
    conversion = attempt.conversion
    stated = result.settlement_currency
    if not stated:
        if result.settlement_amount_minor or result.fx_rate:
            return False
        if conversion is None:
            return True
        return result.outcome == "authorized" or of(attempt) is None or attempt.status in ("stray", "reversed")
    return (
        conversion is not None
        and stated == conversion.currency
        and stated != result.currency
        and 0 <= result.settlement_amount_minor <= AMOUNT_MINOR_MAX
        and agree(
            from_minor=result.amount_minor,
            from_currency=result.currency,
            to_minor=result.settlement_amount_minor,
            to_currency=stated,
            rate=result.fx_rate,
        )
    )


def fact(result: ProviderResult) -> FxFact | None:
    """The conversion that a result tells of, as events tell of it."""
    if not result.settlement_currency:
        return None
    return FxFact(
        from_minor=result.amount_minor,
        from_currency=result.currency,
        to_minor=result.settlement_amount_minor,
        to_currency=result.settlement_currency,
        rate=result.fx_rate,
    )


def captured(result: ProviderResult, attempt: Attempt, conversion: Conversion) -> tuple[Conversion | None, int]:
    """
    The attempt's conversion after a capture, and what that capture came to in the currency that it settles in.

    Operators who find out that something was captured know no rate: then that of earlier captures holds, and without any
    the charge settles in its own currency.
    """
    if result.settlement_currency:
        settled_minor, rate = result.settlement_amount_minor, result.fx_rate
    elif conversion.rate:
        settled_minor, rate = (
            share_minor(conversion.settled_minor, result.amount_minor, attempt.captured_minor),
            conversion.rate,
        )
    else:
        return None, result.amount_minor
    return replace(conversion, settled_minor=conversion.settled_minor + settled_minor, rate=rate), settled_minor


def part_minor(conversion: Conversion, *, captured_minor: int, before_minor: int, amount_minor: int) -> int:
    """What `amount_minor` of a charge came to, when `before_minor` of it was taken already."""
    return share_minor(conversion.settled_minor, before_minor + amount_minor, captured_minor) - share_minor(
        conversion.settled_minor, before_minor, captured_minor
    )
