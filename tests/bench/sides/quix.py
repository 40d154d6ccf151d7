"""Quix Streams exactly-once, stateful; runs in an environment of its own (.venv-quix), on the older client it pins."""

from __future__ import annotations

import os

from quixstreams import Application

from tests.bench.sides import _told

# What made our own commits ten times faster.
TUNED = {"retry.backoff.ms": 1, "retry.backoff.max.ms": 2, "linger.ms": 0, "queue.buffering.max.messages": 500_000}

TUNED_READING = {"queued.min.messages": 50_000, "queued.max.messages.kbytes": 16 * 1024, "fetch.queue.backoff.ms": 2}


def main() -> None:
    """Run until SIGTERM."""
    app = Application(
        broker_address=_told.BOOTSTRAP,
        consumer_group=_told.APPLICATION,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=_told.COMMIT_S,
        commit_every=_told.BATCH,
        state_dir=_told.DATA,
        consumer_poll_timeout=0.2,
        producer_extra_config=TUNED if os.environ.get("BENCH_TUNED") else {},
        consumer_extra_config=TUNED_READING if os.environ.get("BENCH_TUNED") else {},
        loglevel="INFO",
    )
    source = app.topic(_told.SOURCE, key_deserializer="bytes", value_deserializer="bytes")
    output = app.topic(_told.OUTPUT, key_serializer="bytes", value_serializer="bytes")

    def count(value, state):
        state.set("n", state.get("n", 0) + 1)
        return value

    frame = app.dataframe(source).apply(count, stateful=True)
    frame.to_topic(output)
    app.run()


if __name__ == "__main__":
    main()
