"""The intake agent: an upstream system's intent in; a command for the payment's own partition out."""

from __future__ import annotations

from schemas import codec
from schemas.catalogue import PAYMENT_INTENTS, PAYMENTS_INPUTS
from schemas.records import PaymentIntent, Tenant
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
        # The time of an input is when Clearline took it: an upstream system's clock may be wrong by years.
        context.emit(
            PAYMENTS_INPUTS.name,
            codec.encode(command),
            key=f"{command.tenant}/{command.payment_id}".encode(),
            timestamp_ms=self._clock.wall_ms(),
        )
