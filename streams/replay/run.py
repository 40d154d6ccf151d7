"""A whole replay: the cut, every partition, the digests, one report."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import msgspec

from schemas.catalogue import (
    CATALOGUE,
    CUSTOMERS_INPUTS,
    KEPT_FOR_EVER_MS,
    PAYMENTS_EVENTS,
    PAYMENTS_INPUTS,
    PAYMENTS_REPLIES,
    PROVIDER_REQUESTS,
    RECORDS_REJECTED,
    SETTLEMENT_EVENTS,
    SETTLEMENT_INPUTS,
)
from streams.replay import published
from streams.replay._fold import FOLDS, Cut, FoldReport
from streams.replay._jobs import FoldJob, Job, PartJob, PartReport, Shared
from streams.replay._jobs import run as run_jobs
from streams.replay._leaves import leaf_path, leaves
from streams.replay.difference import Difference
from streams.replay.digest import Digest, day_of, digests
from streams.replay.errors import InputsGone, NotComparable
from streams.replay.log import Bounds, Log

CLOSED_AFTER_MS = 3_600_000
"""A day is over for its digest when every partition's newest input is this long past midnight: clocks differ, producers retry."""

INLINE_OFFSETS_MAX = 50_000
"""Below it, starting processes takes longer than replaying."""

_PROCESSES_MAX = 8
"""By default: beyond it the broker or the disk is what is waited for."""

_PARTED = (
    PAYMENTS_REPLIES.name,
    SETTLEMENT_INPUTS.name,
    SETTLEMENT_EVENTS.name,
    CUSTOMERS_INPUTS.name,
    PROVIDER_REQUESTS.name,
    RECORDS_REJECTED.name,
)
_EVENTS = (PAYMENTS_EVENTS.name, SETTLEMENT_EVENTS.name)
_KEPT = frozenset(topic.name for topic in CATALOGUE if topic.retention_ms == KEPT_FOR_EVER_MS)

Progress = Callable[[str, int, int], None]
"""Told a phase (part, fold), how many records are done, and of how many offsets."""


class Report(msgspec.Struct, kw_only=True):
    """What a replay found. `closed_until`: days before it are over (YYYY-MM-DD, empty: none is known to be)."""

    folds: list[FoldReport]
    strays: list[Difference]
    stray_count: int
    digests: list[Digest]
    digest_differences: list[Difference]
    published: int
    closed_until: str
    took_s: float
    folding_s: float

    @property
    def inputs(self) -> int:
        """Inputs that were folded."""
        return sum(fold.inputs for fold in self.folds)

    @property
    def difference_count(self) -> int:
        """Everything that differs."""
        return self.fold_difference_count + len(self.digest_differences)

    @property
    def fold_difference_count(self) -> int:
        """Without the digests."""
        return self.stray_count + sum(fold.difference_count for fold in self.folds)

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return self.difference_count == 0

    @property
    def not_comparable(self) -> int:
        """Folded records whose recorded side retention has removed."""
        return sum(count.not_comparable for fold in self.folds for count in fold.topics.values())

    @property
    def closed(self) -> list[Digest]:
        """Digests of days that are over."""
        return [digest for digest in self.digests if digest.day < self.closed_until]


