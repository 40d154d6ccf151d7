"""The settlement agent: movements, payouts' commands and results, and time in; windows, payouts and answers out."""

from __future__ import annotations

from schemas import codec
from schemas.catalogue import PAYMENTS_REPLIES, PROVIDER_REQUESTS, SETTLEMENT_EVENTS, SETTLEMENT_INPUTS
from schemas.partitioner import partition_of
from schemas.records import Movement, PayoutCommand, PayoutEvent, PayoutResult, ReportLine, SettlementEvent
from streams.agents._records import Rejected, check_key, read, rejection
from streams.core.decision import Decision, Input
from streams.core.settlement import settle
from streams.runtime import Context, Record

reject = rejection("settlement")


class Settlement:
    """The handler; it knows how many partitions `settlement.inputs` and `payments.replies` have."""

    def __init__(self, *, partitions: int, reply_partitions: int) -> None:
        self._partitions = partitions
        self._reply_partitions = reply_partitions

    def __call__(self, record: Record, context: Context) -> None:
        """Decodes one input, puts it where it belongs, and emits what follows. Raises `Rejected`."""
        message = read(record, SETTLEMENT_INPUTS)
        if isinstance(message, Movement | ReportLine | PayoutResult):
            check_key(record, f"{message.tenant}/{message.provider}/{message.currency}")
        elif isinstance(message, PayoutCommand):
            self._check_command(record, message)
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
        _apply(decision, record, context, tenant=getattr(message, "tenant", ""))

    def _check_command(self, record: Record, command: PayoutCommand) -> None:
        """Where it has to be: on another partition than its key's, one payout could be made twice."""
        flow = "/" if command.kind == "claim" else f"{command.provider}/{command.currency}"
        check_key(record, f"{command.tenant}/{flow}")
        assert record.key is not None
        right = partition_of(record.key, self._partitions)
        if right != record.partition:
            message = (
                f"murmur2 puts this key on partition {right}, not {record.partition}: set partitioner=murmur2_random"
            )
            raise Rejected(reason="wrong_key", message=message, field="key", tenant=command.tenant)
        partition = command.reply_partition
        if partition is not None and not 0 <= partition < self._reply_partitions:
            message = f"payments.replies has partitions 0 to {self._reply_partitions - 1}; {partition} is none of them"
            raise Rejected(reason="invalid_field", message=message, field="reply_partition", tenant=command.tenant)


def _apply(decision: Decision, record: Record, context: Context, *, tenant: str) -> None:
    for key, value in decision.writes:
        if value is None:
            context.store.delete(key)
        else:
            context.store.put(key, value)
    for event in decision.events:
        assert isinstance(event, SettlementEvent | PayoutEvent)
        flow = f"{event.tenant}/{event.provider}/{event.currency}".encode()
        context.emit(SETTLEMENT_EVENTS.name, codec.encode(event), key=flow)
    for request in decision.payout_requests:
        context.emit(
            PROVIDER_REQUESTS.name, codec.encode(request), key=f"{request.tenant}/{request.payout_id}".encode()
        )
    for partition, reply in decision.payout_replies:
        context.emit(PAYMENTS_REPLIES.name, codec.encode(reply), key=reply.correlation_id.encode(), partition=partition)
    if decision.refused is not None:
        refused = Rejected.of(decision.refused, tenant=tenant)
        if not decision.payout_replies:
            raise refused
        # Not raised: whoever waits for the reply above shall have it.
        rejected = reject(record, refused)
        context.emit(rejected.topic, rejected.value, key=rejected.key)
