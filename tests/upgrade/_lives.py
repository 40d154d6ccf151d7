"""Lives of payments from a seed: commands, providers' answers of every kind, time and configuration, as records of the input logs."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

from schemas import codec
from schemas.catalogue import PAYMENTS_INPUTS, PROVIDER_REQUESTS, SETTLEMENT_INPUTS
from schemas.partitioner import partition_of
from schemas.records import (
    Attribution,
    ClockTick,
    Movement,
    PaymentCommand,
    ProviderRequest,
    ProviderResult,
    RoutingUpdate,
    Tenant,
)
from schemas.records import Record as Message
from streams.core import payment_id
from streams.runtime import Record
from tests.upgrade._fold import PARTITIONS, Fold

SEED = 20_261_126
PAYMENTS = 200
START_MS = 1_767_225_600_000
TENANTS = (("acme", "EUR"), ("globex", "JPY"), ("initech", "KWD"))
PROVIDERS = ("northpay", "southpay")

TICK_EVERY_MS = 120_000
APART_MS = 5_000
DAY_MS = 86_400_000
# Beyond it stored replies are forgotten: the recording holds that, too.
LAST_TICK_MS = 31 * DAY_MS

# How often an attempt ends how; what is unknown is resolved later, one way or the other.
AUTHORIZED = {"succeeds": 66, "declined": 14, "refused": 6, "unknown": 12, "integrity_failure": 2}
REFUNDED = {"refunded": 70, "refund_pending": 12, "refund_failed": 8, "unknown": 10}

# Under a key that isn't its own: refused.
_STRAY_COMMAND = PaymentCommand(tenant="acme", payment_id=payment_id("acme", "stray"), kind="create")


class Lives:
    """Makes the logs by running them: what is asked of a provider is answered some time later."""

    def __init__(self, *, seed: int = SEED, payments: int = PAYMENTS) -> None:
        self._random = random.Random(seed)
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._orders = 0
        self._now_ms = START_MS
        self._payments = payments
        self._ends: dict[tuple[str, int], int] = {}
        self.log: list[Record] = []
        self.folds = {
            (topic, number): Fold(topic, number)
            for topic in (PAYMENTS_INPUTS.name, SETTLEMENT_INPUTS.name)
            for number in range(PARTITIONS)
        }

    def run(self) -> Lives:
        """Everything, to its end."""
        self._configure()
        for number in range(self._payments):
            self._at(number * APART_MS, lambda number=number: self._payment(number))  # type: ignore[misc]
        for after_ms in range(TICK_EVERY_MS, self._payments * APART_MS + DAY_MS // 12, TICK_EVERY_MS):
            self._at(after_ms, self._tick)
        self._at(LAST_TICK_MS, self._tick)
        self._at(31_000, lambda: self._append(PAYMENTS_INPUTS.name, "acme/nonsense", b"not avro"))
        self._at(32_000, lambda: self._append(SETTLEMENT_INPUTS.name, "acme/northpay/EUR", b"\0\0\0\0"))
        self._at(33_000, lambda: self._append(PAYMENTS_INPUTS.name, "acme/other", _STRAY_COMMAND))
        while self._due:
            due_ms, _, act = heapq.heappop(self._due)
            self._now_ms = due_ms
            act()
        return self

    def _at(self, after_ms: int, act: Callable[[], None]) -> None:
        self._orders += 1
        heapq.heappush(self._due, (self._now_ms + after_ms, self._orders, act))

    # Appending

    def _append(self, topic: str, key: str, value: Message | bytes, *, partition: int | None = None) -> None:
        raw = key.encode()
        number = partition_of(raw, PARTITIONS) if partition is None else partition
        offset = self._ends.get((topic, number), 0)
        self._ends[topic, number] = offset + 1
        content = value if isinstance(value, bytes) else codec.encode(value)
        record = Record(topic, number, offset, self._now_ms, raw, content)
        self.log.append(record)
        for output in self.folds[topic, number].take(record):
            assert output.value is not None
            message = codec.decode(output.value)
            if isinstance(message, ProviderRequest):
                assert output.topic == PROVIDER_REQUESTS.name
                self._asked(message)
            elif isinstance(message, Movement):
                assert output.key is not None
                self._append(SETTLEMENT_INPUTS.name, output.key.decode(), output.value)

    def _everywhere(self, message: Message, *topics: str) -> None:
        for topic in topics:
            for number in range(PARTITIONS):
                self._append(topic, type(message).__name__, message, partition=number)

    def _configure(self) -> None:
        both = (PAYMENTS_INPUTS.name, SETTLEMENT_INPUTS.name)
        for tenant, _ in TENANTS:
            self._everywhere(
                Tenant(
                    tenant=tenant, name=tenant.title(), version=1, timezone="Europe/Berlin", settlement_cutoff="01:30"
                ),
                *both,
            )
        self._everywhere(
            RoutingUpdate(kind="policy", tenant="", policy_version=1, providers=PROVIDERS), PAYMENTS_INPUTS.name
        )
        self._everywhere(
            RoutingUpdate(kind="policy", tenant="globex", policy_version=1, providers=PROVIDERS[::-1]),
            PAYMENTS_INPUTS.name,
        )

    def _tick(self) -> None:
        self._everywhere(
            ClockTick(time_ms=self._now_ms, source="recorder"), PAYMENTS_INPUTS.name, SETTLEMENT_INPUTS.name
        )

    # A payment

    def _payment(self, number: int) -> None:
        chance, (tenant, currency) = self._random, self._random.choice(TENANTS)
        key = f"order-{number:04d}"
        amount = chance.randint(100, 50_000)
        manual, confirm = chance.random() < 0.25, chance.random() < 0.9
        fields: dict[str, Any] = {
            "amount_minor": amount,
            "currency": currency,
            "payment_method": "pm_card_visa" if confirm else "",
            "capture_method": "manual" if manual else "automatic",
            "confirm": confirm,
            "customer": f"cus_{number % 17}",
            "description": f"Order {number}" if chance.random() < 0.4 else "",
            "metadata": {"order": str(number)} if chance.random() < 0.4 else {},
        }
        create = self._command(tenant, "create", key, of=key, **fields)
        create()
        if chance.random() < 0.1:  # a client that did not wait for its answer
            self._at(chance.randint(100, 90_000), create)
        if chance.random() < 0.03:  # the same key for something else
            self._at(95_000, self._command(tenant, "create", key, of=key, **{**fields, "amount_minor": amount + 1}))
        if not confirm:
            self._at(7_000, self._command(tenant, "confirm", f"{key}-confirm", of=key, payment_method="pm_card_visa"))
        if manual:
            part = amount if chance.random() < 0.6 else chance.randint(1, amount)
            follow = (
                ("capture", {"amount_minor": part}) if chance.random() < 0.8 else ("cancel", {"reason": "abandoned"})
            )
            self._at(200_000, self._command(tenant, follow[0], f"{key}-{follow[0]}", of=key, **follow[1]))
        for turn in range(chance.choice((0, 0, 0, 1, 1, 2, 3))):
            some = None if chance.random() < 0.3 else chance.randint(1, amount)
            refund = self._command(tenant, "refund", f"{key}-refund-{turn}", of=key, amount_minor=some)
            self._at(400_000 + 60_000 * turn, refund)

    def _command(self, tenant: str, kind: Any, key: str, *, of: str, **fields: Any) -> Callable[[], None]:
        about = payment_id(tenant, of)
        who = Attribution(actor_kind="api_key", actor_id="key_1", request_id=f"req-{key}", idempotency_key=key)
        awaited = self._random.random() < 0.7
        command = PaymentCommand(
            tenant=tenant,
            payment_id=about,
            kind=kind,
            attribution=who,
            reply_partition=self._random.randrange(PARTITIONS) if awaited else None,
            correlation_id=f"corr-{key}" if awaited else "",
            **fields,
        )
        return lambda: self._append(PAYMENTS_INPUTS.name, f"{tenant}/{about}", command)

    # The providers

    def _asked(self, request: ProviderRequest) -> None:
        chance = self._random
        success = {"capture": "captured", "void": "voided"}.get(
            request.operation, "captured" if request.capture else "authorized"
        )
        if request.operation == "refund":
            outcome = self._drawn(REFUNDED)
        elif request.operation == "authorize":
            outcome = self._drawn(AUTHORIZED)
        else:
            outcome = "unknown" if chance.random() < 0.1 else "succeeds"
        outcome = success if outcome == "succeeds" else outcome
        wait_ms = chance.randint(20, 2_500)
        self._at(wait_ms, lambda: self._answer(request, outcome))
        if outcome == "unknown":
            resolved = chance.choice((success, "refused")) if request.operation != "refund" else "refunded"
            self._at(wait_ms + chance.randint(5_000, 60_000), lambda: self._answer(request, resolved))
        elif outcome == "refund_pending":
            settled = chance.choice(("refunded", "refunded", "refund_failed"))
            self._at(wait_ms + 90_000, lambda: self._answer(request, settled))
        elif outcome in ("declined", "refused") and request.operation == "authorize" and chance.random() < 0.15:
            self._at(wait_ms + 30_000, lambda: self._answer(request, success))  # it charged after all: a stray
        if chance.random() < 0.05:
            self._at(wait_ms + 100_000, lambda: self._answer(request, outcome))  # told twice

    def _drawn(self, weights: dict[str, int]) -> str:
        return self._random.choices(list(weights), list(weights.values()))[0]

    def _answer(self, request: ProviderRequest, outcome: Any) -> None:
        effect = outcome in ("authorized", "captured", "refunded", "refund_pending")
        declined = outcome == "declined"
        result = ProviderResult(
            tenant=request.tenant,
            payment_id=request.payment_id,
            request_id=request.request_id,
            object_id=request.object_id,
            provider=request.provider,
            operation=request.operation,
            outcome=outcome,
            amount_minor=request.amount_minor if effect else 1 if outcome == "integrity_failure" else 0,
            currency=request.currency,
            provider_reference=f"{request.provider[:2]}_{request.object_id[-8:]}" if effect else "",
            provider_fee_minor=request.amount_minor // 50 if outcome == "captured" else 0,
            decline_kind=("soft" if len(request.object_id) % 2 else "hard") if declined else "none",
            decline_code="insufficient_funds" if declined else "",
            observed_ms=self._now_ms,
            attribution=request.attribution,
        )
        self._append(PAYMENTS_INPUTS.name, f"{request.tenant}/{request.payment_id}", result)
