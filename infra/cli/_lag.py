"""How far each consumer group is behind the topics it reads, for `clearline status`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TIMEOUT_S = 5.0
GROUPS_MAX = 50


def lag_by_group(bootstrap: str, extra_config: Mapping[str, Any]) -> dict[str, int] | None:
    """Return, by group, the sum over its partitions of last stable offset − committed offset; None without an answer.

    In offsets, not records: each transaction's commit marker takes one, so a group that has read everything may stand
    at one a partition.
    """
    from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, TopicPartition
    from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported without saying so

    admin = AdminClient({**extra_config, "bootstrap.servers": bootstrap, "log_level": 0})
    try:
        listed = admin.list_consumer_groups(request_timeout=TIMEOUT_S).result(TIMEOUT_S)
        if listed.errors:  # a broker that didn't answer has groups that we don't know
            return None
        committed: dict[str, dict[tuple[str, int], int]] = {}
        for group in sorted(found.group_id for found in listed.valid)[:GROUPS_MAX]:
            asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=TIMEOUT_S)
            partitions = asked[group].result(TIMEOUT_S).topic_partitions
            committed[group] = {(part.topic, part.partition): part.offset for part in partitions if part.offset >= 0}
        latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {TopicPartition(*key): latest for offsets in committed.values() for key in offsets}
        level = IsolationLevel.READ_COMMITTED
        ends = admin.list_offsets(wanted, isolation_level=level, request_timeout=TIMEOUT_S) if wanted else {}
        last = {(part.topic, part.partition): future.result(TIMEOUT_S).offset for part, future in ends.items()}
    except (KafkaException, TimeoutError):
        return None
    return {
        group: sum(max(last[key] - offset, 0) for key, offset in offsets.items())
        for group, offsets in committed.items()
        if offsets
    }
