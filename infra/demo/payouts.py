"""One payout of everything that is settled, for each tenant and currency: asked for on the topic, followed until it is paid."""

from __future__ import annotations

import time
import uuid
from typing import NamedTuple

from confluent_kafka import Producer
from msgspec.structs import replace

from connectors.clickhouse import verify
from connectors.clickhouse.client import Client
from connectors.clickhouse.errors import WarehouseError
from schemas import codec, environment
from schemas.catalogue import SETTLEMENT_INPUTS
from schemas.clients import producer_config
from schemas.ids import payout_id
from schemas.records import Attribution, PayoutCommand

_DELIVERED_S = 30.0
_LOOK_S = 0.3
_PAYABLE = """
SELECT tenant, currency, argMax(provider, payable_minor), max(payable_minor) FROM payable_balances
WHERE payable_minor > 0 GROUP BY tenant, currency ORDER BY tenant, currency
"""


class Asked(NamedTuple):
    """A payout that was asked for."""

    tenant: str
    provider: str
    currency: str
    amount_minor: int


def ask(read: environment.Environment, warehouse: Client) -> list[Asked]:
    """Claim and make them, at the provider that has most of the tenant's money in the currency."""
    producer = Producer(producer_config(read.kafka, dict(read.kafka_config)))
    asked = []
    for tenant, currency, provider, payable_minor in warehouse.rows(_PAYABLE):
        key = f"demo-{uuid.uuid4().hex}"
        make = PayoutCommand(
            tenant=tenant,
            provider=provider,
            currency=currency,
            payout_id=payout_id(tenant, key),
            kind="create",
            amount_minor=int(payable_minor),
            description="Everything that is settled",
            attribution=Attribution(
                actor_kind="operator", actor_id="demo", on_behalf_of=tenant, request_id=key, idempotency_key=key
            ),
        )
        for command, flow in ((replace(make, kind="claim"), "/"), (make, f"{provider}/{currency}")):
            producer.produce(SETTLEMENT_INPUTS.name, codec.encode(command), f"{tenant}/{flow}".encode())
        asked.append(Asked(tenant, provider, currency, int(payable_minor)))
    if producer.flush(_DELIVERED_S):
        raise TimeoutError(f"Kafka did not take the payouts within {_DELIVERED_S:.0f} s")
    return asked


def wait_paid(read: environment.Environment, warehouse: Client, *, payouts: int, deadline_s: float) -> bool:
    """Whether so many payouts are there and all are paid, told and landed, before the deadline."""
    deadline = time.monotonic() + deadline_s
    sql = "SELECT count(), countIf(status IN ('pending', 'in_transit')) FROM payouts"
    while time.monotonic() < deadline:
        try:
            there, under_way = warehouse.rows(sql)[0]
        except WarehouseError:  # it may be starting anew
            there, under_way = 0, 0
        if there >= payouts and not under_way and not verify.unlanded(read.kafka, warehouse):
            return True
        time.sleep(_LOOK_S)
    return False
