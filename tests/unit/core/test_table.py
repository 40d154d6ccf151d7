import pytest
from msgspec.structs import replace

from schemas import codec
from schemas.records import DisputeStatus, ProviderOutcome
from streams.core import disputes, ids, keys, late, refunds, settle, table
from streams.core.state import Payment, decode
from tests.unit.core.books import audit
from tests.unit.core.situations import SITUATIONS, TENANTS, at
from tests.unit.core.world import TENANT, World

OUTCOMES = tuple(ProviderOutcome.__args__)
COMMANDS = {
    "create": {"amount_minor": 1000, "currency": "EUR", "payment_method": "pm_card_visa", "confirm": True},
    "confirm": {"payment_method": "pm_other"},
    "capture": {},
    "capture a part": {"amount_minor": 300},
    "increment": {"amount_minor": 1600},
    "increment too little": {"amount_minor": 1000},
    "capture too much": {"amount_minor": 1601},
    "cancel": {"reason": "duplicate"},
    "refund": {},
    "refund a part": {"amount_minor": 300},
    "refund too much": {"amount_minor": 1601},
    "update": {"amount_minor": 900, "payment_method": "pm_other"},
    "update the amount": {"amount_minor": 900},
    "update nothing": {},
    "update words": {"given": ("description", "metadata"), "metadata": {"order": "1"}},
    "update of charge": {"given": ("description",), "description": "x"},
    "update of refund": {"given": ("metadata",), "metadata": {"order": "1"}},
    "update of dispute": {"given": ("metadata",), "metadata": {"order": "1"}},
    "capture a part of more": {"amount_minor": 200, "final_capture": False},
    "submit_evidence": {"evidence": {"product_description": "a chair"}},
    "submit_evidence without any": {},
    "close_dispute": {},
    "inquire": {},
    "propose": {"resolution": "captured"},
    "approve": {},
}
RESOLUTIONS = (
    "authorized",
    "captured",
    "declined",
    "voided",
    "refunded",
    "refund_failed",
    "credit",
    "debit",
    "nonsense",
)
MISSING = {
    "update of charge": "ch_" + "0" * 26,
    "update of refund": "re_" + "0" * 24,
    "update of dispute": "dp_" + "0" * 24,
}
STATUSES = tuple(DisputeStatus.__args__[1:])

# What a payment lets one ask for, written down apart from the code: situation -> kinds of commands.
ALLOWED = {
    "without a method": {"confirm", "cancel"},
    "updated": {"confirm", "cancel"},
    "partly captured, the rest authorised": {"capture", "cancel"},
    "captured in parts": {"refund"},
    "the rest voided": {"refund"},
    "the rest expired, voided": {"refund"},
    "inquiry": {"refund", "submit_evidence"},
    "inquiry closed": {"refund"},
    "inquiry escalated": {"refund", "submit_evidence", "close_dispute"},
    "disputed": {"refund", "submit_evidence", "close_dispute"},
    "disputed in part": {"refund", "submit_evidence", "close_dispute"},
    "disputed after a refund": {"refund", "submit_evidence", "close_dispute"},
    "disputed and held": {"refund"},
    "dispute under review": {"refund"},
    "dispute won": {"refund"},
    "dispute lost": {"refund"},
    "dispute prevented": {"refund"},
    "dispute reopened": {"refund", "submit_evidence", "close_dispute"},
    "evidence sent": {"refund"},
    "evidence sent to an inquiry": {"refund"},
    "evidence sent, unknown": {"refund"},
    "evidence taken": {"refund"},
    "evidence refused": {"refund", "submit_evidence", "close_dispute"},
    "acceptance sent": {"refund"},
    "dispute accepted": {"refund"},
    "resolved as captured": {"refund"},
    "resolved as declined": {"confirm", "cancel"},
    "resolved as standing": {"capture", "cancel"},
    "refund resolved as failed": {"refund"},
    "unconfirmed": {"confirm", "cancel"},
    "authorising, manual": {"cancel"},
    "in action": {"cancel"},
    "in action, void refused": {"cancel"},
    "authorised": {"capture", "cancel"},
    "incremented": {"capture", "cancel"},
    "increment refused": {"capture", "cancel"},
    "captured what was raised": {"refund"},
    "capture failed": {"capture", "cancel"},
    "void failed": {"capture", "cancel"},
    "partly captured": {"refund"},
    "captured": {"refund"},
    "captured while being voided": {"refund"},
    "second attempt captured": {"refund"},
    "given up": {"confirm", "cancel"},
    "no route": {"confirm", "cancel"},
    "declined": {"confirm", "cancel"},
    "stray capture going back": {"confirm", "cancel"},
    "stray capture returned": {"confirm", "cancel"},
    "stray authorisation going back": {"confirm", "cancel"},
    "stray authorisation returned": {"confirm", "cancel"},
    "stray authorised, then captured": {"confirm", "cancel"},
    "stray capture after second": {"refund"},
    "refunding": {"refund"},
    "refunding, inquired": {"refund"},
    "refunding, taken up": {"refund"},
    "refunding, unknown": {"refund"},
    "refunding, held": {"refund"},
    "refunded in part": {"refund"},
    "refund failed": {"refund"},
    "refund failed after it was made": {"refund"},
    "refunded in full": {"refund"},
}


