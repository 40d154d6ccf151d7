import pytest

from schemas import codec
from schemas.records import ProviderOutcome
from streams.core import keys, late, refunds, settle, table
from streams.core.state import Payment, decode
from tests.unit.core.books import audit
from tests.unit.core.situations import SITUATIONS, at
from tests.unit.core.world import TENANT, World

OUTCOMES = tuple(ProviderOutcome.__args__)
COMMANDS = {
    "create": {"amount_minor": 1000, "currency": "EUR", "payment_method": "pm_card_visa", "confirm": True},
    "confirm": {"payment_method": "pm_other"},
    "capture": {},
    "capture a part": {"amount_minor": 300},
    "capture too much": {"amount_minor": 1001},
    "cancel": {"reason": "duplicate"},
    "refund": {},
    "refund a part": {"amount_minor": 300},
    "refund too much": {"amount_minor": 1001},
}

# What a payment lets one ask for, written down apart from the code: situation -> kinds of commands.
ALLOWED = {
    "without a method": {"confirm", "cancel"},
    "unconfirmed": {"confirm", "cancel"},
    "authorising, manual": {"cancel"},
    "in action": {"cancel"},
    "in action, void refused": {"cancel"},
    "authorised": {"capture", "cancel"},
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
    return world.send(kind, key, of="k1", **COMMANDS[name])


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_in_every_situation_is_carried_out_or_answered_with_a_typed_error(situation, name):
    """Each of them either makes a transition or says no in a reply, and the books stay right."""
    world = at(situation)
    before = dict(world.view.data)
    decision = _command(world, name)
    audit(world)
    assert decision.refused is None
    error = decision.replies[0][1].error if decision.replies else None
    kind = name.partition(" ")[0]
    if kind == "create":
        assert bool(decision.events) == (situation == "none")
        return
    if situation == "none":
        assert error.code == "resource_missing"
        assert world.view.data == before
    elif kind not in ALLOWED.get(situation, set()):
        assert error.code == "payment_intent_unexpected_state", (situation, name)
        payment = decode(Payment, before[keys.payment(TENANT, decision.replies[0][1].payment_id)])
        assert payment.status in error.message
        assert kind in error.message
        assert not decision.events
        assert not decision.requests
    elif "too much" in name:
        assert error.code in {"amount_too_large", "charge_already_refunded"}
        assert not decision.events
    elif kind == "refund" and situation == "refunded in full":
        assert error.code == "charge_already_refunded"
    elif situation == "no route" and kind == "confirm":
        assert error.code == "no_route"
        assert decision.events[-1].to_status == "requires_payment_method"
    elif error is not None:
        assert error.code == "amount_too_large", (situation, name)  # of a part captured or left, more than that
    else:
        assert decision.events, (situation, name)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_result_in_every_situation_is_a_transition_no_news_or_a_refusal(situation):
    """For every request ever made, each outcome, fitting or not: never an exception, twice is once, and the books stay right."""
    for index in range(len(at(situation).requests)):
        for outcome in OUTCOMES:
            for decline_kind in ("soft", "hard") if outcome == "declined" else ("none",):
                world = at(situation)
                request = world.requests[index]
                decision = world.answer(request, outcome, decline_kind=decline_kind)
                audit(world)
                again = world.answer(request, outcome, decline_kind=decline_kind)
                assert again.writes == [], (situation, outcome)
                assert again.events == again.requests == again.movements == again.replies == []
                assert (again.refused is None) == (decision.refused is None)
                audit(world)
            world = at(situation)
            world.answer(world.requests[index], outcome, amount_minor=1, currency="USD")
            audit(world)


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


@pytest.mark.parametrize("situation", SITUATIONS)
def test_everything_that_is_said_fits_its_contract(situation):
    """Events, requests, replies, movements and what settlement makes of them survive the Avro codec unchanged."""
    world = at(situation)
    settlement = World(settle, topic="settlement.inputs")
    settlement.put(world.inputs[0].message)
    for movement in world.movements:
        settlement.put(movement)
    settlement.tick(world.time_ms + 3 * 86_400_000)
    replies = [reply for decision in world.decisions for _, reply in decision.replies]
    for record in (*world.events, *world.requests, *replies, *world.movements, *settlement.events):
        assert codec.decode(codec.encode(record)) == record
