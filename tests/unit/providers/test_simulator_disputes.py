"""Disputes of the simulated providers: some time after a capture, moved on by evidence or by time, told once each."""

from __future__ import annotations

import pytest

from connectors.providers.base import OperationKind, OutcomeKind
from tests.unit.providers._world import authorize, client_of, follow_up, simulated_world

TIMEOUT_S = 60.0


async def _disputed(world, provider, method):
    outcome = await provider.perform(authorize(payment_method=method), timeout_s=TIMEOUT_S)
    assert outcome.kind is OutcomeKind.CAPTURED
    assert await provider.notices(after=0, timeout_s=TIMEOUT_S) == []
    world.clock.now_ms += 3_000
    (notice,) = await provider.notices(after=0, timeout_s=TIMEOUT_S)
    assert notice.charge == outcome.reference
    return notice


@pytest.mark.parametrize(
    ("method", "status", "withdrawn_minor"),
    [
        ("pm_card_createDispute", "needs_response", 1_999),
        ("pm_card_createDisputeInquiry", "warning_needs_response", 0),
        ("pm_test_createDisputePartial", "needs_response", 499),
        ("pm_test_disputePrevented", "prevented", 0),
    ],
)
async def test_a_dispute_opens_some_time_after_the_capture(tmp_path, method, status, withdrawn_minor):
    """The payment method says which kind; nobody hears of it before."""
    async with simulated_world(tmp_path) as world, client_of(world.url()) as provider:
        notice = await _disputed(world, provider, method)
        assert (notice.status, notice.withdrawn_minor) == (status, withdrawn_minor)
        assert (notice.number, notice.sequence, notice.payment_reference) == (1, 1, "acme/pi_1")


@pytest.mark.parametrize(("text", "verdict"), [("winning_evidence", "won"), ("losing_evidence", "lost")])
async def test_evidence_decides(tmp_path, text, verdict):
    """Taken once under its key, reviewed for a while, then won or lost, with the money to match."""
    async with simulated_world(tmp_path) as world, client_of(world.url()) as provider:
        notice = await _disputed(world, provider, "pm_card_createDispute")
        asked = follow_up(OperationKind.SUBMIT_EVIDENCE, notice.dispute, "dp_1_submit_evidence_1")
        asked = type(asked)(
            **{**{name: getattr(asked, name) for name in asked.__struct_fields__}, "evidence": {"a": text}}
        )
        for _ in range(2):
            outcome = await provider.perform(asked, timeout_s=TIMEOUT_S)
            assert outcome.kind is OutcomeKind.EVIDENCE_SUBMITTED
        world.clock.now_ms += 3_000
        told = await provider.notices(after=notice.number, timeout_s=TIMEOUT_S)
        assert [(one.status, one.withdrawn_minor) for one in told] == [
            ("under_review", 1_999),
            (verdict, 0 if verdict == "won" else 1_999),
        ]


async def test_who_gives_in_or_says_nothing_loses(tmp_path):
    """An accepted dispute is lost at once and takes no evidence any more; an unanswered one when evidence was due."""
    async with simulated_world(tmp_path) as world, client_of(world.url()) as provider:
        notice = await _disputed(world, provider, "pm_card_createDispute")
        accepted = follow_up(OperationKind.ACCEPT_DISPUTE, notice.dispute, "dp_1_accept_dispute_1")
        assert (await provider.perform(accepted, timeout_s=TIMEOUT_S)).kind is OutcomeKind.DISPUTE_ACCEPTED
        late = follow_up(OperationKind.SUBMIT_EVIDENCE, notice.dispute, "dp_1_submit_evidence_2")
        assert (await provider.perform(late, timeout_s=TIMEOUT_S)).kind is OutcomeKind.REFUSED
        await provider.perform(authorize("key-2", payment_method="pm_card_createDispute"), timeout_s=TIMEOUT_S)
        world.clock.now_ms += 3_000
        assert len(await provider.notices(after=0, timeout_s=TIMEOUT_S)) == 3
        world.clock.now_ms += 8 * 86_400_000
        assert [one.status for one in await provider.notices(after=3, timeout_s=TIMEOUT_S)] == ["lost"]


async def test_parts_are_captured_where_the_provider_allows_it(tmp_path):
    """northpay keeps the rest authorised, southpay refuses; the sum of parts is at most what was authorised."""
    async with simulated_world(tmp_path) as world:
        for name, kind in (("northpay", OutcomeKind.CAPTURED), ("southpay", OutcomeKind.REFUSED)):
            async with client_of(world.url(name), name=name) as provider:
                charge = (await provider.perform(authorize(capture=False), timeout_s=TIMEOUT_S)).reference
                asked = follow_up(OperationKind.CAPTURE, charge, "c1", amount_minor=500)
                part = type(asked)(
                    **{**{field: getattr(asked, field) for field in asked.__struct_fields__}, "final_capture": False}
                )
                assert (await provider.perform(part, timeout_s=TIMEOUT_S)).kind is kind
                rest = follow_up(
                    OperationKind.CAPTURE, charge, "c2", amount_minor=1_999 if kind is OutcomeKind.CAPTURED else 1
                )
                expected = OutcomeKind.REFUSED if kind is OutcomeKind.CAPTURED else OutcomeKind.CAPTURED
                assert (await provider.perform(rest, timeout_s=TIMEOUT_S)).kind is expected


async def test_a_provider_that_cannot_be_asked_tells_nothing(tmp_path):
    """None, not an empty page: whoever asks tries again from the same place."""
    async with simulated_world(tmp_path) as world:
        address = world.url()
    async with client_of(address) as provider:
        assert await provider.notices(after=0, timeout_s=TIMEOUT_S) is None
