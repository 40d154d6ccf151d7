"""Lanes over a real simulator: order within a payment, none between payments, and what is parked when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from connectors.providers.gateway import _translation
from connectors.providers.gateway._items import Item, Pending, Place, Reading
from connectors.providers.gateway._lanes import Lanes
from connectors.providers.gateway._settings import GatewaySettings
from connectors.providers.gateway._settling import Ports
from connectors.providers.gateway._translation import Asked
from schemas import codec
from schemas.catalogue import GATEWAY_PENDING, PAYMENTS_INPUTS
from schemas.records import PayoutRequest, PayoutResult, ProviderRequest, ProviderResult
from tests.unit.providers._world import World, client_of, simulated_world

DEADLINE_S = 60.0
PLACE = Place(partition=3, assignment=1)
HELD = GatewaySettings(timeout_s=3_600.0)
"""Calls that are held stay held for the whole test."""
QUICK = GatewaySettings(timeout_s=5.0, inquiry_first_s=0.01, inquiry_longest_s=0.05)


class Emitted:
    """What lanes emitted, in order."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.failures: list[BaseException] = []
        self.world: World | None = None
        self._more = asyncio.Event()

    def __call__(self, item: Item) -> None:
        self.items.append(item)
        self._more.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._more.clear()
                await self._more.wait()

    def told(self) -> list[tuple[str, str]]:
        """Request and outcome of every result."""
        values = [
            record.value for item in self.items for record in item.records if record.topic == PAYMENTS_INPUTS.name
        ]
        results = [codec.decode(value, expected=(ProviderResult,)) for value in values]
        return [(result.request_id, result.outcome) for result in results]

    def parked(self) -> list[str]:
        """Requests put among the pending ones, in order."""
        records = [record for item in self.items for record in item.records if record.topic == GATEWAY_PENDING.name]
        return [record.key.decode() for record in records if record.value is not None]

    def resolved(self) -> list[str]:
        """Requests taken from the pending ones."""
        records = [record for item in self.items for record in item.records if record.topic == GATEWAY_PENDING.name]
        return [record.key.decode() for record in records if record.value is None]

    def done_offsets(self) -> list[int]:
        """Offsets marked done, in order."""
        return [item.place.offset for item in self.items if item.marks_done]


@asynccontextmanager
async def lanes_over(directory: Path, settings: GatewaySettings = QUICK) -> AsyncIterator[tuple[Lanes, Emitted]]:
    """Lanes over one simulated provider; a failure of theirs fails the test."""
    emitted = Emitted()
    async with simulated_world(directory) as world, client_of(world.url()) as provider:
        ports = {"northpay": Ports(provider, settings, asyncio.Semaphore(settings.calls_max))}
        emitted.world = world
        lanes = Lanes(ports, settings, emit=emitted, fail=emitted.failures.append)
        try:
            yield lanes, emitted
        finally:
            await lanes.aclose()
    assert emitted.failures == []


def _asked(name: str, *, payment: str | None = None, method: str = "pm_card_visa", provider: str = "northpay") -> Asked:
    request = ProviderRequest(
        request_id=name,
        tenant="acme",
        payment_id=payment or f"pi_{name}",
        provider=provider,
        operation="authorize",
        amount_minor=1_000,
        currency="USD",
        payment_method=method,
        capture=True,
        requested_ms=_translation.now_ms(),
    )
    key = f"{request.tenant}/{request.payment_id}".encode()
    return _translation.read(key=key, value=codec.encode(request), timestamp_ms=0)


def _readings(*asked: Asked, first_offset: int = 10) -> list[Reading]:
    return [Reading(asked=one, place=PLACE, offset=first_offset + index) for index, one in enumerate(asked)]


async def test_requests_of_one_payment_are_settled_in_order(tmp_path):
    """A slow request holds up the next one of its payment."""
    async with lanes_over(tmp_path) as (lanes, emitted):
        lanes.accept(_readings(_asked("a1", payment="pi_a", method="pm_test_slow"), _asked("a2", payment="pi_a")))
        await emitted.until(lambda: len(emitted.items) == 2)
        assert emitted.told() == [("a1", "captured"), ("a2", "captured")]
        assert emitted.done_offsets() == [10, 11]
        assert (emitted.parked(), lanes.pending) == ([], 0)


