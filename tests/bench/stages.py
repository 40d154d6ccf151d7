"""Where the time goes inside a process: exclusive wall time of some functions, switched on by `BENCH_STAGES=<file>`."""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

VARIABLE = "BENCH_STAGES"
_WRITTEN_EVERY_S = 0.2


class Stages:
    """
    Times calls by label. A timed call inside another is taken off the outer one's time, within a thread.

    What it adds to a call, some 0.4 us, is the price: figures come from runs without it, shares from runs with it.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self._local = threading.local()

    def wrap(self, owner: Any, name: str, label: str, *, counts: Callable[[Any], bool] = lambda _: True) -> None:
        """Time `owner.name` from now on; calls whose result `counts` denies are left out."""
        inner = getattr(owner, name)
        local, seconds, calls, clock = self._local, self.seconds, self.calls, time.perf_counter
        seconds[label], calls[label] = 0.0, 0

        @functools.wraps(inner)
        def timed(*args: Any, **kwargs: Any) -> Any:
            outside = getattr(local, "nested", 0.0)
            local.nested = 0.0
            begun = clock()
            result: Any = None
            try:
                result = inner(*args, **kwargs)
                return result
            finally:
                took = clock() - begun
                if counts(result):
                    seconds[label] += took - local.nested
                    calls[label] += 1
                local.nested = outside + took

        setattr(owner, name, timed)

    def write_to(self, path: Path) -> None:
        """Keep the file up to date from a thread: a worker ends without running exit handlers."""

        def write() -> None:
            beside = path.with_suffix(".part")
            while True:
                time.sleep(_WRITTEN_EVERY_S)
                found = {label: [self.calls[label], self.seconds[label]] for label in self.seconds}
                beside.write_text(json.dumps(found), encoding="utf-8")
                beside.replace(path)

        threading.Thread(target=write, name="bench-stages", daemon=True).start()


def time_runtime(stages: Stages) -> None:
    """The runtime's own steps."""
    from streams.runtime import _consumer, _producer, batch, faust_source, state, store

    stages.wrap(_consumer.KafkaConsumer, "poll", "poll", counts=bool)
    stages.wrap(faust_source.Source, "_process", "to the agent and back, batch included")
    stages.wrap(batch.Batch, "run", "batch and handler")
    stages.wrap(state.StateView, "get", "state read")
    stages.wrap(_producer.KafkaProducer, "begin", "begin")
    stages.wrap(_producer.KafkaProducer, "produce", "produce")
    stages.wrap(_producer.KafkaProducer, "send_offsets", "send offsets")
    stages.wrap(_producer.KafkaProducer, "commit", "commit")
    stages.wrap(store.RocksStore, "apply", "apply to RocksDB")
    stages.wrap(state.StateView, "committed", "cache")


def time_agents(stages: Stages) -> None:
    """What the agents do for a record."""
    from schemas import codec
    from streams.agents import lifecycle, settlement
    from streams.runtime import batch

    stages.wrap(codec, "decode", "decode")
    stages.wrap(codec, "encode", "encode")
    stages.wrap(lifecycle, "decide", "decide")
    stages.wrap(settlement, "settle", "settle")
    stages.wrap(batch.Context, "emit", "emit")


def start(*, agents: bool = False) -> None:
    """Begin, if the variable is set."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    stages = Stages()
    time_runtime(stages)
    if agents:
        time_agents(stages)
    stages.write_to(Path(path))


def per_item(path: Path, items: int) -> dict[str, float]:
    """Microseconds by label for each of `items`, largest first; the hand-over is what it is without the batch it waits for."""
    found = {label: seconds for label, (_, seconds) in json.loads(path.read_text(encoding="utf-8")).items()}
    waited = "to the agent and back, batch included"
    inside = ("batch and handler", "state read", "decode", "encode", "decide", "settle", "emit")
    if waited in found:
        found["to the agent and back"] = found.pop(waited) - sum(found.get(label, 0.0) for label in inside)
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return {label: round(seconds * 1e6 / items, 2) for label, seconds in ordered if seconds > 0}
