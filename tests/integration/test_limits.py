"""Floods, slow edges and records that are too large: what is bounded stays bounded, and what is refused says so."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient

from connectors.clickhouse import verify
from connectors.providers.gateway._items import POSITION_KEY
from connectors.providers.gateway._settings import BATCH_MAX, GROUP, IN_FLIGHT_MAX, PENDING_MAX
from infra.kafka import Broker, prepare_quick_starts
from schemas import codec
from schemas.catalogue import (
    BATCH_BYTES_MAX,
    GATEWAY_PENDING,
    LIFECYCLE_CHANGELOG,
    PAYMENT_INTENTS,
    PAYMENTS_EVENTS,
    PROVIDER_REQUESTS,
    RECORDS_REJECTED,
)
from schemas.clients import producer_config
from schemas.records import Attribution, PaymentIntent, ProviderRequest, Rejection
from tests._landing import connected
from tests.integration._house import DEADLINE_S, House, Running, wait_until
from tests.integration._proxy import Proxy
from tests.integration._runtime_kit import committed_records, end_offsets, group_offsets

pytestmark = pytest.mark.integration

PARTITIONS = 2
MIB = 1024 * 1024
# What a later, larger flood may add to the peak of an earlier one. The floods bring several times as much, so that a queue
# without a limit would show; allocators and caches that were not full yet need some room.
MARGIN_BYTES = 64 * MIB
# Landing copies a batch of 16 MiB several times on its way into rows and blocks, and what is garbage meanwhile varies by this.
LANDING_MARGIN_BYTES = 192 * MIB


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A broker of this module's own: its topics have the catalogue's names."""
    prepare_quick_starts()
    directory = tmp_path_factory.mktemp("kafka")
    broker = Broker(directory, quick=True)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def house(broker, tmp_path):
    """The stack's processes on it; what a test started is dead afterwards."""
    house = House(broker.bootstrap, tmp_path, CLEARLINE_PARTITIONS=str(PARTITIONS))
    try:
        yield house.configure()
    finally:
        house.close()


class Peak:
    """The largest resident memory of a process while it is watched."""

    def __init__(self) -> None:
        self.bytes = 0


@contextmanager
def watching(running: Running) -> Iterator[Peak]:
    """Look at the process's memory all the while."""
    peak, ended = Peak(), threading.Event()
    process = psutil.Process(running.process.pid)

    def look() -> None:
        while not ended.wait(0.02):
            try:
                peak.bytes = max(peak.bytes, process.memory_info().rss)
            except psutil.NoSuchProcess:
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def produce(bootstrap: str, topic: str, records: Iterator[tuple[str, bytes]]) -> int:
    """Append all; how many bytes they have."""
    producer = Producer(producer_config(bootstrap, {"queue.buffering.max.kbytes": 64 * 1024}))
    size = 0
    for key, value in records:
        size += len(value)
        while True:
            try:
                producer.produce(topic, value, key)
            except BufferError:
                producer.poll(0.1)
            else:
                break
    assert producer.flush(DEADLINE_S) == 0
    return size


class TestOversized:
    """What is too large is refused where it comes in."""

    def test_the_largest_record_that_kafka_takes_is_rejected_whole_and_the_partition_goes_on(self, house):
        """One byte more and the broker refuses it; this one is on records.rejected, byte for byte, and its neighbours are paid."""
        worker = house.start("worker-0").ready()
        largest = fill_to_the_limit(house.bootstrap, PAYMENT_INTENTS.name, partition=0)
        wordy = codec.encode(intent("wordy", description="x" * 900_000))
        producer = Producer(producer_config(house.bootstrap, {}))
        producer.produce(PAYMENT_INTENTS.name, wordy, "acme/wordy", 0)
        producer.produce(PAYMENT_INTENTS.name, codec.encode(intent("after")), "acme/after", 0)
        assert producer.flush(DEADLINE_S) == 0

        def through() -> list[Rejection]:
            events = committed_records(house.bootstrap, PAYMENTS_EVENTS.name)
            found = [
                codec.decode(message.value()) for message in committed_records(house.bootstrap, RECORDS_REJECTED.name)
            ]
            return (
                found if any(codec.decode(event.value()).type == "payment_intent.created" for event in events) else []
            )

        rejected = wait_until(through, lambda: f"the neighbour is a payment:\n{worker.text()[-3000:]}")
        by_key = {rejection.key: rejection for rejection in rejected}
        assert by_key[b"acme/largest"].value == largest
        assert by_key[b"acme/largest"].reason == "not_avro"
        assert by_key[b"acme/wordy"].value == wordy
        assert by_key[b"acme/wordy"].field == "description"
        health = worker.health()
        assert health["healthy"], health
        assert not any(task["counters"]["stops"] for task in health["tasks"])

    def test_a_line_without_an_end_is_refused_by_clearline_send(self, house, tmp_path):
        """A typed error that names the line and says what one looks like; no more of it than the limit is read."""
        file = tmp_path / "intents.jsonl"
        with file.open("wb") as out:
            for _ in range(64):
                out.write(b'{"tenant": "acme", ' + b" " * MIB)
        told = house.clearline("send", str(file))
        assert told.returncode == 1
        assert "line 1: longer than 65536 bytes" in told.stderr
        assert "what to do: each line is one JSON object" in told.stderr
        assert "Traceback" not in told.stderr