def _command(world: World, name: str):
    kind = name.partition(" ")[0]
    key = "k1" if kind == "create" else f"new {name}"
    if kind in {"submit_evidence", "close_dispute"} and world.events and world.payment().disputes:
        return world.send(kind, key, of="k1", object_id=world.payment().disputes[0].id, **COMMANDS[name])
    about = {"object_id": _object(world, name)} if " of " in name and kind == "update" else {}
    return world.send(kind, key, of="k1", **about, **COMMANDS[name])


def _object(world: World, name: str) -> str:
    """The newest charge, refund or dispute, or the id of one that is not there."""
    if world.events:
        payment = world.payment()
        found = {"refund": payment.refunds, "dispute": payment.disputes}.get(name.rpartition(" ")[2])
        if found:
            return found[-1].id
        if found is None and payment.attempts:
            return ids.charge_id(ids.payment_id(TENANT, "k1"), len(payment.attempts))
    return MISSING[name]


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_in_every_situation_is_carried_out_or_answered_with_a_typed_error(situation, name, tenant):
    """Each of them either makes a transition or says no in a reply, and the books stay right."""
    world = at(situation, tenant)
    before = dict(world.view.data)
    decision = _command(world, name)
    audit(world)
    assert decision.refused is None
    error = decision.replies[0][1].error if decision.replies else None
    kind = name.partition(" ")[0]
    if kind == "create":
        assert bool(decision.events) == (situation == "none")
    elif situation == "none":
        assert error.code == "resource_missing"
        assert world.view.data == before
    elif kind in OF_LATER:
        _check_later(situation, name, decision, error)
    elif kind not in ALLOWED.get(situation, set()):
        _check_refused(situation, name, decision, before)
    elif "too much" in name:
        assert error.code in {"amount_too_large", "charge_already_refunded", "charge_disputed"}
        assert not decision.events
    elif kind == "refund" and situation == "refunded in full":
        assert error.code == "charge_already_refunded"
    elif situation == "no route" and kind == "confirm":
        assert error.code == "no_route"
        assert decision.events[-1].to_status == "requires_payment_method"
    elif error is not None:  # of a part captured or left, more than that
        assert error.code in {"amount_too_large", "charge_disputed"}, (situation, name)
    else:
        assert decision.events, (situation, name)


OF_LATER = {"increment", "update", "submit_evidence", "close_dispute", "inquire", "propose", "approve"}


def _check_refused(situation, name, decision, before):
    error, kind = decision.replies[0][1].error, name.partition(" ")[0]
    assert error.code == "payment_intent_unexpected_state", (situation, name)
    payment = decode(Payment, before[keys.payment(TENANT, decision.replies[0][1].payment_id)])
    assert payment.status in error.message
    assert kind in error.message
    assert not decision.events
    assert not decision.requests


