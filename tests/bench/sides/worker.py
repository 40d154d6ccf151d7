"""The product's own worker, with its stages timed: what `faust -A streams.app worker` runs, when `BENCH_STAGES` is set."""

from __future__ import annotations

from tests.bench import stages

stages.start(agents=True)

from streams.app import app  # noqa: E402 -- after what it calls is timed

__all__ = ["app"]
