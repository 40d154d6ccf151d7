"""The sender of webhooks as the process that it is, on a real broker, with receivers on this machine."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import stripe
from msgspec.structs import replace

from api.webhooks import secrets
from api.webhooks.book import Book, Change
from schemas.clients import client_config
from tests.integration._house import wait_until
from tests.integration._webhooks_house import DEADLINE_S, Ground, Receiver, Tenant

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """The broker and what runs on it."""
    directory = tmp_path_factory.mktemp("webhooks-sender")
    made = Ground(directory)
    try:
        yield made.start()
    finally:
        made.close()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def tenant(ground):
    """A tenant of this test's own."""
    return Tenant(ground)


def wait(fact, what):
    """Wait for something, with all the time that a busy machine may need."""
    return wait_until(fact, what, deadline_s=DEADLINE_S)


def ids(heard) -> set[str]:
    """The events of requests."""
    return {one.event["id"] for one in heard}


def test_delivered_signed_and_in_the_endpoints_own_version(ground, tenant):
    """Each event arrives, verified by the SDK's own function, written in the endpoint's version, with its place in the payment's history."""
    with ground.sender(), Receiver() as receiver:
        secret = tenant.endpoint("we_new", receiver.url("/new"))
        old_secret = tenant.endpoint("we_old", receiver.url("/old"), api_version="2026-08-26.dahlia")
        told = tenant.history(1, 3)
        wait(lambda: len(receiver.accepted) >= 6, lambda: f"{len(receiver.accepted)} of 6 arrived")
        new = [one for one in receiver.accepted if one.path == "/new"]
        old = [one for one in receiver.accepted if one.path == "/old"]
        assert ids(new) == ids(old) == set(told)
        for one in new:
            event = one.verified(secret)
            sequence = one.event["clearline"]["sequence"]
            assert (event.id, one.event["clearline"]["payment_intent"]) == (told[sequence - 1], "pi_1")
            assert one.event["clearline"]["previous_event"] == (told[sequence - 2] if sequence > 1 else None)
            assert "allowed_payment_method_types" in one.event["data"]["object"]
            with pytest.raises(stripe.SignatureVerificationError):
                one.verified(old_secret)
        for one in old:
            assert one.verified(old_secret).api_version == "2026-08-26.dahlia"
            assert "allowed_payment_method_types" not in one.event["data"]["object"]
        wait(lambda: len(tenant.attempts()) == 6, "all attempts are logged")
        assert {(one.state, one.attempt, one.status_code, one.event) for one in tenant.attempts()} == {
            ("accepted", 1, 200, b"")
        }
        assert tenant.pending() == []


def test_tried_again_until_accepted(ground, tenant):
    """After 500, silence, and a redirect, which is not followed, the event is tried again, and each attempt is logged."""
    answers = {1: 500, 2: 0, 3: 302}
    with ground.sender(timeout_s=1.0), Receiver(lambda _path, number: answers.get(number, 200)) as receiver:
        tenant.endpoint("we_1", receiver.url())
        [event_id] = tenant.events(1)
        wait(lambda: receiver.accepted, "it is accepted")
        wait(lambda: len(tenant.attempts()) == 4, "four attempts are logged")
        assert [(one.state, one.status_code) for one in tenant.attempts()] == [
            ("retrying", 500),
            ("retrying", 0),
            ("retrying", 302),
            ("accepted", 200),
        ]
        assert [one.event["id"] for one in receiver.heard] == [event_id] * 4
        assert {one.path for one in receiver.heard} == {"/hook"}
        assert tenant.pending() == []


def test_a_dead_endpoint_holds_nobody_up(ground, tenant):
    """While an endpoint with as many events answers nothing, another one hears of all of its own before that one was tried as often."""
    with (
        ground.sender(timeout_s=2.0, attempts_max=8),
        Receiver(lambda path, _: 0 if path == "/dead" else 200) as receiver,
    ):
        tenant.endpoint("we_dead", receiver.url("/dead"))
        tenant.endpoint("we_good", receiver.url("/good"))
        told = tenant.events(200)
        wait(lambda: ids(receiver.accepted) == set(told), lambda: f"{len(receiver.accepted)} of {len(told)}")
        tries = [one for one in receiver.heard if one.path == "/dead"]
        assert len(tries) < len(told)
        wait(lambda: tries or any(one.path == "/dead" for one in receiver.heard), "the dead one is tried as well")
        tenant.write(replace(tenant.read("we_dead"), status="deleted", version=2))


