"""Goal: whatever is killed when, the figures are the same. Method: real processes, `kill -9`, and the demo's own checks."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from rich.console import Console

from infra.demo import bad
from infra.demo.checks import Checker
from infra.demo.intents import generate
from infra.demo.run import wait_quiet
from infra.demo.upstream import Upstream

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

INTENTS = 1_200
KILLED = ("worker-0", "gateway", "landing", "broker", "worker-0", "warehouse")


def test_kill_of_each_process_changes_no_figure(make_stack):
    """`kill -9` of worker, gateway, landing, broker and warehouse during a run loses, doubles and unbalances nothing."""
    running = make_stack()
    tallies = []
    failures = []

    def send() -> None:
        try:
            with Upstream(running.read.kafka) as upstream:
                tallies.append(upstream.run(generate(INTENTS, seed=11, prefix="kill"), in_flight_max=150, stall_s=240))
        except Exception as error:
            failures.append(error)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    restarts = 0
    for name in itertools.cycle(KILLED):
        if not sender.is_alive() or (restarts >= len(KILLED)):
            break
        process = running.stack.process(name)
        killed = process.kill()
        process.wait_ready(180, other_than_pid=killed)
        restarts += 1
        time.sleep(0.5)  # some work between two deaths; nothing is judged by it
    sender.join(600)

    assert failures == []
    assert restarts >= 4, "the run was over before the important processes were killed; send more intents"
    assert [tally.open for tally in tallies] == [0]
    refused = bad.send(running.read.kafka)
    wait_quiet(
        running.read, running.warehouse, expected=INTENTS, rejected=len(refused), disputed=0, out=Console(quiet=True)
    )
    checker = Checker(running.warehouse, bootstrap=running.read.kafka, simulator=running.simulator)
    checks = list(checker.run(intents=INTENTS, bad=refused))
    assert [check for check in checks if not check.holds] == []
    assert len(checks) >= 15
