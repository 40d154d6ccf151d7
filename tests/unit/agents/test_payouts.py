"""The settlement agent on payouts: which key a command needs, where answers and requests go, and what is refused."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from schemas.catalogue import PAYMENTS_REPLIES, PROVIDER_REQUESTS, RECORDS_REJECTED, SETTLEMENT_EVENTS
from schemas.ids import payout_id
from schemas.partitioner import partition_of
from schemas.records import Attribution, ClockTick, Movement, PayoutCommand, PayoutReply, PayoutRequest, Rejection
from streams.agents.settlement import Settlement, reject
from tests.unit.agents.test_agents import ACME, NOW_MS, PARTITIONS, decoded, record, run

INPUTS = "settlement.inputs"
DAY_MS = 86_400_000
FLOW = "acme/northpay/EUR"
MAKE = PayoutCommand(
    tenant="acme",
    provider="northpay",
    currency="EUR",
    payout_id=payout_id("acme", "k1"),
    kind="create",
    amount_minor=60,
    reply_partition=3,
    correlation_id="corr",
    attribution=Attribution(actor_kind="api_key", actor_id="key_1", request_id="req_1", idempotency_key="k1"),
)


def settling(*commands: tuple[PayoutCommand, str], partition: int | None = None, ticks: int = 1):
    """What comes of commands (with their keys) once 100 are settled; a second goes by after them."""
    number = partition_of(FLOW.encode(), PARTITIONS) if partition is None else partition
    earned = Movement(
        movement_id="mv_1", tenant="acme", provider="northpay", currency="EUR", kind="capture", amount_minor=100,
        payment_id="pi_1", object_id="ch_1", event_id="evt_1", occurred_ms=NOW_MS, attribution=MAKE.attribution,
    )  # fmt: skip
    messages = [
        (ACME, "acme"),
        (earned, FLOW),
        (ClockTick(time_ms=NOW_MS + DAY_MS), "tick"),
        *commands,
        *((ClockTick(time_ms=NOW_MS + DAY_MS + 1 + step), "tick") for step in range(ticks)),
    ]
    records = [
        record(INPUTS, message, key=key, partition=number, offset=offset)
        for offset, (message, key) in enumerate(messages)
    ]
    handler = Settlement(partitions=PARTITIONS, reply_partitions=PARTITIONS)
    return [output for output in run(handler, reject, *records, partition=number) if b"_window" not in output.value]


def test_a_payout_goes_where_it_belongs():
    """Its events to the flow's key, its request to the payout's, its answer to the partition where it is awaited."""
    events = [output for output in settling((MAKE, FLOW)) if output.topic == SETTLEMENT_EVENTS.name]
    assert [decoded(output).type for output in events] == ["payout.created", "payout.updated"]
    assert {output.key for output in events} == {FLOW.encode()}
    (asked,) = [output for output in settling((MAKE, FLOW)) if output.topic == PROVIDER_REQUESTS.name]
    assert isinstance(decoded(asked), PayoutRequest)
    assert asked.key == f"acme/{MAKE.payout_id}".encode()
    (reply,) = [output for output in settling((MAKE, FLOW)) if output.topic == PAYMENTS_REPLIES.name]
    assert isinstance(decoded(reply), PayoutReply)
    assert (reply.partition, reply.key) == (3, b"corr")


def test_a_claim_has_a_key_of_its_own():
    """On the tenant's own partition, whatever provider it names."""
    home = partition_of(b"acme//", PARTITIONS)
    outputs = settling((replace(MAKE, kind="claim"), "acme//"), partition=home)
    (reply,) = [output for output in outputs if output.topic == PAYMENTS_REPLIES.name]
    assert decoded(reply).provider == "northpay"


@pytest.mark.parametrize(
    ("command", "key", "field"),
    [
        (MAKE, "acme//", "key"),
        (replace(MAKE, kind="claim"), FLOW, "key"),
        (MAKE, "acme/southpay/EUR", "key"),
        (replace(MAKE, reply_partition=PARTITIONS), FLOW, "reply_partition"),
    ],
)
def test_a_command_with_a_wrong_key_or_answer_is_rejected(command, key, field):
    """Nothing is made of it, and it is on records.rejected."""
    (rejected,) = [one for one in settling((command, key)) if one.topic == RECORDS_REJECTED.name]
    told = decoded(rejected)
    assert isinstance(told, Rejection)
    assert (told.field, told.tenant) in ((field, "acme"), (field, ""))


def test_a_command_on_another_partition_than_its_keys_is_rejected():
    """There, the same payout could be made a second time."""
    right = partition_of(FLOW.encode(), PARTITIONS)
    outputs = settling((MAKE, FLOW), partition=(right + 1) % PARTITIONS)
    assert [decoded(one).reason for one in outputs if one.topic == RECORDS_REJECTED.name] == ["wrong_key"]
    assert not any(one.topic == PROVIDER_REQUESTS.name for one in outputs)


def test_what_breaks_its_contract_is_answered_and_rejected():
    """Whoever waits hears why; the record is kept with the reason."""
    outputs = settling((replace(MAKE, amount_minor=0), FLOW))
    told = {output.topic: decoded(output) for output in outputs}
    assert told[PAYMENTS_REPLIES.name].error.code == "amount_invalid"
    assert told[RECORDS_REJECTED.name].reason == "invalid_amount"
    assert PROVIDER_REQUESTS.name not in told
