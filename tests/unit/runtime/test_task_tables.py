"""A task's tables are complete before its first record, whatever failed while they were loaded."""

from __future__ import annotations

import pytest

from streams.runtime import GlobalTable, TaskConfig
from streams.runtime.errors import Indefinite, Retriable
from streams.runtime.task import Task
from tests.unit.runtime._log import DictStores, Log, LogClients, StepClock


@pytest.mark.parametrize("failing", ["end_offsets", "read"])
@pytest.mark.parametrize("error", [Retriable("no leader"), Indefinite("no answer")])
def test_a_load_that_failed_is_made_good_before_the_first_record(failing, error):
    """The session after the failure loads again: a record is never decided on with a table that is empty or in part."""
    log, clock = Log(), StepClock()
    log.append("names", (b"k", b"one"))
    log.append("in", (b"k", b"1"))
    clients = LogClients(log)
    clients.at_once = (0,)
    table = GlobalTable("names", lambda record: record.value)
    seen = []
    task = Task(
        TaskConfig(name="count", application="test", instance="a", sources=("in",)),
        lambda batch: batch.run(lambda record, _: seen.append((record.value, table.get(record.key)))),
        clients=clients,
        stores=DictStores(),
        clock=clock,
        tables=(table,),
    )
    log.fail(failing, error)
    for _ in range(5):
        task.step()
    assert seen == [(b"1", b"one")]
