"""A small log in memory, as a stack without faults would have left it: intents, their payments, settlement, state."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from schemas import catalogue, codec
from schemas.ids import payout_id
from schemas.partitioner import partition_of
from schemas.records import (
    Attribution,
    ClockTick,
    PaymentCommand,
    PaymentEvent,
    PaymentIntent,
    PayoutCommand,
    PayoutRequest,
    PayoutResult,
    ProviderRequest,
    ProviderResult,
    RoutingUpdate,
    Tenant,
)
from schemas.sealing import KEY_BYTES, MasterKeys
from streams.agents import intake, lifecycle, settlement
from streams.agents.keyring import KeyTable, MadeKeys
from streams.runtime import POSITIONS_KEY, Output, Record
from tests.chaos import verify
from tests.chaos.checks import Sent, fingerprint
from tests.chaos.fold import Fold
from tests.chaos.log import MemoryLog

PARTITIONS = 2
START_MS = 1_700_000_000_000
WHO = Attribution(actor_kind="upstream", actor_id="shop", request_id="req_1")
GROUPS = (("intake", verify.INTENTS), ("lifecycle", verify.INPUTS), ("settlement", verify.SETTLEMENTS))
DONE = {"authorize": "captured", "capture": "captured", "refund": "refunded", "void": "voided"}


class Recording:
    """Writes the log as it goes; `log` and `sent` are what the verifier gets."""

    def __init__(self) -> None:
        self.log, self.sent = MemoryLog(), Sent()
        for topic in catalogue.CATALOGUE:
            self.log.topics[topic.name] = {number: [] for number in range(topic.partitions or PARTITIONS)}
        self._time_ms = START_MS
        self._tenant()
        for number in range(12):
            self._intent(number)
        self._intent(3)  # sent again
        self._send(verify.INTENTS, b"bad", b"not Avro", self.sent.intents)
        self._intake()
        self._lives()
        for number in range(PARTITIONS):
            for _ in range(3):
                self._at(verify.SETTLEMENTS, number, codec.encode(ClockTick(time_ms=self._later(120_000))), b"tick")
        self._ask_for_payouts()
        for number in range(PARTITIONS):
            self._at(verify.SETTLEMENTS, number, codec.encode(ClockTick(time_ms=self._later(120_000))), b"tick")
        self._settle()
        for name, topic in GROUPS:
            self.log.groups[f"{verify.APPLICATION}-{name}", topic] = {
                number: len(records) for number, records in self.log.topics[topic].items()
            }
            for number, records in self.log.topics[topic].items():
                if records:
                    self._at(
                        verify.CHANGELOGS[name], number, b'{"%s":%d}' % (topic.encode(), len(records)), POSITIONS_KEY
                    )
        for number in range(PARTITIONS):  # the last ticks are not read any more
            self._at(verify.INPUTS, number, codec.encode(ClockTick(time_ms=self._later(1))), b"tick")

    def _later(self, milliseconds: int) -> int:
        self._time_ms += milliseconds
        return self._time_ms

    def _at(self, topic: str, partition: int, value: bytes | None, key: bytes | None) -> Record:
        return self.log.append(topic, partition, value, key=key, timestamp_ms=self._later(1))

    def _keyed(self, topic: str, key: bytes, value: bytes) -> Record:
        return self._at(topic, partition_of(key, PARTITIONS), value, key)

    def _send(self, topic: str, key: bytes, value: bytes, counted: dict[bytes, int]) -> None:
        counted[fingerprint(key, value)] += 1
        self._keyed(topic, key, value)

    def _tenant(self) -> None:
        tenant = Tenant(
            tenant="acme", version=1, settlement_interval_ms=60_000, settlement_grace_ms=1_000, attribution=WHO
        )
        policy = RoutingUpdate(kind="policy", tenant="acme", policy_version=1, providers=("northpay",), attribution=WHO)
        self._at(verify.TENANTS, 0, codec.encode(tenant), b"acme")
        for number in range(PARTITIONS):
            self._at(verify.INPUTS, number, codec.encode(tenant), b"acme")
            self._at(verify.INPUTS, number, codec.encode(policy), b"acme")
            self._at(verify.SETTLEMENTS, number, codec.encode(tenant), b"acme")

    def _intent(self, number: int) -> None:
        intent = PaymentIntent(
            tenant="acme",
            intent_key=f"order-{number}",
            amount_minor=1_000 + number,
            currency="EUR",
            payment_method="pm_card_visa",
            capture_method="manual" if number % 3 == 0 else "automatic",
            upstream="shop",
            request_id=f"req_{number}",
            customer="jenny" if number % 4 == 3 else "",
            personal={"billing_name": f"Jenny {number}"} if number % 4 == 3 else {},
        )
        self._send(verify.INTENTS, f"acme/order-{number}".encode(), codec.encode(intent), self.sent.intents)

    def _intake(self) -> None:
        keys = MadeKeys(KeyTable(), MasterKeys([b"m" * KEY_BYTES]))
        handler = intake.Intake(tenants=verify._Tenants(self.log), clock=verify._NoClock(), keys=keys)
        for number in range(PARTITIONS):
            fold = Fold(handler, intake.reject)
            for record in self.log.topics[verify.INTENTS][number]:
                for output in fold.take(record):
                    self._put(output)

    def _put(self, output: Output) -> Record:
        partitions = catalogue.topic(output.topic).partitions or PARTITIONS
        number = partition_of(output.key, partitions) if output.partition is None else output.partition
        time_ms = output.timestamp_ms or self._later(1)
        return self.log.append(output.topic, number, output.value, key=output.key, timestamp_ms=time_ms)

    def _lives(self) -> None:
        handler = lifecycle.Lifecycle(partitions=PARTITIONS, reply_partitions=PARTITIONS)
        for number in range(PARTITIONS):
            fold = Fold(handler, lifecycle.reject)
            inputs = self.log.topics[verify.INPUTS][number]
            for record in _growing(inputs):
                for output in fold.take(record):
                    self._put(output)
                    message = codec.decode(output.value)
                    if isinstance(message, ProviderRequest):
                        self._result(message)
                    elif isinstance(message, PaymentEvent):
                        self._ask(message)
            self._state(verify.CHANGELOGS["lifecycle"], number, fold)

    def _result(self, request: ProviderRequest) -> None:
        manual = request.operation == "authorize" and not request.capture
        result = ProviderResult(
            tenant=request.tenant,
            payment_id=request.payment_id,
            request_id=request.request_id,
            object_id=request.object_id,
            provider=request.provider,
            operation=request.operation,
            outcome="authorized" if manual else DONE[request.operation],
            amount_minor=request.amount_minor,
            currency=request.currency,
            provider_reference=request.provider_reference or f"np_{request.object_id}",
            observed_ms=self._later(1),
            attribution=Attribution(
                actor_kind="provider", actor_id="northpay", request_id=request.attribution.request_id
            ),
        )
        self._keyed(verify.INPUTS, f"{request.tenant}/{request.payment_id}".encode(), codec.encode(result))

    def _ask(self, event: PaymentEvent) -> None:
        """Capture what was authorised; refund a little of what was captured."""
        if event.to_status == "requires_capture" and event.from_status != "requires_capture":
            self._command(event, "capture", None)
        elif event.to_status == "succeeded" and event.from_status != "succeeded":
            self._command(event, "refund", 100)

    def _command(self, event: PaymentEvent, kind: str, amount_minor: int | None) -> None:
        command = PaymentCommand(
            tenant=event.tenant,
            payment_id=event.payment_id,
            kind=kind,
            amount_minor=amount_minor,
            attribution=Attribution(
                actor_kind="upstream",
                actor_id="shop",
                request_id=f"req_{kind}",
                idempotency_key=f"{event.payment_id}/{kind}",
            ),
        )
        key = f"{event.tenant}/{event.payment_id}".encode()
        self._send(verify.INPUTS, key, codec.encode(command), self.sent.commands)

    def _ask_for_payouts(self) -> None:
        """Two that are covered, one that is not."""
        for number, amount_minor in enumerate((700, 800, 10**9)):
            key = f"payout-{number}"
            for kind in ("claim", "create"):
                command = PayoutCommand(
                    tenant="acme",
                    provider="northpay",
                    currency="EUR",
                    payout_id=payout_id("acme", key),
                    kind=kind,
                    amount_minor=amount_minor,
                    reply_partition=number % PARTITIONS,
                    correlation_id=f"{kind}-{number}",
                    attribution=replace(WHO, idempotency_key=key),
                )
                address = b"acme//" if kind == "claim" else b"acme/northpay/EUR"
                self._keyed(verify.SETTLEMENTS, address, codec.encode(command))

    def _pay(self, request: PayoutRequest) -> None:
        result = PayoutResult(
            tenant=request.tenant,
            provider=request.provider,
            currency=request.currency,
            payout_id=request.payout_id,
            request_id=request.request_id,
            outcome="paid",
            amount_minor=request.amount_minor,
            provider_reference=f"np_{request.payout_id}",
        )
        key = f"{request.tenant}/{request.provider}/{request.currency}".encode()
        self._keyed(verify.SETTLEMENTS, key, codec.encode(result))

    def _settle(self) -> None:
        for number in range(PARTITIONS):
            fold = Fold(settlement.Settlement(partitions=PARTITIONS, reply_partitions=PARTITIONS), settlement.reject)
            for record in _growing(self.log.topics[verify.SETTLEMENTS][number]):
                for output in fold.take(record):
                    self._put(output)
                    message = codec.decode(output.value)
                    if isinstance(message, PayoutRequest):
                        self._pay(message)
            self._state(verify.CHANGELOGS["settlement"], number, fold)

    def _state(self, changelog: str, number: int, fold: Fold) -> None:
        self._at(changelog, number, b"deleted since", b"x/gone")
        for key, value in fold.store.values.items():
            self._at(changelog, number, b"before", key)
            self._at(changelog, number, value, key)
        self._at(changelog, number, None, b"x/gone")


def _growing(records: list[Record]) -> Iterator[Record]:
    """Those that are appended meanwhile, too."""
    at = 0
    while at < len(records):
        yield records[at]
        at += 1
