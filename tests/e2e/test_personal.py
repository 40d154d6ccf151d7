"""Personal data through a whole stack: sealed everywhere but at the upstream door, shown to support, erased for ever."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from schemas import codec
from schemas.catalogue import (
    CATALOGUE,
    CUSTOMERS_KEYS,
    INTAKE_CHANGELOG,
    LIFECYCLE_CHANGELOG,
    PAYMENT_INTENTS,
    PAYMENTS_EVENTS,
    PAYMENTS_INPUTS,
)
from schemas.clients import producer_config
from schemas.errors import SealBroken
from schemas.records import CustomerKey, PaymentEvent, PaymentIntent
from schemas.sealing import MasterKeys, read_master_keys, unwrap
from streams.core import payment_id
from tests.e2e.conftest import RunningStack
from tests.integration._runtime_kit import committed_records, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

EMAIL, NAME = "jenny.rosen.4711@example.com", "Jenny Rosén Quintessenz"
SECRETS = (EMAIL.encode(), NAME.encode(), b"Quintessenz")
PERSONAL = {"receipt_email": EMAIL, "billing_name": NAME}
PAYMENT = payment_id("acme", "order-1")


def intent(number: int) -> PaymentIntent:
    """Jenny's intent."""
    return PaymentIntent(
        tenant="acme",
        intent_key=f"order-{number}",
        amount_minor=1_000,
        currency="EUR",
        payment_method="pm_card_visa",
        customer="jenny",
        personal=PERSONAL,
        upstream="shop",
    )


def send(stack: RunningStack, *intents: PaymentIntent) -> None:
    """As an upstream system does."""
    producer = Producer(producer_config(stack.read.kafka))
    for one in intents:
        producer.produce(PAYMENT_INTENTS.name, codec.encode(one), f"{one.tenant}/{one.intent_key}".encode())
    assert producer.flush(60) == 0