def replay(
    log: Log,
    *,
    processes: int | None = None,
    scratch: Path | None = None,
    with_digests: bool = False,
    progress: Progress = lambda _phase, _done, _total: None,
) -> Report:
    """
    Fold everything again and compare it with what was recorded.

    1. Cut. 2. Part the topics that several partitions write to. 3. Replay each partition. 4. Join the leaves into
    digests and compare them with the published ones, whenever some are. `processes`: by default one a core, and none but
    this one for a small log. `scratch` is where some gigabytes may go for a
    million payments; by default the system's temporary directory. Raises `NotComparable`.
    """
    started = time.monotonic()
    # Step 1
    told = published.read(log)
    cut = make_cut(log)
    partitions = len(cut.bounds[PAYMENTS_INPUTS.name])
    with_leaves = with_digests or bool(told)
    if processes is None:
        offsets = sum(_length(bounds) for topic in cut.bounds.values() for bounds in topic.values())
        processes = 1 if offsets < INLINE_OFFSETS_MAX else min(os.cpu_count() or 1, _PROCESSES_MAX)
    directory = Path(tempfile.mkdtemp(prefix="clearline-replay-", dir=scratch))
    try:
        shared = Shared(log, cut, directory, with_leaves)
        # Step 2
        parts = [PartJob(topic, number) for topic in _PARTED for number in sorted(cut.bounds[topic])]
        total = sum(_length(cut.bounds[job.topic][job.partition]) for job in parts)
        strays: list[Difference] = []
        stray_count = 0
        for _, part in run_jobs(parts, shared, processes=processes, advance=_summed(progress, "part", total)):
            assert isinstance(part, PartReport)
            stray_count += part.strays
            strays += part.differences
        # Step 3
        folding = time.monotonic()
        jobs: list[Job] = [FoldJob(name, number) for name in FOLDS for number in range(partitions)]
        total = sum(sum(offsets.values()) for offsets in cut.after.values())
        folds = []
        for _, fold in run_jobs(jobs, shared, processes=processes, advance=_summed(progress, "fold", total)):
            assert isinstance(fold, FoldReport)
            folds.append(fold)
        folding_s = time.monotonic() - folding
        # Step 4
        found = list(digests(_leaves(directory, cut))) if with_leaves else []
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return Report(
        folds=folds,
        strays=strays,
        stray_count=stray_count,
        digests=found,
        digest_differences=list(published.compare(told, {(one.tenant, one.day): one for one in found})),
        published=len(told),
        closed_until=_closed_until(folds),
        took_s=time.monotonic() - started,
        folding_s=folding_s,
    )


def make_cut(log: Log) -> Cut:
    """Decide what is compared, while workers go on; see `Cut`. Raises `NotComparable`."""
    before = {name: log.committed(spec.group, spec.inputs) for name, spec in FOLDS.items()}
    topics = {topic for spec in FOLDS.values() for topic in (spec.inputs, spec.changelog, *spec.direct, *spec.parted)}
    bounds = {topic: log.bounds(topic) for topic in sorted(topics)}
    after = {name: log.committed(spec.group, spec.inputs) for name, spec in FOLDS.items()}
    for topic, found in bounds.items():
        if not found:
            raise NotComparable(
                f"topic {topic} is not there", remedy="Point CLEARLINE_KAFKA at the brokers of a stack that has run"
            )
        for number, (start, _) in found.items():
            if start > 0 and topic in _KEPT and topic not in {spec.changelog for spec in FOLDS.values()}:
                raise InputsGone(
                    f"{topic}/{number} begins at offset {start}: what came before is gone",
                    remedy="Restore the topic from tiered storage or a backup; set retention.ms=-1 so that it stays",
                )
    counts = {topic: len(bounds[topic]) for topic in (*(spec.inputs for spec in FOLDS.values()), PAYMENTS_EVENTS.name)}
    if len(set(counts.values())) != 1:
        shown = ", ".join(f"{topic} has {count}" for topic, count in counts.items())
        raise NotComparable(
            f"partition counts differ: {shown}", remedy="Payment topics need as many partitions, all alike"
        )
    for name, offsets in before.items():
        for number, offset in offsets.items():
            if after[name].get(number, 0) < offset:
                raise NotComparable(
                    f"group {FOLDS[name].group} went back on partition {number} while it was looked at",
                    remedy="Let nobody reset its offsets, and try again",
                )
    return Cut(before=before, bounds=bounds, after=after)


def _length(bounds: Bounds) -> int:
    return bounds.end - bounds.start


def _summed(progress: Progress, phase: str, total: int) -> Callable[[int, int], None]:
    done: dict[int, int] = {}

    def advance(number: int, count: int) -> None:
        if done.get(number) != count:
            done[number] = count
            progress(phase, sum(done.values()), total)

    return advance


def _leaves(directory: Path, cut: Cut) -> Iterator[tuple[tuple[str, str], bytes]]:
    """In the order that docs/replay.md promises: topic as named there, partition, offset."""
    paths = [leaf_path(directory, topic, number) for topic in _EVENTS for number in sorted(cut.bounds[topic])]
    return chain.from_iterable(leaves(path) for path in paths)


def _closed_until(folds: list[FoldReport]) -> str:
    newest_ms = min((fold.newest_input_ms for fold in folds), default=0)
    past_ms = min(newest_ms, time.time_ns() // 1_000_000) - CLOSED_AFTER_MS
    return day_of(past_ms) if newest_ms > 0 else ""