@pytest.mark.parametrize(("passes", "outcome"), [(True, "captured"), (False, "declined")])
async def test_a_challenge_is_told_of_and_followed_until_the_customer_has_acted(tmp_path, passes, outcome):
    """The request is parked with its provisional outcome, later ones of the payment don't wait, and its last word is told."""
    async with lanes_over(tmp_path) as (lanes, emitted):
        asked = _asked("a1", payment="pi_a", method="pm_card_authenticationRequired")
        lanes.accept(_readings(asked, _asked("a2", payment="pi_a")))
        await emitted.until(lambda: len(emitted.told()) == 2)
        assert emitted.told() == [("a1", "requires_action"), ("a2", "captured")]
        assert emitted.parked()[0] == "a1"
        (charge, _) = emitted.world.books.charges("northpay", after=0, limit=2)
        emitted.world.books.complete_challenge("northpay", charge.reference, succeeded=passes)
        await emitted.until(lambda: len(emitted.told()) == 3)
        assert emitted.told()[-1] == ("a1", outcome)
        assert "a1" in emitted.resolved()


async def test_payments_do_not_wait_for_each_other(tmp_path):
    """While one payment's call is held, another's is settled."""
    async with lanes_over(tmp_path, HELD) as (lanes, emitted):
        held = _asked("a1", payment="pi_a", method="pm_test_timeout")
        lanes.accept(_readings(held, _asked("a2", payment="pi_a"), _asked("b1")))
        await emitted.until(lambda: len(emitted.items) == 1)
        assert (emitted.told(), emitted.done_offsets()) == ([("b1", "captured")], [12])
        assert lanes.calling == 1


async def test_an_unknown_outcome_is_told_once_and_parks_its_lane(tmp_path):
    """Unknown is told with the parking; what waits behind is parked too; then each gets its result and its tombstone, in order."""
    async with lanes_over(tmp_path) as (lanes, emitted):
        lost = _asked("a1", payment="pi_a", method="pm_test_dropAfterCharge")
        lanes.accept(_readings(lost, _asked("a2", payment="pi_a")))
        await emitted.until(lambda: lanes.pending == 2)
        lanes.accept(_readings(_asked("a3", payment="pi_a"), first_offset=20))
        await emitted.until(lambda: len(emitted.resolved()) == 3)
        assert emitted.told() == [("a1", "unknown"), ("a1", "captured"), ("a2", "captured"), ("a3", "captured")]
        assert emitted.parked() == ["a1", "a2", "a3"]
        assert emitted.resolved() == ["a1", "a2", "a3"]
        assert (emitted.done_offsets(), lanes.pending) == ([10, 11, 20], 0)


async def test_what_comes_for_a_stalled_provider_is_parked(tmp_path):
    """When the oldest waits too long for a place, later requests leave the window; the ones before stay in it."""
    settings = msgspec.structs.replace(HELD, calls_per_provider_max=1, stalled_after_s=0.05)
    async with lanes_over(tmp_path, settings) as (lanes, emitted):
        lanes.accept(_readings(_asked("a", method="pm_test_timeout"), _asked("b")))
        await asyncio.sleep(0.2)  # longer than what counts as stalled
        lanes.accept(_readings(_asked("c"), first_offset=20))
        assert (emitted.parked(), emitted.done_offsets(), lanes.pending) == (["c"], [20], 1)


async def test_pending_requests_are_inquired_before_they_are_sent(tmp_path):
    """A request found pending after a restart may have been sent already: it is looked for first, in the order of offsets."""
    async with lanes_over(tmp_path) as (lanes, emitted):
        pendings = [
            Pending(asked=_asked(name, payment="pi_a"), place=PLACE, offset=offset, reported=True)
            for name, offset in (("a2", 6), ("a1", 5))
        ]
        lanes.restore(pendings)
        await emitted.until(lambda: len(emitted.told()) == 2)
        results = [record for item in emitted.items for record in item.records if record.topic == PAYMENTS_INPUTS.name]
        told = [codec.decode(record.value, expected=(ProviderResult,)) for record in results]
        assert [(one.request_id, one.outcome, one.inquiries) for one in told] == [
            ("a1", "captured", 1),
            ("a2", "captured", 1),
        ]
        assert (emitted.done_offsets(), lanes.pending) == ([], 0)


