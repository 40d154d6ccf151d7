"""Which rows a record must have in the warehouse, and what of them is compared. Written apart from landing on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from schemas import catalogue, records
from schemas.currencies import EXPONENTS


class Expected(NamedTuple):
    """A row that a table must have: values by the SQL expressions that ClickHouse makes the same text from; what is summed, of which currency."""

    table: str
    digest: dict[str, object]
    unit: str = ""
    amount_column: str = ""
    amount: int = 0

    def text(self, offset: int) -> bytes:
        """What is hashed."""
        values = (value if isinstance(value, bytes) else str(value).encode() for value in self.digest.values())
        return b"|".join([*values, b"%d" % offset])


def rows(topic: str, record: records.Record | None, *, key: bytes, value: bytes) -> Iterator[Expected]:
    """The rows of a record; `record` None where its bytes can't be read."""
    if topic == catalogue.IDENTITY_HISTORY.name and record is not None:
        yield _identity_event(record)
    elif isinstance(record, records.PaymentEvent) and _known(
        _currency(record), (*record.postings, *record.balance_transactions)
    ):
        yield from _payment_event(record)
    elif isinstance(record, records.SettlementEvent) and _known(record.currency, record.postings):
        yield from _settlement_event(record)
    elif isinstance(record, records.PayoutEvent) and _known(record.currency, record.postings):
        yield from _payout_event(record)
    elif isinstance(record, records.CustomerEvent):
        yield _customer_event(record)
    elif isinstance(record, records.Rejection):
        yield _rejection(record)
    elif isinstance(record, _INPUTS):
        yield _input(record)
    elif not isinstance(record, records.ClockTick):
        yield Expected("landing_errors", {"key": key, "value": value})


_INPUTS = (
    records.PaymentCommand,
    records.ProviderResult,
    records.ProviderNotice,
    records.RoutingUpdate,
    records.Tenant,
)
_Input = (
    records.PaymentCommand | records.ProviderResult | records.ProviderNotice | records.RoutingUpdate | records.Tenant
)


def _payment_event(event: records.PaymentEvent) -> Iterator[Expected]:
    payment = event.payment or records.PaymentObject()
    currency = _currency(event)
    digest = {
        "event_id": event.event_id,
        "tenant": event.tenant,
        "payment_id": event.payment_id,
        "sequence": event.sequence,
        "type": event.type,
        "to_status": event.to_status,
        "currency": currency,
        "amount_minor": payment.amount_minor,
        "amount_received_minor": payment.amount_received_minor,
        "amount_refunded_minor": payment.amount_refunded_minor,
        "charge_id": event.charge.id if event.charge else "",
        "refund_id": event.refund.id if event.refund else "",
        "request_id": event.attribution.request_id,
        "actor_id": event.attribution.actor_id,
        "cause_offset": event.cause_offset,
        "postings": len(event.postings),
        "dispute_id": event.dispute.id if event.dispute else "",
        "dispute_status": event.dispute.status if event.dispute else "",
        "dispute_withdrawn_minor": event.dispute.withdrawn_minor if event.dispute else 0,
        "proposal_id": event.proposal.id if event.proposal else "",
        "approved_by": event.proposal.approved_by if event.proposal else "",
        "fx_to_minor": event.fx.to_minor if event.fx else 0,
        "fx_rate": event.fx.rate if event.fx else "",
    }
    yield Expected("payment_events", digest, currency, "amount_received_minor", payment.amount_received_minor)
    for ordinal, one in enumerate(event.balance_transactions):
        fields = ("type", "source", "gross_minor", "fee_minor", "available_on_ms", "exchange_rate", "currency")
        told = {name: getattr(one, name) for name in fields}
        yield _change(event, one.id, told, one.net_minor, ordinal=ordinal)
    yield from _legs(event.event_id, event.tenant, event.postings)


def _settlement_event(event: records.SettlementEvent) -> Iterator[Expected]:
    movement = event.movement or records.WindowMovement()
    digest = {
        "event_id": event.event_id,
        "tenant": event.tenant,
        "provider": event.provider,
        "window_id": event.window_id,
        "sequence": event.sequence,
        "type": event.type,
        "status": event.status,
        "movement_id": movement.movement_id,
        "movement_amount_minor": movement.amount_minor,
        "totals_net_minor": event.totals.net_minor if event.totals else 0,
        "currency": event.currency,
        "postings": len(event.postings),
    }
    yield Expected("settlement_events", digest, event.currency, "movement_amount_minor", movement.amount_minor)
    yield from _legs(event.event_id, event.tenant, event.postings)


def _payout_event(event: records.PayoutEvent) -> Iterator[Expected]:
    payout, change = event.payout or records.PayoutObject(), event.transaction or records.PayoutTransaction()
    digest = {
        "event_id": event.event_id,
        "tenant": event.tenant,
        "provider": event.provider,
        "payout_id": event.payout_id,
        "sequence": event.sequence,
        "type": event.type,
        "to_status": event.to_status,
        "amount_minor": payout.amount_minor,
        "transaction_minor": change.amount_minor,
        "failure_code": payout.failure_code,
        "request_id": event.attribution.request_id,
        "actor_id": event.attribution.actor_id,
        "currency": event.currency,
        "postings": len(event.postings),
    }
    yield Expected("payout_events", digest, event.currency, "transaction_minor", change.amount_minor)
    if event.transaction is not None:
        told = {
            "type": change.type,
            "source": event.payout_id,
            "gross_minor": change.amount_minor,
            "fee_minor": 0,
            "available_on_ms": change.available_on_ms,
            "exchange_rate": "",
            "currency": change.currency,
        }
        yield _change(event, change.id, told, change.amount_minor, ordinal=0)
    yield from _legs(event.event_id, event.tenant, event.postings)


