from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from infra.cli.tail import _records
from schemas import codec, environment
from schemas.records import ClockTick, PaymentCommand, PaymentIntent, Tenant
from tests.integration.topics._kafka import DEADLINE_S, write, write_aborted

pytestmark = pytest.mark.integration

ACME = codec.encode(
    PaymentIntent(tenant="acme", intent_key="a1", amount_minor=1_230, currency="EUR", description="Ünï\x1b[31m")
)
GLOBEX = codec.encode(PaymentIntent(tenant="globex", intent_key="g1", amount_minor=500, currency="JPY"))
BROKEN = {
    b"acme/not-avro": (b"hello, world, this is no record of ours", "not_avro"),
    b"acme/unknown": (b"\0\0\0\x27\x0f\0", "unknown_schema"),
    b"acme/wrong": (codec.encode(ClockTick(time_ms=1)), "wrong_record"),
    b"acme/truncated": (GLOBEX[:-3], "undecodable"),
}


@pytest.fixture
def tail(bootstrap, tmp_path):
    """Starts `clearline tail` and ends it with the test."""
    running = []

    def start(*arguments, columns="400"):
        environ = {
            **os.environ,
            "CLEARLINE_KAFKA": bootstrap,
            "CLEARLINE_DATA": str(tmp_path / "data"),
            "COLUMNS": columns,
        }
        command = [sys.executable, "-m", "infra.cli", "tail", *arguments]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=DEADLINE_S)


def finish(process):
    """The output of a process that ends by itself with 0."""
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    return out.splitlines()


def mine(lines):
    """Without what the example producer's test may have left on the same topic."""
    return [line for line in lines if "acme/order-" not in line]


@pytest.fixture(scope="module")
def intents(bootstrap):
    """payment.intents with good records of two tenants, broken ones, a deletion and an aborted one."""
    write(bootstrap, "payment.intents", (b"acme/a1", ACME), timestamp_ms=1_700_000_000_123)
    write_aborted(bootstrap, "payment.intents", (b"acme/aborted", ACME))
    write(bootstrap, "payment.intents", (b"globex/g1", GLOBEX), *((key, value) for key, (value, _) in BROKEN.items()))
    write(bootstrap, "payment.intents", (b"acme/deleted", None), (None, ACME))
    return "payment.intents"


def test_objects(tail, intents) -> None:
    """--json prints one object a committed record: fields when it decodes, reason and head in hex when it doesn't."""
    found = [json.loads(line) for line in mine(finish(tail(intents, "--no-follow", "--json")))]
    by_key = {line["key"]: line for line in found}
    assert len(found) == len(by_key) == 4 + len(BROKEN)
    acme = by_key["acme/a1"]
    assert (acme["topic"], acme["time"], acme["type"]) == (intents, "2023-11-14T22:13:20.123Z", "PaymentIntent")
    assert (acme["record"]["amount_minor"], acme["record"]["description"]) == (1_230, "Ünï\x1b[31m")
    assert by_key["acme/deleted"]["record"] is None
    assert by_key[None]["record"]["tenant"] == "acme"
    for key, (value, reason) in BROKEN.items():
        line = by_key[key.decode()]
        assert (line["error"], line["type"], line["value_bytes"]) == (reason, None, len(value))
        assert value.hex().startswith(line["value_hex"])
        assert line["message"]


