"""What can be asked: each endpoint's parameters, the scope that it needs, and the command that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from api.http.errors import InvalidRequest, NotFound, ParameterInvalid, ParameterMissing
from api.http.parameters import Boolean, Field, Integer, Object, Spec, Text, TextMap, Texts
from schemas.currencies import AMOUNT_MINOR_MAX, EXPONENTS
from schemas.ids import is_payment_id, payment_id, payment_of_charge
from schemas.records import CaptureMethod, PaymentCommand

DESCRIPTION_CHARS_MAX = 1_000

_AMOUNT = Integer(least=1, most=AMOUNT_MINOR_MAX)
_LATER = """
application_fee_amount confirmation_token error_on_requires_action excluded_payment_method_types level3 mandate mandate_data off_session
on_behalf_of payment_method_configuration payment_method_data payment_method_options radar_options receipt_email return_url setup_future_usage
shipping statement_descriptor statement_descriptor_suffix transfer_data transfer_group use_stripe_sdk capture_method
customer description metadata payment_method_types currency refund_application_fee reverse_transfer instructions_email
origin
"""
_NOT_YET = dict.fromkeys(_LATER.split(), "Stripe has it; it is not supported here, so leave it out.")

EXPAND: dict[str, Field] = {"expand": Texts()}
"""Taken by everything that answers with an object."""
_METHOD_TYPES: dict[str, Field] = {"payment_method_types": Texts(), "allowed_payment_method_types": Texts()}

_FOR_LATER: dict[str, Field] = {
    "setup_future_usage": Text(choices=("off_session", "on_session")),
    "off_session": Boolean(),
}


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A POST under /v1: path, what it takes, what the key needs, and what it asks of the payment."""

    path: str
    object: str
    """What it is about, and what it answers with."""
    scope: str
    spec: Spec
    command: Callable[[str, str, str, dict[str, Any]], PaymentCommand]
    """Of tenant, the id in the path (empty where there is none), idempotency key and checked parameters."""
    settles: bool = True
    """Whether a payment that is still `processing` when the deadline passes is an answer."""


def _of_path(identity: str) -> str:
    if not is_payment_id(identity):
        raise NotFound("payment_intent", param="intent")
    return identity


def _create(tenant: str, _identity: str, key: str, given: dict[str, Any]) -> PaymentCommand:
    currency = known_currency(given["currency"])
    for name in _METHOD_TYPES:
        if given.get(name) and given[name] != ["card"]:
            raise ParameterInvalid(f"{name} can only be card.", param=name)
    confirm = bool(given.get("confirm"))
    if confirm and not given.get("payment_method"):
        raise ParameterMissing("payment_method", why="It is needed to confirm.")
    return PaymentCommand(
        tenant=tenant,
        payment_id=payment_id(tenant, key),
        kind="create",
        amount_minor=given["amount"],
        currency=currency,
        payment_method=given.get("payment_method") or "",
        capture_method=capture_method(given.get("capture_method")),
        confirm=confirm,
        customer=given.get("customer") or "",
        description=given.get("description") or "",
        metadata={name: text for name, text in given.get("metadata", {}).items() if text is not None},
        **_for_later(given),
    )


def _for_later(given: dict[str, Any]) -> dict[str, Any]:
    """Whether the method is to be saved, and whether the customer is away."""
    return {
        "setup_future_usage": given.get("setup_future_usage") or "",
        "off_session": bool(given.get("off_session")),
    }


def _update(tenant: str, identity: str, _key: str, given: dict[str, Any]) -> PaymentCommand:
    return PaymentCommand(
        tenant=tenant,
        payment_id=_of_path(identity),
        kind="update",
        amount_minor=given.get("amount"),
        payment_method=given.get("payment_method") or "",
        # What can't be empty is as if it were not there.
        given=tuple(name for name in _CHANGEABLE if name in given and (given[name] or name in _CLEARABLE)),
        currency=known_currency(given["currency"]) if given.get("currency") else "",
        capture_method=capture_method(given.get("capture_method")),
        customer=given.get("customer") or "",
        description=given.get("description") or "",
        metadata=told(given.get("metadata", {})),
    )


_CHANGEABLE = ("capture_method", "currency", "customer", "description", "metadata")
_CLEARABLE = ("customer", "description", "metadata")


def told(texts: Mapping[str, str | None]) -> dict[str, str]:
    """Names and texts as a command tells of changes: what is to be removed is empty."""
    return {name: text or "" for name, text in texts.items()}


def capture_method(given: str | None) -> CaptureMethod:
    """In our words."""
    return "manual" if given == "manual" else "automatic"


def known_currency(given: str) -> str:
    """The currency in upper case. Raises `ParameterInvalid`."""
    if given != given.lower() or given.upper() not in EXPONENTS:
        raise ParameterInvalid("currency must be an ISO 4217 code in lower case, such as eur.", param="currency")
    return given.upper()


def _confirm(tenant: str, identity: str, _key: str, given: dict[str, Any]) -> PaymentCommand:
    method = given.get("payment_method") or ""
    return PaymentCommand(
        tenant=tenant,
        payment_id=_of_path(identity),
        kind="confirm",
        payment_method=method,
        **_for_later(given),
    )


