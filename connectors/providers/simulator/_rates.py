"""What simulated providers convert at: a table of rates, moved a little for each operation, in whole numbers throughout.

A rate is a decimal text. The cross rate of two currencies comes from what one euro is worth in each, moved by at most one
per cent either way by a throw of the seeded dice for the operation's idempotency key: a refund's rate is another one than
its charge's, and the same seed gives the same rates again. Amounts are rounded half to even.
"""

from __future__ import annotations

from connectors.providers.simulator._behaviour import dice
from schemas.currencies import AMOUNT_MINOR_MAX, EXPONENTS

CONVERTING = frozenset({"northpay"})
"""Providers that convert; the others settle every charge in its own currency."""
PER_EURO: dict[str, str] = {
    "EUR": "1",
    "AUD": "1.6400",
    "BHD": "0.4090",
    "CAD": "1.4750",
    "CHF": "0.9390",
    "GBP": "0.8430",
    "JPY": "162.40",
    "KRW": "1478.5",
    "KWD": "0.3330",
    "SEK": "11.320",
    "USD": "1.0850",
}
"""What one euro is worth; charges in any other currency are not converted."""
MOVE_BASIS_POINTS_MAX = 100

_DECIMALS = 8
_ONE = 10**_DECIMALS
_BASIS_POINTS = 10_000


def rate(*, seed: int, key: str, currency: str, to: str) -> str:
    """What one unit of `currency` comes to in `to` for the operation under that key, such as '1.08249876'."""
    moved = dice(seed=seed, key=key, number=0, purpose="rate") % (2 * MOVE_BASIS_POINTS_MAX + 1) - MOVE_BASIS_POINTS_MAX
    number = _scaled(PER_EURO[to]) * _ONE * (_BASIS_POINTS + moved) // (_scaled(PER_EURO[currency]) * _BASIS_POINTS)
    whole, fraction = divmod(number, _ONE)
    return f"{whole}.{fraction:0{_DECIMALS}d}"


def convertible(provider: str, *, currency: str, to: str) -> bool:
    """Whether the provider converts from one currency to the other."""
    return provider in CONVERTING and currency != to and currency in PER_EURO and to in PER_EURO


def converted_minor(amount_minor: int, *, currency: str, to: str, rate: str) -> int:
    """The amount in minor units of `to`, rounded half to even, at most the largest that an amount can be."""
    number = _scaled(rate) * amount_minor * 10 ** EXPONENTS[to]
    unit = _ONE * 10 ** EXPONENTS[currency]
    quotient, rest = divmod(number, unit)
    rounded = quotient + (2 * rest > unit or (2 * rest == unit and quotient % 2))
    return min(AMOUNT_MINOR_MAX, int(rounded))


def _scaled(text: str) -> int:
    """A decimal text of at most eight decimals as a whole number of the last of them."""
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(_DECIMALS, "0"))
