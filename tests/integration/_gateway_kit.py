"""What the gateway's tests need: simulator and gateway as real processes, requests sent, results collected, books compared."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from infra.kafka._ports import free_ports  # a dead port in the kernel's own range could connect to itself
from schemas import codec
from schemas.catalogue import (
    GATEWAY_CURSORS,
    GATEWAY_PENDING,
    PAYMENTS_INPUTS,
    PROVIDER_REQUESTS,
    RECORDS_REJECTED,
    SETTLEMENT_INPUTS,
)
from schemas.clients import consumer_config, transactional_config
from schemas.records import ProviderNotice, ProviderRequest, ProviderResult, Rejection

DEADLINE_S = 120.0
PARTITIONS = 4
PROVISIONAL = ("unknown", "refund_pending")
QUICK: dict[str, Any] = {"timeout_s": 1.0, "inquiry_first_s": 0.05, "inquiry_longest_s": 0.5}


def make_topics(bootstrap: str) -> None:
    """The topics the gateway touches, co-partitioned."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = (PROVIDER_REQUESTS, PAYMENTS_INPUTS, SETTLEMENT_INPUTS, GATEWAY_PENDING, RECORDS_REJECTED)
    new = [NewTopic(topic.name, PARTITIONS, 1, config=topic.config()) for topic in topics]
    made = admin.create_topics([*new, NewTopic(GATEWAY_CURSORS.name, 1, 1, config=GATEWAY_CURSORS.config())])
    for future in made.values():
        future.result(DEADLINE_S)


class Process:
    """A process of the stack with its log; always dead at the end of a `with`."""

    def __init__(self, module: str, *arguments: str, log: Path, environment: dict[str, str]) -> None:
        self.log = log
        self._seen = log.stat().st_size if log.exists() else 0
        with log.open("ab") as out:
            command = [sys.executable, "-m", module, *arguments]
            self.process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **environment}
            )

    def __enter__(self):
        return self

    def __exit__(self, *_exception: object) -> None:
        self.kill()

    def text(self) -> str:
        """What this run of it logged."""
        return self.log.read_bytes()[self._seen :].decode(errors="replace")

    def wait_ready(self):
        def ready() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}:\n{self.text()}")
            return re.search(r"\bready\b", self.text()) is not None

        wait_until(ready, what=lambda: f"readiness of\n{self.text()}")
        return self

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)


class World:
    """One test's simulator address, log directory and gateway settings, on a broker."""

    def __init__(self, bootstrap: str, directory: Path, *, run: str | None = None, port: int | None = None) -> None:
        self.bootstrap, self.directory, self.port = bootstrap, directory, port or free_ports(1)[0]
        self.run = run or uuid.uuid4().hex[:8]

    def again(self) -> World:
        """Another run on the same simulator and broker, with ids of its own."""
        return World(self.bootstrap, self.directory, port=self.port)

    def simulator(self, *, seed: int = 0, options: Iterable[str] = ()) -> Process:
        arguments = ("--data", str(self.directory / "books"), "--port", str(self.port), "--seed", str(seed), *options)
        log = self.directory / "simulator.log"
        return Process("connectors.providers.simulator", *arguments, log=log, environment={}).wait_ready()

    def gateway(
        self,
        *,
        worker: str = "worker-0",
        wait: bool = True,
        urls: dict[str, str] | None = None,
        **settings: Any,
    ) -> Process:
        given = urls or {name: self.url(name) for name in ("northpay", "southpay")}
        providers = {name: {"kind": "simulated", "url": url} for name, url in given.items()}
        environment = {
            "CLEARLINE_KAFKA": self.bootstrap,
            "CLEARLINE_WORKER": worker,
            "CLEARLINE_PROVIDERS": json.dumps(providers),
            "CLEARLINE_GATEWAY": json.dumps({**QUICK, **settings}),
        }
        process = Process("connectors.providers.gateway", log=self.directory / f"{worker}.log", environment=environment)
        return process.wait_ready() if wait else process

    def url(self, provider: str = "northpay") -> str:
        return f"http://127.0.0.1:{self.port}/{provider}/v1"

    def request(self, number: int, **changes: Any) -> ProviderRequest:
        fields: dict[str, Any] = {
            "request_id": f"rq_{self.run}_{number}",
            "tenant": "acme",
            "payment_id": f"pi_{self.run}_{number}",
            "object_id": f"ch_{self.run}_{number}",
            "attempt": 1,
            "provider": "northpay",
            "operation": "authorize",
            "amount_minor": 1_000 + number,
            "currency": "USD",
            "payment_method": "pm_card_visa",
            "capture": True,
            "requested_ms": time.time_ns() // 1_000_000,
        }
        return ProviderRequest(**{**fields, **changes})

    def send(self, requests: Iterable[ProviderRequest], *, timestamp_ms: int = 0) -> None:
        """Produce requests as the lifecycle does: in a transaction, keyed tenant/payment_id."""
        records = ((f"{one.tenant}/{one.payment_id}".encode(), codec.encode(one)) for one in requests)
        self.send_raw(records, timestamp_ms=timestamp_ms)

    def send_raw(self, records: Iterable[tuple[bytes | None, bytes | None]], *, timestamp_ms: int = 0) -> None:
        producer = Producer(transactional_config(self.bootstrap, f"test-{uuid.uuid4().hex}", timeout_ms=60_000))
        producer.init_transactions(DEADLINE_S)
        producer.begin_transaction()
        for key, value in records:
            producer.produce(PROVIDER_REQUESTS.name, value, key, timestamp=timestamp_ms)
        producer.commit_transaction(DEADLINE_S)

    def books(self, path: str = "summary") -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=60) as response:
            return json.load(response)

    def charges(self, providers: Iterable[str] = ("northpay", "southpay")) -> list[dict[str, Any]]:
        """Every charge of this run in the providers' books."""
        found: list[dict[str, Any]] = []
        for provider in providers:
            after, more = 0, True
            while more:
                page = self.books(f"{provider}/v1/charges?limit=1000&after={after}")
                found += page["data"]
                more, after = page["has_more"], page["data"][-1]["sequence"] if page["data"] else 0
        return [charge for charge in found if f"pi_{self.run}_" in charge["payment_reference"]]


