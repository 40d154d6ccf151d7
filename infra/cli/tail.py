"""`clearline tail TOPIC`: decoded records as they come."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from infra.cli._console import console, data_option
from infra.cli._records import Consumed, as_json, as_text, consumed
from infra.errors import KafkaRefused, KafkaUnreachable, TopicMissing
from infra.stack import reach
from schemas import environment
from schemas.catalogue import CATALOGUE, Topic
from schemas.clients import CLIENT_TIMEOUT_MS, consumer_config

_REQUEST_TIMEOUT_S = CLIENT_TIMEOUT_MS / 1000
_POLL_S = 0.2
_OUTAGE_SHOWN_EVERY_S = 10.0
# What is fetched ahead of the terminal stays small, however large the topic.
_BOUNDED = {"queued.max.messages.kbytes": 16_384, "queued.min.messages": 1_000, "fetch.message.max.bytes": 4_000_000}
_QUIET = logging.getLogger("clearline.tail.librdkafka")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


def _start(_context: click.Context, _option: click.Parameter, value: str | None) -> str | int | None:
    if value is None or value in ("beginning", "end"):
        return value
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter("give beginning, end, an offset, or -N for the last N of each partition") from None


@click.command()
@click.argument("topic")
@data_option
@click.option(
    "--from", "start", callback=_start, metavar="beginning|end|OFFSET|-N",
    help="Where to start in each partition.  [default: end; with --no-follow: beginning]",
)  # fmt: skip
@click.option("-n", "count", type=click.IntRange(min=1), help="Stop after so many records.")
@click.option("--json", "as_objects", is_flag=True, help="Print one JSON object a record.")
@click.option("--key", "key_prefix", default="", help="Only records whose key begins so.")
@click.option("--tenant", default="", help="Only records of this tenant.")
@click.option("--follow/--no-follow", default=True, help="Wait for more, or stop at what is there now.")
def tail(
    *, topic: str, data: Path, start: str | int | None, count: int | None, as_objects: bool, key_prefix: str, tenant: str,
    follow: bool,
) -> None:  # fmt: skip
    """Print the records of TOPIC as they come, decoded; committed ones only.

    What can't be decoded is shown with the reason and its first bytes, and ends nothing.
    """
    settings = environment.read(reach(data, os.environ))
    if start is None:
        start = "end" if follow else "beginning"
    out = console()
    left = count
    try:
        for item in _records(settings, topic, start=start, follow=follow):
            if not _text_key(item).startswith(key_prefix) or (tenant and item.tenant != tenant):
                continue
            if as_objects:
                click.echo(as_json(item))
            else:
                out.print(as_text(item))
            if left is not None:
                left -= 1
                if left == 0:
                    return
    except KeyboardInterrupt:  # how one leaves it
        return


def _text_key(item: Consumed) -> str:
    return (item.key or b"").decode(errors="replace")


def _records(settings: environment.Environment, name: str, *, start: str | int, follow: bool) -> Iterator[Consumed]:
    catalogued = {topic.name: topic for topic in CATALOGUE}.get(name)
    extra: dict[str, Any] = {**_BOUNDED, "enable.partition.eof": not follow, **settings.kafka_config}
    consumer = Consumer(consumer_config(settings.kafka, "clearline.tail", extra), logger=_QUIET)
    try:
        positions = _positions(consumer, settings.kafka, name, start)
        consumer.assign(positions)
        # Without following, each partition ends where its committed records end now.
        unfinished = {position.partition for position in positions}
        while unfinished:
            message = consumer.poll(_POLL_S)
            if message is None:
                continue
            error = message.error()
            if error is None:
                yield _decoded(message, catalogued)
            elif error.code() == KafkaError._PARTITION_EOF:
                unfinished.discard(message.partition())
            else:
                _outage(error, name)
    finally:
        consumer.close()


def _decoded(message: Message, catalogued: Topic | None) -> Consumed:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None and partition is not None and offset is not None  # noqa: PT018  a message without an error has them
    return consumed(
        topic=topic, partition=partition, offset=offset, timestamp_ms=message.timestamp()[1], key=_bytes(message.key()),
        value=_bytes(message.value()), catalogued=catalogued,
    )  # fmt: skip


def _bytes(data: Any) -> bytes | None:
    return None if data is None else bytes(data)


_shown_outage_at = 0.0


def _outage(error: KafkaError, name: str) -> None:
    """Says now and then that Kafka is away; raises what waiting can't mend."""
    global _shown_outage_at  # noqa: PLW0603  one process, one tail
    if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
        raise TopicMissing(name)
    away = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT)
    if not (error.retriable() or error.code() in away):
        raise KafkaRefused(f"read {name}", error.str())
    if time.monotonic() - _shown_outage_at > _OUTAGE_SHOWN_EVERY_S:
        _shown_outage_at = time.monotonic()
        console(stderr=True).print(f"waiting for Kafka: {error.str()}", style="dim")


def _positions(consumer: Consumer, bootstrap: str, name: str, start: str | int) -> list[TopicPartition]:
    try:
        found = consumer.list_topics(timeout=_REQUEST_TIMEOUT_S).topics.get(name)
    except KafkaException as error:
        raise KafkaUnreachable(bootstrap, error.args[0].str()) from error
    if found is None or not found.partitions:
        raise TopicMissing(name)
    return [TopicPartition(name, number, _offset(consumer, name, number, start)) for number in sorted(found.partitions)]


def _offset(consumer: Consumer, name: str, number: int, start: str | int) -> int:
    if start == "beginning":
        return OFFSET_BEGINNING
    if start == "end":
        return OFFSET_END
    assert isinstance(start, int)
    lowest, highest = consumer.get_watermark_offsets(TopicPartition(name, number), timeout=_REQUEST_TIMEOUT_S)
    return min(max(start if start >= 0 else highest + start, lowest), highest)
