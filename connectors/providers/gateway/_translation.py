"""Between the records on topics and the seam's operations and outcomes."""

from __future__ import annotations

import hashlib
import time
from typing import cast, get_args

import msgspec

from connectors.providers.base import Notice, Operation, OperationKind, Outcome, OutcomeKind
from connectors.providers.errors import UntranslatableRequest
from schemas import codec, unkept
from schemas.catalogue import PAYMENTS_INPUTS, PROVIDER_REQUESTS, SETTLEMENT_INPUTS
from schemas.errors import DecodingError
from schemas.records import (
    Attribution,
    DisputeStatus,
    PayoutOutcome,
    PayoutRequest,
    PayoutResult,
    ProviderNotice,
    ProviderOperation,
    ProviderOutcome,
    ProviderRequest,
    ProviderResult,
    Rejection,
    RejectionReason,
)

COMPONENT = "gateway"
_INQUIRY = "_inquire_"
"""Between the id of a request and the number of an inquiry about it."""
ID_CHARACTERS_MAX = 255
MESSAGE_CHARACTERS_MAX = 500

_DISPUTE_STATUSES = frozenset(get_args(DisputeStatus))
_KINDS = {kind.value: kind for kind in OperationKind if kind is not OperationKind.PAYOUT}
"""What payments ask for."""

_PAYOUT_OUTCOMES: dict[OutcomeKind, PayoutOutcome] = {
    OutcomeKind.PAYOUT_IN_TRANSIT: "in_transit",
    OutcomeKind.PAID_OUT: "paid",
    OutcomeKind.PAYOUT_FAILED: "failed",
    OutcomeKind.DECLINED: "failed",
    OutcomeKind.REFUSED: "failed",
    OutcomeKind.UNKNOWN: "unknown",
    OutcomeKind.INTEGRITY_FAILURE: "integrity_failure",
}


def now_ms() -> int:
    """Wall-clock time, ms since the epoch, UTC. The gateway reports when it saw something; it decides nothing by it but to give up."""
    return time.time_ns() // 1_000_000


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it was read: where from, its bytes, and what it asks."""

    key: bytes
    value: bytes
    made_ms: int
    request: ProviderRequest
    operation: Operation
    payout: PayoutRequest | None = None
    """The payout that is asked for; `request` then only names it. None: it is about a payment."""
    about: ProviderRequest | None = None
    """The earlier request that an inquiry asks about; results and operation are that one's. None: it is no inquiry."""


def read(*, key: bytes | None, value: bytes | None, timestamp_ms: int) -> Asked:
    """The request that a record holds. Raises `DecodingError` or `UntranslatableRequest`."""
    request = codec.decode(value, expected=PROVIDER_REQUESTS.records)
    assert value is not None
    if isinstance(request, PayoutRequest):
        return _read_payout(request, key=key, value=value, timestamp_ms=timestamp_ms)
    assert isinstance(request, ProviderRequest)
    if key != f"{request.tenant}/{request.payment_id}".encode():
        raise UntranslatableRequest("wrong_key", "the key is not tenant/payment_id; key the record so")
    about = _asked_about(request) if request.operation == "inquire" else None
    return Asked(
        key=key,
        value=value,
        made_ms=max(request.requested_ms, timestamp_ms),
        request=request,
        operation=operation_of(about or request),
        about=about,
    )


def _read_payout(request: PayoutRequest, *, key: bytes | None, value: bytes, timestamp_ms: int) -> Asked:
    if key != f"{request.tenant}/{request.payout_id}".encode():
        raise UntranslatableRequest("wrong_key", "the key is not tenant/payout_id; key the record so")
    _check_id(request.request_id)
    if request.amount_minor <= 0:
        raise UntranslatableRequest("invalid_amount", f"amount_minor {request.amount_minor} is not positive")
    if request.inquiry < 0:
        raise UntranslatableRequest("invalid_field", f"inquiry {request.inquiry} is negative")
    asked_about = ProviderRequest(
        request_id=request.request_id,
        tenant=request.tenant,
        payment_id=request.payout_id,
        object_id=request.payout_id,
        provider=request.provider,
        amount_minor=request.amount_minor,
        currency=request.currency,
        attribution=request.attribution,
    )
    operation = Operation(
        kind=OperationKind.PAYOUT,
        idempotency_key=request.request_id,
        payment_reference=f"{request.tenant}/{request.payout_id}",
        amount_minor=request.amount_minor,
        currency=request.currency,
        destination=request.destination or None,
    )
    named = asked_about
    if request.inquiry:
        # Its own name among what is pending; at the provider it has none.
        own_id = f"{request.request_id}{_INQUIRY}{request.inquiry}"
        _check_id(own_id)
        named = msgspec.structs.replace(asked_about, request_id=own_id)
    return Asked(
        key=key,
        value=value,
        made_ms=max(request.requested_ms, timestamp_ms),
        request=named,
        operation=operation,
        payout=request,
        about=asked_about if request.inquiry else None,
    )


