"""Rows of an import on their way: checked ones on disk, rejected ones with their reasons."""

import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Self

LISTED = 10_000
"""Refused rows that are listed one by one; beyond that they are counted."""


class RejectedRowError(Exception):
    """A row cannot be taken, for a reason that is counted."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class RejectedRow:
    """A row that was not taken; ``line`` is where it ends in its file (its number in Parquet)."""

    file: str
    line: int
    reason: str
    message: str


@dataclass
class RejectedRows:
    """What was rejected and why."""

    listed: list[RejectedRow] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, file: str, line: int, reason: str, message: str) -> None:
        """Note a rejected row."""
        self.counts[reason] += 1
        if len(self.listed) < LISTED:
            self.listed.append(RejectedRow(file, line, reason, message[:300]))


class Spool:
    """Checked rows by table, in files that go when the block ends."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tubegrader-import-")
        self._files: dict[str, IO[str]] = {}
        # Without a name: on disk, and gone when it is closed.
        self._first = sqlite3.connect("")
        self._first.execute("CREATE TABLE first (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
        self.columns: dict[str, list[str]] = {}
        self.sources: dict[str, str] = {}
        self.days: set[datetime] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._first.close()
        for file in self._files.values():
            file.close()
        self._folder.cleanup()

    def add(self, table: str, values: dict[str, Any], *, file: str, line: int) -> None:
        """Put a row aside; every row of a table has the same columns."""
        if table not in self._files:
            path = Path(self._folder.name) / table
            self._files[table] = path.open("w+", encoding="utf-8")
            self.columns[table] = list(values)
            self.sources[table] = file
        if table == "video_snapshots":
            slot: datetime = values["slot"]
            self.days.add(slot.replace(hour=0, minute=0, second=0, microsecond=0))
        row = [v.isoformat() if isinstance(v, datetime) else v for v in values.values()]
        self._files[table].write(json.dumps([*row, line]) + "\n")

    def first(self, key: str, value: str) -> str:
        """Return the value that a key was first given; on disk, for there are many."""
        self._first.execute("INSERT OR IGNORE INTO first VALUES (?, ?)", (key, value))
        found = self.known(key)
        assert found is not None
        return found

    def known(self, key: str) -> str | None:
        """Return the value that a key was first given, or None."""
        row = self._first.execute("SELECT value FROM first WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def rows(self, table: str) -> Iterator[Sequence[Any]]:
        """Yield a table's rows in the order they came, each with its line last."""
        file = self._files.get(table)
        if file is None:
            return
        file.flush()
        file.seek(0)
        for line in file:
            yield json.loads(line)
