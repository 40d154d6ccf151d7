from __future__ import annotations

from schemas import codec
from schemas.records import PaymentEvent, SettlementEvent, Tenant
from tests.bench import script
from tests.bench.sides.payments_bare import _made

TENANTS = {name: Tenant(tenant=name, version=1) for name in ("acme", "globex", "initech", "petrogulf", "tiny")}


def test_the_bare_loop_writes_what_the_agents_write():
    """A payment is a command with a request, a captured result, and two movements; the bytes are records of the contracts."""
    written = script.write(TENANTS)
    lifecycle, settlement = written.tasks
    lines = [line for task in written.tasks for kind in task.lines.values() for line in kind]
    assert sorted(len(kind) for kind in lifecycle.lines.values()) == [script.PAYMENTS, script.PAYMENTS]
    assert [len(kind) for kind in settlement.lines.values()] == [2 * script.PAYMENTS]
    events = [codec.decode(value) for line in lines for topic, _, value in line.outputs if topic == "payments.events"]
    assert (
        sum(isinstance(event, PaymentEvent) and event.to_status == "succeeded" for event in events) == script.PAYMENTS
    )
    moved = [codec.decode(value) for line in lines for topic, _, value in line.outputs if topic == "settlement.events"]
    assert {type(event) for event in moved} == {SettlementEvent}
    assert {event.type for event in moved} == {"settlement_window.movement_added"}
    assert written.per_payment()["outputs"] == sum(len(line.outputs) for line in lines) / script.PAYMENTS


def test_a_made_state_key_has_the_length_of_the_real_one_and_is_its_own():
    """Two records' keys differ, and so do two of one record."""
    made = {_made(57, number, b"acme/pi_0", offset) for number in range(3) for offset in range(100)}
    assert len(made) == 300
    assert {len(key) for key in made} == {57}
