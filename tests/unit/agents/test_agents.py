"""The agents' handlers on a batch of their own: what goes in, what comes out, what is refused."""

from __future__ import annotations

import msgspec
import pytest

from schemas import codec
from schemas.catalogue import PAYMENTS_EVENTS, PAYMENTS_INPUTS, PROVIDER_REQUESTS, RECORDS_REJECTED, SETTLEMENT_EVENTS
from schemas.partitioner import partition_of
from schemas.records import (
    Attribution,
    ClockTick,
    Movement,
    PaymentCommand,
    PaymentIntent,
    Rejection,
    RoutingUpdate,
    Tenant,
)
from streams.agents import intake, lifecycle, settlement
from streams.core.ids import payment_id
from streams.runtime import Batch, Output, Record, StateView

PARTITIONS = 4
NOW_MS = 1_800_000_000_000
SECRET = "sk_test_mfrggzdfmztwq2lknnwg23tpobyxe43u"
ACME = Tenant(tenant="acme", version=1)
ATTRIBUTION = Attribution(actor_kind="api_key", actor_id="key_1", request_id="req_1", idempotency_key="k1")


class NoStore:
    """A store that was never written."""

    def get(self, _key):
        return None

    def range(self, _prefix):
        return iter(())


class Clock:
    """A clock that stands."""

    def wall_ms(self):
        return NOW_MS


class Table(dict):
    """Tenants as the intake knows them."""


def run(handler, reject, *records: Record, partition: int = 0) -> list[Output]:
    """The outputs of one batch."""
    batch = Batch(
        records,
        {partition: StateView(NoStore(), cache_bytes_max=0, value_bytes_max=1_000_000)},
        rejection=reject,
        output_bytes_max=1_000_000,
    )
    batch.run(handler)
    assert batch.stops == {}
    return batch.outputs


def record(topic: str, message, *, key: str | None = None, partition: int = 0, offset: int = 7) -> Record:
    """A record as it would be read."""
    value = message if isinstance(message, bytes) else codec.encode(message)
    return Record(topic, partition, offset, NOW_MS, None if key is None else key.encode(), value)


def decoded(output: Output):
    """The message of an output."""
    return codec.decode(output.value)


def test_intake_names_the_record_where_the_upstream_system_named_nothing():
    """A command made of an intent without upstream or request id still names an actor and a request."""
    intent = PaymentIntent(
        tenant="acme", intent_key="o1", amount_minor=5, currency="EUR", payment_method="pm_card_visa"
    )
    handle = intake.Intake(tenants=Table({b"acme": ACME}), clock=Clock())
    (output,) = run(handle, intake.reject, record("payment.intents", intent, key="acme/o1"))
    command = decoded(output)
    assert output.topic == PAYMENTS_INPUTS.name
    assert output.key == f"acme/{payment_id('acme', 'o1')}".encode()
    assert command.attribution.actor_id == "payment.intents"
    assert command.attribution.request_id == "payment.intents/0/7"
    assert command.attribution.idempotency_key == "o1"


def test_intake_stamps_its_own_time():
    """The command's time is when Clearline took the intent, not what the upstream clock said."""
    intent = PaymentIntent(
        tenant="acme", intent_key="o1", amount_minor=5, currency="EUR", payment_method="pm_card_visa"
    )
    handle = intake.Intake(tenants=Table({b"acme": ACME}), clock=Clock())
    late = msgspec.structs.replace(record("payment.intents", intent), timestamp_ms=1)
    (output,) = run(handle, intake.reject, late)
    assert output.timestamp_ms == NOW_MS


def test_unknown_tenant_is_rejected_with_its_bytes():
    """An intent of a tenant that nobody made is on records.rejected, bytes and digest included."""
    intent = PaymentIntent(tenant="nobody", intent_key="o1", amount_minor=5, currency="EUR", payment_method="pm_x")
    came = record("payment.intents", intent, key="nobody/o1")
    (output,) = run(intake.Intake(tenants=Table(), clock=Clock()), intake.reject, came)
    rejected = decoded(output)
    assert output.topic == RECORDS_REJECTED.name
    assert isinstance(rejected, Rejection)
    assert (rejected.reason, rejected.tenant, rejected.component) == ("unknown_tenant", "nobody", "intake")
    assert (rejected.value, rejected.source_offset) == (came.value, 7)


