"""What the tests of the sender need: a broker with the topics, tenants with endpoints and events, receivers that behave as told, the process."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Self

import stripe
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from api.webhooks import secrets
from api.webhooks.book import Book, Change
from api.webhooks.queue import SOURCES
from infra.kafka import Broker
from schemas import codec
from schemas.catalogue import (
    PAYMENTS_EVENTS,
    WEBHOOKS_ATTEMPTS,
    WEBHOOKS_DELIVERIES,
    WEBHOOKS_ENDPOINTS,
    WEBHOOKS_HEALTH,
    WEBHOOKS_PENDING,
)
from schemas.clients import client_config, consumer_config, producer_config
from schemas.records import PaymentEvent, PaymentObject, WebhookDelivery, WebhookEndpoint
from schemas.sealing import MasterKeys, make_master_keys, read_master_keys
from tests.integration._house import wait_until

PARTITIONS = 2
DEADLINE_S = 150.0
ROOT = Path(__file__).resolve().parents[2]


class Ground:
    """A broker of one module's own, because the topics have fixed names; and everything started on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.broker = Broker(directory / "kafka", quick=True)
        self._started: list[Sender] = []
        self.book: Book | None = None

    def start(self) -> Ground:
        """Start the broker and make the topics."""
        self.broker.start()
        self.bootstrap = self.broker.bootstrap
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        topics = (
            *SOURCES,
            WEBHOOKS_DELIVERIES,
            WEBHOOKS_ENDPOINTS,
            WEBHOOKS_PENDING,
            WEBHOOKS_ATTEMPTS,
            WEBHOOKS_HEALTH,
        )
        new = [NewTopic(topic.name, topic.partitions or PARTITIONS, 1, config=topic.config()) for topic in topics]
        for future in admin.create_topics(new).values():
            future.result(DEADLINE_S)
        make_master_keys(self.directory / "master.keys")
        self.master = read_master_keys(self.directory / "master.keys")
        self.book = Book(client_config(self.bootstrap))
        self.book.start()
        return self

    def sender(self, *, worker: str = "w", loopback: bool = True, **settings) -> Sender:
        """A sender process, from when it is ready."""
        made = Sender(self, worker=worker, loopback=loopback, settings=settings)
        self._started.append(made)
        return made.ready()

    def dies(self, step: str, when: str, *, worker: str = "w") -> int:
        """A sender that kills itself at a step of its work (see `_webhooks_dies`); its status."""
        made = Sender(self, worker=worker, loopback=True, settings={}, dies=(step, when))
        self._started.append(made)
        return made.process.wait(DEADLINE_S)

    def close(self) -> None:
        """Kill everything."""
        for one in self._started:
            one.kill()
        if self.book is not None:
            self.book.close()
        self.broker.kill()


class Sender:
    """`python -m api.webhooks`."""

    def __init__(
        self, ground: Ground, *, worker: str, loopback: bool, settings: dict, dies: tuple[str, ...] = ()
    ) -> None:
        self.log = ground.directory / f"{worker}-{uuid.uuid4().hex[:6]}.log"
        schedule = {"first_s": 0.1, "longest_s": 1.0, "promised_s": 3_600, **settings.pop("schedule", {})}
        environ = {name: value for name, value in os.environ.items() if not name.startswith("CLEARLINE_")} | {
            "CLEARLINE_KAFKA": ground.bootstrap,
            "CLEARLINE_WORKER": worker,
            "CLEARLINE_MASTER_KEY": str(ground.directory / "master.keys"),
            "CLEARLINE_DATA": str(ground.directory / worker),
            "CLEARLINE_WEBHOOKS": json.dumps({"session_timeout_s": 6, "schedule": schedule, **settings}),
            **({"CLEARLINE_WEBHOOKS_ALLOW_LOOPBACK": "1"} if loopback else {}),
        }
        with self.log.open("wb") as out:
            module = "tests.integration._webhooks_dies" if dies else "api.webhooks"
            command = [sys.executable, "-m", module, *dies]
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environ, cwd=ROOT)

    def text(self) -> str:
        """What it said."""
        return self.log.read_text()

    def ready(self) -> Sender:
        """Wait until it is."""

        def fact() -> bool:
            assert self.process.poll() is None, self.text()
            return " webhooks ready\n" in self.text()

        wait_until(fact, self.text, deadline_s=DEADLINE_S)
        return self

    def kill(self) -> None:
        """`kill -9`."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)

    def terminate(self) -> int:
        """SIGTERM; its status."""
        self.process.terminate()
        return self.process.wait(DEADLINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception) -> None:
        self.kill()


class Heard:
    """One request to a receiver."""

    def __init__(self, path: str, headers, body: bytes) -> None:
        self.path, self.headers, self.body = path, headers, body
        self.event = json.loads(body)

    def verified(self, secret: str):
        """The event, by the official SDK's own function. Raises when the signature is not of the secret."""
        return stripe.Webhook.construct_event(self.body, self.headers["Stripe-Signature"], secret)


