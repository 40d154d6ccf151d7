"""Why we take what Stripe refuses, or the other way round: the first that fits a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Fits = Callable[[Mapping[str, Any]], bool]


def _code(*codes: str) -> Fits:
    return lambda request: request["code"] in codes


def _sends(name: str) -> Fits:
    return lambda request: any(sent.partition("[")[0] == name for sent, _ in request["sent"])


REASONS: tuple[tuple[Fits, str], ...] = (
    (_sends("allowed_payment_method_types"), "A name of the version endive, which is later than stripe-mock's schema."),
    (
        lambda request: any(name == "api_version" and value.endswith(".endive") for name, value in request["sent"]),
        "The version endive is later than stripe-mock's schema.",
    ),
    (_sends("provider"), "Ours: with several providers a payout says whose money is paid out."),
    (
        lambda request: request["stripe"] == "unknown",
        "Ours: Stripe has no such path.",
    ),
    (_code("card_number_refused"), "A card number is never taken, in no text; the schema says nothing of that."),
    (
        _code("parameter_unknown"),
        "Stripe has it and we do not do it: whoever sends it means something by it, so it is refused rather than ignored.",
    ),
    (
        _code("parameter_missing"),
        "What is needed together with what, or one of two, is not in the schema; Stripe itself refuses it later.",
    ),
    (
        _code("parameter_invalid", "parameter_invalid_integer", "parameter_invalid_string"),
        "Which values there are is not in the schema (currencies, bounds, forms of ids); Stripe itself refuses them later.",
    ),
    (_code("parameter_invalid_string_too_long"), "Stripe's schema does not bound this text; we do."),
)
