"""Payouts in a real ClickHouse engine: landed as they are, taken off the balances, and proven against ledger and transactions."""

import pytest

from api.payouts.lists import Lists
from api.reads.landed import LandedPayouts
from api.reads.lists import Lists as EventLists
from api.reads.lists import Page
from api.reads.render import event
from api.reads.warehouse import Warehouse
from schemas import environment
from streams.core import ids
from tests._database import land
from tests.unit.core.test_payout_operators import operate
from tests.unit.core.test_payouts import Till
from tests.unit.core.world import TENANT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DELAY_MS = 86_400_000
PROOFS = ("proof_landed", "proof_balanced", "proof_balances", "proof_payouts")


@pytest.fixture
def landed(client):
    """Payouts have landed."""
    _land(client, _lives())


def _lives() -> Till:
    """Paid, failed, returned after it was paid, called off, in transit, pending; of 10,000 settled."""
    till = Till(settled_minor=10_000, payout_delay_ms=60_000)
    for number, key in enumerate(("paid", "failed", "returned", "called-off", "in-transit")):
        till.create(600 + number, key, metadata={"run": key}, destination=f"ba_{key}")
    till.send("cancel", "c", of="called-off")
    till.tick(120_000)
    till.tell("paid", "paid", amount_minor=600)
    till.tell("failed", "failed", failure_code="account_closed")
    till.tell("paid", "returned", amount_minor=602)
    till.tell("failed", "returned", failure_code="no_account")
    till.tell("unknown", "in-transit")
    till.create(50, "pending")
    return till


def _resolved() -> Till:
    """One held and then paid, one that failed and was paid all the same, one that is held and proposed about; of 10,000 settled."""
    till = Till(settled_minor=10_000)
    for key in ("held", "failed", "open"):
        till.create(600, key, destination=f"ba_{key}")
    till.tick()
    till.tell("paid", "held", amount_minor=601)
    till.tell("failed", "failed")
    till.tell("paid", "failed")
    till.tell("paid", "open", amount_minor=1)
    for key in ("held", "failed"):
        payout_id = ids.payout_id(TENANT, key)
        proposed = operate(till, "propose", f"p-{key}", payout_id=payout_id, resolution="paid", reference=f"bank-{key}")
        operate(till, "approve", f"a-{key}", who="bob", payout_id=payout_id, proposal_id=proposed.events[0].proposal.id)
    operate(till, "propose", "p-open", payout_id=ids.payout_id(TENANT, "open"), resolution="failed")
    return till


def _land(client, till: Till) -> None:
    land(client, {"settlement.events": till.world.events})


@pytest.mark.usefixtures("landed")
def test_payouts_stand_as_their_newest_events_say_and_every_proof_holds(client):
    """Status and failure of each; what is payable; and the balance's view takes them off."""
    found = client.rows("SELECT destination, status, failure_code, outcome_unknown FROM payouts ORDER BY destination")
    assert found == [
        ("", "pending", "", False),
        ("ba_called-off", "canceled", "", False),
        ("ba_failed", "failed", "account_closed", False),
        ("ba_in-transit", "in_transit", "", True),
        ("ba_paid", "paid", "", False),
        ("ba_returned", "failed", "no_account", False),
    ]
    taken = 600 + 604 + 50
    (payable,) = client.rows("SELECT settled_minor, paid_out_minor, payable_minor FROM payable_balances")
    assert payable == (10_000, taken, 10_000 - taken)
    (balance,) = client.rows("SELECT paid_out_minor, available_minor, pending_minor FROM tenant_balances")
    assert balance == (taken, -taken, 0)  # payments' own events are not part of this world
    assert client.rows("SELECT * FROM tenant_earnings") == []
    for proof in PROOFS:
        assert client.rows(f"SELECT * FROM {proof} WHERE NOT holds") == [], proof
    (sums,) = client.rows("SELECT payouts_minor, ledger_minor, transactions_minor, paid_minor FROM proof_payouts")
    assert sums == (taken, taken, taken, 600)


def test_what_operators_resolved_is_proven_and_what_is_held_is_found(client):
    """Every proof holds; each proposal has its row, with who said so and why; only what is open is left."""
    _land(client, _resolved())
    for proof in PROOFS:
        assert client.rows(f"SELECT * FROM {proof} WHERE NOT holds") == [], proof
    (sums,) = client.rows("SELECT payouts_minor, paid_minor FROM proof_payouts")
    assert sums == (1_800, 1_200)
    found = client.rows(
        "SELECT destination, proposal_resolution, proposal_reference, proposal_reason, proposed_by, approved_by, type "
        "FROM payout_events WHERE proposal_id != '' ORDER BY _offset"
    )
    said = ("seen", "ada")
    kinds = ("payout.resolution_proposed", "payout.resolution_approved")
    assert found == [
        *(
            (f"ba_{key}", "paid", f"bank-{key}", *said, who, kind)
            for key in ("held", "failed")
            for who, kind in zip(("", "bob"), kinds, strict=True)
        ),
        ("ba_open", "failed", "", *said, "", kinds[0]),
    ]
    open_ones = client.rows(
        "SELECT destination, doubt, conflict FROM payout_events ORDER BY sequence DESC LIMIT 1 BY payout_id"
    )
    assert [one for one in open_ones if one[1] or one[2]] == [("ba_open", "held", "")]


