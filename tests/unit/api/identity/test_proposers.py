"""Who may still propose: asked of the tables, without Kafka."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from api.http.errors import InvalidRequest
from api.http.service import Caller
from api.http.versions import LIVE
from api.identity import operations, proposers
from schemas.records import PaymentCommand, PaymentObject, ProposalObject
from schemas.views import PaymentView
from tests.unit.api.identity._memory import OTHER_ORG, Memory, person

ADA, BOB = person("ada", "operator"), person("bob", "operator", tenant="acme")
PAYMENT = "pi_" + 24 * "1"
PROPOSAL = ProposalObject(id="prop_" + 24 * "1", resolution="captured", object_id="ch_1", proposed_by="op_ada")


def may(memory: Memory, proposer: str = "op_ada", tenant: str = "acme") -> bool:
    """Whether a proposal of theirs is carried out."""
    try:
        proposers.refuse(memory, proposer, tenant=tenant, now_ms=1)
    except InvalidRequest as error:
        return error.code != "approval_not_possible"
    return True


@pytest.mark.parametrize(
    ("change", "still"),
    [
        ({}, True),
        ({"roles": ("admin",)}, True),
        ({"roles": ("analyst", "auditor", "developer")}, False),
        ({"roles": ()}, False),
        ({"status": "disabled"}, False),
        ({"tenants": ("acme",)}, True),
        ({"tenants": ("shop",)}, False),
        ({"organization": OTHER_ORG}, False),
    ],
)
def test_who_may_not_propose_any_more_gets_nothing(change, still) -> None:
    """A lost role, an end, other tenants or another organisation: each is as if it had never been proposed."""
    memory = Memory().known(ADA)
    memory.operators["op_ada"] = replace(memory.operators["op_ada"], **change)
    assert may(memory) is still


def test_names_of_the_command_line_are_the_machines_matter() -> None:
    """Only operators' ids are looked up, and one that is not there is nobody who may; nor is a tenant of nobody anybody's."""
    memory = Memory().known(ADA)
    assert may(memory, "ada")
    assert not may(memory, "op_nobody")
    assert not may(memory, tenant="globex")
    assert not may(memory, tenant="lone")


class Asked:
    """A payment with an open proposal, and what was sent to its fold."""

    def __init__(self) -> None:
        self.sent: list[PaymentCommand] = []

    async def get(self, tenant: str, payment_id: str) -> PaymentView | None:
        """As a worker shows it."""
        return PaymentView(tenant=tenant, payment=PaymentObject(id=payment_id), proposal=PROPOSAL)

    @staticmethod
    def with_key(caller: Caller) -> Caller:
        """As it is."""
        return caller

    async def carry_out(self, _caller: Caller, command: PaymentCommand, _asked):
        """Note it."""
        self.sent.append(command)
        return type("Answer", (), {"body": {"id": PAYMENT}, "replayed": False})()


@pytest.mark.parametrize(("role", "sent"), [("operator", 1), ("analyst", 0)])
async def test_an_approval_is_sent_only_while_the_proposer_may(role, sent) -> None:
    """The payment's fold never hears of an approval of what somebody proposed who has lost the role."""
    memory, asked = Memory().known(person("ada", role)), Asked()
    caller = Caller(identity=BOB, version=LIVE[0], request_id="req_1", idempotency_key="k", traceparent="")
    approve = next(
        one for one in operations.routes(asked, memory, asked) if one.operation.path.endswith("/{payment}/approve")
    )
    given = {"proposal": PROPOSAL.id, "reason": "Agreed"}
    if sent:
        await approve.run(caller, {"payment": PAYMENT}, given)
    else:
        with pytest.raises(InvalidRequest):
            await approve.run(caller, {"payment": PAYMENT}, given)
    assert [one.object_id for one in asked.sent] == [PROPOSAL.id] * sent