def test_lines_for_people(tail, intents) -> None:
    """Without --json each record is one readable line; broken ones are shown as such; nobody's escape codes reach the terminal."""
    lines = mine(finish(tail(intents, "--no-follow")))
    assert len(lines) == 4 + len(BROKEN)
    (acme,) = [line for line in lines if " acme/a1 " in line]
    assert acme.startswith("2023-11-14T22:13:20.123Z ")
    assert acme.endswith(" acme/a1 PaymentIntent acme a1 12.30 EUR automatic")
    (broken,) = [line for line in lines if "acme/not-avro" in line]
    assert f"not_avro 39 bytes {BROKEN[b'acme/not-avro'][0][:24].hex()}…: the value does not start" in broken
    assert any(line.endswith("acme/deleted deleted") for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_escape_codes_of_others_are_made_visible(tail, bootstrap) -> None:
    """A key or field that holds terminal escapes is printed escaped."""
    topic = f"escapes-{os.getpid()}"
    create(bootstrap, topic)
    tenant = codec.encode(Tenant(tenant="x\x1b]0;owned\x07", timezone="UTC\nforged line"))
    write(bootstrap, topic, (b"k\x1b[2J", tenant), (b"\xff\xfe", tenant))
    lines = finish(tail(topic, "--no-follow"))
    assert len(lines) == 2
    assert "k\\x1b[2J" in lines[0]
    assert "x\\x1b]0;owned\\x07" in lines[0]
    assert "UTC\\nforged line" in lines[0]
    assert "\\xff\\xfe" in lines[1]


def create(bootstrap, topic) -> None:
    """A topic with one partition."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, num_partitions=1)], operation_timeout=30)[topic].result(DEADLINE_S)


def test_filters_by_key_and_tenant(tail, intents) -> None:
    """--key takes a prefix of the key; --tenant the record's tenant, or the key's where there is no record."""
    (line,) = finish(tail(intents, "--no-follow", "--json", "--key", "globex/"))
    assert json.loads(line)["key"] == "globex/g1"
    acme = mine(finish(tail(intents, "--no-follow", "--json", "--tenant", "acme")))
    assert {json.loads(line)["key"] for line in acme} == {
        "acme/a1",
        "acme/deleted",
        None,
        *(key.decode() for key in BROKEN),
    }
    assert finish(tail(intents, "--no-follow", "--tenant", "acm")) == []


def test_where_it_starts_and_stops(tail, bootstrap) -> None:
    """--from takes beginning, end, an offset, or -N; -n stops after so many."""
    topic = f"numbers-{os.getpid()}"
    create(bootstrap, topic)
    write(bootstrap, topic, *((str(number).encode(), ACME) for number in range(10)))

    settings = environment.read({"CLEARLINE_KAFKA": bootstrap})

    def keys(start, *, follow=False):
        return [int(item.key) for item in _records(settings, topic, start=start, follow=follow)]

    everything = list(range(10))
    assert keys("beginning") == everything
    assert keys(7) == everything[7:]
    assert keys(-2) == everything[-2:]
    assert keys(-200) == everything
    assert keys(4711) == []
    assert keys("end") == []
    lines = finish(tail(topic, "--json", "--from", "-4", "-n", "3"))
    assert [int(json.loads(line)["key"]) for line in lines] == everything[6:9]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_follows_until_it_is_told_to_stop(tail, bootstrap, number) -> None:
    """New records are printed as they come; Ctrl-C ends it with 0 and no traceback."""
    topic = f"follow-{number}-{os.getpid()}"
    create(bootstrap, topic)
    write(bootstrap, topic, (b"first", ACME))
    process = tail(topic, "--json", "--from", "beginning")
    guard = threading.Timer(DEADLINE_S, process.kill)
    guard.start()
    assert json.loads(process.stdout.readline())["key"] == "first"
    write(bootstrap, topic, (b"second", ACME))
    assert json.loads(process.stdout.readline())["key"] == "second"
    process.send_signal(number)
    out, err = process.communicate(timeout=DEADLINE_S)
    guard.cancel()
    assert (out, err) == ("", "")
    assert process.returncode == (0 if number == signal.SIGINT else -signal.SIGTERM)


def test_a_flood_does_not_grow_it(tail, bootstrap) -> None:
    """Reading 40 MB and printing nothing of it takes no more memory than the fetch queue is allowed."""
    topic = f"flood-{os.getpid()}"
    create(bootstrap, topic)
    big = codec.encode(PaymentCommand(tenant="acme", description="x" * 4_000))
    write(bootstrap, topic, *((b"acme/x", big) for _ in range(10_000)), (b"last/x", ACME))
    process = tail(topic, "--json", "--from", "beginning", "--key", "last/", "-n", "1")
    peak_kb = 0
    while process.poll() is None:
        try:
            with Path(f"/proc/{process.pid}/status").open() as status:
                peak_kb = max([peak_kb, *(int(line.split()[1]) for line in status if line.startswith("VmHWM"))])
        except FileNotFoundError:
            break
        threading.Event().wait(0.05)
    assert json.loads(finish(process)[0])["key"] == "last/x"
    assert 0 < peak_kb < 250_000


def test_a_topic_of_raw_bytes_is_shown_as_bytes(tail, bootstrap) -> None:
    """A changelog's values are no fault: they are shown by size and head."""
    write(bootstrap, "lifecycle.changelog", (b"key", b"\1\2\3"))
    (line,) = finish(tail("lifecycle.changelog", "--no-follow"))
    assert line.endswith(" key 3 bytes 010203")


def test_an_unknown_topic_is_refused(tail) -> None:
    """A topic that isn't there ends with 1 and says how to make ours; so does a bad start, naming what may be given."""
    process = tail("no.such.topic")
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert "Topic no.such.topic" in err
    assert "clearline topics --create" in err
    process = tail("tenants", "--from", "yesterday")
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert "give beginning, end, an offset, or -N" in err
