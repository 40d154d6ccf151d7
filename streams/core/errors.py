"""What can go wrong, in one place: the exceptions, and the catalogue of errors that callers are answered with.

CoreError
├── StateUnreadable       state bytes of a version that this code does not know: a deployment went backwards
├── InvariantBroken       the fold itself is wrong; stop the partition, never skip
│   └── Unbalanced        postings that do not sum to zero per currency
├── Refused               an input that breaks the contract: put it on records.rejected
└── CommandError          a command that cannot be done now: answer its caller
"""

from __future__ import annotations

import msgspec

from schemas.records import ErrorObject, RejectionReason


class CoreError(Exception):
    """Root of this package's errors."""


class StateUnreadable(CoreError):
    """The state was written by a newer version of this code, or is damaged; deploy the version that wrote it."""


class InvariantBroken(CoreError):
    """Something that can't be true is; the partition must stop, because going on would invent or lose money."""


class Unbalanced(InvariantBroken):
    """Postings that do not sum to zero per currency."""


class Refused(CoreError):
    """An input that breaks the contract. `reason` is the rejection's symbol, `field` the place, `message` has no secrets."""

    def __init__(self, *, reason: RejectionReason, field: str, message: str) -> None:
        super().__init__(message)
        self.reason: RejectionReason = reason
        self.field = field
        self.message = message


class ErrorKind(msgspec.Struct, frozen=True, kw_only=True):
    """One error that a caller can be answered with: Stripe's type and code where Stripe has the word."""

    code: str
    type: str
    http_status: int
    message: str
    """Says what is wrong and what to do; `{names}` are filled in."""
    retryable: bool = False
    """Whether the same wish can succeed later."""
    said: str = ""
    """The code that callers see, where several errors share Stripe's word for them; empty: `code`."""


_INVALID = "invalid_request_error"

