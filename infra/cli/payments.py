"""`clearline payments …`: what an operator asks for about one payment, under a name and with a reason; prints the reply."""

from __future__ import annotations

import getpass
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from infra import proposers
from infra.cli._console import console, data_option
from infra.errors import InfraError, KafkaRefused, KafkaUnreachable
from infra.stack import reach
from schemas import codec, environment
from schemas.catalogue import PAYMENTS_INPUTS, PAYMENTS_REPLIES
from schemas.clients import consumer_config, producer_config
from schemas.records import Attribution, CommandKind, PaymentCommand, Reply
from streams.core.ids import proposal_id

WAIT_S = 60.0
REFUND_REASONS = ("duplicate", "fraudulent", "requested_by_customer")
_REQUEST_TIMEOUT_S = 30.0
_POLL_S = 0.1
_PARTITION = 0
"""Replies to operators come there, among the API's; each is known by its correlation id."""


class CommandRefused(InfraError):
    """The command was answered with a typed error, which says what to do."""

    def __init__(self, reply: Reply) -> None:
        assert reply.error is not None
        super().__init__(f"{reply.error.code} (HTTP {reply.status_code})", remedy=reply.error.message)


class NoReply(InfraError):
    """The command is on the log and nobody has answered yet."""

    def __init__(self, key: str, wait_s: float) -> None:
        super().__init__(
            f"No reply within {wait_s:g} s; the command is on the log and will be carried out once",
            remedy=f"See that workers run (`clearline status`), then give the same command again with --key {key}",
        )


@click.group()
def payments() -> None:
    """Ask for something about one payment, as an operator.

    Every command is kept with your name and your reason. What moves money without a provider's word needs two people: one
    proposes (or adjusts), another approves.
    """


def _operator(function: Callable[..., Any]) -> Callable[..., Any]:
    """What every command of this group takes: whose payment, who asks, and why."""
    for decorate in (
        data_option,
        click.option("--wait", "wait_s", type=click.FloatRange(min=0.1), default=WAIT_S, show_default=True, help="Seconds."),
        click.option("--key", default="", help="Idempotency key; the same again has no second effect.  [default: a new one]"),
        click.option("--as", "operator", default=getpass.getuser, help="Your name.  [default: your login]"),
        click.option("--reason", required=True, help="Why, in your words; it is kept."),
    ):  # fmt: skip
        function = decorate(function)
    return click.argument("tenant")(click.argument("payment")(function))


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
    settings = environment.read(reach(asked["data"], os.environ))
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
    key = key or f"operator-{uuid.uuid4()}"
    command = PaymentCommand(
        tenant=tenant,
        payment_id=payment,
        kind=kind,
        object_id=object_id,
        resolution=resolution,
        amount_minor=amount_minor,
        reason=refund_reason,
        reply_partition=_PARTITION,
        correlation_id=str(uuid.uuid4()),
        attribution=Attribution(
            actor_kind="operator",
            actor_id=operator,
            on_behalf_of=tenant,
            reason=reason,
            request_id=f"clearline-payments-{uuid.uuid4()}",
            idempotency_key=key,
        ),
    )
    reply = ask(environment.read(reach(data, os.environ)), command, wait_s=wait_s)
    if reply is None:
        raise NoReply(key, wait_s)
    if reply.error is not None:
        raise CommandRefused(reply)
    _print(reply, command)


def ask(settings: environment.Environment, command: PaymentCommand, *, wait_s: float) -> Reply | None:
    """
    Append a command and wait for its reply; None when there was none in `wait_s`.

    Raises `KafkaUnreachable` and `KafkaRefused`.
    """
    extra = dict(settings.kafka_config)
    reader = Consumer(consumer_config(settings.kafka, "clearline.payments", extra))
    where = TopicPartition(PAYMENTS_REPLIES.name, _PARTITION)
    try:
        try:
            where.offset = reader.get_watermark_offsets(where, timeout=_REQUEST_TIMEOUT_S)[1]
        except KafkaException as error:
            raise KafkaUnreachable(settings.kafka, error.args[0].str()) from error
        reader.assign([where])
        _append(settings, command)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            message = reader.poll(_POLL_S)
            if message is None or message.error() is not None:
                continue
            reply = codec.decode(message.value(), expected=(Reply,))
            if isinstance(reply, Reply) and reply.correlation_id == command.correlation_id:
                return reply
        return None
    finally:
        reader.close()


def _append(settings: environment.Environment, command: PaymentCommand) -> None:
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failed.append(error)

    producer = Producer(producer_config(settings.kafka, dict(settings.kafka_config)))
    key = f"{command.tenant}/{command.payment_id}".encode()
    producer.produce(PAYMENTS_INPUTS.name, codec.encode(command), key, on_delivery=delivered)
    left = producer.flush(_REQUEST_TIMEOUT_S)
    if failed or left:
        raise KafkaRefused(f"write to {PAYMENTS_INPUTS.name}", failed[0].str() if failed else "it took too long")


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
