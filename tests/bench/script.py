"""What the bare loop of payments writes: the bytes that the real agents write for some real payments, record by record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from infra.demo.intents import generate
from schemas import codec
from schemas.catalogue import (
    LIFECYCLE_CHANGELOG,
    PAYMENTS_EVENTS,
    PAYMENTS_INPUTS,
    PROVIDER_REQUESTS,
    SETTLEMENT_CHANGELOG,
    SETTLEMENT_EVENTS,
    SETTLEMENT_INPUTS,
)
from schemas.records import PaymentCommand, PaymentIntent, RoutingUpdate, Tenant
from streams.agents import settlement
from streams.agents.lifecycle import Lifecycle
from streams.core import keys
from streams.core.intake import command_of
from streams.runtime import Record
from tests.bench.sides.provider import answer

PAYMENTS = 64
OPENING = 400
PROVIDERS = ("northpay", "southpay")
START_MS = 1_767_225_600_000


class Line(msgspec.Struct, frozen=True):
    """
    What follows from one record.

    Outputs as (topic, key, value), an empty key standing for the record's own. Writes as (key, value), where a state key that
    is made anew for each record is given as its length only.
    """

    outputs: list[tuple[str, bytes, bytes]]
    writes: list[tuple[bytes | int, bytes]]

    def size_bytes(self) -> int:
        """Of values, outputs and changelog alike."""
        return sum(len(value) for _, _, value in self.outputs) + sum(len(value) for _, value in self.writes)


class TaskScript(msgspec.Struct, frozen=True):
    """A task's lines by the first five bytes of the records that they answer: Avro's header with the schema id."""

    name: str
    source: str
    changelog: str
    lines: dict[bytes, list[Line]]


class Script(msgspec.Struct, frozen=True):
    """All tasks and the topics that they write to."""

    tasks: list[TaskScript]
    topics: list[str]

    def per_payment(self) -> dict[str, float]:
        """Records and bytes that one payment makes, on average; it is read as a command, a result and two movements."""
        times = {PAYMENTS_INPUTS.name: 1, SETTLEMENT_INPUTS.name: 2}
        outputs = changes = size_bytes = 0.0
        for task in self.tasks:
            for lines in task.lines.values():
                share = times[task.source] / len(lines)
                outputs += share * sum(len(line.outputs) for line in lines)
                changes += share * sum(len(line.writes) for line in lines)
                size_bytes += share * sum(line.size_bytes() for line in lines)
        return {"outputs": outputs, "state changes": changes, "bytes written": round(size_bytes)}


def commands(count: int, *, seed: int, tenants: Mapping[str, Tenant]) -> Iterator[PaymentCommand]:
    """Creates with confirmation, as intake makes them of the demo's intents; all are paid at once and never touched again."""
    for planned in generate(count, seed=seed, prefix="bench"):
        yield command_of(
            PaymentIntent(
                tenant=planned.tenant,
                intent_key=planned.intent_key,
                amount_minor=planned.amount_minor,
                currency=planned.currency,
                payment_method="pm_card_visa",
                capture_method="automatic",
                customer=planned.customer,
                description=planned.description,
                metadata=planned.metadata,
                upstream="bench",
                request_id=f"req_{planned.intent_key}",
            ),
            tenants,
        )


class _View:
    """State in a dictionary, and what a record wrote to it."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.writes: list[tuple[bytes, bytes]] = []
        self.get = self.data.get

    def range(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        yield from sorted((key, value) for key, value in self.data.items() if key.startswith(prefix))

    def put(self, key: bytes, value: bytes) -> None:
        self.data[key] = value
        self.writes.append((key, value))

    def delete(self, key: bytes) -> None:
        raise AssertionError("a payment that goes well deletes nothing")


class _Context:
    """Collects what a handler emits."""

    def __init__(self) -> None:
        self.store = _View()
        self.emitted: list[tuple[str, bytes, bytes]] = []

    def emit(self, topic: str, value: bytes, *, key: bytes, **_: Any) -> None:
        self.emitted.append((topic, key, value))


def write(tenants: Mapping[str, Tenant]) -> Script:
    """Run the real agents over some payments and keep what they write."""
    living, settling = _Context(), _Context()
    offsets = iter(range(10**9))
    lifecycle = Lifecycle(partitions=1, reply_partitions=1)

    def give(handler: Any, context: _Context, topic: str, key: bytes, value: bytes) -> Line:
        context.emitted, context.store.writes = [], []
        handler(Record(topic, 0, next(offsets), START_MS, key, value), context)
        writes = [(len(name) if _is_own(name, key) else name, data) for name, data in context.store.writes]
        return Line([(to, b"" if own == key else own, data) for to, own, data in context.emitted], writes)

    settle = settlement.Settlement(partitions=1, reply_partitions=1)
    for tenant in tenants.values():
        give(lifecycle, living, PAYMENTS_INPUTS.name, tenant.tenant.encode(), codec.encode(tenant))
        give(settle, settling, SETTLEMENT_INPUTS.name, tenant.tenant.encode(), codec.encode(tenant))
    policy = codec.encode(RoutingUpdate(kind="policy", policy_version=1, providers=PROVIDERS))
    give(lifecycle, living, PAYMENTS_INPUTS.name, b"", policy)

    inputs: dict[bytes, list[Line]] = {}
    moved: dict[bytes, list[Line]] = {}
    # Those before the last ones open the settlement windows, which happens once a day.
    for number, command in enumerate(commands(OPENING + PAYMENTS, seed=1, tenants=tenants)):
        key = f"{command.tenant}/{command.payment_id}".encode()
        asking = codec.encode(command)
        asked = give(lifecycle, living, PAYMENTS_INPUTS.name, key, asking)
        (request,) = (data for topic, _, data in asked.outputs if topic == PROVIDER_REQUESTS.name)
        answering = codec.encode(answer(codec.decode(request), now_ms=START_MS))
        answered = give(lifecycle, living, PAYMENTS_INPUTS.name, key, answering)
        movements = [
            (data[:5], give(settle, settling, topic, flow, data))
            for topic, flow, data in answered.outputs
            if topic == SETTLEMENT_INPUTS.name
        ]
        if number >= OPENING:
            inputs.setdefault(asking[:5], []).append(asked)
            inputs.setdefault(answering[:5], []).append(answered)
            for kind, line in movements:
                moved.setdefault(kind, []).append(line)
    return Script(
        tasks=[
            TaskScript("lifecycle", PAYMENTS_INPUTS.name, LIFECYCLE_CHANGELOG.name, inputs),
            TaskScript("settlement", SETTLEMENT_INPUTS.name, SETTLEMENT_CHANGELOG.name, moved),
        ],
        topics=[PAYMENTS_EVENTS.name, PROVIDER_REQUESTS.name, SETTLEMENT_INPUTS.name, SETTLEMENT_EVENTS.name],
    )


def _is_own(state_key: bytes, key: bytes) -> bool:
    """Whether a state key is the payment's or movement's own, not its tenant's or its window's."""
    return (b"/pi_" in key and key.rpartition(b"/")[2] in state_key) or state_key.startswith(keys.SEEN_PREFIX)
