"""`clearline payouts …`: payouts that nobody can be sure of, and what operators ask and say of them, under a name and with a reason."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from confluent_kafka import KafkaException
from rich.table import Table

from infra import held_payouts, proposers
from infra.cli._console import console, data_option
from infra.cli._operators import PARTITION, answered, attribution, operators, settings_of
from infra.errors import KafkaUnreachable
from schemas.catalogue import SETTLEMENT_INPUTS
from schemas.records import PayoutCommand, PayoutCommandKind, PayoutReply
from streams.core.ids import proposal_id
from streams.core.payout_operators import RESOLUTIONS


@click.group()
def payouts() -> None:
    """See payouts in doubt, held or contradicted by their provider, and decide on them.

    Every command is kept with your name and your reason. What became of a payout takes two people: one proposes, another
    approves.
    """


def _operator(function: Callable[..., Any]) -> Callable[..., Any]:
    """What every command about one payout takes: whose, which, who asks, and why."""
    return click.argument("tenant")(click.argument("payout")(operators(function)))


@payouts.command()
@click.argument("tenant")
@data_option
def held(*, tenant: str, data: Path) -> None:
    """List TENANT's payouts whose outcome nobody knows, that are held, or that their provider contradicts."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("payout", "status", "amount", "provider", "doubt", "provider says", "proposed", "by", "proposal"):
        table.add_column(column, no_wrap=True)
    for row in held_payouts.held(settings_of(data), tenant):
        table.add_row(
            row["object_id"],
            row["status"],
            f"{row['amount_minor']:,} {row['currency']}",
            row["provider"],
            row["doubt"],
            row["conflict"],
            row["proposal_resolution"],
            row["proposed_by"],
            row["proposal_id"],
        )
    console().print(table if table.row_count else f"{tenant} has no payout that anybody has to look at")


@payouts.command()
@_operator
def inquire(**asked: Any) -> None:
    """Have the provider asked at once what became of a payout (po_…)."""
    _ask("inquire", **asked)


@payouts.command()
@_operator
@click.argument("resolution", type=click.Choice(RESOLUTIONS))
@click.option("--reference", default="", help="The provider's own id of it.  [default: as the provider told it]")
def propose(*, resolution: str, reference: str, **asked: Any) -> None:
    """Say what became of a payout; it is so once another operator approves."""
    _ask("propose", resolution=resolution, reference=reference, **asked)


@payouts.command()
@_operator
@click.argument("proposal")
def approve(*, proposal: str, **asked: Any) -> None:
    """Approve what another operator proposed (prop_…); it is carried out at once.

    Who proposed it in the API and has lost the role since gets nothing more.
    """
    settings, tenant = settings_of(asked["data"]), asked["tenant"]
    proposer = held_payouts.proposer(settings, tenant, asked["payout"], proposal)
    try:
        proposers.check(settings, proposer, tenant=tenant, proposal=proposal)
    except KafkaException as error:
        raise KafkaUnreachable(settings.kafka, error.args[0].str()) from error
    _ask("approve", proposal=proposal, **asked)


def _ask(
    kind: PayoutCommandKind,
    *,
    tenant: str,
    payout: str,
    operator: str,
    reason: str,
    key: str,
    wait_s: float,
    data: Path,
    resolution: str = "",
    reference: str = "",
    proposal: str = "",
) -> None:
    settings = settings_of(data)
    provider, currency = held_payouts.flow(settings, tenant, payout)
    command = PayoutCommand(
        kind=kind,
        tenant=tenant,
        provider=provider,
        currency=currency,
        payout_id=payout,
        resolution=resolution,
        reference=reference,
        proposal_id=proposal,
        fingerprint=hashlib.sha256(repr((kind, payout, resolution, reference, proposal)).encode()).hexdigest(),
        reply_partition=PARTITION,
        correlation_id=str(uuid.uuid4()),
        attribution=attribution(operator=operator, tenant=tenant, reason=reason, key=key, command="payouts"),
    )
    reply = answered(
        settings,
        command,
        topic=SETTLEMENT_INPUTS.name,
        key=f"{tenant}/{provider}/{currency}",
        wait_s=wait_s,
        reply=PayoutReply,
    )
    _print(reply, command)


def _print(reply: PayoutReply, command: PayoutCommand) -> None:
    out, payout = console(), reply.payout
    assert payout is not None, "an answer without an error has the payout"
    again = " (answered before; nothing was done again)" if reply.replayed else ""
    doubt = {"unknown": ", and what its provider did is not known yet", "held": ", and held"}.get(payout.doubt, "")
    contradicted = f"; its provider says {payout.conflict}" if payout.conflict else ""
    out.print(f"{payout.id} is {payout.status}{doubt}{contradicted}{again}")
    if command.kind == "propose":
        proposal = proposal_id(command.tenant, command.payout_id, command.attribution.idempotency_key)
        out.print(f"proposed as {proposal}; another operator approves it:")
        out.print(f"  clearline payouts approve {command.tenant} {command.payout_id} {proposal} --as NAME --reason WHY")
