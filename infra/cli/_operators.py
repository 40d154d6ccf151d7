"""What operators' commands share: what each of them takes, and how one is put on the log and its reply waited for."""

from __future__ import annotations

import getpass
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from infra.cli._console import data_option
from infra.errors import InfraError, KafkaRefused, KafkaUnreachable
from infra.stack import reach
from schemas import codec, environment
from schemas.catalogue import PAYMENTS_REPLIES
from schemas.clients import consumer_config, producer_config
from schemas.records import Attribution, PaymentCommand, PayoutCommand, PayoutReply, Reply

WAIT_S = 60.0
PARTITION = 0
"""Replies to operators come there, among the API's; each is known by its correlation id."""
_REQUEST_TIMEOUT_S = 30.0
_POLL_S = 0.1

AReply = TypeVar("AReply", Reply, PayoutReply)


class CommandRefused(InfraError):
    """The command was answered with a typed error, which says what to do."""

    def __init__(self, reply: Reply | PayoutReply) -> None:
        assert reply.error is not None
        super().__init__(f"{reply.error.code} (HTTP {reply.status_code})", remedy=reply.error.message)


class NoReply(InfraError):
    """The command is on the log and nobody has answered yet."""

    def __init__(self, key: str, wait_s: float) -> None:
        super().__init__(
            f"No reply within {wait_s:g} s; the command is on the log and will be carried out once",
            remedy=f"See that workers run (`clearline status`), then give the same command again with --key {key}",
        )


def operators(function: Callable[..., Any]) -> Callable[..., Any]:
    """What every command of an operator takes beside what it is about: who asks, why, and how long to wait."""
    for decorate in (
        data_option,
        click.option("--wait", "wait_s", type=click.FloatRange(min=0.1), default=WAIT_S, show_default=True, help="Seconds."),
        click.option("--key", default="", help="Idempotency key; the same again has no second effect.  [default: a new one]"),
        click.option("--as", "operator", default=getpass.getuser, help="Your name.  [default: your login]"),
        click.option("--reason", required=True, help="Why, in your words; it is kept."),
    ):  # fmt: skip
        function = decorate(function)
    return function


def settings_of(data: Path) -> environment.Environment:
    """How the stack on a data directory is reached."""
    return environment.read(reach(data, os.environ))


def attribution(*, operator: str, tenant: str, reason: str, key: str, command: str) -> Attribution:
    """Who asks, under an idempotency key of their own where none is given."""
    return Attribution(
        actor_kind="operator",
        actor_id=operator,
        on_behalf_of=tenant,
        reason=reason,
        request_id=f"clearline-{command}-{uuid.uuid4()}",
        idempotency_key=key or f"operator-{uuid.uuid4()}",
    )


def answered(
    settings: environment.Environment,
    command: PaymentCommand | PayoutCommand,
    *,
    topic: str,
    key: str,
    wait_s: float,
    reply: type[AReply],
) -> AReply:
    """
    Append a command and wait for its reply.

    Raises `CommandRefused`, `NoReply`, `KafkaUnreachable` and `KafkaRefused`.
    """
    found = _ask(settings, command, topic=topic, key=key, wait_s=wait_s)
    if found is None:
        raise NoReply(command.attribution.idempotency_key, wait_s)
    assert isinstance(found, reply), "a correlation id is one command's"
    if found.error is not None:
        raise CommandRefused(found)
    return found


def _ask(
    settings: environment.Environment, command: PaymentCommand | PayoutCommand, *, topic: str, key: str, wait_s: float
) -> Reply | PayoutReply | None:
    """The reply; None when there was none in `wait_s`."""
    reader = Consumer(consumer_config(settings.kafka, "clearline.payments", dict(settings.kafka_config)))
    where = TopicPartition(PAYMENTS_REPLIES.name, PARTITION)
    try:
        try:
            where.offset = reader.get_watermark_offsets(where, timeout=_REQUEST_TIMEOUT_S)[1]
        except KafkaException as error:
            raise KafkaUnreachable(settings.kafka, error.args[0].str()) from error
        reader.assign([where])
        _append(settings, command, topic=topic, key=key)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            message = reader.poll(_POLL_S)
            if message is None or message.error() is not None:
                continue
            reply = codec.decode(message.value(), expected=PAYMENTS_REPLIES.records)
            if isinstance(reply, Reply | PayoutReply) and reply.correlation_id == command.correlation_id:
                return reply
        return None
    finally:
        reader.close()


def _append(
    settings: environment.Environment, command: PaymentCommand | PayoutCommand, *, topic: str, key: str
) -> None:
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failed.append(error)

    producer = Producer(producer_config(settings.kafka, dict(settings.kafka_config)))
    producer.produce(topic, codec.encode(command), key.encode(), on_delivery=delivered)
    left = producer.flush(_REQUEST_TIMEOUT_S)
    if failed or left:
        raise KafkaRefused(f"write to {topic}", failed[0].str() if failed else "it took too long")
