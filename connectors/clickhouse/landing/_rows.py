"""Records to rows: what each landed topic's records look like in the tables."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from connectors.clickhouse.landing import _identity
from connectors.clickhouse.landing._tables import (
    BALANCE_TRANSACTIONS,
    CUSTOMER_EVENTS,
    ERRORS,
    IDENTITY_EVENTS,
    LEDGER_ENTRIES,
    PAYMENT_EVENTS,
    PAYMENT_INPUTS,
    PAYOUT_EVENTS,
    REJECTIONS,
    SETTLEMENT_EVENTS,
    WEBHOOK_ATTEMPTS,
    Row,
)
from schemas import catalogue, codec, records, unkept
from schemas.currencies import EXPONENTS
from schemas.errors import DecodingError

LANDED_TOPICS: tuple[catalogue.Topic, ...] = (
    catalogue.PAYMENTS_EVENTS,
    catalogue.SETTLEMENT_EVENTS,
    catalogue.PAYMENTS_INPUTS,
    catalogue.RECORDS_REJECTED,
    catalogue.WEBHOOKS_ATTEMPTS,
    catalogue.CUSTOMERS_EVENTS,
    catalogue.IDENTITY_HISTORY,
)


class Place(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int


class Raw(NamedTuple):
    """One record as Kafka holds it; the last four columns of its row."""

    place: Place
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class Tally(msgspec.Struct, kw_only=True):
    """What a range of a partition holds."""

    records: int = 0
    skipped: int = 0
    postings: int = 0
    first_timestamp_ms: int = 0
    last_timestamp_ms: int = 0


class Rows(msgspec.Struct, kw_only=True):
    """The rows of a batch by table, and what each partition's range holds."""

    by_table: dict[str, list[Row]]
    tallies: dict[Place, Tally]
    errors: int = 0


class UnlandableRecord(Exception):
    """A record was read and yet has no place in a table; `reason` as in landing_errors."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def build(batch: Mapping[Place, Iterable[Raw]]) -> Rows:
    """The rows of these records. The same records give the same rows, whoever builds them and when."""
    rows = Rows(by_table={}, tallies={})
    carried = {topic.name: topic.records for topic in LANDED_TOPICS}
    for place, raws in batch.items():
        tally = rows.tallies[place] = Tally()
        expected = carried[place.topic]
        for raw in raws:
            tally.first_timestamp_ms = tally.first_timestamp_ms or raw.timestamp_ms
            tally.last_timestamp_ms = raw.timestamp_ms
            try:
                added = _add(rows.by_table, codec.decode(raw.value, expected=expected), raw, tally)
            except DecodingError as error:
                added = _add_error(rows, raw, error.reason, str(error))
            except UnlandableRecord as error:
                added = _add_error(rows, raw, error.reason, str(error))
            if added:
                tally.records += 1
            else:
                tally.skipped += 1
    return rows


def _add(tables: dict[str, list[Row]], record: records.Record, raw: Raw, tally: Tally) -> bool:
    """Add the record's rows; False when it gets none."""
    end = (raw.place.topic, raw.place.partition, raw.offset, raw.timestamp_ms)
    if isinstance(record, records.PaymentEvent):
        # All rows are made before the first is added: a record that can't be booked leaves none behind.
        row, legs, transactions = _payment_event(record) + end, _payment_legs(record, raw), _transactions(record, raw)
        tables.setdefault(PAYMENT_EVENTS.name, []).append(row)
        if transactions:
            tables.setdefault(BALANCE_TRANSACTIONS.name, []).extend(transactions)
    elif isinstance(record, records.SettlementEvent):
        legs = _settlement_legs(record, raw)
        tables.setdefault(SETTLEMENT_EVENTS.name, []).append(_settlement_event(record) + end)
    elif isinstance(record, records.PayoutEvent):
        legs = _payout_legs(record, raw)
        tables.setdefault(PAYOUT_EVENTS.name, []).append(_payout_event(record) + end)
        if record.transaction is not None:
            tables.setdefault(BALANCE_TRANSACTIONS.name, []).append(
                _payout_transaction(record, record.transaction, raw)
            )
    elif isinstance(record, records.ClockTick):
        return False
    else:
        legs = []
        name, row = _without_money(record, raw.place.topic)
        tables.setdefault(name, []).append(row + end)
    if legs:
        tables.setdefault(LEDGER_ENTRIES.name, []).extend(legs)
        tally.postings += len(legs)
    return True


