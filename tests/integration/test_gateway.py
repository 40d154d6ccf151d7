"""The gateway on a real broker, against real simulator processes: one effect per request, one definite result, whatever fails."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.providers.gateway._settings import GROUP
from connectors.providers.simulator._behaviour import fault_of_try
from infra.kafka import Broker
from schemas import codec
from schemas.catalogue import PROVIDER_REQUESTS
from tests.integration._gateway_kit import (
    CONTINUE,
    KILL,
    STOP,
    TERM,
    Results,
    World,
    assert_books_agree,
    make_topics,
    rejections,
    wait_until,
)

SERVED_SEED = 11

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory):
    """A broker of this module's own, because the gateway's topics have fixed names."""
    directory = tmp_path_factory.mktemp("gateway-kafka")
    broker = Broker(directory, quick=True)
    try:
        broker.start()
        make_topics(broker.bootstrap)
        yield broker.bootstrap
    finally:
        broker.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def world(bootstrap, tmp_path):
    """This test's own run: its simulator address, its ids."""
    return World(bootstrap, tmp_path)


@pytest.fixture(scope="class")
def served(bootstrap, tmp_path_factory):
    """A simulator and a gateway for all tests of a class."""
    world = World(bootstrap, tmp_path_factory.mktemp("served"))
    with world.simulator(seed=SERVED_SEED, options=("--refund-delay-ms", "1500")), world.gateway():
        yield world


def _reaching(world: World) -> Iterator[int]:
    """Numbers of requests whose first try reaches a flaky provider, whatever becomes of its answer: of others one in a hundred is given up."""
    for number in itertools.count():
        key = world.request(number).request_id
        fault = fault_of_try("pm_test_flaky", seed=SERVED_SEED, key=key, number=0)
        if fault.effect and not fault.wait_before_s:
            yield number