async def test_dropped_partitions_are_silent(tmp_path):
    """After its partition went to another gateway, nothing more is told of a request; other partitions go on."""
    async with lanes_over(tmp_path) as (lanes, emitted):
        elsewhere = Reading(asked=_asked("b"), place=Place(partition=4, assignment=1), offset=1)
        lanes.accept([*_readings(_asked("a", method="pm_test_timeout"), _asked("p", method="pm_test_dropAfterCharge"))])
        await emitted.until(lambda: lanes.pending == 1)
        lanes.drop([3])
        count = len(emitted.items)
        assert (lanes.pending, lanes.calling) == (0, 0)
        lanes.accept([elsewhere])
        await emitted.until(lambda: len(emitted.items) > count)
        assert emitted.told()[1:] == [("b", "captured")]


async def test_a_stopping_gateway_starts_nothing_new(tmp_path):
    """Told to stop, a lane ends the call it is at and leaves the rest to the successor."""
    async with lanes_over(tmp_path) as (lanes, emitted):
        lanes.accept(_readings(_asked("a1", payment="pi_a", method="pm_test_slow"), _asked("a2", payment="pi_a")))
        await asyncio.sleep(0)
        lanes.stopping = True
        await emitted.until(lambda: len(emitted.items) == 1)
        await asyncio.sleep(0.1)  # a lane that went on would have told of the next by now
        assert lanes.calling == 0
        assert emitted.told() == [("a1", "captured")]


SLOW = GatewaySettings(timeout_s=5.0, inquiry_first_s=36_000.0, inquiry_longest_s=36_000.0)
"""What waits for a back-off waits for the rest of the test."""


def _inquiry(about: Asked, *, number: int = 7) -> Asked:
    """An operator's inquiry about a request, as the fold makes it."""
    request = msgspec.structs.replace(
        about.request, request_id=f"{about.request.request_id}_inquire_{number}", operation="inquire"
    )
    return _translation.read(key=about.key, value=codec.encode(request), timestamp_ms=0)


def _charge(payment: str, method: str = "pm_card_visa") -> Asked:
    request = msgspec.structs.replace(
        _asked("ch_1_authorize_1", payment=payment, method=method).request, object_id="ch_1"
    )
    return _translation.read(key=f"acme/{payment}".encode(), value=codec.encode(request), timestamp_ms=0)


async def test_an_inquiry_does_not_wait_for_the_back_off(tmp_path):
    """The request in doubt gets its one result at once, and the inquiry itself is done without one; it waits in no lane."""
    async with lanes_over(tmp_path, SLOW) as (lanes, emitted):
        asked = _charge("pi_a", "pm_test_dropAfterCharge")
        lanes.accept(_readings(asked))
        await emitted.until(lambda: lanes.pending == 1)
        lanes.accept(_readings(_inquiry(asked), first_offset=20))
        await emitted.until(lambda: len(emitted.told()) == 2)
        assert emitted.told() == [("ch_1_authorize_1", "unknown"), ("ch_1_authorize_1", "captured")]
        assert (emitted.parked(), emitted.resolved()) == (["ch_1_authorize_1"], ["ch_1_authorize_1"])
        assert (emitted.done_offsets(), lanes.pending) == ([10, 20], 0)


async def test_an_inquiry_about_what_waits_hurries_what_it_waits_behind(tmp_path):
    """The first of the payment's requests is asked about, and then the one that the inquiry names has its turn."""
    async with lanes_over(tmp_path, SLOW) as (lanes, emitted):
        lost, behind = _asked("a1", payment="pi_a", method="pm_test_dropAfterCharge"), _charge("pi_a")
        lanes.accept(_readings(lost, behind))
        await emitted.until(lambda: lanes.pending == 2)
        lanes.accept(_readings(_inquiry(behind), first_offset=20))
        await emitted.until(lambda: len(emitted.told()) == 3)
        assert emitted.told()[1:] == [("a1", "captured"), ("ch_1_authorize_1", "captured")]


async def test_an_inquiry_hurries_the_last_word_of_a_challenge(tmp_path):
    """What was told provisionally is asked about at once, too."""
    async with lanes_over(tmp_path, SLOW) as (lanes, emitted):
        asked = _charge("pi_a", "pm_card_authenticationRequired")
        lanes.accept(_readings(asked))
        await emitted.until(lambda: len(emitted.told()) == 1)
        (charge,) = emitted.world.books.charges("northpay", after=0, limit=2)
        emitted.world.books.complete_challenge("northpay", charge.reference, succeeded=True)
        lanes.accept(_readings(_inquiry(asked), first_offset=20))
        await emitted.until(lambda: len(emitted.told()) == 2)
        assert [outcome for _, outcome in emitted.told()] == ["requires_action", "captured"]