_KINDS = (
    ErrorKind(
        code="payment_intent_unexpected_state",
        type=_INVALID,
        http_status=400,
        message="This payment is {status}{why}, so it cannot be asked to {wish}. What is allowed now: {allowed}.",
    ),
    ErrorKind(
        code="resource_missing",
        type=_INVALID,
        http_status=404,
        message="There is no payment {payment_id}. Check the id, and that it belongs to this tenant.",
    ),
    ErrorKind(
        code="amount_too_large",
        type=_INVALID,
        http_status=400,
        message="{asked} is more than the {left} that is left to {wish}. Ask for at most that much.",
    ),
    ErrorKind(
        code="amount_too_small",
        type=_INVALID,
        http_status=400,
        message="{authorized} is authorised already. Ask for the whole new amount, which has to be more.",
    ),
    ErrorKind(
        code="increment_too_late",
        type=_INVALID,
        http_status=400,
        message="A part of this payment was captured, so its authorisation can't be raised. Capture the rest, and create a new payment.",
    ),
    ErrorKind(
        code="increment_limit",
        type=_INVALID,
        http_status=400,
        message="This authorisation was raised {limit} times, the most it can be. Create a new payment for what is missing.",
    ),
    ErrorKind(
        code="charge_already_refunded",
        type=_INVALID,
        http_status=400,
        message="All of this payment is refunded or being refunded. If a refund fails, its amount can be refunded again.",
    ),
    ErrorKind(
        code="charge_disputed",
        type=_INVALID,
        http_status=400,
        message="What is left of this payment was taken back for a dispute. If the dispute is won, it can be refunded.",
    ),
    ErrorKind(
        code="capture_limit",
        type=_INVALID,
        http_status=400,
        message="This payment was captured in {limit} parts, the most it can be. Capture the rest with final_capture.",
    ),
    ErrorKind(
        code="nothing_to_update",
        type=_INVALID,
        http_status=400,
        message="There is nothing to update. Send what is to be changed, such as an amount or metadata.",
    ),
    ErrorKind(
        code="payment_attempted",
        type=_INVALID,
        http_status=400,
        message="This payment was attempted already, so its currency and capture method stay. Create a new payment.",
    ),
    ErrorKind(
        code="charge_missing",
        type=_INVALID,
        http_status=404,
        message="This payment has no charge {object_id}. Check the id.",
    ),
    ErrorKind(
        code="refund_missing",
        type=_INVALID,
        http_status=404,
        message="This payment has no refund {object_id}. Check the id.",
    ),
    ErrorKind(
        code="dispute_missing",
        type=_INVALID,
        http_status=404,
        message="This payment has no dispute {object_id}. Check the id.",
    ),
    ErrorKind(
        code="dispute_busy",
        type="idempotency_error",
        http_status=409,
        message="The provider has not answered yet to what was asked about this dispute. Retry in a moment.",
        retryable=True,
    ),
    ErrorKind(
        code="dispute_unexpected_state",
        type=_INVALID,
        http_status=400,
        message="This dispute is {status}, so it can't {wish}. Evidence is taken while it needs a response.",
    ),
    ErrorKind(
        code="evidence_missing",
        type=_INVALID,
        http_status=400,
        message="There is no evidence to submit. Send at least one text of evidence.",
    ),
    ErrorKind(
        code="dispute_request_refused",
        type=_INVALID,
        http_status=400,
        message="The provider refused this, and the dispute stands as it did. Check its status and when evidence was due.",
    ),
    ErrorKind(
        code="operator_needed",
        type=_INVALID,
        http_status=403,
        message="Only an operator may ask for this, under a name of their own.",
    ),
    ErrorKind(
        code="reason_missing",
        type=_INVALID,
        http_status=400,
        message="Say why: what an operator asks for needs a reason.",
    ),
    ErrorKind(
        code="nothing_to_inquire",
        type=_INVALID,
        http_status=400,
        message="There is nothing to ask the provider about {object_id}: {why}. Name a charge or refund that is under way or in doubt.",
    ),
    ErrorKind(
        code="resolution_not_possible",
        type=_INVALID,
        http_status=400,
        message="It can't be resolved as {resolution}: {why}.",
    ),
    ErrorKind(
        code="proposal_missing",
        type=_INVALID,
        http_status=404,
        message="This payment has no open proposal {object_id}. It may be approved already, or another took its place.",
    ),
    ErrorKind(
        code="approval_by_proposer",
        type=_INVALID,
        http_status=403,
        message="Another operator has to approve than the one who proposed.",
    ),
    ErrorKind(
        code="refund_limit",
        type=_INVALID,
        http_status=400,
        message="This payment has {limit} refunds, the most it can have. Pay the rest back outside of it.",
    ),
    ErrorKind(
        code="payment_attempt_limit",
        type=_INVALID,
        http_status=400,
        message="This payment was attempted {limit} times, the most it can be. Create a new payment.",
    ),
    ErrorKind(
        code="parameter_missing",
        type=_INVALID,
        http_status=400,
        message="A payment method is needed to confirm. Send payment_method with a token.",
    ),
    ErrorKind(code="parameter_invalid", type=_INVALID, http_status=400, message="{detail}"),
    ErrorKind(code="amount_invalid", type=_INVALID, http_status=400, message="{detail}"),
    ErrorKind(code="currency_unknown", type=_INVALID, http_status=400, message="{detail}"),
    ErrorKind(code="card_number_refused", type=_INVALID, http_status=400, message="{detail}"),
    ErrorKind(code="secret_refused", type=_INVALID, http_status=400, message="{detail}"),
    ErrorKind(code="account_invalid", type=_INVALID, http_status=403, message="{detail}"),
    ErrorKind(
        code="idempotency_error",
        type="idempotency_error",
        http_status=400,
        message="This idempotency key was used with other parameters. Use a new key for another request.",
    ),
    ErrorKind(
        code="idempotency_key_in_use",
        type="idempotency_error",
        http_status=409,
        message="The first request with this idempotency key is still running. Retry in a moment with the same key.",
        retryable=True,
    ),
    ErrorKind(
        code="card_declined",
        type="card_error",
        http_status=402,
        message="The issuer declined the payment. Confirm again with another payment method.",
    ),
    ErrorKind(
        code="processing_error",
        type="card_error",
        http_status=402,
        message="No provider would take the payment, and nothing was charged. Confirm again later or with another payment method.",
        retryable=True,
    ),
    ErrorKind(
        code="no_route",
        type="api_error",
        http_status=503,
        message="No provider is available for this payment, and nothing was charged. Confirm again later with a new idempotency key.",
        retryable=True,
    ),
    ErrorKind(
        code="capture_failed",
        type="card_error",
        http_status=402,
        message="The provider refused the capture; the authorisation still stands. Capture again or cancel.",
        retryable=True,
    ),
    ErrorKind(
        code="void_failed",
        type="card_error",
        http_status=402,
        message="The provider refused to give the authorisation up, so the payment is not canceled. Cancel again or capture.",
        retryable=True,
    ),
    ErrorKind(
        code="increment_failed",
        type="card_error",
        http_status=402,
        message="The provider did not authorise more; the authorisation stands as it was. Ask again later or capture it.",
        retryable=True,
    ),
    ErrorKind(
        code="canceled_too_late",
        type=_INVALID,
        http_status=400,
        message="The customer had paid before the cancellation reached the provider. Refund the payment instead.",
    ),
    ErrorKind(
        code="object_missing",
        said="resource_missing",
        type=_INVALID,
        http_status=404,
        message="No such {what}. Check the id, and the key that it was made with.",
    ),
    ErrorKind(
        code="payment_method_unexpected_state",
        type=_INVALID,
        http_status=400,
        message="This payment method {why}.",
    ),
    ErrorKind(
        code="payment_method_limit",
        type=_INVALID,
        http_status=400,
        message="This customer has {limit} payment methods, the most there can be. Detach one that is not needed.",
    ),
    ErrorKind(
        code="setup_intent_unexpected_state",
        type=_INVALID,
        http_status=400,
        message="This setup intent is {status}, so it cannot be asked to {wish}.",
    ),
    ErrorKind(
        code="setup_method_missing",
        said="parameter_missing",
        type=_INVALID,
        http_status=400,
        message="A payment method is needed to confirm. Send payment_method.",
    ),
    ErrorKind(
        code="attachment_declined",
        said="card_declined",
        type="card_error",
        http_status=402,
        message="The card was declined, so it was not saved. Use another payment method.",
    ),
    ErrorKind(
        code="setup_declined",
        said="card_declined",
        type="card_error",
        http_status=402,
        message="The card was declined. Confirm again with another payment method.",
    ),
    ErrorKind(
        code="setup_intent_authentication_failure",
        type="card_error",
        http_status=402,
        message="The customer did not do what their bank asked. Confirm again, with this or another payment method.",
    ),
    ErrorKind(
        code="balance_insufficient",
        type=_INVALID,
        http_status=400,
        message="{asked} is more than the {left} {currency} (in minor units) that are settled at {provider} and not paid out yet. Ask for at most that much, or wait for the next settlement window to close.",
        retryable=True,
    ),
    ErrorKind(
        code="payout_not_cancelable",
        type=_INVALID,
        http_status=400,
        message="This payout is {status}. Only a pending payout can be canceled: one that the provider was not asked for yet.",
    ),
    ErrorKind(
        code="payout_inquiry_not_possible",
        said="nothing_to_inquire",
        type=_INVALID,
        http_status=400,
        message="There is nothing to ask the provider about this payout: {why}. Name one that is in transit, or that its provider contradicts.",
    ),
    ErrorKind(
        code="payout_proposal_missing",
        said="proposal_missing",
        type=_INVALID,
        http_status=404,
        message="This payout has no open proposal {proposal}. It may be approved already, or another took its place.",
    ),
)