class TestServed:
    """What one gateway and one simulator do that are left in peace."""

    @pytest.fixture
    def world(self, served):
        """A run of its own for each test."""
        return served.again()

    def test_each_outcome_is_told_with_what_the_provider_said(self, world):
        """Captured with fee and reference, declined soft and hard, refused, integrity failure, action needed: one definite result each."""
        methods = {
            "pm_card_visa": "captured",
            "pm_card_chargeDeclined": "declined",
            "pm_test_softDecline": "declined",
            "pm_test_refused": "refused",
            "pm_test_wrongAmount": "integrity_failure",
            "pm_card_authenticationRequired": "requires_action",
        }
        requests = [world.request(number, payment_method=method) for number, method in enumerate(methods)]
        with Results(world) as results:
            world.send(requests)
            found = results.wait_definite(requests)
        for request in requests:
            result = found[request.request_id]
            assert result.outcome == methods[request.payment_method]
            assert (result.tenant, result.payment_id, result.object_id) == (
                request.tenant,
                request.payment_id,
                request.object_id,
            )
            assert (result.provider, result.operation) == ("northpay", "authorize")
            assert (result.attribution.actor_kind, result.attribution.actor_id) == ("provider", "northpay")
        captured, hard, soft, refused, wrong, action = (found[request.request_id] for request in requests)
        assert (captured.amount_minor, captured.currency) == (1_000, "USD")
        assert captured.provider_reference
        assert 0 < captured.provider_fee_minor < 1_000
        assert (hard.decline_kind, hard.decline_code) == ("hard", "card_declined")
        assert (soft.decline_kind, soft.decline_code) == ("soft", "try_again_later")
        assert refused.decline_code == "provider_unavailable"
        assert wrong.amount_minor == 1_005  # one more than the 1,004 asked for
        assert action.action_url

    def test_follow_ups_reach_the_charge_in_the_order_they_were_asked(self, world):
        """Capture, refunds and a refund too many, sent at once, are carried out one after another."""
        numbers = _reaching(world)
        first = world.request(next(numbers), capture=False, payment_method="pm_test_flaky")
        with Results(world) as results:
            world.send([first])
            charge = results.wait_definite([first])[first.request_id].provider_reference
            asked = [("capture", 1_000), ("refund", 600), ("refund", 300), ("refund", 101), ("refund", 100)]
            follow_ups = [
                world.request(
                    next(numbers),
                    payment_id=first.payment_id,
                    operation=operation,
                    amount_minor=amount_minor,
                    payment_method="",
                    capture=False,
                    provider_reference=charge,
                )
                for operation, amount_minor in asked
            ]
            world.send(follow_ups)
            found = results.wait_definite(follow_ups)
            outcomes = [found[one.request_id].outcome for one in follow_ups]
            assert outcomes == ["captured", "refunded", "refunded", "refused", "refunded"]
            told = [result.request_id for result in results.by_payment[first.payment_id] if result.outcome != "unknown"]
            assert told == [one.request_id for one in (first, *follow_ups)]

    def test_an_answer_dropped_after_charging_is_unknown_and_then_captured_once(self, world):
        """The outcome is told as unknown at once, found by inquiry, told once, and there is one charge."""
        methods = ["pm_test_dropAfterCharge", "pm_test_error500AfterCharge", "pm_test_timeout"]
        requests = [world.request(number, payment_method=methods[number % 3]) for number in range(30)]
        with Results(world) as results:
            world.send(requests)
            found = results.wait_definite(requests)
            for request in requests:
                assert [one.outcome for one in results.by_request[request.request_id]] == ["unknown", "captured"]
                assert found[request.request_id].inquiries >= 1
            assert_books_agree(world, requests, found)

    def test_what_never_had_an_effect_is_definitely_refused(self, world):
        """A provider that fails before every effect leaves a definite no, after which the key is closed, and no charge."""
        request = world.request(0, payment_method="pm_test_error500")
        with Results(world) as results:
            world.send([request])
            found = results.wait_definite([request])[request.request_id]
            assert (found.outcome, found.decline_code) == ("refused", "never_carried_out")
            assert world.charges() == []

    def test_a_request_too_old_to_send_is_refused_without_a_charge(self, world):
        """After its deadline a request is sent no more: the inquiry closes its key, and the outcome is a definite no."""
        hour_ago_ms = time.time_ns() // 1_000_000 - 3_600_000
        request = world.request(0, requested_ms=hour_ago_ms)
        with Results(world) as results:
            world.send([request], timestamp_ms=hour_ago_ms)
            found = results.wait_definite([request])[request.request_id]
            assert (found.outcome, found.decline_code, found.inquiries) == ("refused", "never_carried_out", 1)
            assert len(results.by_request[request.request_id]) == 1
            assert world.charges() == []

    def test_a_pending_refund_is_told_and_later_settled(self, world):
        """A refund that pends is told as pending, doesn't hold up the next, and ends refunded or failed, told once."""
        methods = {"pm_test_refundPending": "refunded", "pm_test_refundPendingFails": "refund_failed"}
        charges = [world.request(number, payment_method=method) for number, method in enumerate(methods)]
        with Results(world) as results:
            world.send(charges)
            found = results.wait_definite(charges)
            refunds = [
                world.request(
                    10 + number,
                    payment_id=charge.payment_id,
                    operation="refund",
                    amount_minor=400,
                    payment_method="",
                    provider_reference=found[charge.request_id].provider_reference,
                )
                for number, charge in enumerate(charges)
            ]
            world.send(refunds)
            settled = results.wait_definite(refunds)
            for refund, last in zip(refunds, methods.values(), strict=True):
                assert results.by_request[refund.request_id][0].outcome == "refund_pending"
                assert settled[refund.request_id].outcome == last

    def test_records_that_are_no_requests_are_rejected_and_their_neighbours_served(self, world):
        """Bytes that aren't Avro, a request without an operation, a negative amount and a wrong key are rejected with their bytes."""
        good = [world.request(0), world.request(1)]
        bad = world.request(2, operation="unrecognized")
        negative = world.request(3, amount_minor=-1)
        misplaced = codec.encode(world.request(4))

        def keyed(request):
            return f"{request.tenant}/{request.payment_id}".encode(), codec.encode(request)

        with Results(world) as results:
            world.send_raw(
                [
                    keyed(good[0]),
                    (None, b"hello"),
                    (b"k", None),
                    keyed(bad),
                    keyed(negative),
                    (b"k", misplaced),
                    keyed(good[1]),
                ]
            )
            results.wait_definite(good)
            found = {rejection.reason: rejection for rejection in rejections(world.bootstrap, 5)}
            reasons = ["invalid_amount", "invalid_field", "not_avro", "wrong_key"]
            assert sorted(found) == reasons
            assert found["wrong_key"].value == misplaced
            assert all(rejection.component == "gateway" and rejection.message for rejection in found.values())

    def test_a_provider_that_is_not_configured_leaves_the_payment_unknown(self, world):
        """Such a request may have been sent under an earlier configuration, so it isn't refused; others are served meanwhile."""
        odd, even = world.request(0, provider="westpay"), world.request(1)
        with Results(world) as results:
            world.send([odd, even])
            results.wait_definite([even])
            results.wait(lambda: results.by_request[odd.request_id] != [])
            assert results.by_request[odd.request_id][0].decline_code == "provider_not_configured"


