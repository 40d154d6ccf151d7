"""The overlay over the committed store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime import POSITIONS_KEY, ConfigurationFault, OutputOversized
from streams.runtime._cache import RecentValues
from streams.runtime.seams import Marker
from streams.runtime.state import StateView
from tests.unit.runtime._log import DictStore

MARKER = Marker(topic_id="t", offset=1, state_version=1, applied_at_ms=0)
KEYS = st.binary(min_size=1, max_size=3).filter(lambda key: not key.startswith(b"\xff"))
WORK = st.lists(st.tuples(st.sampled_from(["put", "delete", "release", "rollback"]), KEYS, st.binary(max_size=3)))


def view(disk: dict[bytes, bytes]) -> StateView:
    """A view over a disk."""
    return StateView(DictStore(disk, 0, []), cache_bytes_max=1_000, value_bytes_max=1_000)


@given(disk=st.dictionaries(KEYS, st.binary(max_size=3)), work=WORK)
def test_a_view_behaves_like_a_dictionary_with_savepoints(disk, work):
    """Reads, ranges and roll-backs agree with a plain dictionary, whatever is stored and whatever is done."""
    state = view(dict(disk))
    model, saved = dict(disk), dict(disk)
    for what, key, value in work:
        if what == "put":
            state.put(key, value)
            model[key] = value
        elif what == "delete":
            state.delete(key)
            model.pop(key, None)
        elif what == "release":
            state.release()
            saved = dict(model)
        else:
            state.rollback()
            model = dict(saved)
        assert state.get(key) == model.get(key)
    for prefix in (b"", b"\x00", b"\xff", b"a"):
        expected = sorted((key, value) for key, value in model.items() if key.startswith(prefix))
        assert list(state.range(prefix)) == expected


def test_the_store_changes_only_when_the_batch_is_applied():
    """Until then everything is in the overlay; afterwards reads come from the store's new content."""
    disk = {b"a": b"1"}
    state = view(disk)
    state.put(b"a", b"2")
    state.release()
    assert disk == {b"a": b"1"}
    DictStore(disk, 0, []).apply(state.changes().items(), MARKER)
    state.committed()
    assert state.get(b"a") == b"2"
    assert state.changes() == {}


def test_a_discarded_batch_leaves_what_was_committed():
    """The cache in front of the store holds committed values only."""
    state = view({b"a": b"1"})
    assert state.get(b"a") == b"1"
    state.put(b"a", b"2")
    state.discard()
    assert state.get(b"a") == b"1"


@pytest.mark.parametrize(("key", "value"), [(b"", b"v"), ("k", b"v"), (b"k", "v"), (b"k", None), (None, b"v")])
def test_keys_and_values_are_bytes(key, value):
    """The empty key is the store's own; deletion has its own call."""
    with pytest.raises(TypeError, match="use delete"):
        view({}).put(key, value)


def test_state_that_no_topic_would_take_is_refused():
    """A value larger than a changelog record is poison of the input, found before anything is produced."""
    with pytest.raises(OutputOversized, match="exceeds the record limit"):
        view({}).put(b"k", b"v" * 1_000)


def test_a_task_without_a_changelog_has_no_state():
    """Reading and writing both say what to configure."""
    state = StateView(None, cache_bytes_max=1_000, value_bytes_max=1_000)
    for use in (lambda: state.get(b"k"), lambda: state.put(b"k", b"v"), lambda: list(state.range(b""))):
        with pytest.raises(ConfigurationFault, match="changelog"):
            use()


@given(st.lists(st.tuples(KEYS, st.binary(max_size=50)), max_size=200))
def test_recent_values_are_bounded_and_never_wrong(work):
    """Whatever is put, a hit is the last value, and the bytes held stay below the limit."""
    cache, last, missing = RecentValues(bytes_max=4_000), {}, object()
    for key, value in work:
        cache.put(key, value)
        last[key] = value
        assert cache.get(key, missing) in (value, missing)
    for key, value in last.items():
        assert cache.get(key, missing) in (value, missing)
    assert len(cache) <= 4_000 // 160 + 2


def test_keys_of_the_runtime_are_neither_taken_nor_shown():
    """Handlers can't overwrite the positions, and don't meet them in a range over everything."""
    state = view({b"a": b"1", POSITIONS_KEY: b'{"in":1}'})
    for use in (lambda: state.put(POSITIONS_KEY, b"x"), lambda: state.delete(POSITIONS_KEY)):
        with pytest.raises(TypeError, match="0xff"):
            use()
    assert list(state.range(b"")) == [(b"a", b"1")]
    assert state.positions() == {"in": 1}
    state.move({"in": 5, "more": 2})
    assert state.changes() == {POSITIONS_KEY: b'{"in":5,"more":2}'}
