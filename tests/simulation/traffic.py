"""What comes in from outside: tenants and policy, intents, commands with their retries, nonsense, and time."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from schemas import catalogue, codec
from schemas.currencies import EXPONENTS
from schemas.records import Attribution, ClockTick, PaymentCommand, PaymentIntent, RoutingUpdate, Tenant
from schemas.records import Record as Message
from streams.core import ids
from tests.history import Recorder
from tests.simulation.broker import Broker
from tests.simulation.cluster import REPLY_PARTITIONS
from tests.simulation.scheduler import World

TENANTS = ("acme", "globex")
PROVIDERS = ("northpay", "southpay", "eastpay")
CURRENCIES = ("EUR", "JPY", "BHD")

WINDOW_MS = 8_000
GRACE_MS = 1_000

TICK_MS = 1_500
FIRST_MS = 40

assert all(currency in EXPONENTS for currency in CURRENCIES)


class Traffic:
    """Sends until its time is over; what it sends is decided by the seed."""

    def __init__(self, world: World, broker: Broker, recorder: Recorder, *, payments: int, until_ms: int) -> None:
        self.world, self.broker, self.recorder = world, broker, recorder
        self.until_ms = until_ms
        self.sent = 0
        self._known: list[tuple[str, str]] = []
        self._commands: list[PaymentCommand] = []
        self._intents: list[PaymentIntent] = []
        self._pairs = 0
        # What is still to be sent.
        self.due = 0
        random = world.random
        for number in range(payments):
            self._later(FIRST_MS + random.randrange(until_ms), lambda number=number: self._begin(number))  # type: ignore[misc]
        world.after(TICK_MS, self._tick)

    def _later(self, delay_ms: int, send: Callable[[], None]) -> None:
        def act() -> None:
            self.due -= 1
            send()

        self.due += 1
        self.world.after(delay_ms, act)

    def configure(self) -> None:
        """Tenants and routing, on every partition that needs them, before anything else."""
        tenants = [
            Tenant(tenant=name, version=1, settlement_interval_ms=WINDOW_MS, settlement_grace_ms=GRACE_MS)
            for name in TENANTS
        ]
        for tenant in tenants:
            self._send(catalogue.TENANTS.name, tenant.tenant, tenant)
        policy = RoutingUpdate(kind="policy", policy_version=1, providers=PROVIDERS)
        for message in (*tenants, policy):
            self._everywhere(catalogue.PAYMENTS_INPUTS.name, message)
        for message in tenants:
            self._everywhere(catalogue.SETTLEMENT_INPUTS.name, message)

    def _everywhere(self, topic: str, message: Message) -> None:
        for number in range(len(self.broker.topics[topic].partitions)):
            self._send(topic, "configuration", message, partition=number)

    def _send(self, topic: str, key: str, message: Message | bytes, *, partition: int | None = None) -> None:
        if self.broker.down():
            # The sender of whatever it is tries again, in the same order as everybody else.
            self._later(
                self.broker.down_until_ms - self.world.now_ms,
                lambda: self._send(topic, key, message, partition=partition),
            )
            return
        value = message if isinstance(message, bytes) else codec.encode(message)
        entry = self.broker.append(topic, key.encode(), value, partition=partition)
        assert entry.record is not None
        self.recorder.sent("traffic", "", [entry.record], Here(), offset=entry.offset)  # type: ignore[list-item]
        self.sent += 1

    # Payments

    def _begin(self, number: int) -> None:
        """A payment comes in by one of the doors; later things happen to it."""
        random = self.world.random
        tenant = random.choice(TENANTS)
        key = f"order-{number}"
        manual = random.random() < 0.4
        if random.random() < 0.4:
            intent = PaymentIntent(
                tenant=tenant if random.random() < 0.95 else "nobody",
                intent_key=key,
                amount_minor=random.choice((1, 999, 10_000)) if random.random() < 0.95 else -5,
                currency=random.choice(CURRENCIES),
                payment_method="pm_card_visa",
                capture_method="manual" if manual else "automatic",
                upstream="shop",
            )
            self._intent(intent)
        else:
            confirm = random.random() < 0.8
            command = self._make(
                "create",
                tenant,
                ids.payment_id(tenant, key),
                key,
                amount_minor=random.choice((1, 999, 10_000)),
                currency=random.choice(CURRENCIES),
                payment_method="pm_card_visa",
                capture_method="manual" if manual else "automatic",
                confirm=confirm,
            )
            self._command(command)
        self._known.append((tenant, ids.payment_id(tenant, key)))
        for _ in range(random.choice((0, 1, 1, 2, 3))):
            self._later(random.randrange(8_000), self._follow)
        if random.random() < 0.1:
            self._later(random.randrange(500), lambda: self._nonsense(number))

    def _follow(self) -> None:
        """Something else happens to some payment, or is asked for again."""
        random = self.world.random
        if self._commands and random.random() < 0.3:
            self._again(random.choice(self._commands))
            return
        if self._intents and random.random() < 0.2:
            intent = random.choice(self._intents)
            self._intent(replace(intent, request_id=self._unique("again")))
            return
        tenant, payment_id = random.choice(self._known)
        kind = random.choice(("confirm", "capture", "cancel", "refund", "refund"))
        amount = random.choice((None, None, 1, 500)) if kind in ("capture", "refund") else None
        key = self._unique(kind)
        self._command(self._make(kind, tenant, payment_id, key, amount_minor=amount))

    def _again(self, command: PaymentCommand) -> None:
        """The same key once more: with the same parameters, or, wrongly, with others."""
        changed = replace(
            command,
            correlation_id=self._unique("corr"),
            attribution=replace(command.attribution, request_id=self._unique("req")),
        )
        if self.world.random.random() < 0.15:
            changed = replace(changed, description="not what it was")
        self._command(changed, keep=False)

    def _unique(self, what: str) -> str:
        self._pairs += 1
        return f"{what}-{self._pairs}"

    def _make(self, kind: str, tenant: str, payment_id: str, key: str, **fields: object) -> PaymentCommand:
        return PaymentCommand(
            tenant=tenant,
            payment_id=payment_id,
            kind=kind,  # type: ignore[arg-type]
            reply_partition=self._reply_partition(),
            correlation_id=self._unique("corr"),
            attribution=Attribution(
                actor_kind="api_key", actor_id="key_1", request_id=self._unique("req"), idempotency_key=key
            ),
            **fields,  # type: ignore[arg-type]
        )

    def _reply_partition(self) -> int | None:
        random = self.world.random
        return None if random.random() < 0.2 else random.randrange(REPLY_PARTITIONS + (random.random() < 0.02))

    def _command(self, command: PaymentCommand, *, keep: bool = True) -> None:
        if keep:
            self._commands.append(command)
        self._send(catalogue.PAYMENTS_INPUTS.name, f"{command.tenant}/{command.payment_id}", command)

    def _intent(self, intent: PaymentIntent) -> None:
        self._intents.append(intent)
        self._send(catalogue.PAYMENT_INTENTS.name, f"{intent.tenant}/{intent.intent_key}", intent)

    def _nonsense(self, number: int) -> None:
        """A record that breaks its topic's contract; its neighbours must not notice."""
        random = self.world.random
        topic = random.choice(
            (catalogue.PAYMENT_INTENTS.name, catalogue.PAYMENTS_INPUTS.name, catalogue.SETTLEMENT_INPUTS.name)
        )
        self._send(topic, f"nonsense-{number}", f"not Avro {number}".encode())

    # Time

    def _tick(self) -> None:
        """A worker's tick; once in a while an old one, as from a zombie."""
        random = self.world.random
        time_ms = self.world.wall_ms - (random.randrange(3_000) if random.random() < 0.1 else 0)
        for topic in (catalogue.PAYMENTS_INPUTS.name, catalogue.SETTLEMENT_INPUTS.name):
            for number in range(len(self.broker.topics[topic].partitions)):
                self._send(topic, "tick", ClockTick(time_ms=time_ms, source=self._unique("tick")), partition=number)
        if self.world.now_ms < self.until_ms:
            self.world.after(TICK_MS, self._tick)

    def close_windows(self) -> None:
        """Time passes every cut-off, so that what is in a window is settled."""
        tick = ClockTick(time_ms=self.world.wall_ms + WINDOW_MS + GRACE_MS, source=self._unique("last"))
        self._everywhere(catalogue.SETTLEMENT_INPUTS.name, tick)


class Here:
    """A record that stands in a log has its partition already."""

    @staticmethod
    def partition_for(output: object) -> int:
        """Where it is."""
        return output.partition  # type: ignore[attr-defined, no-any-return]
