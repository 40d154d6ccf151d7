from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from schemas import codec
from schemas.records import PaymentEvent, PaymentIntent, PaymentObject
from tests.integration.topics._kafka import DEADLINE_S, read_all, write

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]


def test_the_plain_producer_writes_what_we_read(bootstrap, tmp_path) -> None:
    """The producer of the README, run away from our code, puts an intent on payment.intents that our codec reads, rightly keyed."""
    contract = ROOT / "schemas" / "avro" / "PaymentIntent" / "1.avsc"
    command = [sys.executable, str(ROOT / "examples" / "producer.py"), bootstrap, str(contract)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert result.returncode == 0, result.stderr
    key = result.stdout.split()[-1].encode()
    (message,) = [message for message in read_all(bootstrap, "payment.intents") if message.key() == key]
    intent = codec.decode(message.value(), expected=(PaymentIntent,))
    assert intent == PaymentIntent(
        tenant="acme",
        intent_key=key.decode().removeprefix("acme/"),
        amount_minor=1_999,
        currency="EUR",
        payment_method="pm_card_visa",
    )


def test_the_plain_producer_says_when_it_could_not(bootstrap, tmp_path) -> None:
    """A contract that isn't there ends it with an error."""
    command = [sys.executable, str(ROOT / "examples" / "producer.py"), bootstrap, str(tmp_path / "none.avsc")]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=DEADLINE_S, check=False).returncode != 0


def test_the_plain_consumer_reads_what_we_write(bootstrap, tmp_path) -> None:
    """The consumer of the README, with nothing of ours but the contracts, prints our events."""
    events = [
        PaymentEvent(
            tenant="acme", type=f"payment_intent.{what}", payment=PaymentObject(amount_minor=1_999, currency="EUR")
        )
        for what in ("created", "succeeded")
    ]
    write(bootstrap, "payments.events", *((b"acme/pi_1", codec.encode(event)) for event in events))
    command = [sys.executable, str(ROOT / "examples" / "consumer.py"), bootstrap, str(ROOT / "schemas")]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        guard = threading.Timer(DEADLINE_S, process.kill)
        guard.start()
        lines = [process.stdout.readline() for _ in events]
        guard.cancel()
        process.kill()
    assert lines == ["acme payment_intent.created 1999 EUR\n", "acme payment_intent.succeeded 1999 EUR\n"]


def test_the_examples_are_short_and_plain() -> None:
    """They import nothing of ours."""
    for path in (ROOT / "examples").glob("*.py"):
        text = path.read_text()
        assert not any(
            f"import {package}" in text or f"from {package}" in text
            for package in ("schemas", "streams", "infra", "api")
        )
        assert len([line for line in text.splitlines() if line.strip()]) <= 30
