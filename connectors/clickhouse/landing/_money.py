"""Rows of money: ledger entries and changes of balances, and the exponents of their amounts."""

from __future__ import annotations

from connectors.clickhouse.landing._parts import Row
from schemas import records
from schemas.currencies import EXPONENTS

End = tuple[str, int, int, int]
"""What a record's row ends with: topic, partition, offset, and its time in ms since the epoch."""


class UnlandableRecord(Exception):
    """A record was read and yet has no place in a table; `reason` as in landing_errors."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def exponent(currency: str) -> int:
    """Decimals of a currency; 0 for none. Raises `UnlandableRecord`: an amount whose size nobody knows is no amount."""
    if not currency:
        return 0
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise UnlandableRecord("unknown_currency", f"{currency!r} is not an ISO 4217 code that we know") from None


def payment_legs(event: records.PaymentEvent, end: End) -> list[Row]:
    """The ledger entries of a payment's event."""
    return _legs(event, (event.event_id, event.type, event.payment_id, "", _provider(event), event.occurred_ms), end)


def settlement_legs(event: records.SettlementEvent, end: End) -> list[Row]:
    """The ledger entries of a window's event."""
    payment_id = event.movement.payment_id if event.movement else ""
    head = (event.event_id, event.type, payment_id, event.window_id, event.provider, event.occurred_ms)
    return _legs(event, head, end)


def payout_legs(event: records.PayoutEvent, end: End) -> list[Row]:
    """The ledger entries of a payout's event."""
    return _legs(event, (event.event_id, event.type, "", "", event.provider, event.occurred_ms), end)


def _legs(
    event: records.PaymentEvent | records.SettlementEvent | records.PayoutEvent, head: Row, end: End
) -> list[Row]:
    tenant, who = event.tenant, event.attribution
    topic, partition, offset, timestamp_ms = end
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
            topic,
            partition,
            offset,
            ordinal,
            timestamp_ms,
        )
        for ordinal, leg in enumerate(event.postings)
    ]


def payment_changes(event: records.PaymentEvent, end: End) -> list[Row]:
    """The changes of the tenant's balance by a payment's event."""
    provider = _provider(event)
    topic, partition, offset, timestamp_ms = end
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
            topic,
            partition,
            offset,
            ordinal,
            timestamp_ms,
        )
        for ordinal, one in enumerate(event.balance_transactions)
    ]


def payout_change(event: records.PayoutEvent, one: records.PayoutTransaction, end: End) -> Row:
    """A payout is a change of the balance like any other: no fee, and about no payment."""
    topic, partition, offset, timestamp_ms = end
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
        topic,
        partition,
        offset,
        0,
        timestamp_ms,
    )


def _provider(event: records.PaymentEvent) -> str:
    """Who holds the money: the refund's provider or the charge's, which need not be the newest attempt's."""
    payment, charge, refund = event.payment, event.charge, event.refund
    return (refund and refund.provider) or (charge and charge.provider) or (payment and payment.provider) or ""
