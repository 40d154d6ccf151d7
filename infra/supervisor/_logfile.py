"""Log files of bounded size: NAME.log, with NAME.log.1 … behind it, the higher the older."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

LINE_BYTES_MAX = 64 * 1024  # a longer line is written in pieces, so that no line can fill the memory
_TAIL_BYTES_MAX = 4 * 1024 * 1024  # how far back the last lines of a file are looked for


class RotatingLog:
    """Append lines to a file; before it outgrows `file_bytes_max`, shift it to `.1` and begin a new one.

    Never raises on a disk that is full or gone: a process whose output isn't read would stand still. What couldn't be
    written is counted in `lost_bytes` and said once writing works again.
    """

    def __init__(self, path: Path, *, file_bytes_max: int, files: int) -> None:
        self._path = path
        self._file_bytes_max = file_bytes_max
        self._files = max(files, 1)
        self._guard = threading.Lock()
        self.lost_bytes = 0
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()

    def write(self, line: bytes) -> None:
        """Append one line (a missing line end is added)."""
        if not line.endswith(b"\n"):
            line += b"\n"
        with self._guard:
            try:
                if self._size and self._size + len(line) > self._file_bytes_max:
                    self._rotate()
                if self.lost_bytes:
                    line = b"(%d bytes of log lost: the disk could not take them)\n" % self.lost_bytes + line
                written = self._file.write(line)
            except (OSError, ValueError):
                self.lost_bytes += len(line)
                return
            self._size += written or 0
            self.lost_bytes = 0

    def close(self) -> None:
        """Close the file; what is written afterwards is lost."""
        with self._guard:
            self._file.close()

    def _rotate(self) -> None:
        for number in range(self._files - 1, 0, -1):
            older = self._path if number == 1 else _numbered(self._path, number - 1)
            with contextlib.suppress(FileNotFoundError):
                older.replace(_numbered(self._path, number))
        fresh = self._path.open("wb", buffering=0)  # with one file allowed, it is emptied in place
        self._file.close()
        self._file, self._size = fresh, 0


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a log, without line ends, reaching into the rotated files where needed."""
    lines: deque[str] = deque(maxlen=max(count, 0))
    for file in reversed([path, *(_numbered(path, number) for number in range(1, 10))]):
        with contextlib.suppress(FileNotFoundError), file.open("rb") as opened:
            opened.seek(max(opened.seek(0, os.SEEK_END) - _TAIL_BYTES_MAX, 0))
            lines.extend(text.decode(errors="replace").rstrip("\r\n") for text in opened)
    return list(lines)


class Follower:
    """Reads what is appended to a log from now on, across its rotations."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._inode: int | None = None
        self._rest = b""
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            self._position, self._inode = stat.st_size, stat.st_ino

    def lines(self) -> Iterator[str]:
        """Yield the complete lines that have come since the last call."""
        for file in self._files_to_read():
            with contextlib.suppress(FileNotFoundError), file.open("rb") as opened:
                stat = os.fstat(opened.fileno())
                if stat.st_ino != self._inode or stat.st_size < self._position:
                    self._inode, self._position = stat.st_ino, 0
                opened.seek(self._position)
                data = self._rest + opened.read()
                self._position = opened.tell()
                *complete, self._rest = data.split(b"\n")
                yield from (line.decode(errors="replace") for line in complete)

    def _files_to_read(self) -> list[Path]:
        # The file we were reading may have been shifted behind; what was appended before that comes first.
        with contextlib.suppress(FileNotFoundError):
            if self._inode is not None and self._path.stat().st_ino != self._inode:
                behind = [_numbered(self._path, number) for number in range(9, 0, -1)]
                known = [file for file in behind if file.exists()]
                ours = [index for index, file in enumerate(known) if file.stat().st_ino == self._inode]
                return [*known[ours[0] :], self._path] if ours else [*known, self._path]
        return [self._path]
