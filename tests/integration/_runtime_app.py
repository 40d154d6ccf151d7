"""
A Faust app of two exactly-once agents, started by tests as `faust -A tests.integration._runtime_app worker`.

`count` reads numbers, counts them by key and passes each on with its count. `total` reads those and keeps a sum by key.
Everything comes from the environment, as for any process of the stack.
"""

from __future__ import annotations

import os
from pathlib import Path

from streams.runtime import Context, Output, PoisonRecord, Record, make_app

prefix = os.environ["RUNTIME_PREFIX"]
limits = {
    "batch_records_max": int(os.environ.get("RUNTIME_BATCH", "1000")),
    "session_timeout_ms": int(os.environ.get("RUNTIME_SESSION_MS", "10000")),
    "transaction_timeout_ms": int(os.environ.get("RUNTIME_TRANSACTION_MS", "15000")),
    "call_timeout_ms": int(os.environ.get("RUNTIME_TRANSACTION_MS", "15000")) - 1_000,
}

app = make_app(
    os.environ["RUNTIME_APPLICATION"],
    instance=os.environ["RUNTIME_INSTANCE"],
    bootstrap=os.environ["CLEARLINE_KAFKA"],
    directory=Path(os.environ["CLEARLINE_DATA"]),
)


class NotANumber(PoisonRecord):
    """The value isn't a number."""


def rejection(record: Record, poison: PoisonRecord) -> Output:
    """The bytes, where they came from and why they were refused."""
    reason = f"{record.topic} {record.partition} {record.offset} {type(poison).__name__}: {poison}"
    return Output(f"{prefix}-rejected", record.value, record.key, headers=(("reason", reason.encode()),))


counting = app.source("count", sources=(f"{prefix}-in",), changelog=f"{prefix}-count", rejection=rejection, **limits)
totalling = app.source("total", sources=(f"{prefix}-out",), changelog=f"{prefix}-total", **limits)


def count(record: Record, context: Context) -> None:
    """Pass the number on, with how often its key was seen."""
    assert record.key is not None
    assert record.value is not None
    if record.value == b"bug":
        raise ZeroDivisionError("a bug in decide")
    seen = int(context.store.get(record.key) or b"0") + 1
    context.store.put(record.key, b"%d" % seen)
    context.emit(f"{prefix}-out", b"%s %d" % (record.value, seen), key=record.key)
    if not record.value.isdigit():
        raise NotANumber(f"{record.value!r} is not a number")


def total(record: Record, context: Context) -> None:
    """Add the number up."""
    assert record.key is not None
    assert record.value is not None
    before = int(context.store.get(record.key) or b"0")
    context.store.put(record.key, b"%d" % (before + int(record.value.split()[0])))


@app.agent(counting.channel)
async def count_agent(batches):
    """Count."""
    async for batch in batches:
        batch.run(count)


@app.agent(totalling.channel)
async def total_agent(batches):
    """Sum."""
    async for batch in batches:
        batch.run(total)
