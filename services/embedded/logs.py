"""One log file per process: rotated by its size, followed by whoever wants to read along."""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_LOG_BYTES = 5_000_000
_KEPT_LOGS = 3
_TAIL_BYTES = 64_000


def rotate(log: Path) -> None:
    """Move a log that nobody writes to aside if it has grown large; the oldest before it goes."""
    if log_size(log) >= _LOG_BYTES:
        _make_room(log)
        log.replace(log.with_name(f"{log.name}.1"))


def rotate_written(log: Path) -> bool:
    """Do the same with one that a process writes to at its end; tell whether it had grown large.

    It has the file open and goes on with that, so it is copied and emptied. What is written in
    between is lost: a line, if any.
    """
    if log_size(log) < _LOG_BYTES:
        return False
    _make_room(log)
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)
    return True


def _make_room(log: Path) -> None:
    for number in range(_KEPT_LOGS - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))


def tail(log: Path, n_lines: int = 8, *, since: int = 0) -> str:
    """Return the last lines of a log, of those written after byte ``since``."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            size = file.tell()
            start = max(min(since, size), size - _TAIL_BYTES)
            file.seek(start)
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-n_lines:])


def log_size(log: Path) -> int:
    """Return where the next line of a log will begin, in bytes."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


@dataclass(frozen=True)
class Line:
    """A line that a process wrote."""

    name: str
    text: str


def naming(folder: Path, text: str, most: int = 100) -> list[Line]:
    """Return the newest lines of the logs in a folder that name something, file by file."""
    found = []
    for log in sorted(folder.glob("*.log")):
        lines = tail(log, _TAIL_BYTES).splitlines()
        found += [Line(log.stem, line) for line in lines if text in line]
    return found[-most:]


class Follower:
    """Reads what is added to several logs, also when they are rotated or appear later."""

    def __init__(self, logs: Sequence[tuple[str, Path]]) -> None:
        self._logs = [_Followed(name, path) for name, path in logs]

    def lines(self) -> Iterator[Line]:
        """Yield the whole lines written since the last call."""
        for log in self._logs:
            for text in log.read():
                yield Line(log.name, text)

    def close(self) -> None:
        """Close the files."""
        for log in self._logs:
            log.close()


class _Followed:
    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self._partial = b""
        self._file = self._opened()
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def read(self) -> list[str]:
        self._file = self._file or self._opened()
        if self._file is None:
            return []
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)  # it was emptied
        data = self._partial + self._file.read()
        if self._was_rotated(self._file):
            data += self._file.read()
            self._file.close()
            self._file = self._opened()
            data += self._file.read() if self._file else b""
        *whole, self._partial = data.split(b"\n")
        return [line.decode("utf-8", "replace").rstrip() for line in whole]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _opened(self) -> BinaryIO | None:
        try:
            return self._path.open("rb")
        except FileNotFoundError:
            return None

    def _was_rotated(self, file: BinaryIO) -> bool:
        try:
            return not os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False
