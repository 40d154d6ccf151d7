"""`clearline payments` over a real broker and worker: an operator's commands and their replies, the test being the provider."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from schemas import codec
from schemas.catalogue import PAYMENTS_EVENTS, PROVIDER_REQUESTS
from schemas.records import Attribution, PaymentCommand, PaymentEvent, ProviderRequest
from streams.core import payment_id
from tests.integration._runtime_kit import committed_records, wait_until
from tests.integration.test_replay import LONG_AGO_MS, Stack
from tests.unit.core.world import result

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PAYMENT = payment_id("acme", "order-1")
KEY = f"acme/{PAYMENT}".encode()


@pytest.fixture
def stack(tmp_path) -> Iterator[Stack]:
    """A broker and a worker."""
    from infra.kafka import Broker, prepare_quick_starts

    prepare_quick_starts()
    broker = Broker(tmp_path / "kafka", quick=True)
    running: Stack | None = None
    try:
        broker.start()
        running = Stack(broker.bootstrap, tmp_path)
        running.start_worker()
        yield running
    finally:
        if running is not None:
            running.close()
        broker.kill()


def _requests(stack: Stack) -> list[ProviderRequest]:
    return [codec.decode(message.value()) for message in committed_records(stack.bootstrap, PROVIDER_REQUESTS.name)]


def _events(stack: Stack) -> list[PaymentEvent]:
    return [codec.decode(message.value()) for message in committed_records(stack.bootstrap, PAYMENTS_EVENTS.name)]


def test_operators_ask_and_agree_and_every_step_says_who_and_why(stack):
    """An inquiry by one; a finding by two, refused to one alone; a refund on behalf; typed errors with a remedy."""
    command = PaymentCommand(
        tenant="acme",
        payment_id=PAYMENT,
        kind="create",
        amount_minor=1_000,
        currency="EUR",
        payment_method="pm_card_visa",
        confirm=True,
        attribution=Attribution(actor_kind="api_key", actor_id="key_1", request_id="req-1", idempotency_key="order-1"),
    )
    stack.put(command, KEY, timestamp_ms=LONG_AGO_MS)
    stack.producer.flush(60)
    wait_until(lambda: len(_requests(stack)) == 1, "the provider is asked", deadline_s=240)
    (request,) = _requests(stack)
    stack.put(result(request, "unknown"), KEY, timestamp_ms=LONG_AGO_MS)
    stack.producer.flush(60)
    wait_until(lambda: any(event.type == "charge.outcome_unknown" for event in _events(stack)), "doubt", deadline_s=240)

    about = ("acme", PAYMENT)
    inquiry = stack.clearline(
        "payments", "inquire", *about, request.object_id, "--as", "ada", "--reason", "waits", "--key", "i1"
    )
    assert inquiry.returncode == 0, inquiry.stderr
    assert f"{PAYMENT} is processing, and what its provider did is not known yet" in inquiry.stdout
    asked = _requests(stack)[-1]
    assert (asked.operation, asked.request_id.startswith(f"{request.request_id}_inquire_")) == ("inquire", True)
    assert (asked.attribution.actor_id, asked.attribution.reason) == ("ada", "waits")
    again = stack.clearline(
        "payments", "inquire", *about, request.object_id, "--as", "ada", "--reason", "waits", "--key", "i1"
    )
    assert "nothing was done again" in again.stdout
    assert len(_requests(stack)) == 2

    proposed = stack.clearline(
        "payments", "propose", *about, request.object_id, "captured", "--as", "ada", "--reason", "seen"
    )
    assert proposed.returncode == 0, proposed.stderr
    proposal = re.search(r"prop_[0-9a-f]+", proposed.stdout).group()
    alone = stack.clearline("payments", "approve", *about, proposal, "--as", "ada", "--reason", "me too")
    assert alone.returncode == 1
    assert "approval_by_proposer" in alone.stderr
    assert "Another operator has to approve" in alone.stderr
    approved = stack.clearline("payments", "approve", *about, proposal, "--as", "bob", "--reason", "seen too")
    assert f"{PAYMENT} is succeeded" in approved.stdout, approved.stderr
    nothing = stack.clearline("payments", "inquire", *about, request.object_id, "--reason", "waits")
    assert "nothing_to_inquire" in nothing.stderr

    adjusted = stack.clearline("payments", "adjust", *about, "credit", "50", "--as", "op_gone", "--reason", "goodwill")
    proposal = re.search(r"prop_[0-9a-f]+", adjusted.stdout).group()
    late = stack.clearline("payments", "approve", *about, proposal, "--as", "bob", "--reason", "fine")
    assert late.returncode == 1, "an operator who may not propose now"
    assert "may not do so any more" in late.stderr
    assert [event.type for event in _events(stack)].count("payment_intent.resolution_approved") == 1
    refund = stack.clearline(
        "payments", "refund", *about, "--amount-minor", "300", "--as", "ada", "--reason", "called", "--wait", "0.5"
    )
    assert refund.returncode == 1, "nobody answers for the provider, so there is no reply yet"
    assert "--key operator-" in refund.stderr
    wait_until(lambda: _requests(stack)[-1].operation == "refund", "the refund is asked for", deadline_s=240)
    who = _requests(stack)[-1].attribution
    assert (who.actor_kind, who.actor_id, who.on_behalf_of, who.reason) == ("operator", "ada", "acme", "called")
