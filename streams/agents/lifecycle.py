"""The lifecycle agent: one input of a payment in; events, provider requests, replies, movements and wishes of the customers' fold out."""

from __future__ import annotations

from schemas import codec
from schemas.catalogue import (
    CUSTOMERS_INPUTS,
    PAYMENTS_EVENTS,
    PAYMENTS_INPUTS,
    PAYMENTS_REPLIES,
    PROVIDER_REQUESTS,
    SETTLEMENT_INPUTS,
)
from schemas.partitioner import partition_of
from schemas.records import PaymentCommand, PaymentEvent, ProviderNotice, ProviderResult
from schemas.records import Record as Message
from streams.agents._records import Rejected, check_key, read, rejection
from streams.core.decision import Decision, Input
from streams.core.lifecycle import decide
from streams.runtime import Context, Record

reject = rejection("lifecycle")


class Lifecycle:
    """The handler; it knows how many partitions `payments.inputs` and `payments.replies` have."""

    def __init__(self, *, partitions: int, reply_partitions: int) -> None:
        self._partitions = partitions
        self._reply_partitions = reply_partitions

    def __call__(self, record: Record, context: Context) -> None:
        """Decodes one input, decides, and emits what follows. Raises `Rejected` for what breaks the contract."""
        message = read(record, PAYMENTS_INPUTS)
        if isinstance(message, PaymentCommand):
            check_key(record, f"{message.tenant}/{message.payment_id}")
            self._check_reply(message)
            if message.kind == "create":
                self._check_partition(record)
        elif isinstance(message, ProviderResult | ProviderNotice):
            check_key(record, f"{message.tenant}/{message.payment_id}")
        _apply(decide(context.store, _input(record, message)), record, context, tenant=getattr(message, "tenant", ""))

    def _check_reply(self, command: PaymentCommand) -> None:
        """A reply to a partition that isn't there could never be produced, so the command is refused instead."""
        partition = command.reply_partition
        if partition is not None and not 0 <= partition < self._reply_partitions:
            message = f"payments.replies has partitions 0 to {self._reply_partitions - 1}; {partition} is none of them"
            raise Rejected(reason="invalid_field", message=message, field="reply_partition", tenant=command.tenant)

    def _check_partition(self, record: Record) -> None:
        """A create on another partition than its key's would let one payment live twice; everything else just misses it."""
        assert record.key is not None
        right = partition_of(record.key, self._partitions)
        if right != record.partition:
            message = (
                f"murmur2 puts this key on partition {right}, not {record.partition}: set partitioner=murmur2_random"
            )
            raise Rejected(reason="wrong_key", message=message, field="key")


def _input(record: Record, message: Message) -> Input:
    return Input(
        message=message,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        time_ms=record.timestamp_ms,
    )


def _apply(decision: Decision, record: Record, context: Context, *, tenant: str) -> None:
    for key, value in decision.writes:
        if value is None:
            context.store.delete(key)
        else:
            context.store.put(key, value)
    for event in decision.events:
        assert isinstance(event, PaymentEvent)
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
    for wish in decision.wishes:
        context.emit(CUSTOMERS_INPUTS.name, codec.encode(wish), key=wish.tenant.encode())
    if decision.refused is not None:
        # Not raised: whoever waits for the reply above shall have it.
        rejected = reject(record, Rejected.of(decision.refused, tenant=tenant))
        context.emit(rejected.topic, rejected.value, key=rejected.key)
