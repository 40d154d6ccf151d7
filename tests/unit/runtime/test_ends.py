"""Questions for a changelog's end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from streams.runtime._ends import Ends


async def test_a_question_is_never_answered_by_what_was_asked_before_it():
    """Those that come while one is under way share the next, which is asked after all of them came."""
    asked, gate, begun = [], threading.Event(), threading.Event()

    def ask(partitions):
        asked.append(list(partitions))
        begun.set()
        assert gate.wait(60)
        return dict.fromkeys(partitions, len(asked))

    ends = Ends(ask)
    first = asyncio.create_task(ends.end(1))
    assert await asyncio.to_thread(begun.wait, 60)
    late = [asyncio.create_task(ends.end(number)) for number in (1, 2, 1)]
    await asyncio.sleep(0)
    gate.set()
    assert await first == 1
    assert await asyncio.gather(*late) == [2, 2, 2]
    assert asked == [[1], [1, 2]]


async def test_what_asking_raises_reaches_everybody_who_waits():
    """And the next question is asked again."""

    def ask(_partitions):
        raise OSError("away")

    ends = Ends(ask)
    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            await ends.end(1)
