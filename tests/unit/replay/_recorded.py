"""A recorded history in memory: made by the workers' own handlers in batches, then tampered with as a test likes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from schemas import catalogue, codec
from schemas.ids import customer_id, payout_id
from schemas.partitioner import partition_of
from schemas.records import (
    Attribution,
    ClockTick,
    CustomerCommand,
    Movement,
    PaymentCommand,
    PayoutCommand,
    PayoutRequest,
    PayoutResult,
    ProviderRequest,
    RoutingUpdate,
    Tenant,
)
from streams.agents import customers, lifecycle, settlement
from streams.core import payment_id
from streams.replay import Bounds
from streams.runtime import Batch, Output, Record, StateView
from tests.unit.core.world import result

PARTITIONS = 2
DAY_MS = 86_400_000
T0 = 1_790_000_000_000 - 1_790_000_000_000 % DAY_MS
INPUTS, SETTLEMENT = catalogue.PAYMENTS_INPUTS.name, catalogue.SETTLEMENT_INPUTS.name
EVENTS, REQUESTS = catalogue.PAYMENTS_EVENTS.name, catalogue.PROVIDER_REQUESTS.name
REPLIES, REJECTED = catalogue.PAYMENTS_REPLIES.name, catalogue.RECORDS_REJECTED.name
WINDOWS, DIGESTS = catalogue.SETTLEMENT_EVENTS.name, catalogue.AUDIT_DIGESTS.name
CUSTOMERS = catalogue.CUSTOMERS_INPUTS.name
STATE = {
    "lifecycle": catalogue.LIFECYCLE_CHANGELOG.name,
    "settlement": catalogue.SETTLEMENT_CHANGELOG.name,
    "customers": catalogue.CUSTOMERS_CHANGELOG.name,
}
GROUPS = {
    "clearline-lifecycle": INPUTS,
    "clearline-settlement": SETTLEMENT,
    "clearline-customers": CUSTOMERS,
}


class MemoryLog:
    """Topics as lists; offsets have holes, as transactions' markers leave them."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, int], list[Record]] = {}
        self.offsets: dict[tuple[str, int], int] = {}
        self.starts: dict[tuple[str, int], int] = {}
        for topic in catalogue.CATALOGUE:
            for number in range(topic.partitions or PARTITIONS):
                self.records[topic.name, number] = []

    def append(self, topic: str, partition: int, value: bytes | None, key: bytes | None, time_ms: int) -> Record:
        """One more record."""
        there = self.records[topic, partition]
        offset = there[-1].offset + 1 if there else 0
        record = Record(topic, partition, offset, time_ms, key, value)
        there.append(record)
        return record

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """As the workers of this history left them."""
        assert GROUPS[group] == topic
        return {number: self.offsets.get((group, number), 0) for number in range(PARTITIONS)}

    def bounds(self, topic: str) -> dict[int, Bounds]:
        """All that is there."""
        return {
            number: Bounds(self.starts.get((name, number), 0), records[-1].offset + 2 if records else 0)
            for (name, number), records in self.records.items()
            if name == topic
        }

    def read(self, topic: str, partition: int, bounds: Bounds) -> Iterator[Record]:
        """What lies within."""
        return iter([r for r in self.records[topic, partition] if bounds.start <= r.offset < bounds.end])

    def change(self, topic: str, partition: int, place: int, how: Callable[[bytes], bytes]) -> Record:
        """Replace a record's value; returns it as it was."""
        there = self.records[topic, partition]
        before = there[place]
        assert before.value is not None
        there[place] = replace(before, value=how(before.value))
        assert there[place] != before
        return before