def test_killed_again_and_again(ground, tenant):
    """`kill -9` amid the work, several times: every event is accepted by every endpoint, and nothing is left over."""
    with Receiver(lambda _path, number: 500 if number % 5 == 0 else 200) as receiver:
        tenant.endpoint("we_1", receiver.url("/1"))
        tenant.endpoint("we_2", receiver.url("/2"))
        told: list[str] = []
        for round_number in range(3):
            with ground.sender():
                before = len(receiver.accepted)
                told += tenant.events(150, first=1_000 * round_number)
                wait(lambda before=before: len(receiver.accepted) > before + 20, "it is at it")
        with ground.sender():
            everything = {(path, one) for path in ("/1", "/2") for one in told}

            def missing():
                return everything - {(one.path, one.event["id"]) for one in list(receiver.accepted)}

            wait(lambda: not missing(), lambda: f"{len(missing())} of {len(everything)} are missing")
            wait(lambda: not tenant.pending(), "nothing waits any more")
        over = Counter(one.delivery_id for one in tenant.attempts() if one.state == "accepted")
        assert len(over) == len(everything)
        assert set(over.values()) == {1}, "each delivery ends once in the log, however often it was on the wire"


def test_killed_at_each_step(ground, tenant):
    """Within and right after each kind of transaction: every event is accepted, and its end is in the log once."""
    told: list[str] = []
    with Receiver() as receiver:
        tenant.endpoint("we_1", receiver.url())
        for step in ("queued", "parked", "settled"):
            for when in ("amid", "after"):
                told += tenant.events(3, first=len(told))
                assert ground.dies(step, when) == -signal.SIGKILL, (step, when)
        with ground.sender():
            wait(lambda: set(told) <= set(ids(receiver.accepted)), "all are accepted")
            wait(lambda: not tenant.pending(), "nothing waits any more")
    ends = Counter(one.event_id for one in tenant.attempts() if one.state == "accepted")
    assert ends == Counter(told)


def test_a_dead_endpoint_is_disabled_with_notice(ground, tenant):
    """An endpoint that accepts nothing for the whole promise is disabled, its other deliveries are skipped, and another endpoint is told."""
    schedule = {"first_s": 0.2, "longest_s": 0.5, "promised_s": 3.0}
    with ground.sender(schedule=schedule), Receiver(lambda path, _: 500 if path == "/dead" else 200) as receiver:
        tenant.endpoint("we_dead", receiver.url("/dead"), enabled_events=("payment_intent.created",))
        secret = tenant.endpoint("we_other", receiver.url("/other"), enabled_events=("webhook_endpoint.disabled",))
        tenant.events(3)
        wait(lambda: tenant.read("we_dead").status == "disabled", "it is disabled")
        assert tenant.read("we_dead").disabled_reason.startswith("nothing was accepted for")
        assert tenant.read("we_dead").attribution.actor_kind == "system"
        wait(lambda: receiver.accepted, "the other endpoint is told")
        event = receiver.accepted[0].verified(secret)
        assert (event.type, event.data.object.id, event.data.object.status) == (
            "webhook_endpoint.disabled",
            "we_dead",
            "disabled",
        )
        assert b"sealed" not in receiver.accepted[0].body
        wait(lambda: not tenant.pending(), "nothing waits any more")
        assert {one.state for one in tenant.attempts() if one.endpoint_id == "we_dead"} <= {
            "retrying",
            "abandoned",
            "skipped",
        }
        tenant.events(1, first=10)
        heard = len([one for one in receiver.heard if one.path == "/dead"])
        tenant.endpoint("we_last", receiver.url("/last"), enabled_events=("payment_intent.created",))
        [last] = tenant.events(1, first=20)
        wait(lambda: last in ids(receiver.accepted), "what happens later is told to others")
        assert len([one for one in receiver.heard if one.path == "/dead"]) == heard


def test_one_that_accepts_something_is_not_dead(ground, tenant):
    """A delivery that is abandoned disables no endpoint that has accepted another one meanwhile."""
    # Something is accepted every tenth of a second, by a thread of its own: whatever else waits, no promise goes by without.
    schedule = {"first_s": 0.2, "longest_s": 0.5, "promised_s": 8.0}
    done = threading.Event()

    def feed() -> None:
        sequence = 2
        while not done.wait(0.1):
            tenant.step(1, sequence)
            sequence += 1

    feeding = threading.Thread(target=feed, name="feed")
    with Receiver() as receiver:
        statuses: dict[str, int] = {}
        receiver.behave = lambda one: statuses.get(one.event["type"], 200)
        with ground.sender(schedule=schedule):
            statuses["payment_intent.created"] = 500
            tenant.endpoint("we_1", receiver.url())
            feeding.start()
            try:
                tenant.events(1)
                wait(lambda: any(one.state == "abandoned" for one in tenant.attempts()), "the first one is abandoned")
                assert receiver.accepted
                # Whatever was decided because of it has been decided once something later was told.
                last = tenant.step(2, 2)
                wait(lambda: last in ids(receiver.accepted), "what comes later is told")
                assert tenant.read("we_1").status == "enabled"
            finally:
                done.set()
                feeding.join()


