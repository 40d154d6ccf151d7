"""What every implementation of the seam must do; parametrised by provider, today the simulator's client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from connectors.providers.base import DeclineKind, NotFound, OperationKind, Outcome, OutcomeKind, Provider
from tests.unit.providers._world import authorize, client_of, follow_up, simulated_world

TIMEOUT_S = 60.0
SHORT_S = 0.3


class Subject:
    """A provider under test, and how many charges it really made."""

    def __init__(self, provider: Provider, charges: object) -> None:
        self.provider, self.charges = provider, charges

    async def ask(self, operation, *, timeout_s: float = TIMEOUT_S) -> Outcome:
        return await self.provider.perform(operation, timeout_s=timeout_s)

    async def inquire(self, operation, *, close: bool = False) -> Outcome | NotFound:
        return await self.provider.inquire(operation, timeout_s=TIMEOUT_S, close=close)


async def _simulated(stack: AsyncExitStack, directory: Path) -> Subject:
    refused = frozenset({("northpay", "KWD")})
    world = await stack.enter_async_context(simulated_world(directory, refused_currencies=refused))
    provider = await stack.enter_async_context(client_of(world.url()))
    return Subject(provider, lambda: world.books.charges("northpay", after=0, limit=100))


SUBJECTS = {"simulated": _simulated}


@pytest_asyncio.fixture(params=sorted(SUBJECTS))
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    """Each implementation in turn, on empty books."""
    async with AsyncExitStack() as stack:
        yield await SUBJECTS[request.param](stack, tmp_path)


async def test_a_charge_is_captured_with_its_fee(subject):
    """Authorise and capture in one step reports amount, currency, a reference and the provider's fee."""
    found = await subject.ask(authorize())
    assert (found.kind, found.amount_minor, found.currency) == (OutcomeKind.CAPTURED, 1_999, "USD")
    assert found.reference
    assert found.fee_minor is not None
    assert 0 < found.fee_minor < 1_999


async def test_a_charge_is_converted_where_that_is_asked_and_its_refund_too(subject):
    """Amount, currency and rate are stated together, the fee is in that currency, and an inquiry says the same."""
    asked = authorize(settlement_currency="EUR")
    found = await subject.ask(asked)
    assert (found.kind, found.amount_minor, found.currency) == (OutcomeKind.CAPTURED, 1_999, "USD")
    assert found.settlement_currency == "EUR"
    assert found.settlement_amount_minor is not None
    assert found.fee_minor is not None
    assert 0 < found.fee_minor < found.settlement_amount_minor
    assert found.fx_rate
    assert await subject.inquire(asked) == found
    refund = follow_up(OperationKind.REFUND, found.reference, "key-2", amount_minor=500)
    made = await subject.ask(msgspec.structs.replace(refund, settlement_currency="EUR"))
    assert (made.kind, made.settlement_currency) == (OutcomeKind.REFUNDED, "EUR")
    assert made.fx_rate


async def test_authorise_then_capture_less(subject):
    """A part of what was authorised can be captured, once."""
    held = await subject.ask(authorize(capture=False))
    assert held.kind is OutcomeKind.AUTHORIZED
    taken = await subject.ask(follow_up(OperationKind.CAPTURE, held.reference, "key-2", amount_minor=1_000))
    assert (taken.kind, taken.amount_minor) == (OutcomeKind.CAPTURED, 1_000)
    again = await subject.ask(follow_up(OperationKind.CAPTURE, held.reference, "key-3", amount_minor=999))
    assert again.kind is OutcomeKind.REFUSED


async def test_more_than_authorised_is_refused(subject):
    """A capture of more than was authorised is a definite refusal."""
    held = await subject.ask(authorize(capture=False))
    found = await subject.ask(follow_up(OperationKind.CAPTURE, held.reference, "key-2", amount_minor=2_000))
    assert (found.kind, found.code) == (OutcomeKind.REFUSED, "amount_too_large")