class World:
    """Feeds inputs and lets 'workers' take them in batches of varying size."""

    def __init__(self, seed: int = 5) -> None:
        self.log = MemoryLog()
        self.rng = random.Random(seed)
        self.time_ms = T0
        self.stores: dict[tuple[str, int], _Store] = {}
        self.answered: dict[int, int] = {}
        tenant = Tenant(tenant="acme", version=1, settlement_interval_ms=3_600_000)
        for number in range(PARTITIONS):
            self.put(INPUTS, number, tenant, b"acme")
            self.put(SETTLEMENT, number, tenant, b"acme")
            self.put(INPUTS, number, RoutingUpdate(kind="policy", policy_version=1, providers=("northpay",)), b"")

    def put(self, topic: str, partition: int, message: Any, key: bytes | None) -> Record:
        """One input, a little later than the one before."""
        self.time_ms += self.rng.randrange(1_000)
        value = message if isinstance(message, bytes) else codec.encode(message)
        return self.log.append(topic, partition, value, key, self.time_ms)

    def command(self, kind: str, key: str, *, of: str = "", reply: bool = True, **fields: Any) -> None:
        """A command of an API client, or of one who awaits no reply."""
        identity = payment_id("acme", of or key)
        who = Attribution(actor_kind="api_key", actor_id="key_1", request_id=f"req-{key}", idempotency_key=key)
        if reply:
            fields |= {"reply_partition": self.rng.randrange(PARTITIONS), "correlation_id": f"corr-{key}"}
        message = PaymentCommand(tenant="acme", payment_id=identity, kind=kind, attribution=who, **fields)
        address = f"acme/{identity}".encode()
        self.put(INPUTS, partition_of(address, PARTITIONS), message, address)

    def create(self, key: str, **fields: Any) -> None:
        """A payment that is charged at once."""
        self.command(
            "create",
            key,
            **{"amount_minor": 1_000, "currency": "EUR", "payment_method": "pm_card_visa", "confirm": True, **fields},
        )

    def answer(self) -> None:
        """The provider answers every new request."""
        for number in range(PARTITIONS):
            records = self.log.records[REQUESTS, number]
            for record in records[self.answered.get(number, 0) :]:
                request = codec.decode(record.value)
                if isinstance(request, PayoutRequest):
                    self._pay(request)
                    continue
                assert isinstance(request, ProviderRequest)
                outcome = {"authorize": "captured", "capture": "captured", "refund": "refunded", "void": "voided"}
                said = outcome[request.operation] if self.rng.random() < 0.8 else "declined"
                self.put(INPUTS, number, result(request, said, provider_fee_minor=30), record.key)
            self.answered[number] = len(records)

    def payout(self, kind: str, key: str, *, of: str = "", **fields: Any) -> None:
        """A command about a payout of what is settled."""
        who = Attribution(actor_kind="api_key", actor_id="key_1", request_id=f"req-{key}", idempotency_key=key)
        message = PayoutCommand(
            tenant="acme",
            provider="northpay",
            currency="EUR",
            payout_id=payout_id("acme", of or key),
            kind=kind,
            reply_partition=self.rng.randrange(PARTITIONS),
            correlation_id=f"corr-{kind}-{key}",
            attribution=who,
            **fields,
        )
        address = b"acme//" if kind == "claim" else b"acme/northpay/EUR"
        self.put(SETTLEMENT, partition_of(address, PARTITIONS), message, address)

    def customer(self, kind: str, key: str, *, of: str = "", reply: bool = True, **fields: Any) -> None:
        """A command about a customer."""
        who = Attribution(actor_kind="api_key", actor_id="key_1", request_id=f"req-{key}", idempotency_key=key)
        if reply:
            fields |= {"reply_partition": self.rng.randrange(PARTITIONS), "correlation_id": f"corr-{kind}-{key}"}
        message = CustomerCommand(
            tenant="acme", object_id=customer_id("acme", of or key), kind=kind, attribution=who, **fields
        )
        self.put(CUSTOMERS, partition_of(b"acme", PARTITIONS), message, b"acme")

    def _pay(self, request: PayoutRequest) -> None:
        key = f"{request.tenant}/{request.provider}/{request.currency}".encode()
        for outcome in ("unknown", "in_transit", "paid"):
            told = PayoutResult(
                tenant=request.tenant,
                provider=request.provider,
                currency=request.currency,
                payout_id=request.payout_id,
                request_id=request.request_id,
                outcome=outcome,
                amount_minor=request.amount_minor,
                provider_reference="northpay_po_1",
            )
            self.put(SETTLEMENT, partition_of(key, PARTITIONS), told, key)

    def tick(self, *, later_ms: int = 0) -> None:
        """Time, on every partition."""
        self.time_ms += later_ms
        for number in range(PARTITIONS):
            for topic in (INPUTS, SETTLEMENT, CUSTOMERS):
                self.put(topic, number, ClockTick(time_ms=self.time_ms, source="test"), b"tick")

    def work(self) -> None:
        """The workers take everything there is; settlement after lifecycle, as it reads what that wrote."""
        handle = lifecycle.Lifecycle(partitions=PARTITIONS, reply_partitions=PARTITIONS)
        for number in range(PARTITIONS):
            self._work("lifecycle", number, INPUTS, handle, lifecycle.reject)
        settle = settlement.Settlement(partitions=PARTITIONS, reply_partitions=PARTITIONS)
        for number in range(PARTITIONS):
            self._work("settlement", number, SETTLEMENT, settle, settlement.reject)
        serve = customers.Customers(partitions=PARTITIONS, reply_partitions=PARTITIONS, keys=None)
        for number in range(PARTITIONS):
            self._work("customers", number, CUSTOMERS, serve, customers.reject)

    def _work(self, fold: str, number: int, topic: str, handle: Any, reject: Any) -> None:
        store = self.stores.setdefault((fold, number), _Store())
        group = f"clearline-{fold}"
        while True:
            done = self.log.offsets.get((group, number), 0)
            records = self.log.records[topic, number][done:]
            records = records[: self.rng.randrange(1, 8)]
            if not records:
                return
            view = StateView(store, cache_bytes_max=10_000, value_bytes_max=1_000_000)
            batch = Batch(records, {number: view}, rejection=reject, output_bytes_max=1_000_000)
            batch.run(handle)
            assert not batch.stops
            for output in batch.outputs:
                self._emit(output)
            for key, value in view.changes().items():
                self.log.append(STATE[fold], number, value, key, records[-1].timestamp_ms)
                store.change(key, value)
            self.log.offsets[group, number] = batch.positions[topic, number]

    def _emit(self, output: Output) -> None:
        number = output.partition
        if number is None:
            unkeyed = output.key is None
            number = self.rng.randrange(PARTITIONS) if unkeyed else partition_of(output.key or b"", PARTITIONS)
        self.log.append(output.topic, number, output.value, output.key, output.timestamp_ms)