class Results:
    """Committed results of one run, read as the lifecycle reads them, in the order of each partition."""

    def __init__(self, world: World) -> None:
        self._run = world.run
        self._consumer = Consumer(consumer_config(world.bootstrap, f"test-{world.run}", {"log_level": 2}))
        self._consumer.assign([TopicPartition(PAYMENTS_INPUTS.name, number, 0) for number in range(PARTITIONS)])
        self.notices: list[ProviderNotice] = []
        self.by_request: dict[str, list[ProviderResult]] = defaultdict(list)
        self.by_payment: dict[str, list[ProviderResult]] = defaultdict(list)

    def __enter__(self):
        return self

    def __exit__(self, *_exception: object) -> None:
        self._consumer.close()

    def poll(self) -> None:
        for message in self._consumer.consume(500, 0.1):
            assert message.error() is None, message.error()
            record = codec.decode(message.value(), expected=(ProviderResult, ProviderNotice))
            if isinstance(record, ProviderNotice):
                if f"_{self._run}_" in record.payment_id:
                    self.notices.append(record)
                continue
            assert isinstance(record, ProviderResult)
            assert message.key() == f"{record.tenant}/{record.payment_id}".encode()
            if f"_{self._run}_" in record.request_id:
                self.by_request[record.request_id].append(record)
                self.by_payment[record.payment_id].append(record)

    def wait(self, condition: Callable[[], bool], *, what: str = "results") -> None:
        def polled() -> bool:
            self.poll()
            return condition()

        wait_until(polled, what=lambda: f"{what}; have {self.outcomes()}")

    def definite(self, request_id: str) -> list[ProviderResult]:
        return [result for result in self.by_request[request_id] if result.outcome not in PROVISIONAL]

    def count_definite(self) -> int:
        return sum(bool(self.definite(request_id)) for request_id in list(self.by_request))

    def outcomes(self) -> Counter[str]:
        return Counter(result.outcome for results in self.by_request.values() for result in results)

    def wait_definite(self, requests: Iterable[ProviderRequest]) -> dict[str, ProviderResult]:
        """Wait for each request's definite result; there must be exactly one, and nothing after it."""
        wanted = [request.request_id for request in requests]
        self.wait(lambda: all(self.definite(request_id) for request_id in wanted), what="definite results")
        for request_id in wanted:
            outcomes = [result.outcome for result in self.by_request[request_id]]
            assert len(self.definite(request_id)) == 1, (request_id, outcomes)
            assert outcomes[-1] not in PROVISIONAL, (request_id, outcomes)
        return {request_id: self.definite(request_id)[0] for request_id in wanted}


def assert_books_agree(
    world: World,
    requests: list[ProviderRequest],
    results: dict[str, ProviderResult],
    *,
    providers: Iterable[str] = ("northpay", "southpay"),
) -> None:
    """Every captured result is one captured charge, and every payment has at most one, over all providers."""
    held = Counter(charge["payment_reference"] for charge in world.charges(providers) if charge["captured_minor"])
    assert max(held.values(), default=0) <= 1, held.most_common(3)
    captured = {
        f"{request.tenant}/{request.payment_id}"
        for request in requests
        if results[request.request_id].outcome == "captured"
    }
    assert set(held) == captured
    assert world.books()["payments_held_twice"] == []


def rejections(bootstrap: str, wanted: int) -> list[Rejection]:
    """The first so many committed rejections."""
    consumer = Consumer(consumer_config(bootstrap, f"test-{uuid.uuid4().hex}"))
    consumer.assign([TopicPartition(RECORDS_REJECTED.name, number, 0) for number in range(PARTITIONS)])
    found: list[Rejection] = []
    try:

        def enough() -> bool:
            for message in consumer.consume(100, 0.1):
                record = codec.decode(message.value(), expected=(Rejection,))
                assert isinstance(record, Rejection)
                found.append(record)
            return len(found) >= wanted

        wait_until(enough, what=lambda: f"{wanted} rejections; have {len(found)}")
    finally:
        consumer.close()
    return found


def wait_until(condition: Callable[[], bool], *, what: Callable[[], str]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {DEADLINE_S} s for {what()}")
        time.sleep(0.02)


STOP, CONTINUE, KILL, TERM = signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL, signal.SIGTERM
