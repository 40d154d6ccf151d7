"""Log files: bounded, rotated, read from their end and followed across rotations."""

from __future__ import annotations

from pathlib import Path

from infra.supervisor._logfile import Follower, RotatingLog, last_lines


def test_rotation_keeps_the_newest_within_bounds(tmp_path: Path) -> None:
    """No file exceeds its bound, no more files than allowed exist, and the newest lines survive in order."""
    log = RotatingLog(tmp_path / "a.log", file_bytes_max=100, files=3)
    for number in range(100):
        log.write(b"line %04d" % number)
    log.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2"]
    assert all(file.stat().st_size <= 100 for file in tmp_path.iterdir())
    assert last_lines(tmp_path / "a.log", 25) == [f"line {number:04}" for number in range(75, 100)]


def test_a_log_is_continued(tmp_path: Path) -> None:
    """Opening an existing log appends to it and counts what is there."""
    for number in range(30):
        log = RotatingLog(tmp_path / "a.log", file_bytes_max=50, files=2)
        log.write(b"%09d" % number)
        log.close()
    assert (tmp_path / "a.log").stat().st_size <= 50
    assert last_lines(tmp_path / "a.log", 6) == [f"{number:09}" for number in range(24, 30)]


def test_one_file_only(tmp_path: Path) -> None:
    """With a single file allowed it starts anew when full."""
    log = RotatingLog(tmp_path / "a.log", file_bytes_max=30, files=1)
    for number in range(10):
        log.write(b"%09d" % number)
    log.close()
    assert [file.name for file in tmp_path.iterdir()] == ["a.log"]
    assert last_lines(tmp_path / "a.log", 1) == ["000000009"]


def test_following_misses_nothing_over_rotations(tmp_path: Path) -> None:
    """What is written after the follower began is read once and in order, whether or not the file was shifted."""
    path = tmp_path / "a.log"
    log = RotatingLog(path, file_bytes_max=100, files=3)
    log.write(b"before")
    follower = Follower(path)
    seen: list[str] = []
    for number in range(60):
        log.write(b"line %04d" % number)
        if number % 7 == 0:
            seen.extend(follower.lines())
    seen.extend(follower.lines())
    log.close()
    assert seen == [f"line {number:04}" for number in range(60)]


def test_following_a_log_that_does_not_exist_yet(tmp_path: Path) -> None:
    """A follower may come first; an incomplete line waits for its end."""
    path = tmp_path / "a.log"
    follower = Follower(path)
    assert list(follower.lines()) == []
    path.write_bytes(b"one\ntw")
    assert list(follower.lines()) == ["one"]
    with path.open("ab") as file:
        file.write(b"o\n")
    assert list(follower.lines()) == ["two"]


def test_a_log_that_cannot_be_written_does_not_raise(tmp_path: Path) -> None:
    """A process must not stand still because its log can't be kept: lines are dropped and counted."""
    log = RotatingLog(tmp_path / "a.log", file_bytes_max=100, files=2)
    log.close()
    log.write(b"lost")
    assert log.lost_bytes == len(b"lost\n")
