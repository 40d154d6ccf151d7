"""Runs a replay's jobs, one a partition, in this process or in several."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

from schemas.catalogue import PAYMENTS_INPUTS, SETTLEMENT_EVENTS
from streams.replay._fold import FOLDS, Cut, FoldReport, Replayer
from streams.replay._leaves import LeafFile
from streams.replay._spool import Spool, Unowned, owner
from streams.replay.difference import Difference, Place
from streams.replay.log import Log

STRAYS_SHOWN_MAX = 20
_LOOK_S = 0.2
_PROGRESS_RECORDS = 2_000

Advance = Callable[[int, int], None]
"""Told a job's number and how many records it has done."""


class Shared(NamedTuple):
    """What every job knows."""

    log: Log
    cut: Cut
    directory: Path
    with_leaves: bool


class PartJob(NamedTuple):
    """Part one topic partition by the input partitions that caused its records."""

    topic: str
    partition: int


class FoldJob(NamedTuple):
    """Replay one partition of one fold."""

    fold: str
    partition: int


class PartReport(NamedTuple):
    """Records that no fold can have written: how many, and the first ones."""

    strays: int
    differences: list[Difference]


Job = PartJob | FoldJob


def run(
    jobs: Sequence[Job], shared: Shared, *, processes: int, advance: Advance
) -> Iterator[tuple[Job, PartReport | FoldReport]]:
    """The jobs with their reports, in their order. The first error of a job is raised when its turn comes."""
    if processes <= 1 or len(jobs) <= 1:
        for number, job in enumerate(jobs):
            yield job, _do(job, shared, lambda done, number=number: advance(number, done))  # type: ignore[misc]
        return
    context = multiprocessing.get_context("spawn")  # Kafka's and RocksDB's threads don't survive a fork
    done = context.Array("q", len(jobs))
    with ProcessPoolExecutor(
        min(processes, len(jobs)), mp_context=context, initializer=_start, initargs=(shared, done)
    ) as pool:
        futures = [pool.submit(_in_process, number, job) for number, job in enumerate(jobs)]
        try:
            pending = set(futures)
            while pending:
                finished, pending = wait(pending, timeout=_LOOK_S, return_when=FIRST_EXCEPTION)
                for number in range(len(jobs)):
                    advance(number, done[number])
                if any(future.exception() is not None for future in finished):
                    break
            for job, future in zip(jobs, futures, strict=True):
                yield job, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_process: tuple[Shared, Any] | None = None


def _start(shared: Shared, done: Any) -> None:
    global _process  # noqa: PLW0603 -- a pool's process has no other place for what all of its jobs share
    _process = shared, done
    parent = multiprocessing.parent_process()
    if parent is not None:  # a killed parent leaves nobody who would end us
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _in_process(number: int, job: Job) -> PartReport | FoldReport:
    assert _process is not None
    shared, done = _process

    def advance(count: int) -> None:
        done[number] = count

    return _do(job, shared, advance)


def _do(job: Job, shared: Shared, advance: Callable[[int], None]) -> PartReport | FoldReport:
    if isinstance(job, PartJob):
        return _part(job, shared, advance)
    replayer = Replayer(
        FOLDS[job.fold],
        job.partition,
        log=shared.log,
        cut=shared.cut,
        directory=shared.directory,
        with_leaves=shared.with_leaves,
    )
    return replayer.run(advance)


def _part(job: PartJob, shared: Shared, advance: Callable[[int], None]) -> PartReport:
    partitions = len(shared.cut.bounds[PAYMENTS_INPUTS.name])
    spool = Spool(shared.directory, job.topic, job.partition)
    count = 0
    strays: list[Difference] = []
    with contextlib.ExitStack() as files:
        files.callback(spool.close)
        leaves = None
        if shared.with_leaves and job.topic == SETTLEMENT_EVENTS.name:
            leaves = LeafFile(shared.directory, job.topic, job.partition)
            files.callback(leaves.close)
        done = 0
        for record in shared.log.read(job.topic, job.partition, shared.cut.bounds[job.topic][job.partition]):
            done += 1
            if done % _PROGRESS_RECORDS == 0:
                advance(done)
            if leaves is not None:
                leaves.add(record)
            try:
                of = owner(record, partitions=partitions)
            except Unowned as why:
                count += 1
                if len(strays) < STRAYS_SHOWN_MAX:
                    place = Place(record.topic, record.partition, record.offset)
                    strays.append(
                        Difference(kind="unreadable", topic=job.topic, what="a record", recorded=place, note=str(why))
                    )
                continue
            if of is not None:
                spool.add(of, record)
        advance(done)
    return PartReport(count, strays)
