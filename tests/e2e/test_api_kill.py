"""Goal: whoever dies while many call, nothing is lost or doubled, and every answer stays true. Method: the official SDK, its own retries, `kill -9`."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e._shoppers import AT_A_TIME, Shoppers, Story, wishes
from tests.integration._house import ROOT, wait_until

TENANT = "acme"
SEED = 20_261_127
SHORT, LONG = 110, 4_300
"""Wishes: some 300 calls, and more than 10,000."""
CALLS_LONG = 10_000
KILLED = ("api", "worker-0", "gateway", "api-2")
READY_DEADLINE_S = 240

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1_750)]


def test_kills_during_calls_lose_and_double_nothing(make_stack):
    """Both API processes, the worker and the gateway die once each amid some hundred calls: every answer stays true."""
    told = _run(make_stack(apis=2), count=SHORT, deaths=len(KILLED))
    assert told.total() >= 2 * SHORT


@pytest.mark.slow
def test_kills_during_ten_thousand_calls(make_stack):
    """The same, over more than 10,000 calls, with each of the four dying five times."""
    told = _run(make_stack(apis=2), count=LONG, deaths=5 * len(KILLED))
    assert told.total() >= CALLS_LONG


def _run(running, *, count: int, deaths: int) -> Counter[str]:
    """Shop while processes die, then hold everything that was answered against reads, ClickHouse and the providers' books."""
    shoppers = Shoppers(_key(running), running.apis, name="kill")
    wanted = wishes(count, seed=SEED)
    stories: list[Story] = []
    failures: list[BaseException] = []

    def shop() -> None:
        try:
            stories.extend(shoppers.run(wanted))
        except BaseException as error:
            failures.append(error)

    shopping = threading.Thread(target=shop, daemon=True)
    shopping.start()
    killed = 0
    # Each death waits for its share of the calls, so that it falls amid others.
    for number, name in zip(range(deaths), itertools.cycle(KILLED), strict=False):
        share = 2 * count * (number + 1) // (deaths + 2)
        while shopping.is_alive() and shoppers.calls < share:
            time.sleep(0.01)
        if not shopping.is_alive():
            break
        process = running.stack.process(name)
        process.wait_ready(READY_DEADLINE_S, other_than_pid=process.kill())
        killed += 1
    shopping.join(1_500)
    if failures:
        raise failures[0]
    assert not shopping.is_alive()
    assert len(stories) == count
    assert killed == deaths, f"the calls were over after {killed} deaths"
    _check_reads(shoppers, stories)
    _check_warehouse(running, stories)
    _check_books(running, stories)
    return shoppers.told


def _key(running) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", "keys", "create", TENANT],
        env={**running.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _expected(story: Story) -> tuple[str, int, int, dict[str, str]]:
    """Status, received and refunded amount and metadata of the payment, as its answers had it."""
    status = "requires_payment_method" if story.declined else "succeeded"
    return status, story.captured, sum(story.refunds.values()), story.metadata


def _check_reads(shoppers: Shoppers, stories: list[Story]) -> None:
    """By id, each payment is what its answers said, through whichever process."""

    def found(story: Story) -> tuple[str, int, int, dict[str, str]]:
        client = shoppers.client()
        payment = client.v1.payment_intents.retrieve(story.payment_id)
        for refund_id, amount in story.refunds.items():
            refund = client.v1.refunds.retrieve(refund_id)
            assert (refund.amount, refund.status, refund.payment_intent) == (amount, "succeeded", story.payment_id)
        refunded = payment.clearline.amount_refunded
        return payment.status, payment.amount_received, refunded, payment.metadata.to_dict()

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for story, one in zip(stories, pool.map(found, stories), strict=True):
            assert one == _expected(story), story


def _check_warehouse(running, stories: list[Story]) -> None:
    """ClickHouse has these payments and refunds, each once, and no others; and its proofs hold."""
    rows = "SELECT payment_id, status, amount_received_minor, amount_refunded_minor, metadata FROM payments WHERE tenant = 'acme'"
    expected = sorted((story.payment_id, *_expected(story)) for story in stories)
    assert len({one[0] for one in expected}) == len(stories)

    def landed() -> bool:
        return sorted(tuple(row) for row in running.warehouse.rows(rows)) == expected

    wait_until(landed, "ClickHouse has exactly what was answered", deadline_s=120)
    refunds = running.warehouse.rows("SELECT refund_id, amount_minor FROM refunds WHERE tenant = 'acme'")
    answered = sorted(item for story in stories for item in story.refunds.items())
    assert sorted(tuple(row) for row in refunds) == answered
    created = running.warehouse.rows(
        "SELECT count() FROM payment_events WHERE tenant = 'acme' AND type = 'payment_intent.created'"
    )
    assert created == [(len(stories),)]
    for proof in ("proof_balanced", "proof_balances"):
        assert running.warehouse.rows(f"SELECT count() FROM {proof}") == [(0,)]


def _check_books(running, stories: list[Story]) -> None:
    """In the providers' own books, each payment has one charge at most, of what was captured, less what was refunded."""
    held: dict[str, list[tuple[int, int]]] = {}
    for provider in ("northpay", "southpay"):
        after = 0
        while True:
            page = _get(f"{running.simulator}/{provider}/v1/charges?after={after}&limit=1000")
            for charge in page["data"]:
                after = charge["sequence"]
                if charge["state"] in ("authorized", "captured"):
                    taken = (charge["captured_minor"], charge["refunded_minor"])
                    held.setdefault(charge["payment_reference"], []).append(taken)
            if not page["has_more"]:
                break
    assert held == {
        f"{TENANT}/{story.payment_id}": [(story.captured, sum(story.refunds.values()))]
        for story in stories
        if not story.declined
    }
    assert _get(f"{running.simulator}/summary")["payments_held_twice"] == []


def _get(url: str):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)