def clearline(stack: RunningStack, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command as a person would."""
    command = [sys.executable, "-m", "infra.cli", *arguments]
    return subprocess.run(
        command, env=stack.environ, input=stdin, capture_output=True, text=True, timeout=300, check=False
    )


def events(stack: RunningStack) -> list[PaymentEvent]:
    """All payment events."""
    return [codec.decode(one.value()) for one in committed_records(stack.read.kafka, PAYMENTS_EVENTS.name)]


def keys(stack: RunningStack) -> dict[str, CustomerKey]:
    """The newest record of each key."""
    found = [codec.decode(one.value()) for one in committed_records(stack.read.kafka, CUSTOMERS_KEYS.name)]
    return {key.key_id: key for key in found}


def leaks(stack: RunningStack, directory: Path) -> list[str]:
    """Where personal data stands in the clear: every topic but the upstream door, and every file of logs, state and warehouse."""
    found = [
        f"{topic.name} {one.offset()}"
        for topic in CATALOGUE
        if topic is not PAYMENT_INTENTS
        for one in committed_records(stack.read.kafka, topic.name)
        if any(secret in (one.value() or b"") for secret in SECRETS)
    ]
    files = [path for path in directory.rglob("*") if f"/{PAYMENT_INTENTS.name}-" not in str(path)]
    return found + [str(path) for path in files if any(secret in _content(path) for secret in SECRETS)]


def _content(path: Path) -> bytes:
    """A file's bytes; a file that went meanwhile has none."""
    try:
        return path.read_bytes() if path.is_file() else b""
    except FileNotFoundError:
        return b""


def landed_leaks(stack: RunningStack) -> list[str]:
    """The warehouse's tables in which personal data stands in the clear; its files are compressed, so it is asked."""
    tables = [row[0] for row in stack.warehouse.rows("SELECT name FROM system.tables WHERE database = 'clearline'")]
    assert "payment_events" in tables
    holds = " OR ".join(f"position(toString(tuple(*)), '{text}') > 0" for text in (EMAIL, "Quintessenz"))
    return [name for name in tables if stack.warehouse.value(f"SELECT count() FROM clearline.`{name}` WHERE {holds}")]


def test_personal_data_is_sealed_shown_and_erased(make_stack: Callable[..., RunningStack], tmp_path: Path) -> None:
    """
    Personal data is nowhere in the clear behind the door, support can read it, and once erased nobody can.

    Not with every master key and every byte of the log; and the log still replays to the same events.
    """
    stack = make_stack()
    send(stack, intent(1), intent(2))
    send(stack, PaymentIntent(tenant="acme", intent_key="bad", amount_minor=-1, currency="EUR", personal=PERSONAL))
    paid = "SELECT count() FROM clearline.payment_events WHERE to_status = 'succeeded'"
    wait_until(lambda: stack.warehouse.value(paid) >= 2, "two payments landed", deadline_s=180)
    refused = "SELECT count() FROM clearline.rejections"
    wait_until(lambda: stack.warehouse.value(refused) >= 1, "the rejection landed", deadline_s=120)
    sealed = {one.payment_id: one.payment for one in events(stack) if one.payment is not None}
    assert all(payment.personal and payment.personal_key in keys(stack) for payment in sealed.values())
    # Not vacuous: the sealed bytes are where they should be, and the door has the plain text.
    for topic in (PAYMENTS_INPUTS, PAYMENTS_EVENTS, LIFECYCLE_CHANGELOG):
        values = [one.value() or b"" for one in committed_records(stack.read.kafka, topic.name)]
        assert any(sealed[PAYMENT].personal in value for value in values), topic.name
    assert any(EMAIL.encode() in one.value() for one in committed_records(stack.read.kafka, PAYMENT_INTENTS.name))
    assert committed_records(stack.read.kafka, INTAKE_CHANGELOG.name)
    assert leaks(stack, tmp_path) == []
    assert landed_leaks(stack) == []

    shown = clearline(stack, "customers", "show", "acme", "jenny", "--json")
    assert shown.returncode == 0, shown.stderr
    opened = {line["payment"]: line["personal"] for line in map(json.loads, shown.stdout.splitlines())}
    assert opened == dict.fromkeys(sealed, PERSONAL)
    assert clearline(stack, "customers", "show", "acme", "nobody").returncode == 4
    assert clearline(stack, "customers", "show", "globex", "jenny").returncode == 4

    who = ("--reason", "request 17", "--operator", "olga")
    declined = clearline(stack, "customers", "erase", "acme", "jenny", *who, stdin="n\n")
    assert declined.returncode == 1
    assert {key.status for key in keys(stack).values()} == {"active"}
    erased = clearline(stack, "customers", "erase", "acme", "jenny", *who, "--yes")
    assert erased.returncode == 0, erased.stderr
    assert "30 days" in erased.stdout

    after = keys(stack)
    assert {(key.status, key.wrapped) for key in after.values()} == {("erased", b"")}
    assert {(key.attribution.actor_id, key.attribution.reason) for key in after.values()} == {("olga", "request 17")}
    masters: MasterKeys = read_master_keys(Path(stack.environ["CLEARLINE_MASTER_KEY"]))
    for key in after.values():
        with pytest.raises(SealBroken):
            unwrap(masters, key)
    shown = clearline(stack, "customers", "show", "acme", "jenny")
    assert shown.stdout.count(" erased") == 2
    assert EMAIL not in shown.stdout
    again = clearline(stack, "customers", "erase", "acme", "jenny", *who, "--yes")
    assert "0 keys erased" in again.stdout

    replayed = clearline(stack, "replay")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    # What comes after an erasure is sealed with a new key as soon as the worker has heard of it; old payments stay closed.
    later = iter(range(3, 1_000))

    def sealed_anew() -> set[str]:
        send(stack, intent(next(later)))
        return set(keys(stack)) - set(after)

    wait_until(sealed_anew, "a new key after the erasure", deadline_s=120, pause_s=0.5)
    lines = clearline(stack, "customers", "show", "acme", "jenny").stdout.splitlines()
    assert {line for line in lines if line.split()[0] in sealed} == {f"{payment} erased" for payment in sealed}
