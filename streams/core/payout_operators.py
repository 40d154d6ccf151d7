"""What operators ask of a payout that is in doubt, held or contradicted: the provider's word once more, or what two of them say.

An inquiry moves no money and takes one person. What became of a payout takes two: one proposes, another approves, and it is
carried out as if the provider had said it.
"""

from __future__ import annotations

from typing import Literal, cast

from msgspec.structs import replace

from schemas.records import PayoutCommand, PayoutProposal, PayoutResult
from streams.core import ids
from streams.core._payout_keys import remembered
from streams.core.errors import CommandError
from streams.core.payouts import PayoutStep, ask_again
from streams.core.state import Payout, ProposedPayout

RESOLUTIONS = ("paid", "failed")
_RESOLVABLE = ("in_transit", "paid", "failed")


def inquire(step: PayoutStep, payout: Payout, asked: PayoutCommand) -> Payout:
    """The provider is asked at once what became of it; its answer comes as the payout's own result."""
    _check_operator(asked, with_reason=True)
    if payout.status != "in_transit" and not payout.conflict:
        why = "its provider was not asked for it" if not payout.requests else f"it is {payout.status}"
        raise CommandError("payout_inquiry_not_possible", param="payout", why=why)
    ask_again(step, payout)
    return step.record("payout.inquiry_requested", remembered(payout, asked), from_status=payout.status)


def propose(step: PayoutStep, payout: Payout, asked: PayoutCommand) -> Payout:
    """What an operator found is kept until another one approves it; it takes the place of an earlier proposal."""
    _check_operator(asked, with_reason=True)
    _check_resolution(payout, asked.resolution, asked.reference)
    who = asked.attribution
    proposal = ProposedPayout(
        ids.proposal_id(step.tenant, step.payout_id, who.idempotency_key),
        asked.resolution,
        asked.reference,
        who.reason,
        who.actor_id,
    )
    return step.record(
        "payout.resolution_proposed",
        replace(remembered(payout, asked), proposal=proposal),
        from_status=payout.status,
        proposal=_object(proposal),
    )


def approve(step: PayoutStep, payout: Payout, asked: PayoutCommand) -> Payout:
    """Another operator has approved: what was proposed is so, and its doubts and contradictions are over."""
    _check_operator(asked)
    proposal = payout.proposal
    if proposal is None or proposal.id != asked.proposal_id:
        raise CommandError("payout_proposal_missing", param="proposal", proposal=asked.proposal_id)
    if asked.attribution.actor_id == proposal.proposed_by:
        raise CommandError("approval_by_proposer")
    _check_resolution(payout, proposal.resolution, proposal.reference)
    # 1. It is agreed: nothing is held any more.
    agreed = replace(
        remembered(payout, asked),
        proposal=None,
        doubt="",
        conflict="",
        failure_message=payout.failure_message if payout.status == "failed" else "",
        reference=proposal.reference or payout.reference,
    )
    step.record(
        "payout.resolution_approved",
        agreed,
        from_status=payout.status,
        proposal=_object(proposal, approved_by=asked.attribution.actor_id),
    )
    # 2. What follows from it, as if the provider had said so; nothing where it is so already.
    outcome = cast('Literal["paid", "failed"]', proposal.resolution)
    step.result = PayoutResult(outcome=outcome)
    if payout.status != outcome:
        step.signal("proven" if payout.status == "failed" else outcome)
    assert step.payout is not None
    return step.payout


def _check_operator(asked: PayoutCommand, *, with_reason: bool = False) -> None:
    who = asked.attribution
    if who.actor_kind != "operator" or not who.actor_id:
        raise CommandError("operator_needed", param="attribution.actor_kind")
    if with_reason and not who.reason:
        raise CommandError("reason_missing", param="attribution.reason")


def _check_resolution(payout: Payout, resolution: str, reference: str) -> None:
    if resolution not in RESOLUTIONS:
        raise _not_possible(resolution, f"a payout is {' or '.join(RESOLUTIONS)}")
    if payout.status not in _RESOLVABLE or not (payout.doubt or payout.conflict):
        raise _not_possible(
            resolution, f"this payout is {payout.status}, and neither in doubt, held nor contradicted by its provider"
        )
    if resolution == "paid" and not (reference or payout.reference):
        raise _not_possible(resolution, "the provider's own id of it has to be given as reference, since it told none")


def _not_possible(resolution: str, why: str) -> CommandError:
    return CommandError("resolution_not_possible", param="resolution", resolution=resolution, why=why)


def _object(proposal: ProposedPayout, *, approved_by: str = "") -> PayoutProposal:
    return PayoutProposal(
        id=proposal.id,
        resolution=proposal.resolution,
        reference=proposal.reference,
        reason=proposal.reason,
        proposed_by=proposal.proposed_by,
        approved_by=approved_by,
    )
