"""The window of offsets: the position never passes what isn't done, and what is done is never forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.providers.errors import WindowFull
from connectors.providers.gateway._window import SPAN_MAX, Window, decode, encode

OFFSET_METADATA_MAX_BYTES = 4_096  # the broker's default


@st.composite
def histories(draw):
    """Offsets with gaps, the order in which some of them are done, and where the process dies."""
    steps = draw(st.lists(st.integers(1, 9), min_size=1, max_size=60))
    start = draw(st.integers(0, 10**12))
    offsets = [start + sum(steps[: index + 1]) for index in range(len(steps))]
    done = draw(st.lists(st.sampled_from(offsets), unique=True))
    return start, offsets, done


@settings(deadline=None)  # a busy machine is no failure
@given(histories())
def test_a_successor_is_left_exactly_what_was_not_done(history):
    """From position and metadata alone, a new window asks for every offset that wasn't done and for no other."""
    start, offsets, done = history
    window = Window(position=start)
    assert all(window.receive(offset) for offset in offsets)
    for offset in done:
        window.mark(offset)
    assert len(window) == len(offsets) - len(done)
    assert all(offset in done for offset in offsets if offset < window.position)
    successor = Window(position=window.position, metadata=window.metadata())
    again = [offset for offset in offsets if offset >= window.position]
    asked = [offset for offset in again if successor.receive(offset)]
    assert asked == [offset for offset in offsets if offset not in done]
    for offset in asked:
        successor.mark(offset)
    assert (len(successor), successor.metadata()) == (0, "")
    assert successor.position == offsets[-1] + 1 or not again


@settings(deadline=None)  # a busy machine is no failure
@given(histories())
def test_a_successor_that_read_only_a_part_forgets_nothing(history):
    """What was done beyond the part that a successor has read again is still in what it commits."""
    start, offsets, done = history
    window = Window(position=start)
    for offset in offsets:
        window.receive(offset)
    for offset in done:
        window.mark(offset)
    successor = Window(position=window.position, metadata=window.metadata())
    again = [offset for offset in offsets if offset >= window.position]
    for offset in again[: len(again) // 2]:
        successor.receive(offset)
    third = Window(position=successor.position, metadata=successor.metadata())
    left = [offset for offset in offsets if offset >= successor.position and third.receive(offset)]
    assert left == [offset for offset in offsets if offset not in done]


def test_offsets_delivered_again_are_not_asked_again():
    """After a pause the client may deliver a record again; it is one request all the same."""
    window = Window(position=5)
    assert window.receive(5)
    assert not window.receive(5)
    assert not window.receive(4)
    assert len(window) == 1


def test_the_bitmap_never_outgrows_what_a_broker_takes():
    """At its widest the metadata is within the broker's limit; an offset beyond has to wait."""
    window = Window(position=100)
    window.receive(100)
    for offset in (100 + SPAN_MAX - 1, 100 + SPAN_MAX):
        window.receive(offset)
    assert window.can_mark(100 + SPAN_MAX - 1)
    window.mark(100 + SPAN_MAX - 1)
    assert len(window.metadata()) <= OFFSET_METADATA_MAX_BYTES
    assert not window.can_mark(100 + SPAN_MAX)
    with pytest.raises(WindowFull, match="beyond the position"):
        window.mark(100 + SPAN_MAX)
    window.mark(100)
    assert window.can_mark(100 + SPAN_MAX)


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(0, 10**12), st.sets(st.integers(0, SPAN_MAX - 1)))
def test_encoding_is_lossless(position, beyond):
    """Decoding gives back what was encoded."""
    done = {position + offset for offset in beyond}
    assert decode(position, encode(position, done)) == done


@pytest.mark.parametrize("metadata", ["", "set by hand", "1:%%%", "2:AAAA", "1:abc", "ü"])
def test_metadata_of_another_origin_means_nothing_done(metadata):
    """An operator's tool may reset offsets with metadata of its own; requests are then repeated under their keys, not lost."""
    assert decode(7, metadata) == set()