async def test_a_void_releases_and_then_nothing_can_be_captured(subject):
    """A voided authorisation can't be captured."""
    held = await subject.ask(authorize(capture=False))
    assert (await subject.ask(follow_up(OperationKind.VOID, held.reference, "key-2"))).kind is OutcomeKind.VOIDED
    late = await subject.ask(follow_up(OperationKind.CAPTURE, held.reference, "key-3"))
    assert late.kind is OutcomeKind.REFUSED


async def test_several_partial_refunds_up_to_what_was_captured(subject):
    """Refunds add up to the captured amount and no further."""
    charge = (await subject.ask(authorize())).reference
    first = await subject.ask(follow_up(OperationKind.REFUND, charge, "key-2", amount_minor=1_000))
    second = await subject.ask(follow_up(OperationKind.REFUND, charge, "key-3", amount_minor=999))
    third = await subject.ask(follow_up(OperationKind.REFUND, charge, "key-4", amount_minor=1))
    assert [one.kind for one in (first, second, third)] == [
        OutcomeKind.REFUNDED,
        OutcomeKind.REFUNDED,
        OutcomeKind.REFUSED,
    ]
    assert first.reference != second.reference


async def test_the_same_key_has_one_effect_and_one_answer(subject):
    """Repeated and concurrent tries under one key give the same answer and make one charge."""
    found = await asyncio.gather(*(subject.ask(authorize()) for _ in range(20)))
    assert set(map(str, found)) == {str(found[0])}
    assert len(subject.charges()) == 1


async def test_a_key_used_with_other_parameters_has_no_effect(subject):
    """The second use of a key for something else charges nothing, and its outcome is learnt by inquiry only."""
    await subject.ask(authorize())
    other = authorize(amount_minor=5_000)
    assert (await subject.ask(other)).kind is OutcomeKind.UNKNOWN
    assert len(subject.charges()) == 1
    assert (await subject.inquire(other)).kind is OutcomeKind.INTEGRITY_FAILURE


@pytest.mark.parametrize(
    ("payment_method", "kind", "code"),
    [
        ("pm_card_chargeDeclined", DeclineKind.HARD, "card_declined"),
        ("pm_card_chargeDeclinedInsufficientFunds", DeclineKind.HARD, "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", DeclineKind.HARD, "expired_card"),
        ("pm_card_chargeDeclinedStolenCard", DeclineKind.HARD, "stolen_card"),
        ("pm_test_softDecline", DeclineKind.SOFT, "try_again_later"),
        ("pm_test_issuerUnavailable", DeclineKind.SOFT, "issuer_unavailable"),
        ("pm_test_doNotHonor", DeclineKind.SOFT, "do_not_honor"),
    ],
)
async def test_declines_say_whether_a_retry_can_help(subject, payment_method, kind, code):
    """A decline is definite, charges nothing, has a code, and is soft or hard."""
    found = await subject.ask(authorize(payment_method=payment_method))
    assert (found.kind, found.decline_kind, found.code) == (OutcomeKind.DECLINED, kind, code)
    assert subject.charges() == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"payment_method": "pm_test_refused"}, "provider_unavailable"),
        ({"payment_method": "pm_nobody_knows"}, "payment_method_unknown"),
        ({"currency": "KWD"}, "currency_unsupported"),
    ],
)
async def test_refusals_are_definite_and_permit_failover(subject, changes, code):
    """A provider that says no before any effect is definite about it."""
    found = await subject.ask(authorize(**changes))
    assert (found.kind, found.code, found.permits_failover) == (OutcomeKind.REFUSED, code, True)
    assert subject.charges() == []


@pytest.mark.parametrize("payment_method", ["pm_test_dropAfterCharge", "pm_test_error500AfterCharge"])
async def test_a_lost_answer_is_unknown_and_found_by_inquiry(subject, payment_method):
    """Where the charge was made and its answer lost, the outcome is unknown until an inquiry finds the one charge."""
    operation = authorize(payment_method=payment_method)
    assert (await subject.ask(operation)).kind is OutcomeKind.UNKNOWN
    await _found_charged_once(subject, operation)


