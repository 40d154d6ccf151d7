"""What a task tells about itself, for health pages, sensors and tests."""

from __future__ import annotations

from typing import Literal

import msgspec

Phase = Literal["resolving", "restoring", "running", "stopped"]
State = Literal["starting", "joining", "restoring", "ready", "stopped", "failed", "closed"]


class PartitionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One partition of a task as this worker sees it."""

    partition: int
    phase: Phase
    # Next offset to process and the last known end, per source topic; the end is None until something was fetched.
    positions: dict[str, int]
    ends: dict[str, int | None]
    restored_fraction: float
    stopped_reason: str | None

    @property
    def lag(self) -> int:
        """Records known to be waiting."""
        return sum(max(0, end - max(0, self.positions.get(topic, 0))) for topic, end in self.ends.items() if end)


class Counters(msgspec.Struct, kw_only=True):
    """Counts since the task was made; they only grow."""

    batches: int = 0
    records: int = 0
    outputs: int = 0
    state_changes: int = 0
    rejected: int = 0
    aborts: int = 0
    rebalances: int = 0
    stale_records: int = 0
    stops: int = 0
    restored_records: int = 0


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a task."""

    task: str
    instance: str
    state: State
    partitions: tuple[PartitionStatus, ...]
    counters: Counters
    last_commit_ms: int | None
    last_error: str | None

    @property
    def healthy(self) -> bool:
        """Whether nothing needs a person: every partition runs or is on its way."""
        return self.state not in ("failed", "closed") and all(part.phase != "stopped" for part in self.partitions)

    @property
    def ready(self) -> bool:
        """Whether every assigned partition is restored."""
        return self.state in ("ready", "stopped")