def _check_later(situation, name, decision, error):
    """Updates of more than words need an open payment, responses a dispute that waits for one, inquiries and proposals an operator."""
    kind, allowed = name.partition(" ")[0], ALLOWED.get(situation, set())
    if kind in {"inquire", "propose", "approve"}:
        assert error.code == "operator_needed"
    elif kind == "increment":
        refusals = {"payment_intent_unexpected_state", "amount_too_small", "increment_too_late"}
        raised = "capture" in allowed and "little" not in name and "partly" not in situation
        assert (error is None) == raised
        assert raised or error.code in refusals
        assert [request.operation for request in decision.requests] == ["increment"] * raised
    elif kind == "update":
        expected = {"nothing_to_update", None} if "confirm" in allowed else {"payment_intent_unexpected_state"}
        if name == "update words":
            expected = {None}
        if " of " in name:
            expected = {None, f"{name.rpartition(' ')[2]}_missing"}
        assert (error and error.code) in expected
        assert bool(decision.events) == (error is None)
    elif kind in allowed and ("without" not in name or situation == "evidence refused"):  # what was said then is kept
        assert decision.requests[0].operation == {"submit_evidence": kind, "close_dispute": "accept_dispute"}[kind]
    else:
        assert error.code in {
            "payment_intent_unexpected_state",
            "dispute_missing",
            "dispute_busy",
            "dispute_unexpected_state",
            "evidence_missing",
        }
        assert not decision.events


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_result_in_every_situation_is_a_transition_no_news_or_a_refusal(situation, tenant):
    """For every request ever made, each outcome, fitting or not: never an exception, twice is once, and the books stay right."""
    for index in range(len(at(situation, tenant).requests)):
        for outcome in OUTCOMES:
            for decline_kind in ("soft", "hard") if outcome == "declined" else ("none",):
                world = at(situation, tenant)
                request = world.requests[index]
                decision = world.answer(request, outcome, decline_kind=decline_kind)
                audit(world)
                again = world.answer(request, outcome, decline_kind=decline_kind)
                assert again.writes == [], (situation, outcome)
                assert again.events == again.requests == again.movements == again.replies == []
                assert (again.refused is None) == (decision.refused is None)
                audit(world)
            world = at(situation, tenant)
            world.answer(world.requests[index], outcome, amount_minor=1, currency="USD")
            audit(world)


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_notice_in_every_situation_is_a_transition_no_news_or_a_refusal(situation, tenant):
    """Whatever the provider says of a dispute, known or new: never an exception, twice is once, and the books stay right."""
    for status in STATUSES:
        for withdrawn_minor, dispute in ((0, "np_dp_1"), (1000, "np_dp_1"), (400, "np_dp_1"), (1000, "np_dp_2")):
            world = at(situation, tenant)
            if situation == "none" or not world.payment().attempts:
                break
            notice = world.notice(
                status,
                withdrawn_minor=withdrawn_minor,
                dispute=dispute,
                provider_fee_minor=20,
                sequence=9,
                notice_id="n",
            )
            decision = world.put(notice)
            audit(world)
            assert (decision.refused is not None) != bool(decision.writes)
            again = world.put(notice)
            assert again.writes == again.events == again.movements == []
            older = world.put(replace(notice, notice_id="older", sequence=1, withdrawn_minor=1))
            assert older.events == []
            audit(world)


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_resolution_in_every_situation_needs_two_people_and_is_carried_out_or_refused(situation, tenant):
    """Operators' findings are taken where something is in doubt, by two of them, and the books stay right."""
    objects = {request.object_id for request in at(situation, tenant).requests} | {
        ids.payment_id(TENANT, "k1"),
        "ch_other",
    }
    for resolution in RESOLUTIONS:
        for object_id in sorted(objects):
            world = at(situation, tenant)
            proposed = world.operate("propose", "p", resolution=resolution, object_id=object_id, amount_minor=100)
            error = proposed.replies[0][1].error
            if error is not None:
                assert error.code in {"resource_missing", "resolution_not_possible"}
                assert not proposed.events
                continue
            proposal = proposed.events[0].proposal.id
            alone = world.operate("approve", "q", object_id=proposal)
            assert alone.replies[0][1].error.code == "approval_by_proposer"
            decision = world.operate("approve", "r", by="bob", object_id=proposal)
            assert decision.replies[0][1].error is None
            assert len(decision.events) > 1
            assert all(
                (event.proposal.proposed_by, event.proposal.approved_by) == ("ada", "bob") for event in decision.events
            )
            audit(world)
            repeated = world.operate("approve", "s", by="bob", object_id=proposal)
            assert repeated.replies[0][1].error.code == "proposal_missing"


NOTHING_UNDER_WAY = {
    "captured",
    "partly captured",
    "partly captured, the rest authorised",
    "captured in parts",
    "authorised",
    "declined",
    "voided",
    "capture failed",
    "void failed",
    "refunded in part",
    "refund failed",
    "stray capture returned",
    "dispute lost",
    "resolved as captured",
    "none",
    "unconfirmed",
    "no route",
}
UNDER_WAY = {
    "authorising": "authorize",
    "authorising, unknown": "authorize",
    "authorising, held": "authorize",
    "in action": "authorize",
    "held by conflict": "authorize",
    "capturing": "capture",
    "capturing, unknown": "capture",
    "capturing, held": "capture",
    "capturing the rest": "capture",
    "voiding": "void",
    "voiding, unknown": "void",
    "voiding the rest": "void",
    "stray authorisation going back": "void",
    "stray capture going back": "refund",
    "refunding": "refund",
    "refunding, taken up": "refund",
    "refunding, unknown": "refund",
    "refunding, held": "refund",
}
"""What the newest request was that an operator may have the provider asked about."""


