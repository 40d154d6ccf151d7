"""Between the records on topics and the seam's operations and outcomes."""

from __future__ import annotations

import hashlib
import time
from typing import cast, get_args

import msgspec

from connectors.providers.base import Notice, Operation, OperationKind, Outcome
from connectors.providers.errors import UntranslatableRequest
from schemas import codec
from schemas.errors import DecodingError
from schemas.records import (
    Attribution,
    DisputeStatus,
    ProviderNotice,
    ProviderOperation,
    ProviderRequest,
    ProviderResult,
    Rejection,
    RejectionReason,
)

COMPONENT = "gateway"
ID_CHARACTERS_MAX = 255
MESSAGE_CHARACTERS_MAX = 500

_DISPUTE_STATUSES = frozenset(get_args(DisputeStatus))
_KINDS = {kind.value: kind for kind in OperationKind}


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
    about: ProviderRequest | None = None
    """The earlier request that an inquiry asks about; results and operation are that one's. None: it is no inquiry."""


def read(*, key: bytes | None, value: bytes | None, timestamp_ms: int) -> Asked:
    """The request that a record holds. Raises `DecodingError` or `UntranslatableRequest`."""
    request = codec.decode(value, expected=(ProviderRequest,))
    assert isinstance(request, ProviderRequest)
    assert value is not None
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


def _asked_about(inquiry: ProviderRequest) -> ProviderRequest:
    """The request whose id an inquiry's begins with. Raises `UntranslatableRequest`."""
    about, found, _ = inquiry.request_id.rpartition("_inquire_")
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
    if not 0 < len(request.request_id) <= ID_CHARACTERS_MAX or not request.request_id.isprintable():
        raise UntranslatableRequest(
            "invalid_field", f"request_id must have 1 to {ID_CHARACTERS_MAX} printable characters"
        )
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
            outcome=outcome.kind.value,
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


def notice(provider: str, told: Notice) -> tuple[bytes, bytes]:
    """Key and encoded `ProviderNotice` of what a provider told. What can't be read as one is refused by whoever reads it."""
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
    return told.payment_reference.encode(), value


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
    """The encoded `Rejection` of a record that holds no usable request."""
    reason = error.reason if isinstance(error, DecodingError) else error.code
    return codec.encode(
        Rejection(
            source_topic=topic,
            source_partition=partition,
            source_offset=offset,
            source_timestamp_ms=timestamp_ms,
            key=key,
            value=value,
            value_sha256=hashlib.sha256(value or b"").hexdigest(),
            reason=cast("RejectionReason", reason),  # the codec refuses any other
            message=str(error)[:MESSAGE_CHARACTERS_MAX],
            component=COMPONENT,
        )
    )
