"""A tenant's terms as requests give them: fees, windows, reserve and the rest, checked as the folds would."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from api.http import versions
from api.http.errors import ParameterInvalid
from api.http.parameters import Boolean, Field, Integer, Objects, Text
from schemas.currencies import AMOUNT_MINOR_MAX, EXPONENTS
from schemas.records import FeeRule, Tenant

NAME_CHARS_MAX = 200
_DAY_MS = 86_400_000
_CUTOFF = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")

RULES_MAX = 100
"""Of fees, of which the first that fits counts; what the folds take."""
_FEE_RULE: Mapping[str, Field] = {
    "basis_points": Integer(most=10_000),
    "currency": Text(chars_max=3),
    "dispute": Integer(most=AMOUNT_MINOR_MAX),
    "fixed": Integer(most=AMOUNT_MINOR_MAX),
    "payment_method": Text(),
}
SETTINGS: Mapping[str, Field] = {
    "name": Text(chars_max=NAME_CHARS_MAX),
    "timezone": Text(chars_max=64),
    "settlement_cutoff": Text(chars_max=5),
    "settlement_interval_ms": Integer(most=31 * _DAY_MS),
    "settlement_grace_ms": Integer(most=7 * _DAY_MS),
    "fees": Objects(fields=_FEE_RULE, items_max=RULES_MAX),
    "payout_schedule": Text(choices=("manual", "automatic")),
    "payout_delay_ms": Integer(most=31 * _DAY_MS),
    "refund_fees_returned": Boolean(),
    "capture_days": Integer(least=1, most=31),
    "action_hours": Integer(least=1, most=31 * 24),
    "available_delay_ms": Integer(most=31 * _DAY_MS),
    "reserve_basis_points": Integer(most=10_000),
    "reserve_days": Integer(most=366),
    "settlement_currency": Text(chars_max=3),
    "api_version": Text(choices=versions.LIVE),
}
_INTERVAL_MS_MIN = 1_000


def changed(tenant: Tenant, given: Mapping[str, Any]) -> Tenant:
    """The tenant with these terms, checked. What is cleared goes back to what it is where nobody says."""
    fresh = Tenant()
    values = {name: getattr(fresh, name) if given[name] is None else given[name] for name in SETTINGS if name in given}
    if "name" in values:
        values["name"] = given["name"] or tenant.tenant
        if not values["name"].isprintable():
            raise ParameterInvalid("name has characters that can't be printed.", param="name")
    if "timezone" in values and values["timezone"] not in zoneinfo.available_timezones():
        raise ParameterInvalid("timezone must be an IANA name such as Europe/Berlin.", param="timezone")
    if "settlement_cutoff" in values and not _CUTOFF.fullmatch(values["settlement_cutoff"]):
        raise ParameterInvalid("settlement_cutoff must be HH:MM from 00:00 to 23:59.", param="settlement_cutoff")
    if 0 < values.get("settlement_interval_ms", 0) < _INTERVAL_MS_MIN:
        message = f"settlement_interval_ms must be 0 for business days, or at least {_INTERVAL_MS_MIN}."
        raise ParameterInvalid(message, param="settlement_interval_ms")
    if values.get("settlement_currency"):
        values["settlement_currency"] = _currency(values["settlement_currency"], "settlement_currency")
    if "fees" in values:
        values["fees"] = tuple(_fee(rule, f"fees[{number}]") for number, rule in enumerate(given["fees"] or ()))
    after = replace(tenant, **values)
    if after.reserve_basis_points and not after.reserve_days:
        message = "A reserve is kept for 1 to 366 days: say reserve_days too."
        raise ParameterInvalid(message, param="reserve_days")
    return after


def _fee(given: Mapping[str, Any], path: str) -> FeeRule:
    """A rule of what a tenant pays; what it does not say is none, or any."""
    currency = given.get("currency") or ""
    return FeeRule(
        payment_method=given.get("payment_method") or "",
        currency=_currency(currency, f"{path}[currency]") if currency else "",
        basis_points=given.get("basis_points") or 0,
        fixed_minor=given.get("fixed") or 0,
        dispute_minor=given.get("dispute") or 0,
    )


def _currency(given: str, param: str) -> str:
    """In upper case. Raises `ParameterInvalid`."""
    if given != given.lower() or given.upper() not in EXPONENTS:
        raise ParameterInvalid(f"{param} must be an ISO 4217 code in lower case, such as eur.", param=param)
    return given.upper()