def _inquirable(situation, tenant):
    """The objects of a situation that an inquiry may be about, each with what was asked of the provider."""
    found = {}
    for object_id in sorted({request.object_id for request in at(situation, tenant).requests}):
        decision = at(situation, tenant).operate("inquire", "i", object_id=object_id)
        error = decision.replies[0][1].error
        if error is None:
            found[object_id] = decision.requests[0]
        else:
            assert error.code == "nothing_to_inquire", (situation, object_id)
            assert not decision.events
            assert not decision.requests
    return found


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_inquiry_asks_about_a_request_as_it_was_made_and_moves_no_money(situation, tenant):
    """It names what its original did, field by field; it changes nothing but the event that tells of it; the result counts as ever."""
    for object_id, asked in _inquirable(situation, tenant).items():
        world = at(situation, tenant)
        before = world.payment()
        decision = world.operate("inquire", "i", object_id=object_id)
        audit(world)
        original = world.original(asked)
        differing = {"request_id", "operation", "requested_ms", "attribution"}
        if original.operation not in {"authorize", "capture"}:
            differing |= {"provider_reference"}  # what has been heard since
        for field in set(asked.__struct_fields__) - differing:
            assert getattr(asked, field) == getattr(original, field), (situation, field)
        assert asked.operation == "inquire"
        assert original.operation == "authorize" or asked.provider_reference
        (event,) = decision.events
        assert event.type == "payment_intent.inquiry_requested"
        assert event.attribution == asked.attribution
        assert (event.attribution.actor_kind, event.attribution.actor_id) == ("operator", "ada")
        assert not event.postings
        assert not event.balance_transactions
        assert not decision.movements
        after = world.payment()
        assert after == replace(before, sequence=before.sequence + 1, last_event_id=event.event_id)
        again = world.operate("inquire", "i2", object_id=object_id).requests[0]
        assert again.request_id != asked.request_id
        without, beside = at(situation, tenant), world
        for outcome in OUTCOMES:
            without.answer(original, outcome, decline_kind="soft")
            beside.answer(asked, outcome, decline_kind="soft")
            audit(beside)
        said = [
            [event.type for event in one.events if event.type != "payment_intent.inquiry_requested"]
            for one in (without, beside)
        ]
        assert said[0] == said[1], (situation, object_id)


@pytest.mark.parametrize("tenant", TENANTS)
def test_an_operator_may_have_the_provider_asked_about_what_is_under_way_and_nothing_else(tenant):
    """Written down apart from the code: which request, in which situation; and where there is nothing to ask."""
    for situation, operation in UNDER_WAY.items():
        newest = at(situation, tenant).requests[-1]
        found = _inquirable(situation, tenant)[newest.object_id]
        assert f"_{operation}_" in found.request_id, situation
    for situation in NOTHING_UNDER_WAY:
        assert not _inquirable(situation, tenant), situation


def test_an_inquiry_needs_an_operator_and_a_reason_and_names_what_it_is_about():
    """Typed refusals: nobody else, not without a reason, not about another payment's charge or a dispute."""
    world = at("authorising, unknown")
    charge = world.requests[-1].object_id
    refused = world.send("inquire", "i1", of="k1", object_id=charge).replies[0][1]
    assert (refused.status_code, refused.error.code) == (403, "operator_needed")
    silent = world.operate("inquire", "i2", object_id=charge, reason="").replies[0][1].error
    assert (silent.code, silent.param) == ("reason_missing", "attribution.reason")
    other = ids.charge_id(ids.payment_id(TENANT, "k2"), 1)
    for object_id in ("", other, charge[:-2] + "00", charge[:-2] + "02", "dp_1", "re_1"):
        error = world.operate("inquire", f"i {object_id}", object_id=object_id).replies[0][1].error
        assert (error.code, error.param) == ("nothing_to_inquire", "object_id")
        assert object_id in error.message
    allowed = world.operate("inquire", "i3", object_id=charge)
    repeated = world.operate("inquire", "i3", object_id=charge)
    assert allowed.requests
    assert not repeated.requests
    assert repeated.replies[0][1].replayed