def _check_id(request_id: str) -> None:
    if not 0 < len(request_id) <= ID_CHARACTERS_MAX or not request_id.isprintable():
        raise UntranslatableRequest(
            "invalid_field", f"request_id must have 1 to {ID_CHARACTERS_MAX} printable characters"
        )


def _asked_about(inquiry: ProviderRequest) -> ProviderRequest:
    """The request whose id an inquiry's begins with. Raises `UntranslatableRequest`."""
    about, found, _ = inquiry.request_id.rpartition(_INQUIRY)
    operation = about[len(inquiry.object_id) + 1 :].rpartition("_")[0]
    if not found or not inquiry.object_id or not about.startswith(f"{inquiry.object_id}_") or operation not in _KINDS:
        message = "an inquiry's request_id is that of the request that it asks about, _inquire_ and a number"
        raise UntranslatableRequest("invalid_field", message)
    return msgspec.structs.replace(inquiry, request_id=about, operation=cast("ProviderOperation", operation))


def operation_of(request: ProviderRequest) -> Operation:
    """What a request asks a provider for. Raises `UntranslatableRequest`."""
    kind = _KINDS.get(request.operation)
    if kind is None:
        raise UntranslatableRequest("invalid_field", f"operation {request.operation!r} is none of {', '.join(_KINDS)}")
    _check_id(request.request_id)
    if request.amount_minor < 0 or (request.amount_minor == 0 and kind is not OperationKind.VOID):
        raise UntranslatableRequest("invalid_amount", f"amount_minor {request.amount_minor} is not positive")
    if kind is not OperationKind.AUTHORIZE and not request.provider_reference:
        raise UntranslatableRequest("invalid_field", f"{kind} needs the provider_reference of what it follows up")
    return Operation(
        kind=kind,
        idempotency_key=request.request_id,
        payment_reference=f"{request.tenant}/{request.payment_id}",
        amount_minor=request.amount_minor,
        currency=request.currency,
        payment_method=request.payment_method if kind is OperationKind.AUTHORIZE else None,
        capture=request.capture,
        charge_reference=request.provider_reference or None,
        final_capture=request.final_capture,
        evidence=request.evidence,
        settlement_currency=request.settlement_currency or None,
    )


def result(request: ProviderRequest, outcome: Outcome, *, inquiries: int) -> bytes:
    """The encoded `ProviderResult` that tells an outcome; caused by the provider, under the request's own attribution."""
    return codec.encode(
        ProviderResult(
            tenant=request.tenant,
            payment_id=request.payment_id,
            request_id=request.request_id,
            object_id=request.object_id,
            provider=request.provider,
            operation=request.operation,
            outcome=cast("ProviderOutcome", outcome.kind.value),
            amount_minor=outcome.amount_minor or 0,
            currency=outcome.currency or "",
            provider_reference=outcome.reference or "",
            decline_code=outcome.code or "",
            decline_kind=outcome.decline_kind.value if outcome.decline_kind else "none",
            settlement_amount_minor=outcome.settlement_amount_minor or 0,
            settlement_currency=outcome.settlement_currency or "",
            fx_rate=outcome.fx_rate or "",
            message=(outcome.message or "")[:MESSAGE_CHARACTERS_MAX],
            provider_fee_minor=outcome.fee_minor or 0,
            action_url=outcome.action_url or "",
            inquiries=inquiries,
            observed_ms=now_ms(),
            attribution=Attribution(
                actor_kind="provider",
                actor_id=request.provider,
                on_behalf_of=request.attribution.on_behalf_of,
                request_id=request.attribution.request_id,
                idempotency_key=request.attribution.idempotency_key,
                traceparent=request.attribution.traceparent,
            ),
        )
    )


