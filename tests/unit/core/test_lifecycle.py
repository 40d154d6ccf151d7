import pytest
from msgspec.structs import replace

from schemas.records import ClockTick, Movement, RoutingUpdate, Tenant
from streams.core import Decision, Input, InvariantBroken, StateUnreadable, decide, ids, keys
from streams.core._guards import ATTEMPTS_MAX, REFUNDS_MAX
from streams.core.idempotency import EXPIRIES_PER_TICK_MAX, REPLIES_KEPT_MS
from streams.core.state import Attempt, Payment, encode
from tests.unit.core.books import audit
from tests.unit.core.world import T0, TENANT, DictView, World, result


def _reply(decision: Decision):
    assert len(decision.replies) == 1
    return decision.replies[0][1]


def test_a_charge_is_authorised_and_captured_and_its_caller_answered():
    """Create and confirm: two events and one request; the provider's yes: the third event, postings, movements, the reply."""
    world = World()
    asked = world.create()
    assert [event.type for event in asked.events] == ["payment_intent.created", "payment_intent.processing"]
    assert asked.replies == []
    (request,) = asked.requests
    assert (request.provider, request.operation, request.capture, request.amount_minor) == (
        "northpay",
        "authorize",
        True,
        1000,
    )
    assert request.request_id == f"{request.object_id}_authorize_1"
    done = world.answer(request, "captured", provider_fee_minor=30)
    (event,) = done.events
    assert (event.type, event.to_status, event.sequence) == ("payment_intent.succeeded", "succeeded", 3)
    assert [(leg.account, leg.amount_minor) for leg in event.postings] == [
        ("provider_receivable:northpay", 1000),
        ("tenant_payable:acme", -1000),
        ("tenant_payable:acme", 30),
        ("provider_receivable:northpay", -30),
    ]
    assert [(movement.kind, movement.amount_minor) for movement in done.movements] == [("capture", 1000), ("fee", -30)]
    partition, reply = done.replies[0]
    assert partition == 5
    assert (reply.status_code, reply.error, reply.payment.status) == (200, None, "succeeded")
    audit(world)


def test_a_result_is_attributed_to_the_provider_and_keeps_request_and_trace():
    """P8: the event of a result names the provider as actor, and the request and trace that began it."""
    world = World()
    request = world.create().requests[0]
    (event,) = world.answer(request, "captured").events
    who = event.attribution
    assert (who.actor_kind, who.actor_id, who.request_id, who.idempotency_key) == (
        "provider",
        "northpay",
        "req-k1",
        "k1",
    )
    assert who.traceparent.startswith("00-4bf92f")
    assert (event.cause_topic, event.cause_partition, event.cause_offset) == ("payments.inputs", 3, 3)
    assert event.policy_version == 7


def test_a_part_is_captured_and_the_rest_of_the_authorisation_released():
    """Manual capture of 700 of 1000: the whole hold ends, 700 are taken, and nothing stays capturable."""
    world = World()
    held = world.answer(world.create(capture_method="manual").requests[0], "authorized")
    assert held.events[0].payment.amount_capturable_minor == 1000
    asked = world.send("capture", "c1", of="k1", amount_minor=700)
    assert asked.requests[0].provider_reference == held.events[0].charge.provider_reference
    event = world.answer(asked.requests[0], "captured").events[0]
    balances = {}
    for leg in (*held.events[0].postings, *event.postings):
        balances[leg.account] = balances.get(leg.account, 0) + leg.amount_minor
    assert balances["authorization_hold:northpay"] == 0
    assert balances["provider_receivable:northpay"] == 700
    assert (event.payment.amount_received_minor, event.payment.amount_capturable_minor) == (700, 0)


def test_refunds_count_while_they_are_pending():
    """400 pending of 1000 leave 600: 601 is refused, 600 is taken, then nothing is left; a failed one can be asked again."""
    world = World()
    world.answer(world.create().requests[0], "captured")
    first = world.send("refund", "r1", of="k1", amount_minor=400)
    refused = _reply(world.send("refund", "r2", of="k1", amount_minor=601))
    assert (refused.error.code, refused.status_code) == ("amount_too_large", 400)
    assert "600" in refused.error.message
    second = world.send("refund", "r3", of="k1")
    assert second.requests[0].amount_minor == 600
    assert _reply(world.send("refund", "r4", of="k1")).error.code == "charge_already_refunded"
    failed = world.answer(first.requests[0], "refund_failed", decline_code="account_closed")
    assert failed.movements[0].kind == "refund_failure"
    assert (_reply(failed).status_code, _reply(failed).refund.status) == (200, "failed")
    assert world.send("refund", "r5", of="k1").requests[0].amount_minor == 400
    audit(world)