def test_a_card_number_is_rejected_without_its_bytes():
    """What looks like a card number reaches no topic of ours: neither the value nor the key is kept."""
    intent = PaymentIntent(
        tenant="acme",
        intent_key="o1",
        amount_minor=5,
        currency="EUR",
        payment_method="pm",
        description="4242424242424242",
    )
    came = record("payment.intents", intent, key="4242424242424242")
    (output,) = run(intake.Intake(tenants=Table({b"acme": ACME}), clock=Clock()), intake.reject, came)
    assert decoded(output).reason == "card_number"
    assert b"4242424242424242" not in output.value
    assert output.key is None


@pytest.mark.parametrize(
    "given",
    [
        {"description": f"see {SECRET}"},
        {"metadata": {"key": SECRET}},
        {"metadata": {SECRET[:40]: "x"}},
        {"customer": SECRET},
        {"intent_key": SECRET},
        {"request_id": SECRET},
        {"upstream": SECRET},
        {"payment_method": SECRET},
        {"tenant": SECRET},
    ],
    ids=lambda given: next(iter(given)),
)
def test_a_secret_is_rejected_without_its_bytes(given):
    """A secret key in any text of an intent goes no further: the rejection says which field, and holds nothing of it."""
    whole = {"tenant": "acme", "intent_key": "o1", "amount_minor": 5, "currency": "EUR", "payment_method": "pm"}
    came = record("payment.intents", PaymentIntent(**{**whole, **given}), key=f"acme/{SECRET}")
    (output,) = run(intake.Intake(tenants=Table({b"acme": ACME}), clock=Clock()), intake.reject, came)
    rejected = decoded(output)
    assert output.topic == RECORDS_REJECTED.name
    assert rejected.reason == ("unknown_tenant" if "tenant" in given else "secret")
    assert rejected.field in given
    assert SECRET[8:24].encode() not in output.value
    assert (output.key, rejected.value, len(rejected.value_sha256)) == (None, None, 64)


def inputs(*messages, partition: int) -> list[Record]:
    """Records of payments.inputs after the configuration that they need."""
    told = [ACME, RoutingUpdate(policy_version=1, providers=("northpay",)), *messages]
    made = []
    for offset, message in enumerate(told):
        key = f"{message.tenant}/{message.payment_id}" if isinstance(message, PaymentCommand) else "all"
        made.append(record(PAYMENTS_INPUTS.name, message, key=key, partition=partition, offset=offset))
    return made


def create(**fields) -> PaymentCommand:
    """A create of the payment that its key names."""
    return PaymentCommand(
        **{
            "tenant": "acme",
            "payment_id": payment_id("acme", "k1"),
            "kind": "create",
            "amount_minor": 500,
            "currency": "EUR",
            "payment_method": "pm_card_visa",
            "confirm": True,
            "attribution": ATTRIBUTION,
            **fields,
        }
    )


def test_a_create_becomes_events_and_a_provider_request_under_the_payments_key():
    """Everything that follows from a create carries the payment's key, so that it meets in one partition."""
    command = create()
    key = f"acme/{command.payment_id}".encode()
    partition = partition_of(key, PARTITIONS)
    outputs = run(
        lifecycle.Lifecycle(partitions=PARTITIONS, reply_partitions=2),
        lifecycle.reject,
        *inputs(command, partition=partition),
        partition=partition,
    )
    topics = {output.topic for output in outputs}
    assert topics == {PAYMENTS_EVENTS.name, PROVIDER_REQUESTS.name}
    assert {output.key for output in outputs} == {key}
    assert all(event.attribution.actor_id == "key_1" for event in map(decoded, outputs))