def test_while_a_rotation_overlaps_both_secrets_verify(ground, tenant):
    """With two valid secrets there are two v1, and who knows either verifies; one that has expired is of no use any more."""
    with ground.sender(), Receiver() as receiver:
        first = tenant.endpoint("we_1", receiver.url())
        one = tenant.read("we_1")
        sealed = secrets.made(tenant.master, tenant=tenant.name, endpoint_id="we_1")
        second = secrets.opened(tenant.master, one, sealed)
        now_ms = time.time_ns() // 1_000_000
        both = secrets.rotated(one.secrets, sealed, now_ms=now_ms, overlap_s=3_600)
        tenant.write(replace(one, secrets=both, version=2))

        def signed() -> bool:
            return bool(receiver.accepted) and receiver.accepted[-1].headers["Stripe-Signature"].count("v1=") == 2

        number = 0
        while not signed():  # events of before the sender knew are signed with one
            number += 1
            tenant.events(1, first=number)
            wait(lambda number=number: len(receiver.accepted) >= number, "it is accepted")
            assert number < 100
        assert receiver.accepted[-1].verified(first).id == receiver.accepted[-1].verified(second).id
        tenant.write(replace(tenant.read("we_1"), secrets=(sealed, replace(both[1], expires_ms=now_ms)), version=3))
        while signed():
            number += 1
            tenant.events(1, first=number)
            wait(lambda number=number: len(receiver.accepted) >= number, "it is accepted")
            assert number < 200
        receiver.accepted[-1].verified(second)
        with pytest.raises(stripe.SignatureVerificationError):
            receiver.accepted[-1].verified(first)


def test_addresses_of_this_machine_are_not_called_without_the_setting(ground, tenant):
    """Without the development setting nothing is sent to loopback, whatever the record says, and the log says why."""
    with ground.sender(loopback=False), Receiver() as receiver:
        tenant.endpoint("we_plain", receiver.url())
        tenant.endpoint("we_tls", receiver.url().replace("http://", "https://"))
        tenant.endpoint("we_meta", "https://169.254.169.254/latest/meta-data")
        tenant.events(1)
        wait(
            lambda: {one.endpoint_id for one in tenant.attempts()} == {"we_plain", "we_tls", "we_meta"}, "all are tried"
        )
        assert receiver.heard == []
        for one in tenant.attempts():
            assert one.status_code == 0
            assert "https://" in one.failure or "not an address of the public internet" in one.failure
        for name in ("we_plain", "we_tls", "we_meta"):
            tenant.write(replace(tenant.read(name), status="deleted", version=2))


def test_two_processes_change_one_endpoint(ground, tenant):
    """Changes through two readers and writers at once are all made, each on what the one before left."""
    tenant.endpoint("we_1", "https://example.com/")
    books = [Book(client_config(ground.bootstrap)) for _ in range(2)]
    for book in books:
        book.start()

    def change(number: int) -> None:
        def decide(endpoints) -> Change[None]:
            one = endpoints["we_1"]
            made = replace(one, version=one.version + 1, metadata={**one.metadata, f"k{number}": "v"})
            return Change(result=None, endpoints=(made,))

        books[number % 2].change_now(tenant.name, decide)

    try:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(change, range(6)))
    finally:
        for book in books:
            book.close()
    found = tenant.read("we_1")
    assert (found.version, set(found.metadata)) == (7, {f"k{number}" for number in range(6)})


def test_two_side_by_side_and_sigterm(ground, tenant):
    """Two senders share the work, SIGTERM ends one with 0 having finished what was under way, and the other goes on with all of it."""
    with ground.sender() as first, Receiver() as receiver:
        tenant.endpoint("we_1", receiver.url())
        with ground.sender(worker="w2") as second:
            told = tenant.events(60)
            wait(lambda: ids(receiver.accepted) == set(told), lambda: f"{len(receiver.accepted)} of {len(told)}")
            assert second.terminate() == 0
            assert second.text().endswith(" webhooks stopped\n")
        told += tenant.events(60, first=100)
        wait(lambda: ids(receiver.accepted) == set(told), lambda: f"{len(receiver.accepted)} of {len(told)}")
        assert first.terminate() == 0
        wait(lambda: not tenant.pending(), "nothing waits any more")