def _without_money(record: records.Record, topic: str) -> tuple[str, Row]:
    """The table and the row of a record that books nothing. Tenants come on two topics, for two books."""
    if topic == catalogue.IDENTITY_HISTORY.name:
        assert isinstance(record, _identity.Change), "landing decodes what the catalogue says that a topic carries"
        return IDENTITY_EVENTS.name, (*_identity.row(record), *_attribution(record.attribution))
    if isinstance(record, records.Rejection):
        return REJECTIONS.name, _rejection(record)
    if isinstance(record, records.WebhookDelivery):
        return WEBHOOK_ATTEMPTS.name, _webhook_attempt(record)
    if isinstance(record, records.CustomerEvent):
        return CUSTOMER_EVENTS.name, _customer_event(record)
    return PAYMENT_INPUTS.name, _payment_input(record)


def _add_error(rows: Rows, raw: Raw, reason: str, message: str) -> bool:
    rows.errors += 1
    rows.by_table.setdefault(ERRORS.name, []).append(
        (
            reason,
            unkept.masked(message),
            _kept(raw.key),
            _kept(raw.value),
            raw.value is None,
            raw.place.topic,
            raw.place.partition,
            raw.offset,
            raw.timestamp_ms,
        )
    )
    return True


def _kept(raw: bytes | None) -> bytes:
    """The bytes of a record that can't be read, without those that a card number or a secret stands in: its place tells where they are."""
    return b"" if raw is None or unkept.holds(raw) else raw


def exponent(currency: str) -> int:
    """Decimals of a currency; 0 for none. Raises `UnlandableRecord`: an amount whose size nobody knows is no amount."""
    if not currency:
        return 0
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise UnlandableRecord("unknown_currency", f"{currency!r} is not an ISO 4217 code that we know") from None


def _attribution(who: records.Attribution) -> Row:
    return (
        who.actor_kind,
        who.actor_id,
        who.on_behalf_of,
        who.reason,
        who.request_id,
        who.idempotency_key,
        who.traceparent,
    )


_NO_PAYMENT = records.PaymentObject()
_NO_CHARGE = records.ChargeObject(status="unrecognized")
_NO_REFUND = records.RefundObject()
_NO_DISPUTE = records.DisputeObject()
_NO_PROPOSAL = records.ProposalObject()
_NO_DECISION = records.RoutingDecision()
_NO_CONVERSION = records.FxFact()
_HOLDS = "authorization_hold:"
"""Accounts of what providers hold of authorisations; the ledger's word."""


def _payment_event(event: records.PaymentEvent) -> Row:
    payment = event.payment or _NO_PAYMENT
    charge = event.charge or _NO_CHARGE
    refund = event.refund or _NO_REFUND
    decision = event.decision or _NO_DECISION
    dispute = event.dispute or _NO_DISPUTE
    proposal = event.proposal or _NO_PROPOSAL
    fx = event.fx or _NO_CONVERSION
    currency = payment.currency or charge.currency or refund.currency
    return (
        event.tenant,
        event.payment_id,
        event.sequence,
        event.event_id,
        event.type,
        event.previous_event_id,
        event.occurred_ms,
        event.from_status,
        event.to_status,
        currency,
        exponent(currency),
        payment.amount_minor,
        payment.amount_capturable_minor,
        payment.amount_received_minor,
        payment.amount_refunded_minor,
        payment.capture_method,
        payment.payment_method,
        payment.customer,
        payment.description,
        payment.metadata,
        payment.latest_charge,
        payment.provider,
        payment.outcome_unknown,
        payment.cancellation_reason,
        payment.last_error_code,
        payment.last_error_decline_code,
        payment.last_error_message,
        payment.created_ms,
        charge.id,
        charge.attempt,
        charge.provider,
        charge.status if event.charge else "",
        charge.outcome if event.charge else "",
        charge.amount_minor,
        charge.amount_captured_minor,
        charge.amount_refunded_minor,
        charge.provider_reference,
        charge.provider_fee_minor,
        charge.failure_code,
        charge.failure_message,
        refund.id,
        refund.charge,
        refund.amount_minor,
        refund.status if event.refund else "",
        refund.reason,
        refund.provider,
        refund.provider_reference,
        refund.failure_reason,
        decision.attempt,
        decision.chosen,
        decision.candidates,
        decision.excluded,
        decision.policy_version,
        len(event.postings),
        *_attribution(event.attribution),
        event.cause_topic,
        event.cause_partition,
        event.cause_offset,
        event.ordinal,
        event.policy_version,
        payment.amount_disputed_minor,
        payment.action_url,
        payment.due_ms,
        charge.tenant_fee_minor,
        dispute.id,
        dispute.charge,
        dispute.amount_minor,
        dispute.status if event.dispute else "",
        dispute.reason,
        dispute.provider,
        dispute.provider_reference,
        dispute.withdrawn_minor,
        dispute.fee_minor,
        dispute.evidence_due_ms,
        dispute.evidence_submitted,
        proposal.id,
        proposal.resolution,
        proposal.object_id,
        proposal.amount_minor,
        proposal.reason,
        proposal.proposed_by,
        proposal.approved_by,
        len(event.balance_transactions),
        fx.from_minor,
        fx.from_currency,
        fx.to_minor,
        fx.to_currency,
        fx.rate,
        charge.has_texts,
        charge.description,
        charge.metadata,
        refund.metadata,
        dispute.metadata,
        payment.saved_method,
        payment.setup_future_usage,
        dispute.outcome_unknown,
        held_minor(event),
    )


