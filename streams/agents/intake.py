"""The intake agent: an upstream system's intent in; a command for the payment's own partition out."""

from __future__ import annotations

from msgspec.structs import replace

from schemas import codec
from schemas.catalogue import PAYMENT_INTENTS, PAYMENTS_INPUTS
from schemas.records import PaymentCommand, PaymentIntent, Tenant
from streams.agents._records import Rejected, read, rejection
from streams.core.errors import Refused
from streams.core.intake import command_of
from streams.runtime import Context, GlobalTable, Record
from streams.runtime.seams import Clock

reject = rejection("intake")


class Intake:
    """The handler. It knows the tenants, and stamps the time at which Clearline took the intent."""

    def __init__(self, *, tenants: GlobalTable[Tenant], clock: Clock) -> None:
        self._tenants = tenants
        self._clock = clock

    def __call__(self, record: Record, context: Context) -> None:
        """Checks one intent and emits its command. Raises `Rejected`."""
        intent = read(record, PAYMENT_INTENTS)
        assert isinstance(intent, PaymentIntent)
        tenant = self._tenants.get(intent.tenant.encode())
        try:
            command = command_of(intent, {} if tenant is None else {intent.tenant: tenant})
        except Refused as refused:
            raise Rejected.of(refused, tenant=intent.tenant) from refused
        command = _attributed(command, record)
        # The time of an input is when Clearline took it: an upstream system's clock may be wrong by years.
        context.emit(
            PAYMENTS_INPUTS.name,
            codec.encode(command),
            key=f"{command.tenant}/{command.payment_id}".encode(),
            timestamp_ms=self._clock.wall_ms(),
        )


def _attributed(command: PaymentCommand, record: Record) -> PaymentCommand:
    """Every event has to name an actor and a request: where the upstream system named none, the record itself is both."""
    who = command.attribution
    if who.actor_id and who.request_id:
        return command
    place = f"{record.topic}/{record.partition}/{record.offset}"
    named = replace(who, actor_id=who.actor_id or record.topic, request_id=who.request_id or place)
    return replace(command, attribution=named)
