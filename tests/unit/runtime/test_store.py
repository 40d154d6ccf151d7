"""RocksDB as the committed state of a partition."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streams.runtime import RocksStores, StoreBusy, StoreDamaged
from streams.runtime.errors import StoreFailed
from streams.runtime.seams import Marker
from streams.runtime.store import DAMAGED_KEPT_MAX


def marker(offset: int) -> Marker:
    """A marker at an offset."""
    return Marker(topic_id="t", offset=offset, state_version=1, applied_at_ms=5)


@pytest.fixture
def stores(tmp_path):
    """A factory on an empty directory."""
    return RocksStores(tmp_path / "count")


def test_changes_and_marker_are_there_after_reopening(stores):
    """Puts, deletes and the marker survive; the marker is no state."""
    store = stores.open(3)
    assert store.marker() is None
    store.apply([(b"a", b"1"), (b"b", b"2")], marker(7))
    store.apply([(b"a", None), (b"c", b"")], marker(9))
    store.close()
    store = stores.open(3)
    assert store.marker() == marker(9)
    assert (store.get(b"a"), store.get(b"b"), store.get(b"c")) == (None, b"2", b"")
    assert list(store.range(b"")) == [(b"b", b"2"), (b"c", b"")]
    store.close()


@pytest.mark.parametrize("prefix", [b"", b"a", b"a\xff", b"\xff", b"\xff\xff", b"b"])
def test_a_range_is_its_prefix_in_key_order(stores, prefix):
    """Also at the end of the key space, where no bound exists."""
    keys = [b"a", b"a\xff", b"a\xff\x01", b"ab", b"b", b"\xff", b"\xff\xff", b"\xff\xff\x01"]
    store = stores.open(0)
    store.apply([(key, key) for key in keys], marker(1))
    assert [key for key, _ in store.range(prefix)] == sorted(key for key in keys if key.startswith(prefix))
    store.close()


def test_a_killed_process_loses_nothing_that_was_applied(stores, tmp_path):
    """The write-ahead log outlives kill -9, with state and marker together."""
    program = f"""
import os, signal
from streams.runtime import RocksStores
from streams.runtime.seams import Marker
from pathlib import Path
store = RocksStores(Path({str(tmp_path / "count")!r})).open(0)
for number in range(1000):
    store.apply([(b"%d" % number, b"v")], Marker(topic_id="t", offset=number, state_version=1, applied_at_ms=5))
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[3], check=False)
    assert killed.returncode == -9
    store = stores.open(0)
    assert store.marker() == marker(999)
    assert sum(1 for _ in store.range(b"")) == 1000
    store.close()


def test_a_store_in_use_is_busy_not_damaged(stores):
    """Another owner's store must never be thrown away."""
    store = stores.open(0)
    with pytest.raises(StoreBusy, match="instance name"):
        stores.open(0)
    store.close()


def test_a_marker_that_is_garbage_is_damage(stores):
    """What can't be placed in the changelog can't be continued."""
    store = stores.open(0)
    store.apply([(b"a", b"1")], marker(1))
    store._db.put(b"", b"\xff\xff")
    with pytest.raises(StoreDamaged, match="marker"):
        store.marker()
    store.close()


def test_a_directory_that_cannot_be_written_says_so(tmp_path):
    """A file in the way of the directory is a fault of the machine, not of the store."""
    (tmp_path / "count").write_text("in the way")
    with pytest.raises(StoreFailed, match="permissions"):
        RocksStores(tmp_path / "count").open(0)


def test_damaged_stores_are_kept_aside_but_not_for_ever(stores, tmp_path):
    """The last few stay for examination."""
    for _ in range(DAMAGED_KEPT_MAX + 3):
        stores.open(0).close()
        stores.discard(0, keep=True)
    stores.discard(0, keep=True)
    names = sorted(path.name for path in (tmp_path / "count").iterdir())
    assert names == ["0.damaged-4", "0.damaged-5"]