def fill_to_the_limit(bootstrap: str, topic: str, *, partition: int) -> bytes:
    """Append the largest record that the broker takes; the one with a byte more was refused."""
    producer = Producer(producer_config(bootstrap, {"message.max.bytes": 2_000_000, "compression.type": "none"}))
    answers: list[KafkaError | None] = []
    for refused, size in enumerate(range(BATCH_BYTES_MAX, BATCH_BYTES_MAX - 300, -1)):
        value = b"\xff" * size
        producer.produce(topic, value, "acme/largest", partition, lambda error, _: answers.append(error))
        assert producer.flush(DEADLINE_S) == 0
        error = answers.pop()
        if error is None:
            assert refused
            return value
        assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    raise AssertionError("the broker takes none of them")


def intent(key: str, **fields: object) -> PaymentIntent:
    """An intent of acme's."""
    told = {"amount_minor": 1_000, "currency": "EUR", "payment_method": "pm_card_visa", **fields}
    return PaymentIntent(tenant="acme", intent_key=key, **told)


@pytest.mark.slow
class TestFloods:
    """Peaks of memory under a flood and under one several times as large: the same, but for a stated margin."""

    def test_a_flood_of_intents_leaves_the_worker_flat(self, house):
        """20, 40 and 160 MiB of intents at once: the worker takes what it has room for and leaves the rest to Kafka."""
        worker = house.start("worker-0").ready()
        words = {f"key-{number}": "x" * 480 for number in range(50)}
        peaks, first = [], 0
        for count in (800, 1_600, 6_400):
            stop = first + count
            with watching(worker) as peak:
                size = produce(
                    house.bootstrap,
                    PAYMENT_INTENTS.name,
                    (
                        (f"acme/flood-{number}", codec.encode(intent(f"flood-{number}", metadata=words)))
                        for number in range(first, stop)
                    ),
                )
                wait_until(lambda stop=stop: created(worker) >= stop, lambda: f"all are payments: {created(worker)}")
            peaks.append(peak.bytes)
            first = stop
        assert size > 2 * MARGIN_BYTES
        changelog = sum(
            end_offsets(AdminClient({"bootstrap.servers": house.bootstrap}), LIFECYCLE_CHANGELOG.name).values()
        )
        assert changelog > first, "state was written for each"
        assert peaks[2] <= peaks[1] + MARGIN_BYTES, [peak // MIB for peak in peaks]

    def test_a_provider_that_is_away_leaves_the_gateway_flat(self, house):
        """Requests wait in Kafka, not in memory: as many as the limit are parked on their topic, the rest are not even read."""
        gateway = house.start("gateway", CLEARLINE_GATEWAY='{"timeout_s": 1, "stalled_after_s": 0.5}').ready()
        peaks, first = [], 0
        for count in (PENDING_MAX + 4_000, 40_000):
            with watching(gateway) as peak:
                size = produce(house.bootstrap, PROVIDER_REQUESTS.name, requests(first, first + count))
                wait_until(
                    lambda: parked(house.bootstrap) >= PENDING_MAX - BATCH_MAX,
                    lambda: f"{parked(house.bootstrap)} are parked:\n{gateway.text()[-2000:]}",
                )
                settled(lambda: parked(house.bootstrap))
            peaks.append(peak.bytes)
            first += count
        assert PENDING_MAX - BATCH_MAX <= parked(house.bootstrap) <= PENDING_MAX + IN_FLIGHT_MAX
        assert waiting(house.bootstrap) > 30_000, "what there is no room for stays in Kafka"
        assert size > MARGIN_BYTES * 2 // 3
        assert peaks[1] <= peaks[0] + MARGIN_BYTES // 2, [peak // MIB for peak in peaks]

    def test_a_provider_that_never_answers_leaves_the_gateway_flat(self, house):
        """So many calls at a time as are allowed, none of them answered: the rest waits, in Kafka for the most part."""
        house.specs["simulator"].argv.extend(["--latency-ms", "3600000-3600000"])
        house.start("simulator").ready()
        settings = (
            '{"timeout_s": 3600, "deadline_s": 7200, "calls_per_provider_max": 16, "inquiries_per_provider_max": 8}'
        )
        gateway = house.start("gateway", CLEARLINE_GATEWAY=settings).ready()
        process = psutil.Process(gateway.process.pid)

        def calls() -> int:
            return sum(
                bool(end.raddr) and end.raddr.port == house.ports.simulator and end.status == psutil.CONN_ESTABLISHED
                for end in process.net_connections("tcp")
            )

        peaks, first = [], 0
        for count in (6_000, 40_000):
            with watching(gateway) as peak:
                produce(house.bootstrap, PROVIDER_REQUESTS.name, requests(first, first + count))
                wait_until(lambda: calls() >= 16, lambda: f"{calls()} calls are under way:\n{gateway.text()[-2000:]}")
                settled(lambda: process.memory_info().rss // (4 * MIB), looks=30)
            peaks.append(peak.bytes)
            first += count
        assert 16 <= calls() <= 16 + 8
        assert parked(house.bootstrap) <= PENDING_MAX + IN_FLIGHT_MAX
        assert waiting(house.bootstrap) > 30_000
        assert peaks[1] <= peaks[0] + MARGIN_BYTES // 2, [peak // MIB for peak in peaks]

    def test_a_slow_and_a_refusing_warehouse_leave_landing_flat_and_lose_nothing(self, house):
        """Through a proxy of 512 KiB/s, then none: 100, 300 and 300 MiB wait in Kafka; let through, each is landed once."""
        warehouse = house.start("warehouse").ready()
        proxy = Proxy(house.ports.warehouse)
        url = house.environment["CLEARLINE_CLICKHOUSE"]
        through = url.replace(f":{house.ports.warehouse}/", f":{proxy.port}/")
        assert through != url
        try:
            landing = house.start("landing", CLEARLINE_CLICKHOUSE=through).ready()
            proxy.rate = 512 * 1024
            peaks, first = [], 0
            for count in (1_000, 3_000, 3_000):
                with watching(landing) as peak:
                    size = produce(house.bootstrap, RECORDS_REJECTED.name, rejections(first, first + count))
                    passed = proxy.passed
                    wait_until(lambda passed=passed: proxy.passed > passed + 4 * MIB, "landing lands, slowly")
                peaks.append(peak.bytes)
                first += count
            assert 2 * size > 3 * LANDING_MARGIN_BYTES
            assert max(peaks) <= peaks[0] + LANDING_MARGIN_BYTES, [peak // MIB for peak in peaks]
            print("landing's peaks in MiB:", [peak // MIB for peak in peaks])
            proxy.refusing = True
            landing.says("waiting, nothing is lost")
            assert landing.process.poll() is None
            proxy.refusing, proxy.rate = False, None
            with connected(url) as client:
                wait_until(
                    lambda: not verify.unlanded(house.bootstrap, client),
                    lambda: f"all is landed:\n{landing.text()[-2000:]}",
                )
                assert client.value("SELECT count() FROM rejections WHERE component = 'flood'") == first
                assert client.rows("SELECT * FROM proof_landed WHERE NOT holds") == []
        finally:
            proxy.close()
            warehouse.kill()


def created(worker: Running) -> int:
    """Inputs that the lifecycle has taken in this worker's life, of which there is one a payment here."""
    tasks = {task["task"]: task["counters"] for task in worker.health().get("tasks", ())}
    return tasks["intake"]["outputs"] if tasks and tasks["lifecycle"]["records"] >= tasks["intake"]["outputs"] else 0


def parked(bootstrap: str) -> int:
    """Requests that wait in gateway.pending: those with a newest value that is no tombstone."""
    newest = {message.key(): message.value() for message in committed_records(bootstrap, GATEWAY_PENDING.name)}
    return sum(value is not None and key != POSITION_KEY for key, value in newest.items())


def waiting(bootstrap: str) -> int:
    """Requests behind the gateway's committed position."""
    ends = end_offsets(AdminClient({"bootstrap.servers": bootstrap}), PROVIDER_REQUESTS.name)
    taken = group_offsets(bootstrap, GROUP, PROVIDER_REQUESTS.name, PARTITIONS)
    return sum(ends.values()) - sum(taken.values())


def settled(count: Callable[[], int], *, looks: int = 5) -> None:
    """Wait until a count is the same at some looks in a row."""
    seen: list[int] = []

    def same() -> bool:
        seen.append(count())
        return len(seen) >= looks and len(set(seen[-looks:])) == 1

    wait_until(same, "it grows no more")


def requests(first: int, stop: int) -> Iterator[tuple[str, bytes]]:
    """Provider requests, with a kilobyte of text each."""
    for number in range(first, stop):
        request = ProviderRequest(
            request_id=f"rq_flood_{number}",
            tenant="acme",
            payment_id=f"pi_{number:024x}",
            object_id=f"ch_{number:026x}",
            attempt=1,
            provider="northpay",
            operation="authorize",
            amount_minor=1_000,
            currency="EUR",
            payment_method="pm_card_visa",
            capture=True,
            description="x" * 1_000,
            requested_ms=time.time_ns() // 1_000_000,
            attribution=Attribution(actor_kind="system", actor_id="flood", request_id=f"req-{number}"),
        )
        yield f"acme/{request.payment_id}", codec.encode(request)


def rejections(first: int, stop: int) -> Iterator[tuple[str, bytes]]:
    """Rejections of 100 KiB, which can't be compressed: a throttle shall feel every byte."""
    noise = os.urandom(2 * 100 * 1024)
    for number in range(first, stop):
        rejection = Rejection(
            source_topic=PAYMENT_INTENTS.name,
            source_offset=number,
            key=b"acme/flood",
            value=number.to_bytes(8, "big") + noise[number % 10_000 : number % 10_000 + 100 * 1024],
            reason="not_avro",
            message="a flood",
            component="flood",
        )
        yield f"acme/flood-{number}", codec.encode(rejection)