@pytest.mark.parametrize("tenant", TENANTS)
def test_an_operator_may_refund_on_a_tenants_behalf(tenant):
    """One person is enough; the refund's events, its request and its movements say who, for whom, and why."""
    world = at("captured", tenant)
    decision = world.operate("refund", "r1", by="ada", reason="the customer called", amount_minor=300)
    made = world.answer(decision.requests[0], "refunded")
    audit(world)
    assert made.events[0].refund.status == "succeeded"
    assert made.replies[0][1].refund.amount_minor == 300
    for record in (*decision.events, *decision.requests, *decision.movements):
        who = record.attribution
        assert (who.actor_kind, who.actor_id, who.on_behalf_of) == ("operator", "ada", TENANT)
        assert who.reason == "the customer called"


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_time_alone_ends_what_waits_for_somebody(situation, tenant):
    """A month later nothing waits for a customer or a capture any more but what the provider was asked about; never an exception."""
    world = at(situation, tenant)
    for _ in range(3):
        world.tick(world.time_ms + 31 * 86_400_000)
        audit(world)
    if situation != "none":
        assert world.payment().status not in {"requires_action", "requires_capture"}
        assert not world.payment().reserves
    assert not [key for key in world.view.data if key.startswith((keys.DUE_PREFIX, keys.RESERVE_PREFIX))]


def test_every_row_of_the_tables_is_reached(monkeypatch):
    """No row of the three tables is dead: the situations, each followed by every command and result, take them all."""
    taken: set[int] = set()
    find = table._find

    def spy(step, trigger):
        row = find(step, trigger)
        taken.add(id(row))
        return row

    verdicts = set()
    judge = late.verdict

    def spy_verdict(attempt, operation, outcome):
        verdicts.add(("held" if attempt.doubt == "held" else attempt.status, f"{operation}/{outcome}"))
        return judge(attempt, operation, outcome)

    seen_refunds = set()
    take = refunds.take_result

    def spy_refund(step, refund, outcome):
        seen_refunds.add((refund.status, outcome))
        return take(step, refund, outcome)

    monkeypatch.setattr(table, "_find", spy)
    monkeypatch.setattr(late, "verdict", spy_verdict)
    monkeypatch.setattr(refunds, "take_result", spy_refund)
    for situation in SITUATIONS:
        for name in COMMANDS:
            _command(at(situation), name)
        world = at(situation)
        world.tick(world.time_ms + 31 * 86_400_000)
        for index in range(len(at(situation).requests)):
            for outcome in OUTCOMES:
                world = at(situation)
                world.answer(world.requests[index], outcome, decline_kind="soft")
                world.answer(world.requests[index], outcome, decline_kind="hard")
    missing = [f"{row.sources} {row.trigger} {row.guard}" for row in table.ROWS if id(row) not in taken]
    assert not missing
    listed = {(row.attempt, one) for row in late.ROWS for one in row.results}
    unreached = listed - verdicts
    assert not unreached, "\n".join(map(str, sorted(unreached)))
    assert {(row.source, one) for row in refunds.ROWS for one in row.outcomes} <= seen_refunds


def test_every_row_of_the_disputes_table_leads_where_it_says():
    """From each status to each status: the listed event, or a conflict that leaves the status as it was."""
    listed = {(source, target) for row in disputes.ROWS for source in row.sources or ("",) for target in row.targets}
    for target in STATUSES:
        world = at("captured")
        assert world.notify(target).events[0].type == "charge.dispute.created"
        for source in STATUSES:
            world = at("captured")
            world.notify(source)
            decision = world.notify(target, reason="fraudulent")
            event = decision.events[0]
            if (source, target) in listed or source == target:
                assert event.type == disputes.event_of(source, target) != "charge.dispute.conflict"
                assert event.dispute.status == target
            else:
                assert event.type == "charge.dispute.conflict"
                assert event.dispute.status == source
            audit(world)


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_everything_that_is_said_fits_its_contract(situation, tenant):
    """Events, requests, replies, movements and what settlement makes of them survive the Avro codec unchanged."""
    world = at(situation, tenant)
    settlement = World(settle, topic="settlement.inputs")
    settlement.put(world.inputs[0].message)
    for movement in world.movements:
        settlement.put(movement)
    settlement.tick(world.time_ms + 3 * 86_400_000)
    replies = [reply for decision in world.decisions for _, reply in decision.replies]
    for record in (*world.events, *world.requests, *replies, *world.movements, *settlement.events):
        assert codec.decode(codec.encode(record)) == record