def payout_result(request: PayoutRequest, outcome: Outcome) -> tuple[bytes, bytes]:
    """Key and encoded `PayoutResult` that tells an outcome; caused by the provider, under the request's own attribution."""
    who = request.attribution
    return _flow(request), codec.encode(
        PayoutResult(
            tenant=request.tenant,
            provider=request.provider,
            currency=request.currency,
            payout_id=request.payout_id,
            request_id=request.request_id,
            outcome=_PAYOUT_OUTCOMES.get(outcome.kind, "unknown"),
            amount_minor=outcome.amount_minor or 0,
            provider_reference=outcome.reference or "",
            failure_code=outcome.code or "",
            message=(outcome.message or "")[:MESSAGE_CHARACTERS_MAX],
            observed_ms=now_ms(),
            attribution=Attribution(
                actor_kind="provider",
                actor_id=request.provider,
                on_behalf_of=who.on_behalf_of or request.tenant,
                request_id=who.request_id,
                idempotency_key=who.idempotency_key,
                traceparent=who.traceparent,
            ),
        )
    )


def _flow(of: PayoutRequest | PayoutResult) -> bytes:
    return f"{of.tenant}/{of.provider}/{of.currency}".encode()


def _payout_notice(provider: str, told: Notice) -> tuple[str, bytes, bytes]:
    tenant, _, payout_id = told.payment_reference.partition("/")
    result = PayoutResult(
        tenant=tenant,
        provider=provider,
        currency=told.currency,
        payout_id=payout_id,
        request_id=told.notice_id,
        outcome="failed" if told.status == "failed" else "unrecognized",
        amount_minor=told.amount_minor,
        provider_reference=told.payout,
        failure_code=told.reason[:MESSAGE_CHARACTERS_MAX],
        observed_ms=now_ms(),
        attribution=Attribution(
            actor_kind="provider", actor_id=provider, on_behalf_of=tenant, request_id=told.notice_id
        ),
    )
    return SETTLEMENT_INPUTS.name, _flow(result), codec.encode(result)


def notice(provider: str, told: Notice) -> tuple[str, bytes, bytes]:
    """Topic, key and encoded record of what a provider told. What can't be read as one is refused by whoever reads it."""
    if told.payout:
        return _payout_notice(provider, told)
    tenant, _, payment_id = told.payment_reference.partition("/")
    value = codec.encode(
        ProviderNotice(
            tenant=tenant,
            payment_id=payment_id,
            provider=provider,
            notice_id=told.notice_id,
            kind="dispute",
            sequence=told.sequence,
            charge_reference=told.charge,
            dispute_reference=told.dispute,
            dispute_status=cast("DisputeStatus", told.status) if told.status in _DISPUTE_STATUSES else "unrecognized",
            amount_minor=told.amount_minor,
            currency=told.currency,
            withdrawn_minor=told.withdrawn_minor,
            provider_fee_minor=told.fee_minor,
            reason=told.reason[:MESSAGE_CHARACTERS_MAX],
            evidence_due_ms=told.evidence_due_ms,
            occurred_ms=told.occurred_ms,
            observed_ms=now_ms(),
            attribution=Attribution(
                actor_kind="provider", actor_id=provider, on_behalf_of=tenant, request_id=told.notice_id
            ),
        )
    )
    return PAYMENTS_INPUTS.name, told.payment_reference.encode(), value


def rejection(
    error: DecodingError | UntranslatableRequest,
    *,
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    key: bytes | None,
    value: bytes | None,
) -> bytes:
    """The encoded `Rejection` of a record that holds no usable request; without what looks like a card number or a secret."""
    reason = error.reason if isinstance(error, DecodingError) else error.code
    return codec.encode(
        Rejection(
            source_topic=topic,
            source_partition=partition,
            source_offset=offset,
            source_timestamp_ms=timestamp_ms,
            key=None if unkept.holds(key) else key,
            value=None if unkept.holds(value) else value,
            value_sha256=hashlib.sha256(value or b"").hexdigest(),
            reason=cast("RejectionReason", reason),  # the codec refuses any other
            message=unkept.masked(str(error))[:MESSAGE_CHARACTERS_MAX],
            component=COMPONENT,
        )
    )