async def test_an_inquiry_about_a_settled_request_asks_the_provider_again(tmp_path):
    """Its answer is told as that request's result; about what the provider has never seen nothing is told, and nothing closed."""
    async with lanes_over(tmp_path, SLOW) as (lanes, emitted):
        asked = _charge("pi_a")
        lanes.accept(_readings(asked))
        await emitted.until(lambda: len(emitted.told()) == 1)
        never = _charge("pi_b")
        never = msgspec.structs.replace(
            never, request=msgspec.structs.replace(never.request, request_id="ch_1_authorize_9")
        )
        lanes.accept(_readings(_inquiry(asked), _inquiry(never), first_offset=20))
        await emitted.until(lambda: len(emitted.done_offsets()) == 3)
        assert emitted.told() == [("ch_1_authorize_1", "captured")] * 2
        assert (sorted(emitted.done_offsets()), emitted.parked(), lanes.pending) == ([10, 20, 21], [], 0)
        sent = _translation.read(key=never.key, value=codec.encode(never.request), timestamp_ms=0)
        lanes.accept(_readings(sent, first_offset=30))
        await emitted.until(lambda: len(emitted.told()) == 3)
        assert emitted.told()[-1] == ("ch_1_authorize_9", "captured")


async def test_an_inquiry_that_gets_no_answer_is_parked_and_goes_on_after_a_restart(tmp_path):
    """Under its own id, with no result until there is one: then the original's, and the tombstone of the inquiry."""
    asked = _charge("pi_a")
    silent = Emitted()
    async with client_of("http://127.0.0.1:1/providers/northpay") as nobody:
        lanes = Lanes(
            {"northpay": Ports(nobody, SLOW, asyncio.Semaphore(1))}, SLOW, emit=silent, fail=silent.failures.append
        )
        lanes.accept(_readings(_inquiry(asked)))
        await silent.until(lambda: lanes.pending == 1)
        assert (silent.parked(), silent.done_offsets(), silent.told()) == (["ch_1_authorize_1_inquire_7"], [10], [])
        lanes.drop([3])
        assert lanes.pending == 0
        await lanes.aclose()
    assert silent.failures == []
    async with lanes_over(tmp_path, SLOW) as (lanes, emitted):
        lanes.accept(_readings(asked))
        await emitted.until(lambda: len(emitted.told()) == 1)
        lanes.restore([Pending(asked=_inquiry(asked), place=PLACE, offset=5, reported=False)])
        await emitted.until(lambda: len(emitted.told()) == 2)
        assert emitted.told() == [("ch_1_authorize_1", "captured")] * 2
        assert emitted.resolved() == ["ch_1_authorize_1_inquire_7"]
        assert (emitted.done_offsets(), lanes.pending) == ([10], 0)


def _payout(destination: str, *, inquiry: int = 0) -> Asked:
    """A payout, or an operator's inquiry about it, as the fold makes them."""
    request = PayoutRequest(
        request_id="po_1_payout_1",
        tenant="acme",
        payout_id="po_1",
        provider="northpay",
        currency="EUR",
        amount_minor=600,
        destination=destination,
        requested_ms=_translation.now_ms(),
        inquiry=inquiry,
    )
    return _translation.read(key=b"acme/po_1", value=codec.encode(request), timestamp_ms=0)


def _paid(emitted: Emitted) -> list[tuple[str, str]]:
    values = [record.value for item in emitted.items for record in item.records if record.topic == "settlement.inputs"]
    results = [codec.decode(value, expected=(PayoutResult,)) for value in values]
    return [(one.request_id, one.outcome) for one in results]


@pytest.mark.parametrize(
    ("destination", "outcomes"),
    [("ba_test_dropAfterPaying", ["unknown", "in_transit"]), ("ba_test_instant", ["paid", "paid"])],
)
async def test_an_inquiry_about_a_payout_makes_none(tmp_path, destination, outcomes):
    """In doubt it is hurried, settled it is asked about again: each answer is the payout's own, and the provider has made one."""
    async with lanes_over(tmp_path, SLOW) as (lanes, emitted):
        lanes.accept(_readings(_payout(destination)))
        await emitted.until(lambda: len(_paid(emitted)) == 1)
        lanes.accept(_readings(_payout(destination, inquiry=3), first_offset=20))
        await emitted.until(lambda: len(_paid(emitted)) == 2)
        assert _paid(emitted) == [("po_1_payout_1", outcome) for outcome in outcomes]
        assert sorted(emitted.done_offsets()) == [10, 20]
        assert len(emitted.world.books.payouts("northpay", after=0, limit=9)) == 1