class Receiver:
    """An HTTP server on loopback. `behave`: the status for the n-th request to a path; it may block. Everything is remembered."""

    def __init__(self, behave: Callable[[str, int], int] = lambda _path, _number: 200) -> None:
        self.behave: Callable[[Heard], int] | None = None
        """Instead of the other, for those whom the request's content matters to."""
        self.heard: list[Heard] = []
        self.accepted: list[Heard] = []
        self.closing = threading.Event()
        lock = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                one = Heard(self.path, dict(self.headers), body)
                with lock:
                    outer.heard.append(one)
                    number = sum(other.path == self.path for other in outer.heard)
                status = behave(self.path, number) if outer.behave is None else outer.behave(one)
                if status == 0:  # never answers
                    outer.closing.wait(DEADLINE_S)
                    self.close_connection = True
                    return
                with lock:
                    if 200 <= status < 300:
                        outer.accepted.append(one)
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments) -> None:
                """Nothing."""

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

            def handle_error(self, *_arguments) -> None:
                """A caller that went away is no event."""

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path: str = "/hook") -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server.server_address[1]}{path}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()


class Tenant:
    """One test's tenant."""

    def __init__(self, ground: Ground) -> None:
        self.ground, self.name = ground, f"t{uuid.uuid4().hex[:10]}"

    @property
    def master(self) -> MasterKeys:
        """The installation's keys."""
        return self.ground.master

    def endpoint(self, name: str, url: str, *, enabled_events: tuple[str, ...] = ("*",), **fields) -> str:
        """Make an endpoint, acknowledged; its secret."""
        sealed = secrets.made(self.master, tenant=self.name, endpoint_id=name)
        made = WebhookEndpoint(
            endpoint_id=name,
            tenant=self.name,
            url=url,
            enabled_events=enabled_events,
            status="enabled",
            secrets=(sealed,),
            version=1,
            **fields,
        )
        self.write(made)
        return secrets.opened(self.master, made, sealed)

    def write(self, *made: WebhookEndpoint) -> None:
        """Write endpoints."""
        self.ground.book.change_now(self.name, lambda _all: Change(result=None, endpoints=made))

    def read(self, name: str) -> WebhookEndpoint:
        """An endpoint as it is."""
        self.ground.book.follow()
        found = self.ground.book.held(self.name, name)
        assert found is not None
        return found

    def events(self, count: int, *, first: int = 0) -> list[str]:
        """Payments that are created, one event each; their ids."""
        return [
            one.event_id for one in self._produce([self._event(number, 1) for number in range(first, first + count)])
        ]

    def history(self, payment: int, length: int) -> list[str]:
        """A payment's first events, each with the one before."""
        return [one.event_id for one in self._produce([self._event(payment, number + 1) for number in range(length)])]

    def step(self, payment: int, sequence: int) -> str:
        """One event of a payment; its id."""
        [one] = self._produce([self._event(payment, sequence)])
        return one.event_id

    def _event(self, payment: int, sequence: int) -> PaymentEvent:
        return self.event(self.name, payment, sequence)

    @staticmethod
    def event(tenant: str, payment: int, sequence: int) -> PaymentEvent:
        """One event of a payment of a tenant."""
        name = f"evt_{tenant}_{payment}"
        return PaymentEvent(
            event_id=f"{name}_{sequence}",
            previous_event_id=f"{name}_{sequence - 1}" if sequence > 1 else "",
            type="payment_intent.created" if sequence == 1 else "payment_intent.processing",
            tenant=tenant,
            payment_id=f"pi_{payment}",
            sequence=sequence,
            occurred_ms=time.time_ns() // 1_000_000,
            payment=PaymentObject(id=f"pi_{payment}", amount_minor=100, currency="EUR"),
        )

    def _produce(self, events: list[PaymentEvent]) -> list[PaymentEvent]:
        producer = Producer(producer_config(self.ground.bootstrap))
        for event in events:
            producer.produce(PAYMENTS_EVENTS.name, codec.encode(event), f"{self.name}/{event.payment_id}".encode())
        assert producer.flush(DEADLINE_S) == 0
        return events

    def attempts(self) -> list[WebhookDelivery]:
        """This tenant's log of attempts, in each partition's order."""
        return [one for one in _all(self.ground.bootstrap, WEBHOOKS_ATTEMPTS.name) if one.tenant == self.name]

    def pending(self) -> list[WebhookDelivery]:
        """What waits on the topic for this tenant."""
        return [one for one in _all(self.ground.bootstrap, WEBHOOKS_PENDING.name) if one.tenant == self.name]


def _all(bootstrap: str, topic: str) -> list[WebhookDelivery]:
    """All committed deliveries of a topic; of a compacted one the newest of each key."""
    reader = Consumer(consumer_config(bootstrap, f"test-{uuid.uuid4().hex}", {"enable.partition.eof": True}))
    newest: dict[object, bytes] = {}
    try:
        places = [TopicPartition(topic, number, 0) for number in range(PARTITIONS)]
        reader.assign(places)
        left = set(range(PARTITIONS))
        deadline = time.monotonic() + DEADLINE_S
        while left:
            assert time.monotonic() < deadline, f"partitions {left} could not be read to their ends"
            message = reader.poll(0.5)
            if message is None:
                continue
            if message.error() is not None:
                left.discard(message.partition())
                continue
            key = (message.partition(), message.key() if topic == WEBHOOKS_PENDING.name else message.offset())
            if message.value() is None:
                newest.pop(key, None)
            elif not (message.key() or b"").startswith(b"\xff"):
                newest[key] = message.value()
    finally:
        reader.close()
    return [codec.decode(value) for value in newest.values()]