@pytest.mark.usefixtures("landed")
@pytest.mark.parametrize(
    "tampering",
    [
        "ALTER TABLE ledger_entries DELETE WHERE event_type = 'payout.paid' AND account = 'provider_receivable:northpay'",
        "ALTER TABLE balance_transactions DELETE WHERE type = 'payout_cancel'",
        "ALTER TABLE payout_events DELETE WHERE type = 'payout.failed'",
        "ALTER TABLE payout_events DELETE WHERE type = 'payout.updated'",
    ],
)
def test_what_somebody_takes_out_of_a_book_is_seen(client, tampering):
    """A leg, a transaction, an event that changed money, one that changed none."""
    client.execute(f"{tampering} SETTINGS mutations_sync = 2")
    assert client.rows("SELECT * FROM proof_payouts WHERE NOT holds")


@pytest.mark.usefixtures("landed")
async def test_what_the_api_asks_of_them(client, server):
    """Pages both ways, an event with its payout as it was, windows and proofs, each as the API shows it."""
    place = environment.warehouse(f"{server}/{client.rows('SELECT currentDatabase()')[0][0]}")
    warehouse = Warehouse(place)
    await warehouse.start()
    try:
        await _asked(warehouse)
    finally:
        await warehouse.close()


async def _asked(warehouse: Warehouse) -> None:
    events = await EventLists(warehouse).page("events", TENANT, Page(limit=3), {"type": "payout.*"})
    shown = [event(row, livemode=False, api_version="") for row in events.rows]
    assert events.has_more
    assert [one["type"] for one in shown] == ["payout.created", "payout.updated", "payout.failed"]
    assert shown[0]["data"]["object"]["status"] == "pending"
    assert (shown[2]["data"]["object"]["failure_code"], shown[2]["clearline"]["sequence"]) == ("no_account", 4)
    older = Page(limit=100, starting_after=events.places[-1].id)
    rest = await EventLists(warehouse).page("events", TENANT, older, {"type": "payout.*"})
    assert (len(rest.places), rest.has_more) == (13, False)
    place = await EventLists(warehouse).find("events", TENANT, events.places[0].id)
    assert place == events.places[0]
    assert (await EventLists(warehouse).row("events", TENANT, place))["payout_id"] == place.payment_id

    lists = Lists(warehouse, LandedPayouts(warehouse))
    page = await lists.payouts(TENANT, {"limit": 2})
    assert ([row["amount_minor"] for row in page.rows][:1], page.has_more) == ([50], True)
    back = await lists.payouts(TENANT, {"ending_before": page.rows[-1]["object_id"]})
    assert [row["object_id"] for row in back.rows] == [page.rows[0]["object_id"]]
    failed = await lists.payouts(TENANT, {"status": "failed", "currency": "eur"})
    told = await lists.transactions(TENANT, [row["object_id"] for row in failed.rows])
    assert len(failed.rows) == 2
    assert all(taken and returned for taken, returned in told.values())
    (window,) = (await lists.windows(TENANT, {"status": "closed"})).rows
    sums, made = await lists.moved(TENANT, [window["object_id"]])
    assert (sums[window["object_id"]], made) == ({"capture": 10_000}, {})
    closes_ms = window["closes_ms"]
    for delay_ms, left_minor in ((0, 10_000 - 1_254), (DELAY_MS, 10_000 - 1_254), (DELAY_MS + 1, None)):
        found = await lists.payable(TENANT, "EUR", delay_ms=delay_ms, now_ms=closes_ms + DELAY_MS)
        assert found == ({} if left_minor is None else {"northpay": left_minor})
    assert await lists.payable("another", "EUR", delay_ms=0, now_ms=closes_ms) == {}
    proofs = {row["kind"]: (row["expected"], row["found"], row["records"]) for row in await lists.proofs(TENANT)}
    assert proofs["payouts_to_ledger"] == proofs["payouts_to_balance_transactions"] == (1_254, 1_254, 6)
    assert proofs["payments_to_windows"][1:] == (10_000, 1)
    assert await lists.payout("another", page.rows[0]["object_id"]) is None
    assert (await lists.windows("another", {})).rows == []