def test_a_definite_no_goes_to_the_next_provider_and_the_decision_says_why():
    """A refusal and a soft decline fail over to a provider that was not tried; the decision lists who was passed over."""
    for outcome, fields in (("refused", {}), ("declined", {"decline_kind": "soft"})):
        world = World()
        decision = world.answer(world.create().requests[0], outcome, **fields)
        assert [event.type for event in decision.events] == ["charge.failed", "payment_intent.processing"]
        assert decision.events[0].decision is None
        routed = decision.events[1].decision
        assert (routed.chosen, routed.attempt, routed.excluded) == ("southpay", 2, ("northpay: tried",))
        assert (routed.candidates, routed.policy_version) == (("northpay", "southpay"), 7)
        assert decision.requests[0].provider == "southpay"
        last = world.answer(decision.requests[0], outcome, **fields)
        assert last.events[0].to_status == "requires_payment_method"
        assert last.events[0].decision.excluded == ("northpay: tried", "southpay: tried")
        assert _reply(last).status_code == 402


def test_a_hard_decline_leaves_the_intent_retryable_with_its_error():
    """No failover; the payment asks for another method, says why, and succeeds with one; the failed charge stays failed."""
    world = World()
    decision = world.answer(world.create().requests[0], "declined", message="Do not honour")
    event = decision.events[0]
    assert event.type == "payment_intent.payment_failed"
    assert (event.charge.status, event.charge.failure_code) == ("failed", "insufficient_funds")
    assert event.payment.last_error_code == "card_declined"
    assert (_reply(decision).error.type, _reply(decision).error.decline_code) == ("card_error", "insufficient_funds")
    again = world.send("confirm", "k2", of="k1", payment_method="pm_other")
    assert again.requests[0].payment_method == "pm_other"
    assert again.events[0].payment.payment_method == "pm_other"
    done = world.answer(again.requests[0], "captured").events[0]
    assert (done.charge.attempt, done.payment.last_error_code) == (2, "")


def test_an_unknown_outcome_blocks_failover_and_cancel_until_it_is_resolved():
    """P3: unknown makes a state of its own, answered as processing; only the inquiry's definite no lets routing go on."""
    world = World()
    request = world.create().requests[0]
    decision = world.answer(request, "unknown")
    assert decision.events[0].payment.outcome_unknown
    assert (_reply(decision).status_code, _reply(decision).payment.status) == (200, "processing")
    assert not decision.requests
    refused = _reply(world.send("cancel", "x", of="k1")).error
    assert refused.code == "payment_intent_unexpected_state"
    assert "not known yet" in refused.message
    resolved = world.answer(request, "refused")
    assert resolved.requests[0].provider == "southpay"
    assert not resolved.events[0].payment.outcome_unknown


def test_what_an_attempt_took_after_it_was_given_up_goes_back():
    """P3: a capture told after a refusal is a conflict, refunded by a request of our own, never settled, never a second charge."""
    world = World()
    first = world.create().requests[0]
    second = world.answer(first, "refused").requests[0]
    world.answer(second, "captured")
    stray = world.answer(first, "captured")
    assert [event.type for event in stray.events] == ["charge.conflict"]
    assert stray.movements == []
    assert (stray.requests[0].operation, stray.requests[0].amount_minor) == ("refund", 1000)
    assert stray.requests[0].object_id == first.object_id
    assert stray.requests[0].provider == "northpay"
    assert stray.events[0].payment.amount_received_minor == 1000
    back = world.answer(stray.requests[0], "refunded")
    assert back.events[0].type == "charge.reversed"
    audit(world)


@pytest.mark.parametrize(("amount", "currency"), [(999, "EUR"), (1001, "EUR"), (1000, "USD"), (0, "EUR")])
def test_another_amount_or_currency_than_asked_is_held(amount, currency):
    """A provider that reports another amount or currency settles nothing: its own event, no postings, no movements."""
    world = World()
    decision = world.answer(world.create().requests[0], "captured", amount_minor=amount, currency=currency)
    (event,) = decision.events
    assert event.type == "charge.integrity_failure"
    assert event.postings == ()
    assert decision.movements == []
    assert event.payment.outcome_unknown
    assert "held" in _reply(world.send("cancel", "x", of="k1")).error.message


def test_a_cancellation_of_a_manual_authorisation_waits_for_it_and_voids_it():
    """Both callers are answered: the confirmation at once, as it stands; the cancellation when the void is done."""
    world = World()
    request = world.create(capture_method="manual").requests[0]
    canceled = world.send("cancel", "x", of="k1", reason="duplicate")
    assert _reply(canceled).payment.status == "processing"
    held = world.answer(request, "authorized")
    assert held.requests[0].operation == "void"
    done = world.answer(held.requests[0], "voided")
    assert done.events[0].to_status == "canceled"
    assert (_reply(done).correlation_id, _reply(done).payment.cancellation_reason) == ("corr-3", "duplicate")
    audit(world)


