"""A whole stack, as talkative as it can be made, is told every secret there is: nothing that it logs has any of them.

Nor has any topic or table a card number or a key; and what somebody needs to find a request by is in the logs.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api.http.keys import digest
from schemas import catalogue, codec, environment
from schemas.records import ApiKey, WebhookEndpoint
from tests.e2e._confided import Confided
from tests.e2e._mistaken import Receiver, endpoints, garbage, mistakes, upstream
from tests.e2e._planted import Leak, Planted, told
from tests.e2e.conftest import RunningStack
from tests.integration._runtime_kit import committed_records, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PROCESSES = (
    *(
        "broker",
        "warehouse",
        "simulator",
        "registry",
        "identity",
        "configuration",
        "gateway",
        "landing",
        "api",
        "webhooks",
    ),
    *("worker-0", "supervisor"),
)
"""Each of them has said something; a process more in the stack has to be named here."""
KILLED = ("api", "gateway", "webhooks")
KAFKA_DEBUG = "generic,broker,topic,metadata,conf,security,cgrp,eos,admin,consumer,assignor"
SCHEDULE = {"first_s": 0.1, "longest_s": 0.5, "promised_s": 3}


def test_no_log_no_topic_and_no_table_tells_a_secret(make_stack: Callable[..., RunningStack], tmp_path: Path) -> None:
    """Whatever is said to any process by anybody, and however a process ends, what it writes has no secret and no body in it."""
    planted = Planted()
    stack = make_stack(talkative=True, **_variables(planted))
    _take_secrets_of(stack, planted)
    receiver = Receiver(planted)
    try:
        confided = Confided(stack, planted)
        confided.commands()
        confided.keys()
        endpoints(confided, receiver)
        upstream(confided)
        confided.sdk()
        mistakes(confided)
        confided.unknown_outcome()
        confided.people()
        garbage(confided)
        assert receiver.heard.acquire(timeout=120), "an endpoint was told of something"
        _kill(stack, KILLED)
        confided.sdk()
        for one in confided.finds["webhooks"]:
            disabled = f"{one} is disabled: nothing was accepted"
            wait_until(lambda disabled=disabled: disabled in _text(stack, "webhooks"), disabled)
        _landed(stack, confided)
        found = [*_on_topics(stack, confided), *_in_tables(stack, planted)]
        stack.stack.stop()
    finally:
        receiver.close()

    logs = dict(_logs(stack, tmp_path))
    assert {name.partition(".")[0] for name in logs} >= set(PROCESSES)
    assert {one.name for one in stack.stack.status().processes} == set(PROCESSES) - {"supervisor"}
    for name, text in {**logs, **confided.printed}.items():
        found += planted.leaks(name, text)
    assert not found, told(found)
    _can_be_found(logs, confided)
    _net_holds(logs, planted)


def _variables(planted: Planted) -> dict[str, str]:
    """Settings with secrets in them, and each one that makes a process say more."""
    kafka = {
        "debug": KAFKA_DEBUG,
        "log_level": 7,
        "sasl.username": planted.marker("a SASL user"),
        "sasl.password": planted.marker("a SASL password"),
        "ssl.key.password": planted.marker("a key's password"),
    }
    return {
        "PYTHONASYNCIODEBUG": "1",
        environment.KAFKA_CONFIG: json.dumps(kafka),
        "CLEARLINE_DEVELOPMENT_ISSUER": "1",
        "CLEARLINE_OIDC_CLIENT_SECRET": planted.marker("the client secret at the issuer"),
        "CLEARLINE_WEBHOOKS": json.dumps({"session_timeout_s": 6, "schedule": SCHEDULE}),
        "CLEARLINE_NOTHING_OF_OURS": planted.marker("another variable of the environment"),
    }


def _take_secrets_of(stack: RunningStack, planted: Planted) -> None:
    """What the stack has made for itself."""
    planted.secret("the warehouse's password", stack.read.warehouse.password)
    planted.secret("the internal token", stack.read.internal_token)
    assert stack.read.master_key is not None
    for line in stack.read.master_key.read_text().split():
        planted.secret("a master key", line)


def _kill(stack: RunningStack, names: tuple[str, ...]) -> None:
    """`kill -9`, and up again."""
    for name in names:
        process = stack.stack.process(name)
        before = process.restarts
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda process=process, before=before: process.restarts > before, f"{name} is started again")
    wait_until(lambda: all(stack.stack.process(name).status.is_up for name in names), "all are up again")


def _landed(stack: RunningStack, confided: Confided) -> None:
    """Wait until the tables have what the topics have: the newest payment, its refund, and what was rejected."""
    newest = confided.asked("POST", "/v1/payment_intents", data={"amount": "1", "currency": "eur"}).json()["id"]
    for table, fact in (
        ("payment_events", f"payment_id = '{newest}'"),
        ("rejections", "reason = 'card_number'"),
        ("rejections", "reason = 'secret'"),
        ("webhook_attempts", "1"),
    ):
        query = f"SELECT count() FROM clearline.{table} WHERE {fact}"
        wait_until(lambda query=query: stack.warehouse.value(query), query)


def _on_topics(stack: RunningStack, confided: Confided) -> list[Leak]:
    """Card numbers and secrets on any topic, but for the very records with which we put them there."""
    found: list[Leak] = []
    endpoints, digests = [], set()
    for topic in catalogue.CATALOGUE:
        for one in committed_records(stack.read.kafka, topic.name):
            value = one.value() or b""
            if value in confided.poison:
                continue
            for part, raw in (("key", one.key() or b""), ("value", value)):
                where = f"{part} at {topic.name}[{one.partition()}]@{one.offset()}"
                found += confided.planted.leaks(where, raw.decode("latin-1"), kept=True)
            record = _decoded(value)
            if isinstance(record, WebhookEndpoint):
                endpoints.append(record)
            if isinstance(record, ApiKey):
                digests.add(record.digest)
    assert digest(confided.key) in digests, "of a key there is its digest"
    assert any(secret.sealed for endpoint in endpoints for secret in endpoint.secrets), "signing secrets are sealed"
    return found


def _decoded(value: bytes) -> object:
    try:
        return codec.decode(value)
    except Exception:
        return None


def _in_tables(stack: RunningStack, planted: Planted) -> list[Leak]:
    """Card numbers and secrets in any column of any table or view."""
    found: list[Leak] = []
    tables = stack.warehouse.rows(
        "SELECT name FROM system.tables WHERE database = 'clearline' AND engine LIKE '%MergeTree'"
    )
    assert ("payment_events",) in tables
    for (table,) in tables:
        rows = stack.warehouse.rows(f"SELECT toString(tuple(*)) FROM clearline.`{table}` LIMIT 100000")
        for number, (row,) in enumerate(rows):
            found += planted.leaks(f"row {number} of {table}", row, kept=True)
    return found


def _text(stack: RunningStack, name: str) -> str:
    return stack.stack.directory.log_file(name).read_text(errors="replace")


def _logs(stack: RunningStack, directory: Path) -> Iterator[tuple[str, str]]:
    """Everything that was written as a log: by processes, by libraries of theirs, and the file that tells how the stack is."""
    data = stack.stack.directory
    for path in sorted(data.logs.iterdir()):
        yield path.name, path.read_text(errors="replace")
    yield "stack.json", (data.path / "stack.json").read_text()
    for path in (*directory.rglob("LOG*"), *(data.path / "kafka" / "logs").iterdir()):  # RocksDB's and Kafka's own
        yield str(path.relative_to(directory)), path.read_text(errors="replace")


def _can_be_found(logs: dict[str, str], confided: Confided) -> None:
    """Whoever has a request's or an object's id finds it in the log of the process that had to do with it."""
    assert set(confided.finds) == {"api", "gateway", "webhooks"}
    for name, ids in confided.finds.items():
        assert ids
        missing = sorted(one for one in ids if one not in logs[f"{name}.log"])
        assert not missing, f"{name}'s log does not tell of {missing}"


def _net_holds(logs: dict[str, str], planted: Planted) -> None:
    """Each log is read: any planted value written to its end would have been found."""
    values = [*planted.kinds, *planted.cards, *(body for _, body in planted.secrets)]
    assert len(values) > 100
    for name in PROCESSES:
        text = logs[f"{name}.log"]
        assert text.strip(), f"{name} said nothing"
        assert next(planted.leaks(name, text[-200:] + f"\n{values[0]}"), None), name
    missed = [value for value in values if next(planted.leaks("", f"x {value} x"), None) is None]
    assert not missed