def test_over_flaky_networks_everything_is_charged_at_most_once(bootstrap, tmp_path):
    """Over four seeds of lost, late, garbled and failed answers, each payment ends definite, captured exactly when it was charged."""
    worlds = {f"seed{seed}": World(bootstrap, tmp_path / f"seed{seed}", run=f"flaky{seed}") for seed in (1, 2, 3, 4)}
    with ExitStack() as stack:
        for seed, (name, world) in enumerate(worlds.items(), start=1):
            world.directory.mkdir()
            stack.enter_context(world.simulator(seed=seed, options=("--providers", name)))
        urls = {name: world.url(name) for name, world in worlds.items()}
        stack.enter_context(worlds["seed1"].gateway(urls=urls))
        for name, world in worlds.items():
            requests = [world.request(number, provider=name, payment_method="pm_test_flaky") for number in range(75)]
            results = stack.enter_context(Results(world))
            world.send(requests)
            found = results.wait_definite(requests)
            assert_books_agree(world, requests, found, providers=(name,))
            assert results.outcomes()["unknown"] > 10
            assert results.outcomes()["captured"] > 50


def test_killed_amid_a_run_every_request_gets_one_definite_result(world):
    """kill -9 of the gateway, again and again while requests are open: one definite result each, at most one charge each."""
    methods = ["pm_card_visa", "pm_test_flaky", "pm_card_visa", "pm_test_dropAfterCharge", "pm_card_chargeDeclined"]
    requests = [world.request(number, payment_method=methods[number % 5]) for number in range(400)]
    with world.simulator(seed=5, options=("--latency-ms", "5-60")), Results(world) as results:
        world.send(requests)
        for share in (0.1, 0.3, 0.5, 0.7):
            with world.gateway(calls_per_provider_max=8) as gateway:
                results.wait(lambda share=share: results.count_definite() >= share * len(requests))
                gateway.signal(KILL)
                gateway.wait()
        with world.gateway():
            found = results.wait_definite(requests)
        assert_books_agree(world, requests, found)


def test_done_requests_behind_a_slow_one_are_not_repeated_after_a_crash(world):
    """One slow call holds back neither the results behind it nor, after kill -9, makes any of them happen again."""
    slow = world.request(0, payment_method="pm_test_timeout")
    quick = [world.request(number) for number in range(1, 61)]
    with world.simulator(), Results(world) as results:
        with world.gateway(timeout_s=100.0) as gateway:
            world.send([slow])
            world.send(quick)
            results.wait_definite(quick)
            assert results.by_request[slow.request_id] == []
            gateway.signal(KILL)
            gateway.wait()
        with world.gateway():
            found = results.wait_definite([slow, *quick])
        assert_books_agree(world, [slow, *quick], found)


def test_a_provider_that_is_down_leaves_payments_unknown_until_it_is_back(world):
    """While nobody answers, payments are visibly unknown, also over a restart of the gateway; then they are resolved."""
    requests = [world.request(number) for number in range(40)]
    with Results(world) as results:
        with world.gateway() as gateway:
            world.send(requests)
            results.wait(lambda: len(results.by_request) == len(requests))
            assert set(results.outcomes()) == {"unknown"}
            gateway.signal(TERM)
            assert gateway.wait() == 0
        with world.gateway(), world.simulator():
            found = results.wait_definite(requests)
            assert {result.outcome for result in found.values()} == {"captured"}
            assert results.outcomes() == {"unknown": len(requests), "captured": len(requests)}
            assert_books_agree(world, requests, found)


def test_a_stopped_gateway_ends_with_0_and_its_successor_goes_on(world):
    """SIGTERM amid a run ends the gateway cleanly; the next one leaves nothing out and repeats nothing."""
    requests = [world.request(number) for number in range(200)]
    with world.simulator(options=("--latency-ms", "20-40")), Results(world) as results:
        world.send(requests)
        with world.gateway(calls_per_provider_max=4) as gateway:
            results.wait(lambda: results.count_definite() >= 20)
            gateway.signal(TERM)
            assert gateway.wait() == 0, gateway.text()
        assert results.count_definite() < len(requests)
        with world.gateway():
            found = results.wait_definite(requests)
        assert_books_agree(world, requests, found)


