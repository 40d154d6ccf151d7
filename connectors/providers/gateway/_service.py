"""The gateway as one process: an event loop with providers and lanes, and beside it the pump's thread."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from connectors.providers.base import Provider
from connectors.providers.errors import ConfigurationError, GatewayStopped
from connectors.providers.gateway._items import Pending, Reading
from connectors.providers.gateway._lanes import Lanes
from connectors.providers.gateway._notices import Notices
from connectors.providers.gateway._pump import Pump
from connectors.providers.gateway._settings import GatewaySettings, ProviderSettings
from connectors.providers.gateway._settling import Ports
from connectors.providers.simulated import SimulatedProvider
from schemas.catalogue import (
    GATEWAY_CURSORS,
    GATEWAY_PENDING,
    PAYMENTS_INPUTS,
    PROVIDER_REQUESTS,
    RECORDS_REJECTED,
    SETTLEMENT_INPUTS,
    insync_min,
)

DRAIN_S = 5.0
"""How long calls on their way may take to end when the gateway is told to stop; later ones are repeated at the next start."""
PUMP_END_S = 4.0
DRAIN_CHECK_S = 0.02
WATCH_EVERY_S = 1.0
METADATA_DEADLINE_S = 30.0

_NEEDED = (PROVIDER_REQUESTS, PAYMENTS_INPUTS, SETTLEMENT_INPUTS, GATEWAY_PENDING, GATEWAY_CURSORS, RECORDS_REJECTED)

log = logging.getLogger("clearline.gateway")

# What goes wrong while the topics are looked at is raised; librdkafka's own words would come after it, and hide it.
_QUIET = logging.getLogger("clearline.gateway.librdkafka")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


class _ThroughLoop:
    """The lanes, as the pump's thread may call them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lanes: Lanes) -> None:
        self._call, self._lanes = loop.call_soon_threadsafe, lanes

    def accept(self, readings: list[Reading]) -> None:
        self._call(self._lanes.accept, readings)

    def restore(self, pendings: list[Pending]) -> None:
        self._call(self._lanes.restore, pendings)

    def drop(self, partitions: list[int]) -> None:
        self._call(self._lanes.drop, partitions)

    def pending(self) -> int:
        return self._lanes.pending


def check_topics(kafka: dict[str, Any], *, replication: int = 1) -> None:
    """See that the topics are there, co-partitioned, kept and replicated as promised. Raises `ConfigurationError`."""
    admin = AdminClient(kafka, logger=_QUIET)
    try:
        found = admin.list_topics(timeout=METADATA_DEADLINE_S).topics
    except KafkaException as error:
        message = f"no answer from Kafka at {kafka['bootstrap.servers']}: {error.args[0].str()}; start it, or set CLEARLINE_KAFKA"
        raise ConfigurationError(message) from error
    needed = [topic.name for topic in _NEEDED]
    missing = [name for name in needed if name not in found]
    if missing:
        raise ConfigurationError(f"topics are missing: {', '.join(missing)}; make the topics of the catalogue first")
    requests, pending = (len(found[topic.name].partitions) for topic in (PROVIDER_REQUESTS, GATEWAY_PENDING))
    if requests != pending:
        message = (
            f"{PROVIDER_REQUESTS.name} has {requests} partitions and {GATEWAY_PENDING.name} {pending}; they must be equal: "
            "while the gateway is stopped and nothing is open, delete and make the smaller one anew"
        )
        raise ConfigurationError(message)
    for name in needed:
        replicas = min(len(partition.replicas) for partition in found[name].partitions.values())
        if replicas < replication:
            message = f"topic {name} has {replicas} replicas and CLEARLINE_REPLICATION promises {replication}"
            raise ConfigurationError(f"{message}; reassign its partitions, or lower CLEARLINE_REPLICATION")
    _check_settings(admin, needed, insync_min=insync_min(replication))


