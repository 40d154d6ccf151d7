"""Stripe's SDKs of other languages, unmodified but for their base address. `make sdks` fetches them; where one is not there, its test says so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration._house import ROOT, wait_until
from tests.integration._webhooks_house import Receiver

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

SDKS = Path(os.environ.get("CLEARLINE_SDKS", ROOT / ".sdks"))
PROGRAMS = Path(__file__).parent / "sdks"
VISA = {"amount": 1_000, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True}
TIMEOUT_S = 120


def node() -> tuple[list[str], dict[str, str]]:
    """How Node is started, and what it is told."""
    modules = SDKS / "node" / "node_modules"
    program = shutil.which("node")
    if program is None or not (modules / "stripe").is_dir():
        pytest.skip("Stripe's SDK for Node is not here: `make sdks` fetches it, where there are Node and npm")
    return [program, str(PROGRAMS / "story.cjs")], {"NODE_PATH": str(modules)}


def go() -> tuple[list[str], dict[str, str]]:
    """The program that was built of the story in Go."""
    program = SDKS / "go" / "story"
    if not program.is_file():
        pytest.skip("Stripe's SDK for Go is not here: `make sdks` fetches it, where there is Go")
    return [str(program)], {}


@pytest.mark.parametrize(
    ("started", "version", "name"),
    [(node, "2026-10-28.endive", None), (go, "2026-03-25.dahlia", "")],
    ids=["node", "go"],
)
def test_a_shops_story(api, started, version, name) -> None:
    """
    Once per key, captured in part, refunded twice, declined with the reason, cleared and deleted, paged through both ways, searched.

    In the version that the SDK itself names; and a delivery to a webhook passes the SDK's own check.
    """
    command, told = started()
    key = api.key("acme")
    client = api.client(key)
    with Receiver() as receiver:
        endpoint = client.v1.webhook_endpoints.create(
            {"url": receiver.url(), "enabled_events": ["payment_intent.succeeded"], "api_version": version}
        )
        client.v1.payment_intents.create(VISA)
        heard = wait_until(lambda: next(iter(receiver.accepted), None), "a delivery comes")
        client.v1.webhook_endpoints.delete(endpoint.id)
    environ = {
        **os.environ,
        **told,
        "API": api.url,
        "KEY": key,
        "PAYLOAD": heard.body.decode(),
        "SIGNATURE": heard.headers["Stripe-Signature"],
        "SECRET": endpoint.secret,
    }
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "version": version,
        "held": "requires_capture",
        "taken": ["succeeded", 800, 800],
        "refunds": ["succeeded", "succeeded"],
        "declined": [decline_of(started), 402, "card_declined", "insufficient_funds"],
        "customer": [name, "b", True],
        "listed": True,
        "found": True,
        "event": heard.event["id"],
    }


def decline_of(started) -> str:
    """What an SDK calls a decline."""
    return "StripeCardError" if started is node else "card_error"