class _Store:
    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.data.get(key)

    def range(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter([(key, self.data[key]) for key in sorted(self.data) if key.startswith(prefix)])

    def change(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.data.pop(key, None)
        else:
            self.data[key] = value


def history(payments: int = 40, *, days: int = 3, seed: int = 5) -> World:
    """Payments over some days: charged, captured, refunded, declined, refused; windows opened and closed."""
    world = World(seed)
    for day in range(days):
        for number in range(payments // days):
            key = f"order-{day}-{number}"
            manual = {"capture_method": "manual"} if number % 3 == 0 else {}
            world.create(key, description="socks", reply=number % 2 == 0, **manual)
            if number % 4 == 1:
                world.create(key, description="socks")  # replayed
            if number % 5 == 2:
                world.command("refund", f"again-{key}", of=f"{key}-nobody", reply=number % 2 == 0)
        world.put(INPUTS, day % PARTITIONS, b"not avro", None)
        world.put(SETTLEMENT, day % PARTITIONS, b"not avro either", None)
        world.work()
        world.answer()
        world.work()
        world.tick()
        for number in range(0, payments // days, 2):
            world.command("refund", f"refund-{day}-{number}", of=f"order-{day}-{number}", amount_minor=100)
        world.work()
        world.answer()
        world.work()
        world.tick(later_ms=DAY_MS)
        world.work()
        for kind in ("claim", "create", "create"):
            world.payout(kind, f"payout-{day}", amount_minor=500, description="rent")
        world.payout("create", f"more-{day}", amount_minor=10**9)
        world.payout("create", f"not-{day}", amount_minor=0)
        for number in range(3):
            world.customer("create_customer", f"shopper-{day}-{number}", metadata={"day": str(day)})
        world.customer("delete_customer", f"gone-{day}", of=f"shopper-{day}-1")
        world.customer("delete_customer", f"nobody-{day}", of="nobody", reply=False)
        world.create(
            f"saving-{day}", customer=customer_id("acme", f"shopper-{day}-0"), setup_future_usage="off_session"
        )
        world.put(CUSTOMERS, day % PARTITIONS, b"not avro at all", None)
        if day == 1:
            world.payout("cancel", "called-off", of=f"payout-{day}")
        world.work()
    return world


def movements(log: MemoryLog, number: int) -> list[int]:
    """Places of movements on a partition of settlement.inputs."""
    return [
        place
        for place, record in enumerate(log.records[SETTLEMENT, number])
        if record.key != b"tick"
        and record.value is not None
        and record.value[:1] == b"\x00"
        and isinstance(codec.decode(record.value), Movement)
    ]