async def test_an_answer_that_comes_too_late_is_unknown_and_found_by_inquiry(subject):
    """A time-out is unknown, however often it is tried; the inquiry finds the one charge."""
    operation, timeout_s = authorize(payment_method="pm_test_timeout"), SHORT_S
    while True:  # on a slow machine the first try may give up before it was read at all
        assert (await subject.ask(operation, timeout_s=timeout_s)).kind is OutcomeKind.UNKNOWN
        if not isinstance(await subject.inquire(operation), NotFound):
            break
        timeout_s *= 2
    await _found_charged_once(subject, operation)


async def _found_charged_once(subject, operation):
    found = await subject.inquire(operation)
    assert (found.kind, found.amount_minor) == (OutcomeKind.CAPTURED, 1_999)
    assert (await subject.inquire(operation, close=True)) == found
    assert len(subject.charges()) == 1


async def test_a_failure_before_the_effect_is_unknown_too(subject):
    """A 5xx tells nothing of the effect; only the inquiry knows that there was none."""
    operation = authorize(payment_method="pm_test_error500")
    assert (await subject.ask(operation)).kind is OutcomeKind.UNKNOWN
    assert await subject.inquire(operation) == NotFound(closed=False)


async def test_after_a_closing_inquiry_a_late_try_charges_nothing(subject):
    """A request that arrives after its key was closed is refused, for ever."""
    assert await subject.inquire(authorize(), close=True) == NotFound(closed=True)
    late = await subject.ask(authorize())
    assert (late.kind, late.code) == (OutcomeKind.REFUSED, "key_closed")
    assert await subject.inquire(authorize(), close=True) == NotFound(closed=True)
    assert subject.charges() == []


async def test_after_a_plain_inquiry_a_late_try_still_charges(subject):
    """A plain not-found proves nothing, which is why it is never taken for a definite no."""
    assert await subject.inquire(authorize()) == NotFound(closed=False)
    assert (await subject.ask(authorize())).kind is OutcomeKind.CAPTURED


async def test_a_request_and_a_closing_inquiry_that_cross_agree(subject):
    """Of a try on its way and an inquiry that closes its key, one comes first at the provider, and both say the same."""
    agreed = set()
    for number in range(20):
        operation = authorize(f"key-{number}", payment_method="pm_test_slow" if number == 0 else "pm_card_visa")
        asked, inquired = await asyncio.gather(subject.ask(operation), subject.inquire(operation, close=True))
        charged = any(charge.key == operation.idempotency_key for charge in subject.charges())
        agreed.add((asked.kind, isinstance(inquired, NotFound), charged))
    assert agreed <= {(OutcomeKind.REFUSED, True, False), (OutcomeKind.CAPTURED, False, True)}


async def test_a_wrong_amount_is_never_accepted(subject):
    """A provider that reports another amount or currency leads to an integrity failure, on every way of asking."""
    operation = authorize(payment_method="pm_test_wrongAmount")
    for found in (await subject.ask(operation), await subject.ask(operation), await subject.inquire(operation)):
        assert (found.kind, found.amount_minor) == (OutcomeKind.INTEGRITY_FAILURE, 2_000)
    other = await subject.ask(authorize("key-2", payment_method="pm_test_wrongCurrency"))
    assert (other.kind, other.currency) == (OutcomeKind.INTEGRITY_FAILURE, "EUR")


async def test_a_challenge_is_a_definite_outcome_with_an_address(subject):
    """Where the customer must act, the outcome says so and where."""
    found = await subject.ask(authorize(payment_method="pm_card_authenticationRequired"))
    assert (found.kind, found.code) == (OutcomeKind.REQUIRES_ACTION, "authentication_required")
    assert found.action_url


async def test_nobody_listening_is_unknown(unused_tcp_port):
    """A refused connection sent nothing now, yet proves nothing about earlier tries under the key."""
    async with client_of(f"http://127.0.0.1:{unused_tcp_port}/v1") as provider:
        assert (await provider.perform(authorize(), timeout_s=TIMEOUT_S)).kind is OutcomeKind.UNKNOWN
        for close in (False, True):
            found = await provider.inquire(authorize(), timeout_s=TIMEOUT_S, close=close)
            assert isinstance(found, Outcome)
            assert found.kind is OutcomeKind.UNKNOWN
