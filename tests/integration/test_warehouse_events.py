"""Events in a real ClickHouse engine: what the API lists and shows is what webhooks tell, id for id and byte for byte."""

import json
from hashlib import sha256

import pytest
from msgspec.structs import replace

from api.http import versions
from api.reads.lists import Lists, Page
from api.reads.render import event as shown
from api.reads.warehouse import Warehouse
from api.webhooks import types
from schemas import ids
from tests._database import database, land
from tests.unit.core.people import People, sealed
from tests.unit.core.situations import SITUATIONS
from tests.unit.core.test_payouts import Till
from tests.unit.core.world import TENANT, World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

LIVEMODE = False


def _parts(world):
    """Authorised, and captured twice: the charge is told of once."""
    world.create(capture_method="manual")
    world.answer(world.requests[-1], "authorized")
    for number, fields in enumerate(({"amount_minor": 400, "final_capture": False}, {})):
        world.send("capture", f"c{number}", of="k1", **fields)
        world.answer(world.requests[-1], "captured")


def _payments():
    """Every event of every situation that a payment can be in, each situation's under ids of its own."""

    def own(event_id, name):
        return event_id and "evt_" + sha256(f"{name}/{event_id}".encode()).hexdigest()[:24]

    for name, reach in {**SITUATIONS, "captured in parts": _parts}.items():
        world = World()
        reach(world)
        for event in world.events:
            payment_id = f"pi_{own(event.payment_id, name)[4:]}"
            yield replace(
                event,
                event_id=own(event.event_id, name),
                previous_event_id=own(event.previous_event_id, name),
                payment_id=payment_id,
                payment=event.payment and replace(event.payment, id=payment_id),
            )


def _payouts():
    """Paid, returned, canceled, and the window that they are of."""
    till = Till(settled_minor=10_000, payout_delay_ms=60_000)
    for key in ("paid", "returned", "called-off"):
        till.create(600, key, metadata={"run": key}, destination=f"ba_{key}")
    till.send("cancel", "c", of="called-off")
    till.tick(120_000)
    till.tell("paid", "paid")
    till.tell("paid", "returned")
    till.tell("failed", "returned", failure_code="no_account")
    return till.world.events


def _people():
    """Customers with all that they can have, methods and setup intents, to their ends."""
    people = People()
    customer = people.customer(personal=(sealed("name"), sealed("email")), metadata={"crm": "7"})
    method = people.saved(customer)
    people.ask("update_customer", "u1", customer, default_method=method)
    people.ask("create_setup", "s1", customer=customer, token="pm_card_visa", confirm=True)
    people.ask("create_setup", "s2", customer=customer, token="pm_card_chargeDeclined", confirm=True)
    people.ask("create_setup", "s3", customer=customer, token="pm_card_authenticationRequired", confirm=True)
    people.ask("complete_setup", "s3c", ids.setup_id(TENANT, "s3"), succeeded=False)
    people.ask("create_setup", "s4")
    people.ask("cancel_setup", "s4c", ids.setup_id(TENANT, "s4"), reason="abandoned")
    people.ask("detach_method", "d1", method)
    people.ask("delete_customer", "d2", customer)
    return people.events


@pytest.fixture(scope="module")
def landed(server):
    """Where all of these have landed, and the events."""
    events = {
        "payments.events": list(_payments()),
        "settlement.events": list(_payouts()),
        "customers.events": list(_people()),
    }
    with database(server) as (place, client):
        land(client, events)
        yield place, [one for some in events.values() for one in some if isinstance(one, types.TOLD)]


@pytest.fixture
async def lists(landed):
    """The API's lists over them."""
    warehouse = Warehouse(landed[0])
    await warehouse.start()
    yield Lists(warehouse)
    await warehouse.close()


def _told(events) -> dict[str, dict]:
    """What webhooks tell of them, by id."""
    told: dict[str, dict] = {}
    for event in events:
        for one in types.told(event):
            assert one.id not in told
            told[one.id] = json.loads(
                types.body(event, event_type=one.type, api_version=versions.NEWEST, livemode=LIVEMODE)
            )
    return told


async def _all(lists, filters=None, *, limit=37, before=""):
    """Rows of every page, newest first: from the newest on, or backwards from before an event."""
    found, cursor = [], before
    while True:
        page = Page(limit=limit, **{"ending_before" if before else "starting_after": cursor})
        part = await lists.page("events", TENANT, page, filters or {})
        found = [*part.rows, *found] if before else [*found, *part.rows]
        if not part.has_more:
            return found
        cursor = part.places[0 if before else -1].id


async def test_the_api_lists_each_event_that_webhooks_tell_as_they_tell_it(lists, landed):
    """Payments' and their companions', payouts', customers', methods', setup intents': ids, types and bodies are the same."""
    told = _told(landed[1])
    kinds = {one["type"] for one in told.values()}
    assert kinds >= {
        "charge.succeeded",
        "charge.failed",
        "charge.refunded",
        "payout.failed",
        "customer.deleted",
        "payment_method.detached",
        "setup_intent.canceled",
    }
    rows = await _all(lists)
    assert sorted(row["found_id"] for row in rows) == sorted(told)
    listed = [shown(row, livemode=LIVEMODE, api_version=versions.NEWEST) for row in rows]
    assert [one for one in listed if one | {"pending_webhooks": 1} != told[one["id"]]] == []


async def test_pages_of_events_are_in_one_order_both_ways_and_by_id(lists, landed):
    """Newest first whatever the pages' length and direction; each is found by its own id, and by no other tenant."""
    forwards = await _all(lists)
    at = [row["occurred_ms"] for row in forwards]
    assert at == sorted(at, reverse=True)
    order = [row["found_id"] for row in forwards]
    assert [row["found_id"] for row in await _all(lists, limit=11)] == order
    assert [row["found_id"] for row in await _all(lists, before=order[-1])] == order[:-1]
    for event_id in order[:: max(len(order) // 40, 1)]:
        place = await lists.find("events", TENANT, event_id)
        assert place is not None
        assert (await lists.row("events", TENANT, place))["found_id"] == event_id
        assert await lists.find("events", "another", event_id) is None


async def test_events_are_filtered_by_what_they_are_told_as(lists, landed):
    """`type` exactly or by its beginning, `types` any of several; companions by their own type, not their primary's."""
    told = _told(landed[1])
    for filters, fits in (
        ({"type": "charge.refunded"}, lambda kind: kind == "charge.refunded"),
        ({"type": "setup_intent.*"}, lambda kind: kind.startswith("setup_intent.")),
        ({"type": "charge.*"}, lambda kind: kind.startswith("charge.")),
        ({"types": ["payout.paid", "customer.created"]}, lambda kind: kind in ("payout.paid", "customer.created")),
        (
            {"types": ["charge.succeeded", "payment_intent.succeeded"]},
            lambda kind: kind in ("charge.succeeded", "payment_intent.succeeded"),
        ),
    ):
        wanted = sorted(one["id"] for one in told.values() if fits(one["type"]))
        assert wanted
        assert sorted(row["found_id"] for row in await _all(lists, filters)) == wanted
