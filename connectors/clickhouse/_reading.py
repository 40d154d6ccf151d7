"""Reads topics anew, for checking: committed records of many partitions from given offsets, landing's own code apart."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka.admin import AdminClient

from connectors.clickhouse.errors import RecordsMissing, TopicMissing
from schemas import catalogue, reading
from schemas.errors import TopicUnread
from schemas.reading import Held, Place

STALLED_S = 60.0
METADATA_TIMEOUT_S = 10.0


def partitions(kafka: dict[str, Any], topics: tuple[catalogue.Topic, ...]) -> list[Place]:
    """All partitions of these topics."""
    found = AdminClient(kafka).list_topics(timeout=METADATA_TIMEOUT_S).topics
    for topic in topics:
        if topic.name not in found:
            raise TopicMissing(f"topic {topic.name} does not exist")
    return [(topic.name, number) for topic in topics for number in found[topic.name].partitions]


def beyond(kafka: dict[str, Any], starts: Mapping[Place, int]) -> Iterator[Held]:
    """The records from these offsets to the last that can be read now."""
    return _read(kafka, reading.ends(kafka, starts.keys(), open_too=False), starts)


def before(kafka: dict[str, Any], until: Mapping[Place, int]) -> Iterator[Held]:
    """The records from each partition's first to before these offsets, each of which is behind a record. Raises `RecordsMissing`."""
    ends = reading.ends(kafka, until.keys(), open_too=False)
    for place, end in until.items():
        if ends[place] < end:
            raise RecordsMissing(f"{place[0]}/{place[1]} ends before {end}, up to which it is landed")
    yield from _read(kafka, until, {})


def _read(kafka: dict[str, Any], until: Mapping[Place, int], starts: Mapping[Place, int]) -> Iterator[Held]:
    group = f"clearline.verify.{uuid.uuid4().hex}"
    try:
        yield from reading.read(kafka, until, group=group, starts=starts, stalled_s=STALLED_S)
    except TopicUnread as error:
        raise RecordsMissing(str(error)) from error