def held_minor(event: records.PaymentEvent) -> int:
    """What an event adds to the authorised amount, in minor units; negative: what it takes off."""
    return sum(one.amount_minor for one in event.postings if one.account.startswith(_HOLDS))


def _settlement_event(event: records.SettlementEvent) -> Row:
    movement = event.movement or records.WindowMovement()
    totals = event.totals or records.WindowTotals()
    return (
        event.tenant,
        event.provider,
        event.currency,
        exponent(event.currency),
        event.window_id,
        event.sequence,
        event.event_id,
        event.type,
        event.previous_event_id,
        event.occurred_ms,
        event.opens_ms,
        event.closes_ms,
        event.closed_ms,
        event.status,
        movement.movement_id,
        movement.kind if event.movement else "",
        movement.amount_minor,
        movement.payment_id,
        movement.object_id,
        movement.event_id,
        movement.occurred_ms,
        event.late,
        event.missed_window_id,
        totals.movements,
        totals.captured_minor,
        totals.refunded_minor,
        totals.fees_minor,
        totals.other_minor,
        totals.net_minor,
        len(event.postings),
        *_attribution(event.attribution),
        event.cause_topic,
        event.cause_partition,
        event.cause_offset,
        event.ordinal,
    )


def _webhook_attempt(delivery: records.WebhookDelivery) -> Row:
    """What came of an attempt; the event itself is in a book of its own."""
    return (
        delivery.tenant,
        delivery.endpoint_id,
        delivery.delivery_id,
        delivery.event_id,
        delivery.event_type,
        delivery.payment_id,
        delivery.sequence,
        delivery.api_version,
        delivery.replay,
        delivery.state,
        delivery.attempt,
        delivery.queued_ms,
        delivery.attempted_ms,
        delivery.next_attempt_ms,
        delivery.duration_ms,
        delivery.status_code,
        delivery.failure,
        delivery.source_topic,
        delivery.source_partition,
        delivery.source_offset,
    )


_NO_CUSTOMER = records.CustomerObject()
_NO_METHOD = records.MethodObject()
_NO_SETUP = records.SetupObject()
_OBJECTS = {"cus": "customer", "pm": "payment_method", "seti": "setup_intent"}


def _customer_event(event: records.CustomerEvent) -> Row:
    """Of personal data what the log has: each field sealed, behind the id of its key; of tokens nothing."""
    customer = event.customer or _NO_CUSTOMER
    method = event.method or _NO_METHOD
    setup = event.setup or _NO_SETUP
    card = method.card
    about = event.customer or event.method or event.setup
    return (
        event.tenant,
        event.object_id,
        _OBJECTS.get(event.object_id.partition("_")[0], ""),
        event.sequence,
        event.event_id,
        event.type,
        event.previous_event_id,
        event.occurred_ms,
        0 if about is None else about.created_ms,
        customer.id or method.customer or setup.customer,
        customer.deleted,
        {one.name: f"{one.key_id} {base64.b64encode(one.sealed).decode()}" for one in customer.personal},
        {} if about is None else about.metadata,
        customer.default_method or method.id or setup.method,
        card.brand,
        card.last4,
        card.exp_month,
        card.exp_year,
        card.fingerprint,
        card.funding,
        card.country,
        setup.status if event.setup else "",
        setup.usage,
        setup.cancellation_reason,
        setup.error_code,
        setup.error_decline_code,
        setup.error_message,
        *_attribution(event.attribution),
        event.cause_topic,
        event.cause_partition,
        event.cause_offset,
        event.ordinal,
    )


def _payment_legs(event: records.PaymentEvent, raw: Raw) -> list[Row]:
    head = (event.event_id, event.type, event.payment_id, "", _provider(event), event.occurred_ms)
    return _legs(event.tenant, event.postings, head, event.attribution, raw)


