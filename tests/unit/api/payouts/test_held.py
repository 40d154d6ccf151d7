"""What people ask of payouts that nobody can be sure of: what is sent to the fold, and what never is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from api.http.errors import ApiError, InvalidRequest, NotFound, Refused
from api.http.service import Caller
from api.http.versions import LIVE
from api.payouts import held
from api.payouts.held import Held
from schemas.ids import proposal_id
from schemas.records import ErrorObject, PayoutCommand, PayoutObject, PayoutReply
from tests.unit.api.identity._memory import Memory, person

ADA, BOB = person("ada", "operator"), person("bob", "operator", tenant="acme")
PAYOUT = "po_" + 24 * "1"
PROPOSAL = "prop_" + 24 * "2"
ROW = {"object_id": PAYOUT, "provider": "northpay", "currency": "EUR"}
SHOWN = PayoutObject(
    id=PAYOUT, amount_minor=600, currency="EUR", provider="northpay", status="in_transit", doubt="held"
)


class Desk:
    """The warehouse and the fold: one payout with a proposal of Ada's, and what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[PayoutCommand, str]] = []
        self.lookups = 0
        self.lands_after = 0
        self.error: ErrorObject | None = None
        self.memory = Memory().known(ADA)
        reads = SimpleNamespace(landed_payouts=SimpleNamespace(note=lambda _reply: None))
        routes = Held(self, self, reads, self.memory).routes()
        self.routes = {one.operation.path.rpartition("/")[2]: one for one in routes}

    async def payout(self, tenant: str, payout_id: str) -> dict[str, Any] | None:
        """As it has landed."""
        return ROW if (tenant, payout_id) == ("acme", PAYOUT) else None

    async def proposer(self, tenant: str, payout_id: str, proposal: str) -> str:
        """Who proposed it."""
        self.lookups += 1
        return "op_ada" if (proposal, self.lookups > self.lands_after) == (PROPOSAL, True) else ""

    async def send(self, command: PayoutCommand, *, topic: str, key: str) -> PayoutReply:
        """What the fold answers."""
        assert topic == "settlement.inputs"
        self.sent.append((command, key))
        return PayoutReply(
            tenant="acme", payout_id=PAYOUT, status_code=200 if self.error is None else 403, payout=SHOWN, error=self.error
        )  # fmt: skip

    async def ask(self, kind: str, given: dict[str, Any], *, payout: str = PAYOUT) -> Any:
        """An operation's answer: its body, or the error."""
        caller = Caller(identity=BOB, version=LIVE[0], request_id="req_1", idempotency_key="k", traceparent="")
        try:
            return (await self.routes[kind].run(caller, {"payout": payout}, {"reason": "Seen", **given})).body
        except ApiError as error:
            return error


@pytest.fixture(autouse=True)
def at_once(monkeypatch) -> None:
    """What has not landed is looked for without a pause."""
    monkeypatch.setattr(held, "LOOKUP_PAUSE_S", 0)


@pytest.mark.parametrize(
    ("kind", "given", "proposal"),
    [
        ("inquire", {}, None),
        ("propose", {"resolution": "paid", "reference": "bank-7"}, proposal_id("acme", PAYOUT, "k")),
        ("approve", {"proposal": PROPOSAL}, PROPOSAL),
    ],
)
async def test_what_is_asked_goes_to_where_the_payout_is(kind, given, proposal) -> None:
    """With the person, the reason and the key; the answer is how the payout stands, and which proposal it is about."""
    desk = Desk()
    body = await desk.ask(kind, given)
    ((command, key),) = desk.sent
    assert (key, command.kind, command.payout_id) == ("acme/northpay/EUR", kind, PAYOUT)
    who = command.attribution
    assert (who.actor_kind, who.actor_id, who.reason, who.idempotency_key) == ("operator", "op_bob", "Seen", "k")
    assert (command.resolution, command.reference) == (given.get("resolution", ""), given.get("reference", ""))
    assert command.proposal_id == given.get("proposal", "")
    assert (body["object"], body["kind"], body["doubt"], body["payout"]["id"]) == ("payout_operation", kind, "held", PAYOUT)  # fmt: skip
    assert (body["proposal"], body["id"]) == (proposal, proposal or "req_1")


async def test_another_request_under_a_key_is_another_one() -> None:
    """The fingerprint tells what was asked, whatever the order of parameters."""
    desk = Desk()
    for given in ({"resolution": "paid"}, {"resolution": "paid"}, {"resolution": "failed"}):
        await desk.ask("propose", given)
    first, again, other = (command.fingerprint for command, _ in desk.sent)
    assert first == again != other


@pytest.mark.parametrize("change", [{"roles": ("analyst",)}, {"status": "disabled"}, {"tenants": ("shop",)}])
async def test_what_a_former_operator_proposed_is_not_approved(change) -> None:
    """The fold never hears of it."""
    desk = Desk()
    desk.memory.operators["op_ada"] = replace(desk.memory.operators["op_ada"], **change)
    refused = await desk.ask("approve", {"proposal": PROPOSAL})
    assert isinstance(refused, InvalidRequest)
    assert (refused.code, desk.sent) == ("approval_not_possible", [])


async def test_a_proposal_that_nobody_knows_of_is_not_approved() -> None:
    """One that has not landed is waited for a while; what never was is 404, and nothing is sent."""
    desk = Desk()
    desk.lands_after = held.LOOKUPS_MAX - 1
    assert (await desk.ask("approve", {"proposal": PROPOSAL}))["proposal"] == PROPOSAL
    unknown = await desk.ask("approve", {"proposal": "prop_" + 24 * "9"})
    assert isinstance(unknown, NotFound)
    assert len(desk.sent) == 1


@pytest.mark.parametrize("kind", ["inquire", "propose", "approve"])
@pytest.mark.parametrize("payout", ["po_" + 24 * "0", "pi_1"])
async def test_what_is_not_there_is_404(kind, payout) -> None:
    """Ids that never were and such as are none, alike; nothing is sent."""
    desk = Desk()
    given = {"propose": {"resolution": "paid"}, "approve": {"proposal": PROPOSAL}}.get(kind, {})
    found = await desk.ask(kind, given, payout=payout)
    assert isinstance(found, NotFound)
    assert desk.sent == []


async def test_what_the_fold_refuses_is_refused() -> None:
    """With its own words and status."""
    desk = Desk()
    desk.error = ErrorObject(type="invalid_request_error", code="approval_by_proposer", message="Another operator.")
    refused = await desk.ask("approve", {"proposal": PROPOSAL})
    assert isinstance(refused, Refused)
    assert (refused.status, refused.code) == (403, "approval_by_proposer")
