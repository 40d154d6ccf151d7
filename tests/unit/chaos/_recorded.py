"""A small log in memory, as a stack without faults would have left it: intents, their payments, settlement, state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from schemas import catalogue, codec
from schemas.ids import customer_id, method_id, payout_id, setup_id
from schemas.partitioner import partition_of
from schemas.records import (
    Attribution,
    ClockTick,
    CustomerCommand,
    PaymentCommand,
    PaymentEvent,
    PaymentIntent,
    PayoutCommand,
    PayoutRequest,
    PayoutResult,
    ProviderNotice,
    ProviderRequest,
    ProviderResult,
    RoutingUpdate,
    Tenant,
)
from schemas.sealing import KEY_BYTES, MasterKeys
from streams.agents import customers, intake, lifecycle, settlement
from streams.agents.keyring import KeyTable, MadeKeys
from streams.core.ids import charge_id, payment_id
from streams.runtime import POSITIONS_KEY, Output, Record
from tests.chaos import names, verify
from tests.chaos.checks import Sent, fingerprint
from tests.chaos.fold import Fold
from tests.chaos.log import MemoryLog
from tests.chaos.providers import Told

PARTITIONS = 2
START_MS = 1_700_000_000_000
WHO = Attribution(actor_kind="upstream", actor_id="shop", request_id="req_1")
GROUPS = tuple(names.TASKS.items())
SHOPPER, GONE = customer_id("acme", "shopper"), customer_id("acme", "gone")
DONE = {
    "authorize": "captured",
    "capture": "captured",
    "refund": "refunded",
    "void": "voided",
    "increment": "incremented",
    "submit_evidence": "evidence_submitted",
    "accept_dispute": "dispute_accepted",
}
CHALLENGED = payment_id("acme", "order-2")
RAISED = payment_id("acme", "order-6")
DISPUTED = {payment_id("acme", "order-1"): "submit_evidence", payment_id("acme", "order-4"): "close_dispute"}
"""Payments whose customer has to act, whose authorisation is raised, and which are disputed: how that is answered."""


class Recording:
    """Writes the log as it goes; `log` and `sent` are what the verifier gets."""

    def __init__(self) -> None:
        self.log, self.sent = MemoryLog(), Sent()
        self.told: list[Told] = []
        self._raised = False
        for topic in catalogue.CATALOGUE:
            self.log.topics[topic.name] = {number: [] for number in range(topic.partitions or PARTITIONS)}
        self._time_ms = START_MS
        self._tenant()
        for number in range(12):
            self._intent(number)
        self._intent(3)  # sent again
        self._send(names.INTENTS, b"bad", b"not Avro", self.sent.intents)
        self._shop()
        self._intake()
        self._lives()
        for number in range(PARTITIONS):
            for _ in range(3):
                self._at(names.SETTLEMENTS, number, codec.encode(ClockTick(time_ms=self._later(120_000))), b"tick")
        self._ask_for_payouts()
        for number in range(PARTITIONS):
            self._at(names.SETTLEMENTS, number, codec.encode(ClockTick(time_ms=self._later(120_000))), b"tick")
        self._settle()
        self._serve()
        for name, topic in GROUPS:
            self.log.groups[f"{names.APPLICATION}-{name}", topic] = {
                number: len(records) for number, records in self.log.topics[topic].items()
            }
            for number, records in self.log.topics[topic].items():
                if records:
                    self._at(
                        names.CHANGELOGS[name], number, b'{"%s":%d}' % (topic.encode(), len(records)), POSITIONS_KEY
                    )
        for number in range(PARTITIONS):  # the last ticks are not read any more
            self._at(names.INPUTS, number, codec.encode(ClockTick(time_ms=self._later(1))), b"tick")

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
        self._at(names.TENANTS, 0, codec.encode(tenant), b"acme")
        for number in range(PARTITIONS):
            self._at(names.INPUTS, number, codec.encode(tenant), b"acme")
            self._at(names.INPUTS, number, codec.encode(policy), b"acme")
            self._at(names.SETTLEMENTS, number, codec.encode(tenant), b"acme")

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
        self._send(names.INTENTS, f"acme/order-{number}".encode(), codec.encode(intent), self.sent.intents)

    def _intake(self) -> None:
        keys = MadeKeys(KeyTable(), MasterKeys([b"m" * KEY_BYTES]))
        handler = intake.Intake(tenants=verify._Tenants(self.log), clock=verify._NoClock(), keys=keys)
        for number in range(PARTITIONS):
            fold = Fold(handler, intake.reject)
            for record in self.log.topics[names.INTENTS][number]:
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
            inputs = self.log.topics[names.INPUTS][number]
            for record in _growing(inputs):
                for output in fold.take(record):
                    self._put(output)
                    message = codec.decode(output.value)
                    if isinstance(message, ProviderRequest):
                        self._result(message)
                    elif isinstance(message, PaymentEvent):
                        self._ask(message)
                        self._dispute(message)
            self._state(names.CHANGELOGS["lifecycle"], number, fold)

    def _result(self, request: ProviderRequest) -> None:
        manual = request.operation == "authorize" and not request.capture
        if request.payment_id == CHALLENGED and request.operation == "authorize":
            self._say(request, "requires_action")
        self._say(request, "authorized" if manual else DONE[request.operation])
        if request.operation == "submit_evidence":
            self._notify(request.payment_id, "won", amount_minor=request.amount_minor)
        elif request.operation == "accept_dispute":
            self._notify(request.payment_id, "lost", amount_minor=request.amount_minor)

    def _say(self, request: ProviderRequest, outcome: str) -> None:
        result = ProviderResult(
            tenant=request.tenant,
            payment_id=request.payment_id,
            request_id=request.request_id,
            object_id=request.object_id,
            provider=request.provider,
            operation=request.operation,
            outcome=outcome,
            action_url="/northpay/act" if outcome == "requires_action" else "",
            amount_minor=request.amount_minor,
            currency=request.currency,
            provider_reference=request.provider_reference or f"np_{request.object_id}",
            observed_ms=self._later(1),
            attribution=Attribution(
                actor_kind="provider", actor_id="northpay", request_id=request.attribution.request_id
            ),
        )
        self._keyed(names.INPUTS, f"{request.tenant}/{request.payment_id}".encode(), codec.encode(result))

    def _ask(self, event: PaymentEvent) -> None:
        """Capture what was authorised; refund a little of what was captured."""
        if event.type == "payment_intent.amount_capturable_updated" and event.payment_id == RAISED and not self._raised:
            self._raised = True
            self._command(event, "increment", event.payment.amount_minor + 500)
        elif event.to_status == "requires_capture" and event.from_status != "requires_capture":
            self._command(event, "capture", None)
        elif event.to_status == "succeeded" and event.from_status != "succeeded":
            self._command(event, "refund", 100)

    def _dispute(self, event: PaymentEvent) -> None:
        """The bank takes everything back; the merchant says that it is right, or gives in."""
        answer = DISPUTED.get(event.payment_id, "")
        if answer and event.to_status == "succeeded" and event.from_status != "succeeded":
            self._notify(event.payment_id, "needs_response", amount_minor=event.payment.amount_minor)
        elif event.type == "charge.dispute.created":
            evidence = {"evidence": {"uncategorized_text": "winning_evidence"}} if answer == "submit_evidence" else {}
            self._command(event, answer, None, object_id=event.dispute.id, **evidence)

    def _notify(self, payment: str, status: str, *, amount_minor: int) -> None:
        reference, number = f"np_dp_{payment}", len(self.told) + 1
        sequence = sum(one.dispute == reference for one in self.told) + 1
        withdrawn_minor = 0 if status == "won" else amount_minor
        notice = ProviderNotice(
            tenant="acme",
            payment_id=payment,
            provider="northpay",
            notice_id=f"np_evt_{number}",
            kind="dispute",
            sequence=sequence,
            charge_reference=f"np_{charge_id(payment, 1)}",
            dispute_reference=reference,
            dispute_status=status,
            amount_minor=amount_minor,
            currency="EUR",
            withdrawn_minor=withdrawn_minor,
            provider_fee_minor=15 if withdrawn_minor else 0,
        )
        self.told.append(Told("northpay", notice.notice_id, reference, sequence, status, withdrawn_minor))
        self._keyed(names.INPUTS, f"acme/{payment}".encode(), codec.encode(notice))

    def _command(self, event: PaymentEvent, kind: str, amount_minor: int | None, **fields: Any) -> None:
        command = PaymentCommand(
            tenant=event.tenant,
            payment_id=event.payment_id,
            kind=kind,
            amount_minor=amount_minor,
            reply_partition=1,
            correlation_id=f"{event.payment_id}/{kind}",
            **fields,
            attribution=Attribution(
                actor_kind="upstream",
                actor_id="shop",
                request_id=f"req_{kind}",
                idempotency_key=f"{event.payment_id}/{kind}",
            ),
        )
        key = f"{event.tenant}/{event.payment_id}".encode()
        self._send(names.INPUTS, key, codec.encode(command), self.sent.commands)

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
                self._send(names.SETTLEMENTS, address, codec.encode(command), self.sent.payouts)

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
        self._keyed(names.SETTLEMENTS, key, codec.encode(result))

    def _settle(self) -> None:
        for number in range(PARTITIONS):
            fold = Fold(settlement.Settlement(partitions=PARTITIONS, reply_partitions=PARTITIONS), settlement.reject)
            for record in _growing(self.log.topics[names.SETTLEMENTS][number]):
                for output in fold.take(record):
                    self._put(output)
                    message = codec.decode(output.value)
                    if isinstance(message, PayoutRequest):
                        self._pay(message)
            self._state(names.CHANGELOGS["settlement"], number, fold)

    def _shop(self) -> None:
        """Customers, one of whom is deleted; a setup, two methods, and a payment that saves its own."""
        self._customer("create_customer", SHOPPER, "shopper", metadata={"vip": "yes"})
        self._customer("create_customer", GONE, "gone")
        for key, customer in (("one", SHOPPER), ("other", GONE)):
            self._customer("attach_method", method_id("acme", key), key, customer=customer, token="pm_card_visa")
        setup = setup_id("acme", "setup")
        self._customer(
            "create_setup", setup, "setup", customer=SHOPPER, token="pm_card_mastercard", usage="off_session"
        )
        self._customer("confirm_setup", setup, "confirm")
        self._customer("delete_customer", GONE, "delete")
        self._customer("update_customer", GONE, "too late", metadata={"vip": "no"})
        paid = payment_id("acme", "saving")
        command = PaymentCommand(
            tenant="acme",
            payment_id=paid,
            kind="create",
            amount_minor=5_000,
            currency="EUR",
            payment_method="pm_card_visa",
            confirm=True,
            customer=SHOPPER,
            setup_future_usage="off_session",
            attribution=replace(WHO, idempotency_key="saving"),
        )
        self._send(names.INPUTS, f"acme/{paid}".encode(), codec.encode(command), self.sent.commands)

    def _customer(self, kind: str, object_id: str, key: str, **fields: Any) -> None:
        command = CustomerCommand(
            tenant="acme",
            object_id=object_id,
            kind=kind,
            reply_partition=1,
            correlation_id=key,
            attribution=replace(WHO, idempotency_key=key),
            **fields,
        )
        self._send(names.CUSTOMERS, b"acme", codec.encode(command), self.sent.customers)

    def _serve(self) -> None:
        handler = customers.Customers(partitions=PARTITIONS, reply_partitions=PARTITIONS, keys=None)
        for number in range(PARTITIONS):
            fold = Fold(handler, customers.reject)
            for record in self.log.topics[names.CUSTOMERS][number]:
                for output in fold.take(record):
                    self._put(output)
            self._state(names.CHANGELOGS["customers"], number, fold)

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