def _check_settings(admin: AdminClient, names: list[str], *, insync_min: int) -> None:
    """What is parked must be kept until it is answered, and every write be on as many disks as promised."""
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    futures = admin.describe_configs(resources, request_timeout=METADATA_DEADLINE_S)
    settings = {resource.name: future.result(METADATA_DEADLINE_S) for resource, future in futures.items()}
    policy = settings[GATEWAY_PENDING.name]["cleanup.policy"].value
    if policy != GATEWAY_PENDING.cleanup:
        message = f"{GATEWAY_PENDING.name} has cleanup.policy={policy}, so requests that wait would be deleted"
        raise ConfigurationError(f"{message}; set cleanup.policy={GATEWAY_PENDING.cleanup}")
    for name in names:
        if int(settings[name]["min.insync.replicas"].value) < insync_min:
            message = f"topic {name} accepts writes that fewer than {insync_min} replicas have"
            raise ConfigurationError(f"{message}; set min.insync.replicas={insync_min}")


def provider_of(name: str, settings: ProviderSettings, *, connections_max: int) -> Provider:
    """The client of a configured provider."""
    match settings.kind:
        case "simulated":
            return SimulatedProvider(name, url=settings.url, connections_max=connections_max)


async def run(
    kafka: dict[str, Any], *, worker: str, settings: GatewaySettings, configured: Mapping[str, ProviderSettings]
) -> None:
    """Run until SIGTERM or SIGINT. Raises what a supervisor should see: `GatewayStopped`, `KafkaException` or a bug."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end(error: BaseException | None = None) -> None:
        if not ended.done():
            ended.set_exception(error) if error else ended.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    connections_max = settings.calls_per_provider_max + settings.inquiries_per_provider_max
    providers = {name: provider_of(name, one, connections_max=connections_max) for name, one in configured.items()}
    calls = asyncio.Semaphore(settings.calls_max)
    ports = {name: Ports(provider, settings, calls) for name, provider in providers.items()}
    lanes = Lanes(ports, settings, emit=lambda item: pump.emit(item), fail=end)  # noqa: PLW0108 - pump is made below
    pump = Pump(
        kafka,
        settings=settings,
        worker=worker,
        handler=_ThroughLoop(loop, lanes),
        ready=_once(lambda: log.info("ready")),
    )
    thread = threading.Thread(target=_run_pump, args=(pump, loop, end), name="pump", daemon=True)
    thread.start()
    notices = Notices(
        kafka,
        group=settings.group,
        providers=providers,
        loop=loop,
        may_ask=lambda: pump.has_first_partition,
        timeout_s=settings.timeout_s,
        every_s=settings.notices_every_s,
    )
    asking = threading.Thread(target=_run_notices, args=(notices, loop, end), name="notices", daemon=True)
    asking.start()
    watch = asyncio.create_task(_watch(pump, notices, end))
    try:
        await ended
        notices.stop()
        await _drain(lanes)
        pump.stop()
        await asyncio.to_thread(thread.join, PUMP_END_S)
        if thread.is_alive():
            raise GatewayStopped(
                "Kafka did not take the last transaction in time; what was open is repeated under the same keys"
            )
    finally:
        notices.stop()
        watch.cancel()
        await lanes.aclose()
        for provider in providers.values():
            await provider.aclose()


async def _watch(pump: Pump, notices: Notices, end: Callable[[BaseException | None], None]) -> None:
    """End the process when Kafka's client hangs; the thread itself can't be helped."""
    while not (pump.hangs() or notices.hangs()):  # noqa: ASYNC110 - it is another thread's progress that is watched
        await asyncio.sleep(WATCH_EVERY_S)
    end(GatewayStopped("Kafka's client doesn't come back from a transaction; start again, open requests are repeated"))


async def _drain(lanes: Lanes) -> None:
    """Let calls on their way end, and start none."""
    lanes.stopping = True
    deadline = asyncio.get_running_loop().time() + DRAIN_S
    while lanes.calling and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - bounded, at the end of a process
        await asyncio.sleep(DRAIN_CHECK_S)


def _run_pump(pump: Pump, loop: asyncio.AbstractEventLoop, end: Callable[[BaseException | None], None]) -> None:
    try:
        pump.run()
    except BaseException as error:  # noqa: BLE001 - whatever ends the pump ends the process
        loop.call_soon_threadsafe(end, error)


def _run_notices(
    notices: Notices, loop: asyncio.AbstractEventLoop, end: Callable[[BaseException | None], None]
) -> None:
    try:
        notices.run()
    except BaseException as error:  # noqa: BLE001 - a bug ends the process, loudly
        loop.call_soon_threadsafe(end, error)


def _once(call: Callable[[], None]) -> Callable[[], None]:
    calls = [call]
    return lambda: calls.pop()() if calls else None
