"""The lifecycle agent: one input of a payment in; events, provider requests, replies and movements out."""

from __future__ import annotations

from schemas import codec
from schemas.catalogue import PAYMENTS_EVENTS, PAYMENTS_INPUTS, PAYMENTS_REPLIES, PROVIDER_REQUESTS, SETTLEMENT_INPUTS
from schemas.partitioner import partition_of
from schemas.records import PaymentCommand, ProviderResult
from streams.agents._records import Rejected, check_key, read, rejection
from streams.core.decision import Decision, Input
from streams.core.lifecycle import decide
from streams.runtime import Context, Record

reject = rejection("lifecycle")


def handle(record: Record, context: Context) -> None:
    """Decodes one input, decides, and emits what follows. Raises `Rejected` for what breaks the contract."""
    message = read(record, PAYMENTS_INPUTS)
    if isinstance(message, PaymentCommand | ProviderResult):
        check_key(record, f"{message.tenant}/{message.payment_id}")
    decision = decide(
        context.store,
        Input(
            message=message,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            time_ms=record.timestamp_ms,
        ),
    )
    for key, value in decision.writes:
        if value is None:
            context.store.delete(key)
        else:
            context.store.put(key, value)
    _emit(decision, record, context, tenant=getattr(message, "tenant", ""))


def _emit(decision: Decision, record: Record, context: Context, *, tenant: str) -> None:
    for event in decision.events:
        context.emit(PAYMENTS_EVENTS.name, codec.encode(event), key=f"{event.tenant}/{event.payment_id}".encode())
    for request in decision.requests:
        key = f"{request.tenant}/{request.payment_id}".encode()
        context.emit(PROVIDER_REQUESTS.name, codec.encode(request), key=key)
    for partition, reply in decision.replies:
        key = reply.correlation_id.encode()
        context.emit(PAYMENTS_REPLIES.name, codec.encode(reply), key=key, partition=partition)
    for movement in decision.movements:
        key = f"{movement.tenant}/{movement.provider}/{movement.currency}".encode()
        context.emit(SETTLEMENT_INPUTS.name, codec.encode(movement), key=key)
    if decision.refused is not None:
        # Not raised: whoever waits for the reply above shall have it.
        rejected = reject(record, Rejected.of(decision.refused, tenant=tenant))
        context.emit(rejected.topic, rejected.value, key=rejected.key)


def belongs(record: Record, partitions: int) -> bool:
    """Whether a keyed record is on the partition that murmur2 gives it."""
    return record.key is None or partition_of(record.key, partitions) == record.partition
