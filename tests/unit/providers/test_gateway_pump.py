"""What may be committed now, and what must wait for the window."""

from __future__ import annotations

from connectors.providers.gateway._items import Item, Place
from connectors.providers.gateway._pump import committable
from connectors.providers.gateway._window import SPAN_MAX, Window


def _window(*offsets: int) -> Window:
    window = Window(position=offsets[0])
    for offset in offsets:
        window.receive(offset)
    return window


def _item(offset: int, *, partition: int = 0, marks_done: bool = True) -> Item:
    return Item(Place(partition, 1, offset), (), marks_done)


def test_what_is_within_reach_is_committed_in_order():
    """Nothing waits that needn't."""
    items = [_item(12), _item(10), _item(11, marks_done=False)]
    assert committable(items, {0: _window(10, 11, 12)}) == (items, [])


def test_a_result_never_overtakes_its_own_parking():
    """While a parking waits for the window, the request's result and tombstone wait behind it."""
    far = 10 + SPAN_MAX
    parked, resolved = _item(far), _item(far, marks_done=False)
    other, oldest = _item(5, partition=1), _item(10)
    windows = {0: _window(10, far), 1: _window(5)}
    assert committable([parked, resolved, other, oldest], windows) == ([other, oldest], [parked, resolved])


def test_waiting_ends_when_the_oldest_is_done():
    """The oldest open request is always within reach; once it is marked, what waited is committable."""
    far = 10 + SPAN_MAX
    window = _window(10, far)
    waiting = [_item(far), _item(far, marks_done=False)]
    assert committable([*waiting, _item(10)], {0: window}) == ([_item(10)], waiting)
    window.mark(10)
    assert committable(waiting, {0: window}) == (waiting, [])


def test_later_requests_of_the_partition_wait_too():
    """What lies beyond a waiting offset keeps its place in the order."""
    far = 10 + SPAN_MAX
    window = _window(10, far, far + 1)
    items = [_item(far), _item(far + 1, marks_done=False)]
    assert committable(items, {0: window}) == ([], items)
