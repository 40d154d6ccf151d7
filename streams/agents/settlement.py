"""The settlement agent: movements and time in; windows out."""

from __future__ import annotations

from schemas import codec
from schemas.catalogue import SETTLEMENT_EVENTS, SETTLEMENT_INPUTS
from schemas.records import Movement, PayoutResult, ReportLine, SettlementEvent
from streams.agents._records import Rejected, check_key, read, rejection
from streams.core.decision import Input
from streams.core.settlement import settle
from streams.runtime import Context, Record

reject = rejection("settlement")


def handle(record: Record, context: Context) -> None:
    """Decodes one input, puts it where it belongs, and emits what follows. Raises `Rejected`."""
    message = read(record, SETTLEMENT_INPUTS)
    if isinstance(message, Movement | ReportLine | PayoutResult):
        check_key(record, f"{message.tenant}/{message.provider}/{message.currency}")
    decision = settle(
        context.store,
        Input(
            message=message,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            time_ms=record.timestamp_ms,
        ),
    )
    if decision.refused is not None:
        raise Rejected.of(decision.refused, tenant=getattr(message, "tenant", ""))
    for key, value in decision.writes:
        if value is None:
            context.store.delete(key)
        else:
            context.store.put(key, value)
    for event in decision.events:
        assert isinstance(event, SettlementEvent)
        key = f"{event.tenant}/{event.provider}/{event.currency}".encode()
        context.emit(SETTLEMENT_EVENTS.name, codec.encode(event), key=key)
