"""The gateway and a broker that is killed under it."""

from __future__ import annotations

import contextlib

import pytest

from tests.integration._gateway_kit import Process, Results, World, assert_books_agree, make_topics, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def test_a_broker_killed_amid_a_run_changes_no_result(kafka_broker, tmp_path):
    """kill -9 of the broker while results are being committed: a gateway that ends is started again, and all adds up."""
    make_topics(kafka_broker.bootstrap)
    world = World(kafka_broker.bootstrap, tmp_path)
    methods = ["pm_card_visa", "pm_test_flaky", "pm_card_visa", "pm_card_chargeDeclined"]
    requests = [world.request(number, payment_method=methods[number % 4]) for number in range(300)]
    with (
        world.simulator(seed=9, options=("--latency-ms", "10-40")),
        Results(world) as results,
        contextlib.ExitStack() as stack,
    ):
        world.send(requests)
        gateway: Process = stack.enter_context(world.gateway(calls_per_provider_max=8))

        def reached(share: float) -> bool:
            nonlocal gateway
            results.poll()
            if gateway.process.poll() is not None:  # what its supervisor does
                gateway = stack.enter_context(world.gateway(calls_per_provider_max=8))
            return results.count_definite() >= share * len(requests)

        for share in (0.4, 1.0):
            wait_until(
                lambda share=share: reached(share), what=lambda: f"results; have {results.outcomes()}\n{gateway.text()}"
            )
            if share < 1.0:
                kafka_broker.broker.kill()
                kafka_broker.broker.start()
        assert_books_agree(world, requests, results.wait_definite(requests))