CATALOGUE: dict[str, ErrorKind] = {kind.code: kind for kind in _KINDS}
"""Every error that a caller can be answered with, by its code."""

_OF_REASON: dict[str, str] = {
    "invalid_amount": "amount_invalid",
    "unknown_currency": "currency_unknown",
    "card_number": "card_number_refused",
    "secret": "secret_refused",
    "unknown_tenant": "account_invalid",
}


class CommandError(CoreError):
    """A command that cannot be done now; `error` and `http_status` are what its caller is answered with."""

    def __init__(self, code: str, *, param: str = "", decline_code: str = "", **names: object) -> None:
        kind = CATALOGUE[code]
        self.http_status = kind.http_status
        self.error = ErrorObject(
            type=kind.type,
            code=kind.said or code,
            message=kind.message.format_map(names),
            param=param,
            decline_code=decline_code,
            retryable=kind.retryable,
        )
        super().__init__(self.error.message)


def of_refusal(refused: Refused) -> CommandError:
    """The answer to a caller whose command was refused."""
    return CommandError(
        _OF_REASON.get(refused.reason, "parameter_invalid"), param=refused.field, detail=refused.message
    )


def last_error_message(code: str) -> str:
    """The words for a payment's `last_error_code`; empty for none."""
    return CATALOGUE[code].message if code else ""
