"""`clearline payments …`: what an operator asks for about one payment, under a name and with a reason; prints the reply."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from infra import proposers
from infra.cli._console import console
from infra.cli._operators import PARTITION, answered, attribution, operators, settings_of
from schemas.catalogue import PAYMENTS_INPUTS
from schemas.records import CommandKind, PaymentCommand, Reply
from streams.core.ids import proposal_id

REFUND_REASONS = ("duplicate", "fraudulent", "requested_by_customer")


@click.group()
def payments() -> None:
    """Ask for something about one payment, as an operator.

    Every command is kept with your name and your reason. What moves money without a provider's word needs two people: one
    proposes (or adjusts), another approves.
    """


def _operator(function: Callable[..., Any]) -> Callable[..., Any]:
    """What every command of this group takes: whose payment, who asks, and why."""
    return click.argument("tenant")(click.argument("payment")(operators(function)))


@payments.command()
@_operator
@click.argument("object_id", metavar="CHARGE_OR_REFUND")
def inquire(*, object_id: str, **asked: Any) -> None:
    """Have the provider asked at once what became of a charge (ch_…) or refund (re_…) that is under way or in doubt."""
    _ask("inquire", object_id=object_id, **asked)


@payments.command()
@click.option("--amount-minor", type=click.IntRange(min=1), help="In minor units.  [default: all that is left]")
@click.option("--why", type=click.Choice(REFUND_REASONS), default="requested_by_customer", show_default=True)
@_operator
def refund(*, amount_minor: int | None, why: str, **asked: Any) -> None:
    """Refund a payment on its tenant's behalf."""
    _ask("refund", amount_minor=amount_minor, refund_reason=why, **asked)


@payments.command()
@_operator
@click.argument("object_id", metavar="CHARGE_OR_REFUND")
@click.argument("resolution")
@click.option("--amount-minor", type=click.IntRange(min=1), help="In minor units, where the resolution has an amount.")
def propose(*, object_id: str, resolution: str, amount_minor: int | None, **asked: Any) -> None:
    """Say what a charge or refund in doubt is: authorized, captured, declined, voided; refunded, refund_failed."""
    _ask("propose", object_id=object_id, resolution=resolution, amount_minor=amount_minor, **asked)


@payments.command()
@_operator
@click.argument("resolution", type=click.Choice(["credit", "debit"]))
@click.argument("amount_minor", type=click.IntRange(min=1))
def adjust(*, resolution: str, amount_minor: int, **asked: Any) -> None:
    """Propose to give AMOUNT_MINOR to the tenant's balance (credit) or take it from there (debit)."""
    _ask("propose", object_id=asked["payment"], resolution=resolution, amount_minor=amount_minor, **asked)


@payments.command()
@_operator
@click.argument("proposal")
def approve(*, proposal: str, **asked: Any) -> None:
    """Approve what another operator proposed (prop_…); it is carried out at once.

    Who proposed it in the API and has lost the role since gets nothing more.
    """
    settings = settings_of(asked["data"])
    proposers.check_payment(settings, tenant=asked["tenant"], payment=asked["payment"], proposal=proposal)
    _ask("approve", object_id=proposal, **asked)


def _ask(
    kind: CommandKind,
    *,
    tenant: str,
    payment: str,
    operator: str,
    reason: str,
    key: str,
    wait_s: float,
    data: Path,
    object_id: str = "",
    resolution: str = "",
    amount_minor: int | None = None,
    refund_reason: str = "",
) -> None:
    command = PaymentCommand(
        tenant=tenant,
        payment_id=payment,
        kind=kind,
        object_id=object_id,
        resolution=resolution,
        amount_minor=amount_minor,
        reason=refund_reason,
        reply_partition=PARTITION,
        correlation_id=str(uuid.uuid4()),
        attribution=attribution(operator=operator, tenant=tenant, reason=reason, key=key, command="payments"),
    )
    reply = answered(
        settings_of(data),
        command,
        topic=PAYMENTS_INPUTS.name,
        key=f"{tenant}/{payment}",
        wait_s=wait_s,
        reply=Reply,
    )
    _print(reply, command)


def _print(reply: Reply, command: PaymentCommand) -> None:
    out = console()
    again = " (answered before; nothing was done again)" if reply.replayed else ""
    if reply.payment is not None:
        doubt = ", and what its provider did is not known yet" if reply.payment.outcome_unknown else ""
        out.print(f"{reply.payment.id} is {reply.payment.status}{doubt}{again}")
    if reply.refund is not None:
        out.print(f"{reply.refund.id}: {reply.refund.amount_minor:,} {reply.refund.currency} {reply.refund.status}")
    if command.kind == "propose":
        proposal = proposal_id(command.tenant, command.payment_id, command.attribution.idempotency_key)
        out.print(f"proposed as {proposal}; another operator approves it:")
        out.print(
            f"  clearline payments approve {command.tenant} {command.payment_id} {proposal} --as NAME --reason WHY"
        )