def test_a_create_on_another_partition_than_murmur2_gives_is_rejected():
    """A producer with another partitioner is caught at its first create, before a payment can live twice."""
    command = create()
    wrong = (partition_of(f"acme/{command.payment_id}".encode(), PARTITIONS) + 1) % PARTITIONS
    outputs = run(
        lifecycle.Lifecycle(partitions=PARTITIONS, reply_partitions=2),
        lifecycle.reject,
        *inputs(command, partition=wrong),
        partition=wrong,
    )
    (rejected,) = map(decoded, outputs)
    assert rejected.reason == "wrong_key"
    assert "murmur2_random" in rejected.message


def test_a_command_under_another_key_is_rejected():
    """The key decides the partition, so it has to be the payment's own."""
    command = record(PAYMENTS_INPUTS.name, create(), key="acme/pi_other")
    (output,) = run(lifecycle.Lifecycle(partitions=1, reply_partitions=2), lifecycle.reject, command)
    assert decoded(output).reason == "wrong_key"


@pytest.mark.parametrize(
    ("value", "reason"),
    [(b"{}", "not_avro"), (b"\x00\x3b\x9a\xc9\xff", "unknown_schema"), (codec.encode(Movement()), "wrong_record")],
)
def test_what_no_input_is_goes_to_records_rejected(value, reason):
    """Bytes that are no input of the topic are refused by kind, and the neighbours go on."""
    good = record(PAYMENTS_INPUTS.name, ClockTick(time_ms=NOW_MS), key="tick", offset=9)
    outputs = run(
        lifecycle.Lifecycle(partitions=1, reply_partitions=2),
        lifecycle.reject,
        record(PAYMENTS_INPUTS.name, value),
        good,
    )
    assert [decoded(output).reason for output in outputs] == [reason]


def test_a_movement_opens_its_window():
    """A movement of a known tenant becomes window events under the flow's key."""
    movement = Movement(
        movement_id="mv_1",
        tenant="acme",
        provider="northpay",
        currency="EUR",
        kind="capture",
        amount_minor=500,
        payment_id="pi_1",
        object_id="ch_1",
        event_id="evt_1",
        occurred_ms=NOW_MS,
        attribution=ATTRIBUTION,
    )
    tenant = record("settlement.inputs", ACME, key="acme", offset=1)
    moved = record("settlement.inputs", movement, key="acme/northpay/EUR", offset=2)
    outputs = run(settlement.Settlement(partitions=2, reply_partitions=2), settlement.reject, tenant, moved)
    assert {output.topic for output in outputs} == {SETTLEMENT_EVENTS.name}
    assert {output.key for output in outputs} == {b"acme/northpay/EUR"}
    assert [decoded(output).type for output in outputs] == [
        "settlement_window.opened",
        "settlement_window.movement_added",
    ]


def test_a_record_as_large_as_kafka_takes_is_rejected_whole():
    """A refused record of a megabyte doesn't stop its partition because its rejection is larger still."""
    came = record("payment.intents", b"x" * 1_048_000, key="k")
    batch = Batch(
        (came,),
        {0: StateView(NoStore(), cache_bytes_max=0, value_bytes_max=1_000_000)},
        rejection=intake.reject,
        output_bytes_max=1_000_000,
        rejected_topic=RECORDS_REJECTED.name,
    )
    batch.run(intake.Intake(tenants=Table(), clock=Clock()))
    assert batch.stops == {}
    assert decoded(batch.outputs[0]).value == came.value


@pytest.mark.parametrize("partition", [-1, 2, 2**31 - 1])
def test_a_reply_to_a_partition_that_is_not_there_is_refused(partition):
    """Whoever asks for an answer on no partition of payments.replies is refused; the partition of inputs goes on."""
    command = create(reply_partition=partition)
    came = record(PAYMENTS_INPUTS.name, command, key=f"acme/{command.payment_id}")
    (output,) = run(lifecycle.Lifecycle(partitions=1, reply_partitions=2), lifecycle.reject, came)
    assert (decoded(output).reason, decoded(output).field) == ("invalid_field", "reply_partition")