def _change(
    event: records.PaymentEvent | records.PayoutEvent,
    transaction_id: str,
    told: dict[str, object],
    net_minor: int,
    *,
    ordinal: int,
) -> Expected:
    """A change of a balance, by a payment or a payout."""
    head = {
        "event_id": event.event_id,
        "transaction_id": transaction_id,
        "tenant": event.tenant,
        "_ordinal": ordinal,
    }
    return Expected("balance_transactions", head | told, str(told["currency"]), "net_minor", net_minor)


def _legs(event_id: str, tenant: str, postings: tuple[records.Posting, ...]) -> Iterator[Expected]:
    for ordinal, leg in enumerate(postings):
        digest = {
            "event_id": event_id,
            "tenant": tenant,
            "account": leg.account,
            "amount_minor": leg.amount_minor,
            "_ordinal": ordinal,
            "currency": leg.currency,
        }
        yield Expected("ledger_entries", digest, leg.currency, "amount_minor", leg.amount_minor)


def _customer_event(event: records.CustomerEvent) -> Expected:
    about = event.customer or event.method or event.setup
    customer = event.customer or records.CustomerObject()
    method = event.method or records.MethodObject()
    setup = event.setup or records.SetupObject()
    digest = {
        "event_id": event.event_id,
        "tenant": event.tenant,
        "object_id": event.object_id,
        "sequence": event.sequence,
        "type": event.type,
        "previous_event_id": event.previous_event_id,
        "customer": customer.id or method.customer or setup.customer,
        "toUInt8(deleted)": int(customer.deleted),
        "arrayStringConcat(arraySort(mapKeys(personal)), ',')": ",".join(sorted(one.name for one in customer.personal)),
        "length(metadata)": len(about.metadata) if about else 0,
        "payment_method": customer.default_method or method.id or setup.method,
        "card_fingerprint": method.card.fingerprint,
        "status": setup.status if event.setup else "",
        "error_decline_code": setup.error_decline_code,
        "request_id": event.attribution.request_id,
        "actor_id": event.attribution.actor_id,
        "cause_offset": event.cause_offset,
    }
    return Expected("customer_events", digest)


def _input(record: _Input) -> Expected:
    kind = "tenant" if isinstance(record, records.Tenant) else ""
    if isinstance(record, records.PaymentCommand | records.ProviderNotice | records.RoutingUpdate):
        kind = record.kind
    elif isinstance(record, records.ProviderResult):
        kind = record.operation
    digest: dict[str, object] = {
        "record": type(record).__name__,
        "tenant": record.tenant,
        "payment_id": "" if isinstance(record, records.RoutingUpdate | records.Tenant) else record.payment_id,
        "kind": kind,
        "request_id": record.attribution.request_id,
        "actor_id": record.attribution.actor_id,
    }
    return Expected("payment_inputs", digest)


def _rejection(record: records.Rejection) -> Expected:
    digest = {
        "source_topic": record.source_topic,
        "source_partition": record.source_partition,
        "source_offset": record.source_offset,
        "reason": record.reason,
        "value_sha256": record.value_sha256,
        "ifNull(value, '')": record.value or b"",
    }
    return Expected("rejections", digest)


def _identity_event(record: Any) -> Expected:
    names = {"ApiKey": "key_id", "Approval": "approval_id", "Operator": "operator_id", "OperatorSession": "session_id"}
    kind = type(record).__name__
    digest = {
        "tenant": getattr(record, "tenant", ""),
        "object": "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind).strip("_"),
        "object_id": getattr(record, names.get(kind, "organization" if kind == "Organization" else "tenant")),
        "version": record.policy_version if kind == "RoutingPolicy" else getattr(record, "version", 0),
        "actor_id": record.attribution.actor_id,
        "request_id": record.attribution.request_id,
    }
    return Expected("identity_events", digest)


def _currency(event: records.PaymentEvent) -> str:
    """The payment's, or else that of whatever the event is about."""
    about = (event.payment, event.charge, event.refund)
    return next((one.currency for one in about if one is not None and one.currency), "")


def _known(currency: str, postings: tuple[records.Posting | records.BalanceTransaction, ...]) -> bool:
    """Whether landing can book it: an event in an unknown currency is kept in landing_errors."""
    return (not currency or currency in EXPONENTS) and all(leg.currency in EXPONENTS for leg in postings)


def _shapes() -> Iterator[Expected]:
    """A row of each table."""
    yield from _payment_event(
        records.PaymentEvent(postings=(records.Posting(),), balance_transactions=(records.BalanceTransaction(),))
    )
    yield from _settlement_event(records.SettlementEvent())
    yield from _payout_event(records.PayoutEvent())
    yield _customer_event(records.CustomerEvent())
    yield _input(records.Tenant())
    yield _rejection(records.Rejection())
    yield _identity_event(records.Tenant())
    yield from rows("", None, key=b"", value=b"")


SHAPES: dict[str, Expected] = {row.table: row for row in _shapes()}
"""What is compared of each table: the values are of no meaning."""
