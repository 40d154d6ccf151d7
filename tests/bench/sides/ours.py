"""Our engine: a Faust worker on `streams.runtime` that counts by key and passes each record on."""

from __future__ import annotations

from pathlib import Path

from streams.runtime import Context, Record, make_app
from tests.bench import stages
from tests.bench.sides import _told

stages.start()

app = make_app(_told.APPLICATION, instance="bench", bootstrap=_told.BOOTSTRAP, directory=Path(_told.DATA))
limits = {"batch_records_max": _told.BATCH} if _told.BATCH else {}
counting = app.source("count", sources=(_told.SOURCE,), changelog=_told.CHANGELOG, **limits)


def count(record: Record, context: Context) -> None:
    """Count the key and pass the record on."""
    store, key = context.store, record.key
    store.put(key, b"%d" % (int(store.get(key) or b"0") + 1))
    context.emit(_told.OUTPUT, record.value, key=key)


@app.agent(counting.channel)
async def count_agent(batches):
    """Count."""
    async for batch in batches:
        batch.run(count)
