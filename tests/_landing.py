"""What the tests of landing need: a warehouse process, the landed topics, records on them that add up, and deadlines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.clickhouse.client import Client, connect
from connectors.clickhouse.errors import WarehouseError
from connectors.clickhouse.landing import LANDED_TOPICS
from infra.kafka import _ports
from schemas import catalogue, clients, codec
from schemas.records import (
    ApiKey,
    Attribution,
    BalanceTransaction,
    CardFacts,
    ChargeObject,
    ClockTick,
    CustomerEvent,
    CustomerObject,
    DisputeObject,
    MethodObject,
    Movement,
    PaymentCommand,
    PaymentEvent,
    PaymentObject,
    Posting,
    ProviderResult,
    Record,
    RefundObject,
    Rejection,
    RoutingDecision,
    SealedField,
    SettlementEvent,
    SetupObject,
    Tenant,
    WindowMovement,
    WindowTotals,
)

DEADLINE_S = 120
TOPICS = tuple(topic.name for topic in LANDED_TOPICS)
PARTITIONS = 3
NOW_MS = 1_780_000_000_000
_ROOT = Path(__file__).parent.parent


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    """Returns when the condition holds; an error while ClickHouse is away counts as not yet."""
    end = time.monotonic() + DEADLINE_S
    trouble: Exception | None = None
    while time.monotonic() < end:
        try:
            if condition():
                return
        except WarehouseError as error:
            trouble = error
        time.sleep(0.05)
    message = f"{what} did not come true in {DEADLINE_S} s"
    raise TimeoutError(message) from trouble


class Process:
    """A process of ours and its output, whatever a test does to it."""

    def __init__(self, arguments: list[str], *, environ: dict[str, str], log: Path) -> None:
        self._arguments, self._environ, self._log = arguments, environ, log
        self.running: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        """All it has said."""
        return self._log.read_text() if self._log.exists() else ""

    def start(self) -> None:
        """Start it (again)."""
        with self._log.open("ab") as log:
            self.running = subprocess.Popen(
                [sys.executable, "-m", *self._arguments],
                env=os.environ | self._environ,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=_ROOT,
            )

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.running is not None
        self.running.send_signal(number)

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone. Its children go with it: nothing of it may outlive a test."""
        if self.running is None:
            return
        try:
            family = psutil.Process(self.running.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        self.running.kill()
        self.running.wait(DEADLINE_S)
        for child in family:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
        self.running = None

    def end(self) -> int:
        """SIGTERM; its status."""
        assert self.running is not None
        self.running.terminate()
        status = self.running.wait(DEADLINE_S)
        self.running = None
        return status


class WarehouseProcess(Process):
    """The embedded ClickHouse on a port that stays its own over restarts."""

    def __init__(self, directory: Path) -> None:
        # Below the range of outgoing connections: one of these could take the port while the killed server is down.
        (port,) = _ports.free_ports(1)
        self.base = f"http://clearline:secret@127.0.0.1:{port}"
        super().__init__(
            ["connectors.clickhouse.embedded", "--data", str(directory / "data"), "--port", str(port)],
            environ={"CLEARLINE_CLICKHOUSE": self.url("clearline")},
            log=directory / "warehouse.log",
        )

    def url(self, database: str) -> str:
        """Where a database of it is."""
        return f"{self.base}/{database}"

    def start(self) -> None:
        """Start it and return when it answers."""
        super().start()
        try:
            connect(self.url("clearline"), wait_s=DEADLINE_S).close()
        except WarehouseError:
            print(self.output)
            raise


def landing_process(bootstrap: str, url: str, log: Path, *options: str) -> Process:
    """`python -m connectors.clickhouse.landing`, not yet started."""
    environ = {"CLEARLINE_KAFKA": bootstrap, "CLEARLINE_CLICKHOUSE": url}
    return Process(["connectors.clickhouse.landing", *options], environ=environ, log=log)


def create_topics(bootstrap: str, partitions: int = PARTITIONS) -> None:
    """The landed topics of the catalogue."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    # As the catalogue has them: kept for ever, although the records' timestamps are old.
    new = [NewTopic(name, partitions, 1, config=catalogue.topic(name).config()) for name in TOPICS]
    for made in admin.create_topics(new).values():
        made.result(DEADLINE_S)


@contextmanager
def connected(url: str) -> Iterator[Client]:
    """A client for a while."""
    client = connect(url, wait_s=DEADLINE_S)
    try:
        yield client
    finally:
        client.close()


class Produced(msgspec.Struct):
    """One record for a topic."""

    topic: str
    key: bytes
    value: bytes | None


def send(bootstrap: str, produced: list[Produced], *, transactions_of: int = 0) -> None:
    """Produce records; in transactions of that many, with an aborted one after each, so that offsets have holes."""
    if not transactions_of:
        producer = Producer(clients.producer_config(bootstrap))
        for one in produced:
            _produce(producer, one)
        assert producer.flush(DEADLINE_S) == 0
        return
    producer = Producer(
        clients.transactional_config(bootstrap, f"landing-tests-{os.getpid()}-{time.time_ns()}", timeout_ms=60_000)
    )
    producer.init_transactions(DEADLINE_S)
    for begin in range(0, len(produced), transactions_of):
        batch = produced[begin : begin + transactions_of]
        producer.begin_transaction()
        for one in batch:
            _produce(producer, one)
        producer.commit_transaction(DEADLINE_S)
        producer.begin_transaction()
        _produce(producer, batch[0])
        producer.flush(DEADLINE_S)
        producer.abort_transaction(DEADLINE_S)


def _produce(producer: Producer, one: Produced) -> None:
    while True:
        try:
            producer.produce(one.topic, key=one.key, value=one.value, timestamp=NOW_MS)
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


def payments(count: int, *, first: int = 0) -> list[Produced]:
    """The records of `count` payments: captured, some refunded in part, each with its movements in a settlement window.

    What they say adds up, so that every proof holds when all of them are landed.
    """
    out: list[Produced] = []
    windows: dict[tuple[str, str, str], _Window] = {}
    for number in range(first, first + count):
        tenant, provider = f"tenant-{number % 3}", f"psp_{'ab'[number % 2]}"
        currency = ("EUR", "JPY", "KWD")[number % 3]
        amount = 1_000 + number
        payment = _Payment(number=number, tenant=tenant, provider=provider, currency=currency, amount=amount)
        movements = payment.emit(out)
        window = windows.setdefault((tenant, provider, currency), _Window(tenant, provider, currency, first))
        for movement in movements:
            window.add(out, movement)
        if number % 50 == 0:
            put(out, "payments.inputs", "tick", ClockTick(time_ms=NOW_MS + number, source="test"))
            put(
                out,
                "records.rejected",
                "k",
                Rejection(
                    source_topic="payment.intents",
                    source_offset=number,
                    key=b"\x00\xff",
                    value=None if number % 100 else b"\xfe\x00not avro",
                    reason="not_avro",
                    message="no header",
                    component="intake",
                ),
            )
            who = Attribution(actor_kind="operator", actor_id="op_1", request_id=f"req_{number}")
            changed = Tenant(tenant=tenant, version=1 + number, attribution=who)
            put(out, "identity.history", tenant, changed)
            key = ApiKey(key_id=f"key_{number}", tenant=tenant, status="active", attribution=who)
            put(out, "identity.history", key.key_id, key)
            for event in _people(number, tenant, who):
                put(out, "customers.events", tenant, event)
    return out


def _people(number: int, tenant: str, who: Attribution) -> Iterator[CustomerEvent]:
    """A customer with sealed data, who saves a card by a setup intent."""
    field = SealedField(name="email", key_id=f"ck_{number:024x}", sealed=b"\x00sealed\xff")
    customer = CustomerObject(id=f"cus_{number:024x}", personal=(field,), metadata={"crm": "7"}, created_ms=NOW_MS)
    card = CardFacts(brand="visa", last4="4242", fingerprint=f"{number:016x}")
    method = MethodObject(id=f"pm_{number:024x}", customer=customer.id, card=card, created_ms=NOW_MS)
    setup = SetupObject(
        id=f"seti_{number:024x}", status="succeeded", customer=customer.id, method=method.id, usage="off_session"
    )
    told = (
        (customer.id, "customer.created", {"customer": customer}),
        (method.id, "payment_method.attached", {"method": method}),
        (setup.id, "setup_intent.succeeded", {"setup": setup}),
    )
    for object_id, kind, about in told:
        yield CustomerEvent(
            event_id=f"evt_{object_id}",
            type=kind,
            tenant=tenant,
            object_id=object_id,
            sequence=1,
            occurred_ms=NOW_MS + number,
            attribution=who,
            cause_topic="customers.inputs",
            cause_offset=number,
            **about,
        )


def put(out: list[Produced], topic: str, key: str, record: Record) -> None:
    """Add a record for a topic."""
    out.append(Produced(topic, key.encode(), codec.encode(record)))


class _Payment:
    def __init__(self, *, number: int, tenant: str, provider: str, currency: str, amount: int) -> None:
        self.tenant, self.provider, self.currency, self.amount = tenant, provider, currency, amount
        self.number, self.id, self.sequence, self.refunded = number, f"pi_{number:08d}", 0, 0
        self.who = Attribution(
            actor_kind="api_key", actor_id="key_1", request_id=f"req_{number}", idempotency_key=f"ik_{number}"
        )

    def emit(self, out: list[Produced]) -> list[Movement]:
        """Its commands, results and events; the movements it causes."""
        key = f"{self.tenant}/{self.id}"
        command = PaymentCommand(
            tenant=self.tenant,
            payment_id=self.id,
            kind="create",
            amount_minor=self.amount,
            currency=self.currency,
            payment_method="pm_card",
            confirm=True,
            attribution=self.who,
        )
        put(out, "payments.inputs", key, command)
        self._event(out, key, "payment_intent.created", "requires_confirmation", received=0)
        result = ProviderResult(
            tenant=self.tenant,
            payment_id=self.id,
            request_id=f"ch_{self.number}",
            provider=self.provider,
            operation="authorize",
            outcome="captured",
            amount_minor=self.amount,
            currency=self.currency,
            attribution=Attribution(actor_kind="provider", actor_id=self.provider),
        )
        put(out, "payments.inputs", key, result)
        receivable, payable = f"provider_receivable:{self.provider}", f"tenant_payable:{self.tenant}"
        legs = [(receivable, self.amount), (payable, -self.amount), (payable, 30), (receivable, -30)]
        event = self._event(out, key, "payment_intent.succeeded", "succeeded", received=self.amount, legs=legs)
        moves = [self._movement(event, "capture", self.amount), self._movement(event, "fee", -30)]
        if self.number % 4 == 0:
            self.refunded = self.amount // 3
            legs = [(payable, self.refunded), (f"refund_pending:{self.provider}", -self.refunded)]
            event = self._event(out, key, "refund.created", "succeeded", received=self.amount, legs=legs)
            moves.append(self._movement(event, "refund", -self.refunded))
        return moves

    def _event(self, out, key, kind, status, *, received, legs=()) -> PaymentEvent:
        self.sequence += 1
        charge = ChargeObject(
            id=f"ch_{self.number}",
            attempt=1,
            provider=self.provider,
            status="succeeded",
            outcome="captured",
            amount_minor=self.amount,
            amount_captured_minor=received,
            currency=self.currency,
        )
        refund = RefundObject(
            id=f"re_{self.number}",
            charge=charge.id,
            amount_minor=self.refunded,
            currency=self.currency,
            status="pending",
            provider=self.provider,
        )
        dispute = DisputeObject(
            id=f"dp_{self.number}",
            charge=charge.id,
            amount_minor=self.amount,
            currency=self.currency,
            status="warning_needs_response",
            provider=self.provider,
        )
        net = -sum(amount for account, amount in legs if account.startswith("tenant_payable"))
        fee = 30 if net > 0 else 0
        event = PaymentEvent(
            event_id=f"evt_{self.number}_{self.sequence}",
            type=kind,
            tenant=self.tenant,
            payment_id=self.id,
            sequence=self.sequence,
            occurred_ms=NOW_MS + self.sequence,
            from_status="none",
            to_status=status,
            payment=PaymentObject(
                id=self.id,
                status=status,
                amount_minor=self.amount,
                currency=self.currency,
                amount_received_minor=received,
                amount_refunded_minor=self.refunded,
                provider=self.provider if received else "",
                metadata={"order": str(self.number)},
                created_ms=NOW_MS,
            ),
            charge=charge if received else None,
            refund=refund if self.refunded else None,
            decision=RoutingDecision(attempt=1, chosen=self.provider, candidates=("psp_a", "psp_b"), policy_version=1)
            if received and not self.refunded
            else None,
            postings=tuple(
                Posting(account=account, amount_minor=amount, currency=self.currency) for account, amount in legs
            ),
            dispute=dispute if received and self.number % 5 == 0 else None,
            balance_transactions=(
                BalanceTransaction(
                    id=f"txn_{self.number}_{self.sequence}",
                    type="charge" if fee else "refund",
                    gross_minor=net + fee,
                    fee_minor=fee,
                    net_minor=net,
                    currency=self.currency,
                    source=charge.id if fee else refund.id,
                    available_on_ms=NOW_MS,
                ),
            )
            if net
            else (),
            attribution=self.who,
            cause_topic="payments.inputs",
            cause_offset=self.number,
            ordinal=0,
            policy_version=1,
        )
        put(out, "payments.events", key, event)
        return event

    def _movement(self, event: PaymentEvent, kind, amount: int) -> Movement:
        return Movement(
            movement_id=f"mv_{event.event_id}_{kind}",
            tenant=self.tenant,
            provider=self.provider,
            currency=self.currency,
            kind=kind,
            amount_minor=amount,
            payment_id=self.id,
            object_id=f"ch_{self.number}",
            event_id=event.event_id,
            occurred_ms=event.occurred_ms,
            attribution=self.who,
        )


class _Window:
    def __init__(self, tenant: str, provider: str, currency: str, first: int) -> None:
        self.tenant, self.provider, self.currency = tenant, provider, currency
        self.id, self.sequence = f"sw_{tenant}_{provider}_{currency}_{first}", first * 10
        self.totals = WindowTotals()

    def add(self, out: list[Produced], movement: Movement) -> None:
        """A movement is added to the window."""
        amount, kind, before = movement.amount_minor, movement.kind, self.totals
        self.totals = WindowTotals(
            movements=before.movements + 1,
            captured_minor=before.captured_minor + (amount if kind == "capture" else 0),
            refunded_minor=before.refunded_minor - (amount if kind == "refund" else 0),
            fees_minor=before.fees_minor - (amount if kind == "fee" else 0),
            net_minor=before.net_minor + amount,
        )
        self.sequence += 1
        fields = {name: getattr(movement, name) for name in WindowMovement.__struct_fields__}
        event = SettlementEvent(
            event_id=f"evt_{self.id}_{self.sequence}",
            type="settlement_window.movement_added",
            tenant=self.tenant,
            provider=self.provider,
            currency=self.currency,
            window_id=self.id,
            sequence=self.sequence,
            occurred_ms=NOW_MS,
            opens_ms=NOW_MS,
            closes_ms=NOW_MS + 1000,
            status="open",
            movement=WindowMovement(**fields),
            totals=self.totals,
            attribution=movement.attribution,
            cause_topic="settlement.inputs",
            cause_offset=self.sequence,
        )
        put(out, "settlement.events", f"{self.tenant}/{self.provider}/{self.currency}", event)


def rows_expected(produced: list[Produced]) -> int:
    """How many of these records get a row of their own."""
    return sum(not _is_tick(one) for one in produced)


def _is_tick(one: Produced) -> bool:
    return one.value is not None and one.key == b"tick"


SIGSTOP, SIGCONT = signal.SIGSTOP, signal.SIGCONT