def test_the_same_key_and_parameters_get_the_same_answer_and_one_effect():
    """P9: while it runs a conflict that a retry resolves; afterwards the stored answer, bit for bit, marked as a replay."""
    world = World()
    request = world.create(description="Order 77", metadata={"order": "77"}).requests[0]
    running = _reply(world.create(description="Order 77", metadata={"order": "77"}))
    assert (running.status_code, running.error.code, running.error.retryable) == (409, "idempotency_key_in_use", True)
    first = _reply(world.answer(request, "captured"))
    assert first.payment.metadata == {"order": "77"}
    world.send("refund", "r1", of="k1", amount_minor=10)
    replayed = world.create(description="Order 77", metadata={"order": "77"}, reply_partition=9, correlation_id="again")
    assert not replayed.events
    assert not replayed.writes
    partition, again = replayed.replies[0]
    assert (partition, again.correlation_id, again.replayed) == (9, "again", True)
    assert (again.payment, again.status_code, again.error) == (first.payment, first.status_code, first.error)


def test_the_same_key_with_other_parameters_is_an_error():
    """P9: by the fields, by the kind, and by the caller's own fingerprint; and the first answer stays."""
    world = World()
    world.answer(world.create().requests[0], "captured")
    for fields in ({"amount_minor": 1001}, {"metadata": {"a": "b"}}, {"fingerprint": "f00d"}):
        reply = _reply(world.create(**fields))
        assert (reply.status_code, reply.error.type) == (400, "idempotency_error")
    assert _reply(world.send("refund", "k1", of="k1")).error.type == "idempotency_error"
    assert _reply(world.create()).replayed


def test_an_error_is_stored_and_replayed_too():
    """A command that was refused for the payment's state gets the same refusal again, though the state has moved on."""
    world = World()
    request = world.create(capture_method="manual").requests[0]
    refused = _reply(world.send("capture", "c", of="k1"))
    world.answer(request, "authorized")
    again = _reply(world.send("capture", "c", of="k1"))
    assert again.replayed
    assert (again.error, again.status_code, again.payment) == (refused.error, refused.status_code, refused.payment)


def test_without_a_reply_partition_nothing_is_sent_but_everything_is_stored():
    """An upstream intent is answered nowhere; who later asks with its key gets the stored answer."""
    world = World()
    request = world.create(reply_partition=None).requests[0]
    assert world.answer(request, "captured").replies == []
    assert _reply(world.create()).replayed


def test_answers_expire_by_ticks_and_the_payment_still_stops_a_second_effect():
    """After 30 days the key is free, yet create and refund meet what they made: no event, no request, the same ids."""
    world = World()
    world.answer(world.create().requests[0], "captured")
    refund_id = world.send("refund", "r1", of="k1", amount_minor=400).requests[0].object_id
    world.tick(T0 + REPLIES_KEPT_MS - 1)
    assert any(key.startswith(b"i/") for key in world.view.data)
    world.tick(T0 + REPLIES_KEPT_MS)
    assert not any(key.startswith((b"i/", b"e/")) for key in world.view.data)
    for decision in (world.create(), world.send("refund", "r1", of="k1", amount_minor=400)):
        assert not decision.events
        assert not decision.requests
        assert not decision.movements
        assert _reply(decision).payment.status == "succeeded"
    assert _reply(decision).refund.id == refund_id
    world.tick(T0 + 3 * REPLIES_KEPT_MS)
    assert _reply(world.create(amount_minor=5)).error.type == "idempotency_error"
    assert not _reply(world.create()).error


def test_a_tick_prunes_a_bounded_number_of_answers():
    """Whatever is due, one tick forgets no more than its limit, oldest first; older ticks change nothing."""
    view = DictView()
    for number in range(EXPIRIES_PER_TICK_MAX + 10):
        view.data[keys.expiry(T0 + number, b"i/%d" % number)] = b"\x01"
    decision = decide(view, Input(ClockTick(time_ms=T0 + 10**6), "payments.inputs", 0, 0, T0))
    deleted = [key for key, value in decision.writes if value is None]
    assert len(deleted) == 2 * EXPIRIES_PER_TICK_MAX
    assert b"i/0" in deleted
    view.apply(decision.writes)
    assert len([key for key in view.data if key.startswith(b"e/")]) == 10
    assert decide(view, Input(ClockTick(time_ms=T0), "payments.inputs", 0, 1, T0)).writes == []


def test_unknown_and_suspended_tenants_are_refused_and_answered():
    """Both: the caller gets a typed error, and the record goes to the rejected ones; begun payments may still be finished."""
    world = World()
    request = world.create().requests[0]
    stranger = world.create("k2", tenant="nobody")
    assert stranger.refused.reason == "unknown_tenant"
    assert (_reply(stranger).status_code, _reply(stranger).error.code) == (403, "account_invalid")
    world.put(Tenant(tenant=TENANT, version=2, status="suspended"))
    assert world.create("k3").refused.reason == "unknown_tenant"
    world.answer(request, "captured")
    assert world.send("refund", "r", of="k1").requests


