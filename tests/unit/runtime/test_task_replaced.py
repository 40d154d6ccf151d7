"""A worker that was replaced while it restored its first partition takes its successor's state for nobody's."""

from __future__ import annotations

from streams.runtime import TaskConfig
from streams.runtime.task import Task
from tests.unit.runtime._log import DictStores, Log, LogClients, StepClock


def test_state_whose_offset_came_after_the_question_does_not_stop_the_partition():
    """Asked, there was no offset; restored, there is state: a successor committed both. It is asked again, not stopped."""
    log = Log()
    log.append("in", (b"k", b"1"), (b"k", b"2"))
    clients = LogClients(log)
    clients.at_once = (0,)
    task = Task(
        TaskConfig(name="count", application="test", instance="a", sources=("in",), changelog="state"),
        lambda batch: batch.run(lambda record, context: context.store.put(record.key, record.value)),
        clients=clients,
        stores=DictStores(),
        clock=StepClock(),
    )

    def successor() -> None:
        log.append("state", (b"k", b"1"))
        log.offsets["in", 0] = 1

    reader = clients.reader

    def reading(topic):
        if not log.offsets:
            successor()
        return reader(topic)

    clients.reader = reading
    for _ in range(8):
        task.step()
    assert task.counters.stops == 0
    assert task.counters.aborts == 1
    assert log.offsets["in", 0] == 2
