"""Quix Streams with the same state; in an environment of its own (.venv-quix)."""

from __future__ import annotations

from quixstreams import Application

from tests.bench.sides import _told

TOLD_CHARACTERS = 16


def main() -> None:
    """Run until it is killed."""
    app = Application(
        broker_address=_told.BOOTSTRAP,
        consumer_group=_told.APPLICATION,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=_told.COMMIT_S,
        state_dir=_told.DATA,
        consumer_poll_timeout=0.2,
        producer_extra_config={
            "retry.backoff.ms": 1,
            "retry.backoff.max.ms": 2,
            "linger.ms": 0,
            "queue.buffering.max.messages": 500_000,
        },
        # What lets our own restarts go on at once is given to it as well: without a name of its own a killed member
        # keeps its partitions until its session ends.
        consumer_extra_config={
            "queued.min.messages": 50_000,
            "group.instance.id": "bench",
            "session.timeout.ms": 10_000,
        },
        loglevel="INFO",
    )
    source = app.topic(_told.SOURCE, key_deserializer="bytes", value_deserializer="bytes")
    output = app.topic(_told.OUTPUT, key_serializer="bytes", value_serializer="bytes")

    def keep(value, state):
        told = state.get("v", "")[:TOLD_CHARACTERS].encode()
        state.set("v", value.decode())
        return told

    app.dataframe(source).apply(keep, stateful=True).to_topic(output)
    app.run()


if __name__ == "__main__":
    main()
