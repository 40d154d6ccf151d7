from __future__ import annotations

import pytest

from infra.topics import TopicReport, _faults, _order, _Wanted
from schemas.catalogue import CATALOGUE, PAYMENTS_INPUTS, TENANTS, Topic


def found(topic: Topic, *, partitions=8, replication=3, **settings):
    """A topic as a broker might have it."""
    config = {"cleanup.policy": topic.cleanup, "message.timestamp.type": "CreateTime", "min.insync.replicas": "2"}
    names = {name.replace("_", "."): value for name, value in settings.items()}
    return TopicReport(
        name=topic.name, state="present", partitions=partitions, replication=replication, config={**config, **names}
    )


@pytest.mark.parametrize(
    ("report", "replication", "settings"),
    [
        (found(PAYMENTS_INPUTS), 3, []),
        (found(PAYMENTS_INPUTS), 1, []),
        (found(PAYMENTS_INPUTS, replication=1, min_insync_replicas="1"), 1, []),
        (found(PAYMENTS_INPUTS, replication=2, min_insync_replicas="1"), 2, []),
        (found(PAYMENTS_INPUTS, min_insync_replicas="1"), 3, ["min.insync.replicas"]),
        (found(PAYMENTS_INPUTS, min_insync_replicas="1"), 1, ["min.insync.replicas"]),
        (found(PAYMENTS_INPUTS, min_insync_replicas="3"), 3, []),
        (found(PAYMENTS_INPUTS, replication=2), 3, ["replication"]),
        (found(PAYMENTS_INPUTS, partitions=4), 3, ["partitions"]),
        (found(PAYMENTS_INPUTS, cleanup_policy="compact,delete"), 3, ["cleanup.policy"]),
        (found(PAYMENTS_INPUTS, message_timestamp_type="LogAppendTime"), 3, ["message.timestamp.type"]),
        (found(TENANTS, partitions=1), 3, []),
        (found(TENANTS, partitions=8), 3, ["partitions"]),
        (found(TENANTS, partitions=1, cleanup_policy="delete"), 3, ["cleanup.policy"]),
    ],
)
def test_what_breaks_a_promise_is_a_fault(report, replication, settings) -> None:
    """Partitions, clean-up, replication, timestamps, and two in sync from three replicas on; each fault says what to do."""
    topic = next(topic for topic in CATALOGUE if topic.name == report.name)
    faults = list(_faults(topic, report, _Wanted(CATALOGUE, 8, replication)))
    assert [fault.setting for fault in faults] == settings
    assert all(fault.remedy and fault.found and fault.wanted for fault in faults)


@pytest.mark.parametrize("replication", [1, 2, 3, 5])
@pytest.mark.parametrize("topic", CATALOGUE, ids=lambda topic: topic.name)
def test_topics_are_ordered_so_that_they_pass(topic, replication) -> None:
    """What `ensure` orders has no fault by its own check: from three replicas on, two have to be in sync."""
    wanted = _Wanted(CATALOGUE, 8, replication)
    order = _order(topic, wanted)
    config = {"min.insync.replicas": "1", **order.config}
    made = TopicReport(
        name=topic.name,
        state="created",
        partitions=order.num_partitions,
        replication=order.replication_factor,
        config=config,
    )
    assert not list(_faults(topic, made, wanted))
    assert config["min.insync.replicas"] == ("2" if replication >= 3 else "1")
