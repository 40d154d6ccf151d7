"""Our engine with large state: keeps each key's newest value and tells the one before."""

from __future__ import annotations

from pathlib import Path

from streams.runtime import Context, Record, make_app
from tests.bench.sides import _told

TOLD_BYTES = 16

app = make_app(_told.APPLICATION, instance="bench", bootstrap=_told.BOOTSTRAP, directory=Path(_told.DATA))
keeping = app.source("keep", sources=(_told.SOURCE,), changelog=_told.CHANGELOG)


def keep(record: Record, context: Context) -> None:
    """Tell what was kept, and keep the record."""
    store, key = context.store, record.key
    context.emit(_told.OUTPUT, (store.get(key) or b"")[:TOLD_BYTES], key=key)
    store.put(key, record.value)


@app.agent(keeping.channel)
async def keep_agent(batches):
    """Keep."""
    async for batch in batches:
        batch.run(keep)
