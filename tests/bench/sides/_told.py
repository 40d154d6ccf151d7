"""What a side is told; standard library only, since Quix Streams' side runs in an environment of its own."""

from __future__ import annotations

import os

BOOTSTRAP = os.environ.get("BENCH_KAFKA", "")
APPLICATION = os.environ.get("BENCH_APPLICATION", "")
SOURCE = os.environ.get("BENCH_SOURCE", "")
OUTPUT = os.environ.get("BENCH_OUTPUT", "")
CHANGELOG = os.environ.get("BENCH_CHANGELOG", "")
DATA = os.environ.get("BENCH_DATA", "")
COMMIT_S = float(os.environ.get("BENCH_COMMIT_S", "0"))
BATCH = int(os.environ.get("BENCH_BATCH", "0"))
STATE = os.environ.get("BENCH_STATE", "")