def test_an_older_configuration_does_not_replace_a_newer_one():
    """Tenants and policies have versions; what arrives late or again changes nothing."""
    world = World()
    world.put(Tenant(tenant=TENANT, version=3, status="suspended"))
    assert world.put(Tenant(tenant=TENANT, version=2)).writes == []
    assert world.put(RoutingUpdate(kind="policy", policy_version=7, providers=("other",))).writes == []
    assert world.put(RoutingUpdate(kind="policy", policy_version=8, providers=("other",))).writes


def test_a_result_for_nothing_we_asked_is_refused():
    """Unknown payment, charge, request, provider, or an outcome that does not answer the operation: typed, nothing changes."""
    world = World()
    request = world.create().requests[0]
    good = result(request, "captured")
    for field, value in (
        ("payment_id", ids.payment_id(TENANT, "other")),
        ("object_id", request.object_id[:-2] + "09"),
        ("object_id", "re_unknown"),
        ("request_id", request.request_id[:-1] + "2"),
        ("request_id", request.request_id[:-1] + "01"),
        ("provider", "southpay"),
        ("outcome", "voided"),
        ("outcome", "unrecognized"),
        ("operation", "unrecognized"),
        ("amount_minor", -1),
        ("provider_fee_minor", -1),
    ):
        decision = world.put(replace(good, **{field: value}))
        assert decision.refused is not None, field
        assert not decision.writes


def test_what_does_not_belong_on_the_topic_is_refused():
    """A movement among the lifecycle's inputs is a wrong record; a timestamp out of the calendar is refused, not computed with."""
    world = World()
    assert world.put(Movement()).refused.reason == "wrong_record"
    world.time_ms = -1
    assert world.create().refused.field == "timestamp"


def test_a_command_for_a_missing_payment_is_answered_or_seen():
    """404 to whoever waits; with nobody waiting the record goes to the rejected ones. It is not remembered."""
    world = World()
    decision = world.send("capture", "c", of="nothing")
    assert (_reply(decision).status_code, decision.refused) == (404, None)
    assert decision.writes == []
    assert world.send("capture", "c", of="nothing", reply_partition=None).refused.field == "payment_id"


def test_attempts_and_refunds_are_limited():
    """What can grow has a limit, and says so: attempts of a payment and its refunds."""
    world = World()
    request = world.create().requests[0]
    for number in range(ATTEMPTS_MAX - 1):
        world.answer(request, "declined")
        request = world.send("confirm", f"again {number}", of="k1").requests[0]
    world.answer(request, "refused")
    assert _reply(world.send("confirm", "one more", of="k1")).error.code == "payment_attempt_limit"
    world = World()
    world.answer(world.create().requests[0], "captured")
    for number in range(REFUNDS_MAX):
        assert world.send("refund", f"r{number}", of="k1", amount_minor=1).requests
    assert _reply(world.send("refund", "last", of="k1", amount_minor=1)).error.code == "refund_limit"


def test_two_captured_attempts_stop_the_partition():
    """P3 is asserted where state is written: a payment with two captured attempts raises instead of being kept."""
    world = World()
    request = world.create().requests[0]
    key = keys.payment(TENANT, request.payment_id)
    broken = Payment(
        "processing",
        1000,
        "EUR",
        manual=False,
        payment_method="",
        customer="",
        created_ms=T0,
        attempts=(Attempt("southpay", status="captured", operation="", captured_minor=1000), Attempt("northpay")),
    )
    world.view.data[key] = encode(broken)
    second = replace(request, object_id=request.object_id[:-2] + "02")
    second = replace(second, request_id=f"{second.object_id}_authorize_1")
    with pytest.raises(InvariantBroken, match="P3"):
        world.answer(second, "captured")


def test_state_of_an_unknown_version_stops_the_partition():
    """State that newer code wrote is not guessed at."""
    world = World()
    request = world.create().requests[0]
    world.view.data[keys.payment(TENANT, request.payment_id)] = b"\x02\x90"
    with pytest.raises(StateUnreadable, match="version"):
        world.answer(request, "captured")


def test_a_payment_is_small():
    """A captured payment with two attempts and a refund stays below 400 bytes of state."""
    world = World()
    world.answer(world.create(customer="cus_0123456789").requests[0], "refused")
    world.answer(world.requests[-1], "captured")
    world.answer(world.send("refund", "r1", of="k1", amount_minor=10).requests[0], "refunded")
    size = len(world.view.data[keys.payment(TENANT, ids.payment_id(TENANT, "k1"))])
    assert 100 < size < 400
