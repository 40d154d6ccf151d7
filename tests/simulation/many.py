"""Many seeds, in several processes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

from tests.simulation.bad import BAD
from tests.simulation.cluster import Engine
from tests.simulation.run import Mode, Result, simulate

# Seeds that one process runs before it tells; small enough that a violation ends the whole soon.
CHUNK_SEEDS = 20

# Chunks that are handed out and not read yet; bounds the memory of a run over a million seeds.
AHEAD_MAX = 16


def run_chunk(first: int, count: int, mode: Mode, engine: str) -> list[Result]:
    """Some seeds, up to the first that fails."""
    results = []
    for seed in range(first, first + count):
        results.append(simulate(seed, mode=mode, engine=BAD.get(engine, Engine())))
        if results[-1].failure:
            break
    return results


def results_of(first: int, seeds: int, mode: Mode, engine: str, processes: int) -> Iterator[Result]:
    """All runs, in the order of their seeds."""
    chunks = [(at, min(CHUNK_SEEDS, first + seeds - at)) for at in range(first, first + seeds, CHUNK_SEEDS)]
    if processes == 1:
        for at, count in chunks:
            yield from run_chunk(at, count, mode, engine)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting: list[Future[list[Result]]] = []
        try:
            for at, count in chunks:
                waiting.append(pool.submit(run_chunk, at, count, mode, engine))
                if len(waiting) >= AHEAD_MAX:
                    yield from waiting.pop(0).result()
            for future in waiting:
                yield from future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
