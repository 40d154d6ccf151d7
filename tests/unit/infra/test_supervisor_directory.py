"""The data directory: its version, and directories that aren't ours."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from infra.supervisor import DataDirectory, DataDirectoryError


def test_a_new_directory_is_made_private_and_versioned(tmp_path: Path) -> None:
    """It is readable by its owner only, and opens again."""
    directory = DataDirectory(tmp_path / "a" / "b")
    directory.open()
    directory.open()
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    assert (directory.path / "VERSION").read_text() == "clearline-data 1\n"


@pytest.mark.parametrize("version", ["clearline-data 2\n", "", "something else", "\x00\xff"])
def test_an_unknown_version_is_refused(tmp_path: Path, version: str) -> None:
    """A directory of another release is left as it is, and the error says which release to use."""
    (tmp_path / "VERSION").write_text(version)
    with pytest.raises(DataDirectoryError, match="clearline-data 1") as caught:
        DataDirectory(tmp_path).open()
    assert "release" in caught.value.remedy
    assert [entry.name for entry in tmp_path.iterdir()] == ["VERSION"]


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """A directory with other things in it is not taken over by mistake."""
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(DataDirectoryError, match="not empty"):
        DataDirectory(tmp_path).open()
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    """A path that can't be a directory gives our error, not the system's."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirectoryError, match="can't be used"):
        DataDirectory(tmp_path / "file").open()


def test_a_stale_lock_file_does_not_lock(tmp_path: Path) -> None:
    """A lock file left by a crash names a pid, but only a held lock counts."""
    directory = DataDirectory(tmp_path)
    directory.open()
    (tmp_path / "stack.lock").write_text(f"{os.getppid()}\n")
    assert directory.holder() is None
    lock = directory.lock()
    assert directory.holder() == os.getpid()
    lock.close()
    assert directory.holder() is None


def test_an_unreadable_status_is_none(tmp_path: Path) -> None:
    """A status file that is missing or cut off is no status, not an error."""
    directory = DataDirectory(tmp_path)
    assert directory.read_status() is None
    (tmp_path / "stack.json").write_text('{"supervisor_pid": 1, "phase"')
    assert directory.read_status() is None
