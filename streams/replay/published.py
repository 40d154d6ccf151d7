"""Published digests: read, compared with what is there now, and appended once."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from confluent_kafka import KafkaException, Producer

from schemas import codec
from schemas.catalogue import AUDIT_DIGESTS
from schemas.clients import CLIENT_TIMEOUT_MS, transactional_config
from schemas.errors import DecodingError
from schemas.records import AuditDigest
from streams.replay.difference import Difference, Place, between
from streams.replay.digest import ALGORITHM, Digest
from streams.replay.errors import PublishRefused
from streams.replay.log import Log

TRANSACTIONAL_ID = "clearline.replay.digests"
"""One id for all who publish: a later one fences an earlier one, so two never append the same digest."""

_TRANSACTION_TIMEOUT_MS = 60_000
_TIMEOUT_S = CLIENT_TIMEOUT_MS / 1000

# What goes wrong is raised; librdkafka's own words on standard error would only repeat it.
_QUIET = logging.getLogger("clearline.replay.librdkafka")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


class Published(msgspec.Struct, frozen=True):
    """A published digest and where it stands; None for a record that can't be read."""

    digest: AuditDigest | None
    place: Place
    fault: str = ""


def read(log: Log) -> list[Published]:
    """All published digests, in their order; none where the topic isn't there."""
    found = []
    for number, bounds in sorted(log.bounds(AUDIT_DIGESTS.name).items()):
        for record in log.read(AUDIT_DIGESTS.name, number, bounds):
            place = Place(record.topic, record.partition, record.offset)
            try:
                message = codec.decode(record.value, expected=AUDIT_DIGESTS.records)
            except DecodingError as error:
                found.append(Published(None, place, str(error)))
                continue
            assert isinstance(message, AuditDigest)
            found.append(Published(message, place))
    return found


def compare(published: Iterable[Published], current: Mapping[tuple[str, str], Digest]) -> Iterator[Difference]:
    """What differs between a published digest and the events of its day as they are now."""
    for item in published:
        told = item.digest
        if told is None:
            yield Difference(
                kind="unreadable", topic=AUDIT_DIGESTS.name, what="a digest", recorded=item.place, note=item.fault
            )
            continue
        if told.algorithm != ALGORITHM:
            yield Difference(
                kind="unreadable",
                topic=AUDIT_DIGESTS.name,
                what=f"digest of {told.tenant} on {told.day}",
                recorded=item.place,
                note=f"it was made by {told.algorithm!r}, this version only knows {ALGORITHM}",
            )
            continue
        now = current.get((told.tenant, told.day))
        if now is not None and _same(now, told):
            continue
        yield Difference(
            kind="digest",
            topic=AUDIT_DIGESTS.name,
            what=f"digest of {told.tenant} on {told.day}",
            recorded=item.place,
            fields=between(
                {"events": 0 if now is None else now.events, "root_sha256": "" if now is None else now.root_sha256},
                {"events": told.events, "root_sha256": told.root_sha256},
            ),
            note="the day has no event any more" if now is None else "its events are not what was published",
        )


def _same(now: Digest, told: AuditDigest) -> bool:
    return (now.events, now.root_sha256) == (told.events, told.root_sha256)


def publish(
    digests: Iterable[Digest], *, log: Log, bootstrap: str, client: Mapping[str, Any] | None = None
) -> list[Digest]:
    """
    Append what is not there yet, in one transaction; returns what was appended.

    1. Fence whoever else publishes. 2. Read what is published. 3. Append the rest. Raises `PublishRefused`, having
    appended nothing, when another digest is published for one of the days, or Kafka refuses.
    """
    wanted = {(digest.tenant, digest.day): digest for digest in digests}
    if not wanted:
        return []
    if not log.bounds(AUDIT_DIGESTS.name):
        raise PublishRefused(
            f"topic {AUDIT_DIGESTS.name} is not there", remedy="Create it with `clearline topics --create`"
        )
    settings = transactional_config(
        bootstrap, TRANSACTIONAL_ID, timeout_ms=_TRANSACTION_TIMEOUT_MS, extra=dict(client or {})
    )
    producer = Producer(settings, logger=_QUIET)
    try:
        # Step 1
        producer.init_transactions(_TIMEOUT_S)
        # Step 2
        for item in read(log):
            told = item.digest
            if told is None or (now := wanted.pop((told.tenant, told.day), None)) is None:
                continue
            if told.algorithm != ALGORITHM or not _same(now, told):
                raise PublishRefused(
                    f"another digest of {told.tenant} on {told.day} is published at {item.place}: "
                    f"{told.events} events, root {told.root_sha256}; now there are {now.events}, {now.root_sha256}",
                    remedy="Find out who changed the day's events; a published digest is never replaced",
                )
        if not wanted:
            return []
        # Step 3
        producer.begin_transaction()
        for digest in wanted.values():
            producer.produce(AUDIT_DIGESTS.name, codec.encode(_record(digest)), _key(digest))
        producer.commit_transaction(_TIMEOUT_S)
    except KafkaException as error:
        raise PublishRefused(
            f"Kafka did not take the digests: {error.args[0].str()}",
            remedy="Publish again: what was appended after all is not appended twice",
        ) from error
    return sorted(wanted.values())


def _key(digest: Digest) -> bytes:
    return f"{digest.tenant}/{digest.day}".encode()


def _record(digest: Digest) -> AuditDigest:
    return AuditDigest(
        tenant=digest.tenant,
        day=digest.day,
        algorithm=ALGORITHM,
        events=digest.events,
        root_sha256=digest.root_sha256,
        published_ms=time.time_ns() // 1_000_000,
    )
