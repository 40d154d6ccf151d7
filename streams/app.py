"""The worker: `faust -A streams.app worker --web-port 6066` runs intake, lifecycle, settlement, customers and the ticker."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from confluent_kafka.admin import AdminClient

from schemas import catalogue, codec, environment
from schemas.clients import CLIENT_TIMEOUT_MS, client_config
from schemas.records import Tenant
from schemas.sealing import read_master_keys
from streams.agents import customers as serving
from streams.agents import intake as intaking
from streams.agents import lifecycle as living
from streams.agents import settlement as settling
from streams.agents.announcer import Announcer
from streams.agents.keyring import KeyTable, MadeKeys
from streams.agents.ticker import Ticker
from streams.agents.views import CustomerViews, PaymentViews
from streams.runtime import GlobalTable, Record, SystemClock, check_topology
from streams.runtime.faust_app import make_app

# A change of partitions is told at most this late; who asks the wrong worker meanwhile hears 421 and asks again.
ANNOUNCE_INTERVAL_S = 0.1

# No payment's answer waits for settlement: its inputs may gather, which makes a few transactions of one for each payment.
SETTLEMENT_GATHERS_MS = 50

settings = environment.read()

app = make_app(
    "clearline",
    instance=settings.worker,
    bootstrap=settings.kafka,
    directory=settings.data,
    client=settings.kafka_config,
)


def _tenant(record: Record) -> Tenant:
    message = codec.decode(record.value, expected=(Tenant,))
    assert isinstance(message, Tenant)
    return message


tenants: GlobalTable[Tenant] = GlobalTable(catalogue.TENANTS.name, _tenant)
customer_keys = KeyTable()
erasable_keys = KeyTable()  # a table belongs to one task
master_keys = None if settings.master_key is None else read_master_keys(settings.master_key)

# The promise of CLEARLINE_REPLICATION; `clearline topics` makes and checks them with the same.
topology = partial(
    check_topology, replication_min=settings.replication, insync_min=catalogue.insync_min(settings.replication)
)

intake_source = app.source(
    "intake",
    sources=(catalogue.PAYMENT_INTENTS.name,),
    changelog=catalogue.INTAKE_CHANGELOG.name,  # it holds nothing but how far the intents are taken
    rejected=catalogue.RECORDS_REJECTED.name,
    rejection=intaking.reject,
    topology=topology,
    tables=(tenants, customer_keys),
)
lifecycle_source = app.source(
    "lifecycle",
    sources=(catalogue.PAYMENTS_INPUTS.name,),
    changelog=catalogue.LIFECYCLE_CHANGELOG.name,
    rejected=catalogue.RECORDS_REJECTED.name,
    rejection=living.reject,
    topology=topology,
)
settlement_source = app.source(
    "settlement",
    sources=(catalogue.SETTLEMENT_INPUTS.name,),
    changelog=catalogue.SETTLEMENT_CHANGELOG.name,
    rejected=catalogue.RECORDS_REJECTED.name,
    rejection=settling.reject,
    topology=topology,
    gather_ms=SETTLEMENT_GATHERS_MS,
)

customers_source = app.source(
    "customers",
    sources=(catalogue.CUSTOMERS_INPUTS.name,),
    changelog=catalogue.CUSTOMERS_CHANGELOG.name,
    rejected=catalogue.RECORDS_REJECTED.name,
    rejection=serving.reject,
    topology=topology,
    tables=(erasable_keys,),
)


@app.agent(intake_source.channel)
async def intake(batches: Any) -> None:
    """Payment intents of upstream systems become commands."""
    keys = None if master_keys is None else MadeKeys(customer_keys, master_keys)
    handle = intaking.Intake(tenants=tenants, clock=SystemClock(), keys=keys)
    async for batch in batches:
        batch.run(handle)


@app.agent(lifecycle_source.channel)
async def lifecycle(batches: Any) -> None:
    """Inputs of payments become events, requests, replies and movements."""
    handle = None
    async for batch in batches:
        if handle is None:  # asked now, since a batch says that the broker answers
            handle = living.Lifecycle(
                partitions=await asyncio.to_thread(_partitions, catalogue.PAYMENTS_INPUTS.name),
                reply_partitions=await asyncio.to_thread(_partitions, catalogue.PAYMENTS_REPLIES.name),
            )
        batch.run(handle)


@app.agent(settlement_source.channel)
async def settlement(batches: Any) -> None:
    """Movements and time become settlement windows, and what is settled is paid out."""
    handle = None
    async for batch in batches:
        if handle is None:
            handle = settling.Settlement(
                partitions=await asyncio.to_thread(_partitions, catalogue.SETTLEMENT_INPUTS.name),
                reply_partitions=await asyncio.to_thread(_partitions, catalogue.PAYMENTS_REPLIES.name),
            )
        batch.run(handle)


@app.agent(customers_source.channel)
async def customers(batches: Any) -> None:
    """Commands about customers become events, replies and erasures."""
    handle = None
    async for batch in batches:
        if handle is None:
            handle = serving.Customers(
                partitions=await asyncio.to_thread(_partitions, catalogue.CUSTOMERS_INPUTS.name),
                reply_partitions=await asyncio.to_thread(_partitions, catalogue.PAYMENTS_REPLIES.name),
                keys=erasable_keys,
            )
        batch.run(handle)


ticker = Ticker(
    settings.kafka, client=settings.kafka_config, source=settings.worker, now_ms=lambda: time.time_ns() // 1_000_000
)


@app.timer(interval=settings.tick_ms / 1000)
async def tick() -> None:
    """Time, for every partition that this worker runs."""
    ticker.tick(
        {
            catalogue.PAYMENTS_INPUTS.name: lifecycle_source.status(),
            catalogue.SETTLEMENT_INPUTS.name: settlement_source.status(),
            catalogue.CUSTOMERS_INPUTS.name: customers_source.status(),
        }
    )


announcer = Announcer(
    settings.kafka,
    client=settings.kafka_config,
    worker=settings.worker,
    url=lambda: f"http://{app.conf.web_host}:{app.conf.web_port}",  # known once the command line is read
    now_ms=lambda: time.time_ns() // 1_000_000,
)


@app.timer(interval=ANNOUNCE_INTERVAL_S, on_leader=False)
async def announce() -> None:
    """Which payments and customers this worker can be asked about, whenever that has changed."""
    announcer.announce(lifecycle_source.status(), customers_source.status())


views = PaymentViews(
    lifecycle_source,
    token=settings.internal_token,
    partitions=lambda: _partitions(catalogue.PAYMENTS_INPUTS.name),
)


@app.page("/payments/{tenant}/{payment_id}")
async def payment(self: Any, request: Any, tenant: str, payment_id: str) -> Any:
    """A payment as it stands, for the API: 200, 404, 421 (another worker's), 503 (not now), 401."""
    answer = await views.answer(request.headers.get("Authorization", ""), tenant, payment_id)
    return self.bytes(answer.body, content_type="application/json", status=answer.status)


customer_views = CustomerViews(
    customers_source,
    token=settings.internal_token,
    partitions=lambda: _partitions(catalogue.CUSTOMERS_INPUTS.name),
)


@app.page("/customers/{tenant}/{object_id}")
async def customer(self: Any, request: Any, tenant: str, object_id: str) -> Any:
    """A customer, saved method or setup intent as it stands, for the API: as the view of payments."""
    answer = await customer_views.answer(request.headers.get("Authorization", ""), tenant, object_id)
    return self.bytes(answer.body, content_type="application/json", status=answer.status)


def _partitions(topic: str) -> int:
    admin = AdminClient(client_config(settings.kafka, dict(settings.kafka_config)))
    return len(admin.list_topics(topic, timeout=CLIENT_TIMEOUT_MS / 1000).topics[topic].partitions)
