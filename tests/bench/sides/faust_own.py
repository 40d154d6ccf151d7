"""Faust's own `processing_guarantee="exactly_once"`: an agent that counts in a table and sends each record on."""

from __future__ import annotations

import faust

from tests.bench.sides import _told

app = faust.App(
    _told.APPLICATION,
    broker=f"kafka://{_told.BOOTSTRAP}",
    # In memory with a changelog: the fastest of its stores.
    store="memory://",
    processing_guarantee="exactly_once",
    broker_commit_interval=_told.COMMIT_S,
    topic_partitions=4,
    topic_allow_declare=False,
    topic_disable_leader=True,
    stream_buffer_maxsize=16_384,
    stream_wait_empty=False,
    producer_linger=0,
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
    key_serializer="raw",
    value_serializer="raw",
)
source = app.topic(_told.SOURCE, key_type=bytes, value_type=bytes)
output = app.topic(_told.OUTPUT, key_type=bytes, value_type=bytes)
counts = app.Table("counts", default=int, partitions=4, key_type=bytes, value_type=int)


@app.agent(source)
async def count(stream):
    """Count."""
    async for event in stream.events():
        counts[event.key] += 1
        await output.send(key=event.key, value=event.value)
