"""The customers' agent: one command about a customer, a saved method or a setup intent in; events, replies and erasures out."""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import replace

from schemas import codec
from schemas.catalogue import CUSTOMERS_EVENTS, CUSTOMERS_INPUTS, CUSTOMERS_KEYS, PAYMENTS_REPLIES
from schemas.partitioner import partition_of
from schemas.records import CustomerCommand, CustomerEvent, CustomerKey
from streams.agents._records import Rejected, check_key, read, rejection
from streams.core.customers import decide_customer
from streams.core.decision import Decision, Input
from streams.runtime import Context, Record

reject = rejection("customers")


class Keys(Protocol):
    """What the topic of customers' keys says."""

    def all_active(self, tenant: str, customer: str) -> list[CustomerKey]:
        """The customer's keys that were not erased."""


class Customers:
    """
    The handler; it knows how many partitions `customers.inputs` and `payments.replies` have, and the customers' keys.

    `keys` None: nothing is erased, for verifiers: which keys there are at a moment is no part of the log.
    """

    def __init__(self, *, partitions: int, reply_partitions: int, keys: Keys | None) -> None:
        self._partitions = partitions
        self._reply_partitions = reply_partitions
        self._keys = keys

    def __call__(self, record: Record, context: Context) -> None:
        """Decodes one input, decides, and emits what follows. Raises `Rejected` for what breaks the contract."""
        message = read(record, CUSTOMERS_INPUTS)
        if isinstance(message, CustomerCommand):
            self._check(record, message)
        decision = decide_customer(
            context.store,
            Input(
                message=message,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                time_ms=record.timestamp_ms,
            ),
        )
        self._apply(decision, message, record, context)

    def _check(self, record: Record, command: CustomerCommand) -> None:
        """
        The right partition, and a place for the reply.

        On another partition than its key's, a tenant would have a second set of customers. A reply to a partition that
        isn't there could never be produced.
        """
        check_key(record, command.tenant)
        assert record.key is not None
        right = partition_of(record.key, self._partitions)
        if right != record.partition:
            message = (
                f"murmur2 puts this key on partition {right}, not {record.partition}: set partitioner=murmur2_random"
            )
            raise Rejected(reason="wrong_key", message=message, field="key")
        partition = command.reply_partition
        if partition is not None and not 0 <= partition < self._reply_partitions:
            message = f"payments.replies has partitions 0 to {self._reply_partitions - 1}; {partition} is none of them"
            raise Rejected(reason="invalid_field", message=message, field="reply_partition", tenant=command.tenant)

    def _apply(self, decision: Decision, message: object, record: Record, context: Context) -> None:
        for key, value in decision.writes:
            if value is None:
                context.store.delete(key)
            else:
                context.store.put(key, value)
        for event in decision.events:
            assert isinstance(event, CustomerEvent)
            context.emit(CUSTOMERS_EVENTS.name, codec.encode(event), key=event.tenant.encode())
        for partition, reply in decision.replies:
            key = reply.correlation_id.encode()
            context.emit(PAYMENTS_REPLIES.name, codec.encode(reply), key=key, partition=partition)
        if self._keys is not None:
            for tenant, customer, sealed_with in decision.erasures:
                assert isinstance(message, CustomerCommand)
                assert (message.tenant, message.object_id) == (tenant, customer), "a deletion is of its own customer"
                self._erase(message, sealed_with, record=record, context=context)
        if decision.refused is not None:
            # Not raised: whoever waits for the reply above shall have it.
            tenant = message.tenant if isinstance(message, CustomerCommand) else ""
            rejected = reject(record, Rejected.of(decision.refused, tenant=tenant))
            context.emit(rejected.topic, rejected.value, key=rejected.key)

    def _erase(
        self,
        command: CustomerCommand,
        sealed_with: tuple[str, ...],
        *,
        record: Record,
        context: Context,
    ) -> None:
        """
        Overwrite the customer's keys on their topic.

        Those that the customer itself names are erased whether or not this worker has heard of them yet.
        """
        assert self._keys is not None
        tenant, customer = command.tenant, command.object_id
        known = {key.key_id: key for key in self._keys.all_active(tenant, customer)}
        for key_id in sorted({*known, *sealed_with}):
            key = known.get(key_id) or CustomerKey(tenant=tenant, customer=customer, key_id=key_id)
            erased = replace(
                key, status="erased", wrapped=b"", erased_ms=record.timestamp_ms, attribution=command.attribution
            )
            context.emit(CUSTOMERS_KEYS.name, codec.encode(erased), key=f"{tenant}/{key_id}".encode())
