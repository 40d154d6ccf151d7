"""Rows of the input log: a command, a provider's word, a change of configuration, in one shape for the audit trail."""

from __future__ import annotations

from connectors.clickhouse.landing import _shapes
from connectors.clickhouse.landing._money import UnlandableRecord
from connectors.clickhouse.landing._parts import Row
from connectors.clickhouse.landing._tables import PAYMENT_INPUTS
from schemas import records
from schemas.currencies import EXPONENTS

_INPUT_DEFAULTS: dict[str, object] = {
    column: {"amount_minor": None, "providers": ()}.get(
        column, 0 if column.endswith(("_minor", "_ms", "_version")) or column in {"inquiries", "exponent"} else ""
    )
    for column in PAYMENT_INPUTS.columns[: PAYMENT_INPUTS.columns.index("actor_kind")]
}


def payment_input(record: records.Record) -> Row:
    """A command, a provider's result or a change of configuration: one shape for the audit trail."""
    given: dict[str, object]
    if isinstance(record, records.PaymentCommand):
        given = {
            "payment_id": record.payment_id,
            "kind": record.kind,
            "amount_minor": record.amount_minor,
            "currency": record.currency,
            "payment_method": record.payment_method,
            "capture_method": record.capture_method if record.kind == "create" else "",
            "reason": record.reason or record.resolution,
            "object_id": record.object_id,
            "correlation_id": record.correlation_id,
        }
    elif isinstance(record, records.ProviderResult):
        given = {
            "payment_id": record.payment_id,
            "kind": record.operation,
            "outcome": record.outcome,
            "amount_minor": record.amount_minor,
            "currency": record.currency,
            "provider": record.provider,
            "object_id": record.object_id,
            "provider_request": record.request_id,
            "provider_reference": record.provider_reference,
            "provider_fee_minor": record.provider_fee_minor,
            "decline_code": record.decline_code,
            "message": record.message,
            "inquiries": record.inquiries,
            "observed_ms": record.observed_ms,
        }
    elif isinstance(record, records.ProviderNotice):
        given = {
            "payment_id": record.payment_id,
            "kind": record.kind,
            "outcome": record.dispute_status,
            "amount_minor": record.amount_minor,
            "currency": record.currency,
            "reason": record.reason,
            "provider": record.provider,
            "object_id": record.dispute_reference,
            "provider_request": record.notice_id,
            "provider_reference": record.charge_reference,
            "provider_fee_minor": record.provider_fee_minor,
            "observed_ms": record.observed_ms,
        }
    elif isinstance(record, records.RoutingUpdate):
        outcome = ("healthy" if record.healthy else "unhealthy") if record.kind == "health" else ""
        given = {
            "kind": record.kind,
            "outcome": outcome,
            "provider": record.provider,
            "policy_version": record.policy_version,
            "providers": record.providers,
        }
    elif isinstance(record, records.Tenant):
        given = {"kind": "tenant", "outcome": record.status, "policy_version": record.version}
    else:
        raise UnlandableRecord("wrong_record", f"{type(record).__name__} has no table")
    given |= {"tenant": record.tenant, "record": type(record).__name__}
    # A command may name a currency that is refused later; who asked for it is kept, with no exponent to compute by.
    given["exponent"] = EXPONENTS.get(str(given.get("currency", "")), 0)
    return (*(_INPUT_DEFAULTS | given).values(), *_shapes.attribution(record))