def test_a_zombie_under_the_same_name_is_fenced(world):
    """A gateway that sleeps while another takes its name and place can commit nothing afterwards, and ends with an error."""
    requests = [world.request(number, payment_method="pm_test_flaky") for number in range(60)]
    with world.simulator(seed=6, options=("--latency-ms", "20-60")), Results(world) as results:
        world.send(requests)
        with world.gateway(calls_per_provider_max=4) as zombie:
            results.wait(lambda: results.count_definite() >= 5)
            zombie.signal(STOP)
            with world.gateway():
                results.wait_definite(requests)
                zombie.signal(CONTINUE)
                assert zombie.wait() != 0, zombie.text()
                found = results.wait_definite(requests)
                assert_books_agree(world, requests, found)


def test_a_zombie_whose_partitions_were_taken_over_is_fenced(world):
    """A gateway that sleeps past its session, while one of another name takes over its partitions, commits nothing of them afterwards."""
    requests = [world.request(number, payment_method="pm_test_flaky") for number in range(60)]
    with world.simulator(seed=8, options=("--latency-ms", "20-60")), Results(world) as results:
        world.send(requests)
        with world.gateway(calls_per_provider_max=4, session_timeout_s=6) as zombie:
            results.wait(lambda: results.count_definite() >= 5)
            zombie.signal(STOP)
            with world.gateway(worker="worker-1", wait=False, session_timeout_s=6) as other:
                results.wait_definite(requests)
                zombie.signal(CONTINUE)
                more = [world.request(number) for number in range(100, 140)]
                world.send(more)
                found = results.wait_definite([*requests, *more])
                assert_books_agree(world, [*requests, *more], found)
                other.signal(TERM)
                assert other.wait() == 0, other.text()


def test_notices_are_appended_once_though_gateways_are_killed(world):
    """Disputes reach the input log each step once and in order, over kill -9 of one gateway after another."""
    count = 30
    requests = [world.request(number, payment_method="pm_card_createDispute") for number in range(count)]
    quick = {"notices_every_s": 0.05}
    with world.simulator(options=("--dispute-delay-ms", "1")), Results(world) as results:
        world.send(requests[:10])
        for end in (10, 20, 30):
            with world.gateway(**quick) as gateway:
                world.send(requests[end - 10 : end] if end > 10 else [])
                results.wait(lambda wanted=end - 5: len(results.notices) >= wanted, what="notices")
                gateway.signal(KILL)
                gateway.wait()
        with world.gateway(**quick):
            results.wait(lambda: len(results.notices) >= count, what="notices")
            told = world.books("northpay/v1/notices?limit=1000")["data"]
        mine = [one for one in told if f"pi_{world.run}_" in one["payment_reference"]]
        assert sorted(one.notice_id for one in results.notices) == sorted(one["notice_id"] for one in mine)
        assert {
            (one.tenant, one.dispute_status, one.withdrawn_minor == one.amount_minor) for one in results.notices
        } == {("acme", "needs_response", True)}
        assert all(one.attribution.actor_kind == "provider" for one in results.notices)


@pytest.mark.parametrize("said", ["nothing", "old offsets"])
def test_a_coordinator_that_has_not_read_its_log_is_not_believed(world, said):
    """The group's offsets are gone, or old, between two lives: what is done is not done again, and what is parked goes on."""
    requests = [
        world.request(number, payment_method="pm_test_dropAfterCharge" if number % 4 == 0 else "pm_card_visa")
        for number in range(40)
    ]
    with world.simulator(seed=3), Results(world) as results:
        with world.gateway(session_timeout_s=6) as gateway:
            world.send(requests)
            results.wait_definite(requests)
            gateway.signal(TERM)
            assert gateway.wait() == 0
        forget(world.bootstrap, everything=said == "nothing")
        more = [world.request(number, payment_method="pm_card_visa") for number in range(40, 60)]
        with world.gateway() as gateway:
            world.send(more)
            found = results.wait_definite([*requests, *more])
            assert "going on from there" in gateway.text()
        assert_books_agree(world, [*requests, *more], found)


def forget(bootstrap: str, *, everything: bool) -> None:
    """Take the group's offsets away, or set them back to the beginning, once its static member's session has ended."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    held = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP)])[GROUP].result(60).topic_partitions
    back = [TopicPartition(PROVIDER_REQUESTS.name, where.partition, 0) for where in held if where.offset > 0]
    assert back, "the gateway has committed something"

    def done() -> bool:
        asked = ConsumerGroupTopicPartitions(GROUP, back)
        made = admin.delete_consumer_groups([GROUP]) if everything else admin.alter_consumer_group_offsets([asked])
        try:
            answered = made[GROUP].result(60)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.NON_EMPTY_GROUP:
                raise
            return False
        return everything or all(where.error is None for where in answered.topic_partitions)

    wait_until(done, what=lambda: "the end of the gateway's session")
