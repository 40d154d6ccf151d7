"""The intake agent: an upstream system's intent in; a command for the payment's own partition out."""

from __future__ import annotations

from msgspec.structs import replace

from schemas import codec
from schemas.catalogue import CUSTOMERS_KEYS, PAYMENT_INTENTS, PAYMENTS_INPUTS
from schemas.records import PaymentCommand, PaymentIntent, Tenant
from streams.agents._records import Rejected, read, rejection
from streams.agents.keyring import Keyring
from streams.core.errors import Refused
from streams.core.intake import command_of
from streams.runtime import Context, GlobalTable, Record
from streams.runtime.seams import Clock

reject = rejection("intake")


class Intake:
    """
    The handler. It knows the tenants, stamps the time at which Clearline took the intent, and seals personal data.

    `keys` None: there is no master key, so an intent with personal data is refused.
    """

    def __init__(self, *, tenants: GlobalTable[Tenant], clock: Clock, keys: Keyring | None = None) -> None:
        self._tenants = tenants
        self._clock = clock
        self._keys = keys

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
        now_ms = self._clock.wall_ms()
        if intent.personal:
            command = self._sealed(command, intent, record, context, now_ms)
        # The time of an input is when Clearline took it: an upstream system's clock may be wrong by years.
        context.emit(
            PAYMENTS_INPUTS.name,
            codec.encode(command),
            key=f"{command.tenant}/{command.payment_id}".encode(),
            timestamp_ms=now_ms,
        )

    def _sealed(
        self, command: PaymentCommand, intent: PaymentIntent, record: Record, context: Context, now_ms: int
    ) -> PaymentCommand:
        """The command with the intent's personal data sealed; a key that was made for it goes out before it."""
        if self._keys is None:
            message = "This installation has no master key, so it takes no personal data; see CLEARLINE_MASTER_KEY."
            raise Rejected(reason="invalid_field", message=message, field="personal", tenant=intent.tenant)
        sealed = self._keys.seal(
            intent.personal,
            tenant=command.tenant,
            customer=command.customer or command.payment_id,
            payment_id=command.payment_id,
            record=record,
            epoch=context.epoch,
            now_ms=now_ms,
            attribution=command.attribution,
        )
        if sealed.made is not None:
            context.emit(
                CUSTOMERS_KEYS.name,
                codec.encode(sealed.made),
                key=f"{command.tenant}/{sealed.key_id}".encode(),
                timestamp_ms=now_ms,
            )
        return replace(command, personal_key=sealed.key_id, personal=sealed.personal)


def _attributed(command: PaymentCommand, record: Record) -> PaymentCommand:
    """Every event has to name an actor and a request: where the upstream system named none, the record itself is both."""
    who = command.attribution
    if who.actor_id and who.request_id:
        return command
    place = f"{record.topic}/{record.partition}/{record.offset}"
    named = replace(who, actor_id=who.actor_id or record.topic, request_id=who.request_id or place)
    return replace(command, attribution=named)
