"""A worker without Faust: one counting `Task` in a process, to be killed, stopped and failed at its fault points."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

from streams.runtime import Context, Fatal, KafkaClients, Record, RocksStores, SystemClock, Task, TaskConfig
from streams.runtime.faults import arm_from_environment

EXIT_FAILED = 70


def count(record: Record, context: Context) -> None:
    """Pass the number on, with how often its key was seen."""
    assert record.key is not None
    seen = int(context.store.get(record.key) or b"0") + 1
    context.store.put(record.key, b"%d" % seen)
    context.emit(f"{os.environ['RUNTIME_PREFIX']}-out", b"%s %d" % (record.value, seen), key=record.key)


def main() -> int:
    """Step until SIGTERM; status 70 after a fatal error, as under Faust."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    arm_from_environment()
    instance, prefix = os.environ["RUNTIME_INSTANCE"], os.environ["RUNTIME_PREFIX"]
    config = TaskConfig(
        name="count",
        application=os.environ["RUNTIME_APPLICATION"],
        instance=instance,
        sources=(f"{prefix}-in",),
        changelog=f"{prefix}-count",
        bootstrap=os.environ["CLEARLINE_KAFKA"],
        state_directory=Path(os.environ["CLEARLINE_DATA"]) / instance,
        batch_records_max=int(os.environ["RUNTIME_BATCH"]),
        session_timeout_ms=int(os.environ["RUNTIME_SESSION_MS"]),
        transaction_timeout_ms=int(os.environ["RUNTIME_TRANSACTION_MS"]),
        call_timeout_ms=int(os.environ["RUNTIME_TRANSACTION_MS"]) - 1_000,
        poll_timeout_ms=50,
    )
    task = Task(
        config,
        lambda batch: batch.run(count),
        clients=KafkaClients(config),
        stores=RocksStores(config.task_directory),
        clock=SystemClock(),
    )
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    status = 0
    try:
        while not asked:
            task.step()
    except Fatal as failure:
        print(f"worker ends: {failure}", file=sys.stderr)
        status = EXIT_FAILED
    try:
        task.close()
    except Exception as failure:
        print(f"while closing: {failure}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
