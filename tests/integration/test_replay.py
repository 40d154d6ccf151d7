"""Replay on a real broker: real workers, killed while they work, leave a log that folds to itself, byte for byte."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from msgspec.structs import replace

from infra import configure
from infra.supervisor import free_ports
from infra.topics import ensure
from schemas import codec
from schemas.catalogue import AUDIT_DIGESTS, PAYMENTS_EVENTS, PAYMENTS_INPUTS, PROVIDER_REQUESTS
from schemas.clients import consumer_config, producer_config
from schemas.records import Attribution, PaymentCommand, PaymentEvent, ProviderRequest
from streams.core import payment_id
from streams.replay import Bounds, Digest, KafkaLog, PublishRefused, publish, replay
from streams.replay.digest import DAY_MS
from streams.runtime import Record
from tests.integration._runtime_kit import committed_records, wait_until
from tests.unit.core.world import result

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PAYMENTS = 300
WAVES = 3
PARTITIONS = 4
REPOSITORY = Path(__file__).resolve().parents[2]
LONG_AGO_MS = time.time_ns() // 1_000_000 - 3 * DAY_MS
"""Inputs of a day that is over, whatever the time is."""


class Stack:
    """A broker with topics and tenants, one worker process at a time, and the test as API and provider."""

    def __init__(self, bootstrap: str, directory: Path) -> None:
        self.bootstrap, self.directory = bootstrap, directory
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CLEARLINE_")},
            "CLEARLINE_KAFKA": bootstrap,
            "CLEARLINE_DATA": str(directory / "data"),
            "CLEARLINE_PARTITIONS": str(PARTITIONS),
            "CLEARLINE_TICK_MS": "300",
            "CLEARLINE_INTERNAL_TOKEN": "of this test",
            "PYTHONPATH": str(REPOSITORY),
        }
        self.log = directory / "worker.log"
        self.worker: subprocess.Popen[bytes] | None = None
        self.stop = threading.Event()
        self.failures: list[BaseException] = []
        self.producer = Producer(producer_config(bootstrap, {"linger.ms": 2, "log_level": 0}))
        ensure(bootstrap, partitions=PARTITIONS, replication=1)
        configure.apply(bootstrap, configure.DEFAULTS, settlement_interval_ms=5_000, settlement_grace_ms=500)

    def start_worker(self) -> None:
        """Start a worker; it is the same static member each time."""
        port = str(free_ports(1)[0])
        argv = [sys.executable, "-m", "faust", "-A", "streams.app", "worker", "--web-host", "127.0.0.1"]
        with self.log.open("ab") as log:
            self.worker = subprocess.Popen(
                [*argv, "--web-port", port], env=self.environ, stdout=log, stderr=log, cwd=REPOSITORY
            )

    def kill_worker(self) -> None:
        """kill -9."""
        if self.worker is not None:
            self.worker.send_signal(signal.SIGKILL)
            self.worker.wait(60)
            self.worker = None

    def close(self) -> None:
        """Leave nothing running."""
        self.stop.set()
        self.kill_worker()

    def put(self, message: Any, key: bytes, *, timestamp_ms: int) -> None:
        """Append an input."""
        self.producer.produce(PAYMENTS_INPUTS.name, codec.encode(message), key, timestamp=timestamp_ms)
        self.producer.poll(0)

    def send(self, numbers: range) -> None:
        """All commands of these payments; the ones that come too early are refused or answered, and recorded too."""
        rng = random.Random(numbers.start)
        for number in numbers:
            tenant = ("acme", "globex")[number % 2]
            order = f"order-{number}"
            identity = payment_id(tenant, order)
            create = {
                "amount_minor": rng.randrange(100, 90_000),
                "currency": "EUR",
                "payment_method": "pm_card_visa",
                "confirm": True,
                "description": f"order {number}",
                "capture_method": "manual" if number % 5 == 0 else "automatic",
            }
            kinds: list[tuple[str, dict[str, Any]]] = [("create", create)]
            if number % 7 == 0:
                kinds.append(("create", create))
            if number % 3 == 0:
                kinds.append(("refund", {"amount_minor": 10}))
            if number % 11 == 0:
                kinds.append(("cancel", {"reason": "duplicate"}))
            for kind, fields in kinds:
                who = Attribution(
                    actor_kind="api_key", actor_id="key_1", request_id=f"req-{number}", idempotency_key=order
                )
                if kind != "create":
                    who = replace(who, idempotency_key=f"{kind}-{order}")
                command = PaymentCommand(
                    tenant=tenant,
                    payment_id=identity,
                    kind=kind,
                    reply_partition=number % PARTITIONS if number % 2 else None,
                    correlation_id=f"corr-{number}-{kind}",
                    attribution=who,
                    **fields,
                )
                self.put(command, f"{tenant}/{identity}".encode(), timestamp_ms=LONG_AGO_MS + 10 * number)
        self.producer.produce(PAYMENTS_INPUTS.name, b"not avro", None, timestamp=LONG_AGO_MS)
        assert self.producer.flush(120) == 0

    def provide(self) -> None:
        """The provider: answers every request once, until told to stop."""
        rng = random.Random(7)
        consumer = Consumer(consumer_config(self.bootstrap, "test-provider"))
        consumer.assign([TopicPartition(PROVIDER_REQUESTS.name, number, 0) for number in range(PARTITIONS)])
        try:
            while not self.stop.is_set():
                for message in consumer.consume(200, 0.1):
                    if message.error() is not None:
                        continue
                    request = codec.decode(message.value())
                    assert isinstance(request, ProviderRequest)
                    done = {"authorize": "captured", "capture": "captured", "refund": "refunded", "void": "voided"}
                    outcome = done[request.operation]
                    if request.operation == "authorize":
                        outcome = "declined" if rng.random() < 0.1 else outcome if request.capture else "authorized"
                    answer = result(request, outcome, provider_fee_minor=3)
                    self.put(answer, message.key(), timestamp_ms=message.timestamp()[1] + 1)
                self.producer.flush(60)
        except BaseException as error:
            self.failures.append(error)
        finally:
            consumer.close()

    def decided(self) -> int:
        """Payments whose newest event is not one of waiting for the provider."""
        newest: dict[str, str] = {}
        for message in committed_records(self.bootstrap, PAYMENTS_EVENTS.name):
            event = codec.decode(message.value())
            assert isinstance(event, PaymentEvent)
            newest[event.payment_id] = event.to_status
        return sum(status not in ("processing", "requires_confirmation") for status in newest.values())

    def clearline(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command as a person would."""
        return subprocess.run(
            [sys.executable, "-m", "infra.cli", *arguments],
            env={**self.environ, **variables},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            cwd=REPOSITORY,
        )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of whose workers each was killed at work, and that is still ticking."""
    from infra.kafka import Broker, prepare_quick_starts

    prepare_quick_starts()
    directory = tmp_path_factory.mktemp("replay")
    broker = Broker(directory / "kafka", quick=True)
    running: Stack | None = None
    try:
        broker.start()
        running = Stack(broker.bootstrap, directory)
        killed_at_work(running)
        yield running
    finally:
        if running is not None:
            running.close()
        broker.kill()


def killed_at_work(stack: Stack) -> None:
    """Send wave after wave; kill the worker inside each, and replay while its successor takes over and works."""
    provider = threading.Thread(target=stack.provide, daemon=True)
    provider.start()
    stack.start_worker()
    wave = PAYMENTS // WAVES
    for number in range(WAVES):
        before = stack.decided()
        stack.send(range(number * wave, (number + 1) * wave))
        wait_until(lambda before=before: stack.decided() > before, "the worker works", deadline_s=240)
        stack.kill_worker()
        stack.start_worker()
        report = replay(KafkaLog(stack.bootstrap))
        assert report.equal, [found for fold in report.folds for found in fold.differences]
    wait_until(lambda: stack.decided() >= PAYMENTS, "all payments are decided", deadline_s=240)
    assert stack.failures == []


def parsed(done: subprocess.CompletedProcess[str], *, status: int) -> dict[str, Any]:
    """The report of `--json`."""
    assert done.returncode == status, f"{done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_a_log_of_killed_workers_replays_equal(stack):
    """After each worker was killed, and while one still works, every byte that was recorded is folded again."""
    report = parsed(stack.clearline("replay", "--json", "--processes", "2"), status=0)
    assert report["equal"]
    assert report["differences"] == 0
    topics: dict[str, int] = {}
    for fold in report["folds"]:
        for topic, count in fold["topics"].items():
            topics[topic] = topics.get(topic, 0) + count["equal"]
    assert topics["payments.events"] >= 2 * PAYMENTS
    assert topics["provider.requests"] >= PAYMENTS
    for topic in ("payments.replies", "settlement.events", "settlement.inputs", "records.rejected"):
        assert topics[topic] > 0, topic
    assert topics["lifecycle.changelog"] > 2 * PAYMENTS
    assert topics["settlement.changelog"] > 0


class Tampered:
    """A Kafka in which one event has one other byte."""

    def __init__(self, log: KafkaLog, partition: int, offset: int, byte: int) -> None:
        self.log, self.partition, self.offset, self.byte = log, partition, offset, byte

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """As it is."""
        return self.log.committed(group, topic)

    def bounds(self, topic: str) -> dict[int, Bounds]:
        """As they are."""
        return self.log.bounds(topic)

    def read(self, topic: str, partition: int, bounds: Bounds) -> Iterator[Record]:
        """As it is, but for that byte."""
        for record in self.log.read(topic, partition, bounds):
            if (topic, partition, record.offset) == (PAYMENTS_EVENTS.name, self.partition, self.offset):
                value = bytearray(record.value or b"")
                value[self.byte] ^= 0x02
                yield replace(record, value=bytes(value))
            else:
                yield record


def test_one_changed_byte_is_the_first_difference(stack):
    """One byte of an event's amount, changed on the way, is the one difference: its place, its field, both amounts."""
    message = next(
        message
        for message in committed_records(stack.bootstrap, PAYMENTS_EVENTS.name)
        if message.partition() == 1 and message.offset() > 20
    )
    value = message.value()
    event = codec.decode(value)
    amount = event.payment.amount_minor
    zigzag = _varint(2 * amount)
    byte = value.index(zigzag)
    tampered = Tampered(KafkaLog(stack.bootstrap), message.partition(), message.offset(), byte)
    report = replay(tampered, processes=1)
    assert report.difference_count == 1
    (fold,) = [fold for fold in report.folds if fold.differences]
    assert (fold.fold, fold.partition) == ("lifecycle", 1)
    first = fold.differences[0]
    assert first.kind == "changed"
    assert str(first.recorded) == f"payments.events/1/{message.offset()}"
    assert str(first.cause) == f"payments.inputs/1/{event.cause_offset}"
    assert first.fields[0].folded == str(amount)
    assert first.fields[0].recorded == str(amount ^ 1)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def test_digests_are_published_once_and_watch_their_days(stack):
    """Digests of past days are appended once; a forged event of such a day is found, and its day's digest with it."""
    day = time.strftime("%Y-%m-%d", time.gmtime(LONG_AGO_MS / 1000))
    report = parsed(stack.clearline("replay", "--json", "--publish"), status=0)
    assert {digest["tenant"] for digest in report["appended"]} == {"acme", "globex"}
    assert day in {digest["day"] for digest in report["appended"]}
    log = KafkaLog(stack.bootstrap)
    again = replay(log, processes=1)
    assert again.equal
    assert again.published == len(again.closed) == len(report["appended"])
    assert publish(again.closed, log=log, bootstrap=stack.bootstrap) == []
    assert len(committed_records(stack.bootstrap, AUDIT_DIGESTS.name)) == len(report["appended"])

    another = Digest("acme", day, 5, "00" * 32)
    with pytest.raises(PublishRefused, match="another digest of acme"):
        publish([another], log=log, bootstrap=stack.bootstrap)

    message = next(
        message
        for message in committed_records(stack.bootstrap, PAYMENTS_EVENTS.name)
        if message.key().startswith(b"acme/")
    )
    stack.producer.produce(
        PAYMENTS_EVENTS.name, message.value(), message.key(), message.partition(), timestamp=message.timestamp()[1]
    )
    assert stack.producer.flush(60) == 0
    done = stack.clearline("replay", "--publish")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "doubled PaymentEvent" in done.stdout or "unexpected PaymentEvent" in done.stdout
    assert f"digest digest of acme on {day}" in done.stdout
    assert "its events are not what was published" in done.stdout
    assert "nothing was published" in done.stderr


def test_no_verdict_without_kafka(stack):
    """Where no Kafka answers there is no verdict: status 2, and what to do."""
    done = stack.clearline("replay", CLEARLINE_KAFKA=f"127.0.0.1:{free_ports(1)[0]}")
    assert done.returncode == 2
    assert "does not answer" in done.stderr
    assert "what to do" in done.stderr