def _provider(event: records.PaymentEvent) -> str:
    """Who holds the money: the refund's provider or the charge's, which need not be the newest attempt's."""
    payment, charge, refund = event.payment, event.charge, event.refund
    return (refund and refund.provider) or (charge and charge.provider) or (payment and payment.provider) or ""


def _transactions(event: records.PaymentEvent, raw: Raw) -> list[Row]:
    provider, place = _provider(event), raw.place
    return [
        (
            event.tenant,
            one.id,
            one.type,
            one.currency,
            exponent(one.currency),
            one.gross_minor,
            one.fee_minor,
            one.net_minor,
            one.source,
            one.available_on_ms,
            event.event_id,
            event.type,
            event.payment_id,
            provider,
            event.occurred_ms,
            one.exchange_rate,
            place.topic,
            place.partition,
            raw.offset,
            ordinal,
            raw.timestamp_ms,
        )
        for ordinal, one in enumerate(event.balance_transactions)
    ]


def _settlement_legs(event: records.SettlementEvent, raw: Raw) -> list[Row]:
    payment_id = event.movement.payment_id if event.movement else ""
    head = (event.event_id, event.type, payment_id, event.window_id, event.provider, event.occurred_ms)
    return _legs(event.tenant, event.postings, head, event.attribution, raw)


def _payout_event(event: records.PayoutEvent) -> Row:
    payout = event.payout or records.PayoutObject()
    transaction = event.transaction or records.PayoutTransaction()
    proposal = event.proposal or records.PayoutProposal()
    return (
        event.tenant,
        event.payout_id,
        event.sequence,
        event.event_id,
        event.type,
        event.previous_event_id,
        event.occurred_ms,
        event.provider,
        event.currency,
        exponent(event.currency),
        event.from_status,
        event.to_status,
        payout.amount_minor,
        payout.destination,
        payout.description,
        payout.metadata,
        payout.automatic,
        payout.window_id,
        payout.provider_reference,
        payout.failure_code,
        payout.failure_message,
        payout.outcome_unknown,
        payout.created_ms,
        payout.due_ms,
        payout.paid_ms,
        transaction.id,
        transaction.amount_minor,
        len(event.postings),
        *_attribution(event.attribution),
        event.cause_topic,
        event.cause_partition,
        event.cause_offset,
        event.ordinal,
        payout.doubt,
        payout.conflict,
        proposal.id,
        proposal.resolution,
        proposal.reference,
        proposal.reason,
        proposal.proposed_by,
        proposal.approved_by,
    )


def _payout_transaction(event: records.PayoutEvent, one: records.PayoutTransaction, raw: Raw) -> Row:
    """A payout is a change of the balance like any other: no fee, and about no payment."""
    place = raw.place
    return (
        event.tenant,
        one.id,
        one.type,
        one.currency,
        exponent(one.currency),
        one.amount_minor,
        0,
        one.amount_minor,
        event.payout_id,
        one.available_on_ms,
        event.event_id,
        event.type,
        "",
        event.provider,
        event.occurred_ms,
        "",
        place.topic,
        place.partition,
        raw.offset,
        0,
        raw.timestamp_ms,
    )


def _payout_legs(event: records.PayoutEvent, raw: Raw) -> list[Row]:
    head = (event.event_id, event.type, "", "", event.provider, event.occurred_ms)
    return _legs(event.tenant, event.postings, head, event.attribution, raw)


def _legs(
    tenant: str, postings: tuple[records.Posting, ...], head: Row, who: records.Attribution, raw: Raw
) -> list[Row]:
    place = raw.place
    return [
        (
            tenant,
            leg.account,
            leg.currency,
            exponent(leg.currency),
            leg.amount_minor,
            *head,
            who.actor_kind,
            who.actor_id,
            who.request_id,
            place.topic,
            place.partition,
            raw.offset,
            ordinal,
            raw.timestamp_ms,
        )
        for ordinal, leg in enumerate(postings)
    ]


_INPUT_DEFAULTS: dict[str, object] = {
    column: {"amount_minor": None, "providers": ()}.get(
        column, 0 if column.endswith(("_minor", "_ms", "_version")) or column in {"inquiries", "exponent"} else ""
    )
    for column in PAYMENT_INPUTS.columns[: PAYMENT_INPUTS.columns.index("actor_kind")]
}


def _payment_input(record: records.Record) -> Row:
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
    return (*(_INPUT_DEFAULTS | given).values(), *_attribution(record.attribution))


def _rejection(record: records.Rejection) -> Row:
    return (
        record.tenant,
        record.source_topic,
        record.source_partition,
        record.source_offset,
        record.source_timestamp_ms,
        record.key,
        record.value,
        record.value_sha256,
        record.reason,
        record.field,
        record.message,
        record.component,
    )