def _increment(tenant: str, identity: str, _key: str, given: dict[str, Any]) -> PaymentCommand:
    return PaymentCommand(tenant=tenant, payment_id=_of_path(identity), kind="increment", amount_minor=given["amount"])


def _capture(tenant: str, identity: str, _key: str, given: dict[str, Any]) -> PaymentCommand:
    final = given.get("final_capture")
    return PaymentCommand(
        tenant=tenant,
        payment_id=_of_path(identity),
        kind="capture",
        amount_minor=given.get("amount_to_capture"),
        final_capture=True if final is None else final,
    )


def _cancel(tenant: str, identity: str, _key: str, given: dict[str, Any]) -> PaymentCommand:
    reason = given.get("cancellation_reason") or ""
    return PaymentCommand(tenant=tenant, payment_id=_of_path(identity), kind="cancel", reason=reason)


def _refund(tenant: str, _identity: str, _key: str, given: dict[str, Any]) -> PaymentCommand:
    intent, charge = given.get("payment_intent"), given.get("charge")
    if (intent is None) == (charge is None):
        raise InvalidRequest("Send one of payment_intent and charge.", param="payment_intent", code="parameter_missing")
    payment = intent if intent is not None else payment_of_charge(str(charge))
    if not is_payment_id(payment):
        raise NotFound(
            "charge" if intent is None else "payment_intent", param="charge" if intent is None else "payment_intent"
        )
    return PaymentCommand(
        tenant=tenant,
        payment_id=payment,
        kind="refund",
        amount_minor=given.get("amount"),
        reason=given.get("reason") or "",
        metadata={name: text for name, text in given.get("metadata", {}).items() if text is not None},
    )


_INTENTS = "/v1/payment_intents"
_WRITE = "payment_intents:write"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        path=_INTENTS,
        object="payment_intent",
        scope=_WRITE,
        command=_create,
        spec=Spec(
            fields={
                "amount": Integer(least=1, most=AMOUNT_MINOR_MAX, required=True),
                "currency": Text(chars_max=3, required=True),
                "confirm": Boolean(),
                "payment_method": Text(),
                "capture_method": Text(choices=("automatic", "automatic_async", "manual")),
                "confirmation_method": Text(choices=("automatic",)),
                "automatic_payment_methods": Object(
                    fields={"enabled": Boolean(required=True), "allow_redirects": Text(choices=("always", "never"))}
                ),
                "customer": Text(),
                "description": Text(chars_max=DESCRIPTION_CHARS_MAX),
                "metadata": TextMap(),
                **_FOR_LATER,
                **_METHOD_TYPES,
                **EXPAND,
            },
            elsewhere=_NOT_YET,
        ),
    ),
    Endpoint(
        path=_INTENTS + "/{id}",
        object="payment_intent",
        scope=_WRITE,
        command=_update,
        spec=Spec(
            fields={
                "amount": _AMOUNT,
                "payment_method": Text(),
                "capture_method": Text(choices=("automatic", "automatic_async", "manual")),
                "currency": Text(chars_max=3),
                "customer": Text(),
                "description": Text(chars_max=DESCRIPTION_CHARS_MAX),
                "metadata": TextMap(),
                **EXPAND,
            },
            elsewhere=_NOT_YET,
        ),
    ),
    Endpoint(
        path=_INTENTS + "/{id}/confirm",
        object="payment_intent",
        scope=_WRITE,
        command=_confirm,
        spec=Spec(
            fields={"client_secret": Text(), "payment_method": Text(), **_FOR_LATER, **EXPAND}, elsewhere=_NOT_YET
        ),
    ),
    Endpoint(
        path=_INTENTS + "/{id}/capture",
        object="payment_intent",
        scope=_WRITE,
        command=_capture,
        spec=Spec(fields={"amount_to_capture": _AMOUNT, "final_capture": Boolean(), **EXPAND}, elsewhere=_NOT_YET),
    ),
    Endpoint(
        path=_INTENTS + "/{id}/increment_authorization",
        object="payment_intent",
        scope=_WRITE,
        command=_increment,
        spec=Spec(
            fields={"amount": Integer(least=1, most=AMOUNT_MINOR_MAX, required=True), **EXPAND}, elsewhere=_NOT_YET
        ),
    ),
    Endpoint(
        path=_INTENTS + "/{id}/cancel",
        object="payment_intent",
        scope=_WRITE,
        command=_cancel,
        spec=Spec(
            fields={
                "cancellation_reason": Text(choices=("duplicate", "fraudulent", "requested_by_customer", "abandoned")),
                **EXPAND,
            },
            elsewhere=_NOT_YET,
        ),
    ),
    Endpoint(
        path="/v1/refunds",
        object="refund",
        scope="refunds:write",
        command=_refund,
        settles=False,
        spec=Spec(
            fields={
                "payment_intent": Text(),
                "charge": Text(),
                "amount": _AMOUNT,
                "reason": Text(choices=("duplicate", "fraudulent", "requested_by_customer")),
                "metadata": TextMap(),
                **EXPAND,
            },
            elsewhere=_NOT_YET,
        ),
    ),
)
