"""A Faust app whose agent misbehaves once, outside its handler, as `RUNTIME_BEHAVIOUR` says."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from streams.runtime import Context, Record, make_app

prefix = os.environ["RUNTIME_PREFIX"]
behaviour = [os.environ["RUNTIME_BEHAVIOUR"]]

app = make_app(
    os.environ["RUNTIME_APPLICATION"],
    instance=os.environ["RUNTIME_INSTANCE"],
    bootstrap=os.environ["CLEARLINE_KAFKA"],
    directory=Path(os.environ["CLEARLINE_DATA"]),
)
passing = app.source("pass", sources=(f"{prefix}-in",), batch_timeout_ms=3_000)


def forward(record: Record, context: Context) -> None:
    """Pass on."""
    context.emit(f"{prefix}-out", record.value, key=record.key)


@app.agent(passing.channel)
async def agent(batches):
    """Misbehave with the first batch."""
    async for batch in batches:
        once = behaviour.pop() if behaviour else ""
        if once == "raises":
            raise RuntimeError("outside the handler")
        if once == "skips":
            continue
        if once == "cancelled":
            asyncio.current_task().cancel()
            await asyncio.sleep(0)
        if once == "hangs":
            await asyncio.Event().wait()
        batch.run(forward)


if behaviour == ["twins"]:

    @app.agent(passing.channel, name="twin")
    async def twin(batches):
        """One agent too many."""
        async for batch in batches:
            batch.run(forward)
